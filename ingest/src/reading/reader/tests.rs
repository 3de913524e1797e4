//! Reads with the real SDK from a Kinesis inside this process, by polling and by enhanced fan-out, and through faults.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use arrow::{array::RecordBatch, compute::concat_batches};
use aws_sdk_kinesis::{
    Client,
    primitives::{Blob, DateTime},
    types::PutRecordsRequestEntry,
};
use bluelake_embedded_kinesis::{EmbeddedKinesis, Options, Positions, Script, create_stream, until_active};
use bluelake_lake::{ControlTotals, Position, ShardId, ShardState};
use bluelake_schemas::{Contract, Micros, Millis};
use futures::FutureExt as _;

use super::*;
use crate::{kinesis::listed::ListedShard, reading::dedup::limits::DedupLimits};

const STREAM: &str = "user-events";

/// Answers the n-th call (from 1) of an operation, in place of the server, with an error of this code.
type Fault = fn(operation: &str, call: usize) -> Option<&'static str>;

/// A Kinesis in memory with scripted faults.
struct Kinesis {
    client: Client,
    /// Operations called, with their bodies.
    calls: Arc<Mutex<Vec<(String, String)>>>,
    _server: EmbeddedKinesis,
}

impl Kinesis {
    async fn start(shards: i32, fault: Fault) -> Self {
        Self::with_sessions(shards, Duration::from_secs(60), fault).await
    }

    /// Subscriptions last for `session`, and each repeats the records read before.
    async fn with_sessions(shards: i32, session: Duration, fault: Fault) -> Self {
        let calls: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let counts = Arc::clone(&calls);
        let script = Script::new(move |operation, body| {
            let mut calls = counts.lock().unwrap();
            calls.push((operation.to_owned(), String::from_utf8_lossy(body).into_owned()));
            fault(operation, calls.iter().filter(|call| call.0 == operation).count())
        });
        let server = EmbeddedKinesis::start(Options {
            subscription: session,
            records_an_event: 60,
            positions: Positions::AsFerrokinesis,
            script: Some(script),
            ..Options::default()
        })
        .await
        .unwrap();
        let client = server.client();
        create_stream(&client, STREAM, shards).await.unwrap();
        until_active(&client, STREAM).await.unwrap();
        Self { client, calls, _server: server }
    }

    fn stream(&self) -> KinesisStream {
        KinesisStream::new(self.client.clone(), STREAM)
    }

    async fn shards(&self) -> Vec<ListedShard> {
        self.stream().list_shards().await.unwrap()
    }

    async fn put(&self, from: u32, to: u32) {
        for some in (from..to).collect::<Vec<_>>().chunks(100) {
            let entry = |number: &u32| {
                let data = Blob::new(format!("not json {number}"));
                PutRecordsRequestEntry::builder().partition_key(number.to_string()).data(data).build().unwrap()
            };
            let put = self.client.put_records().stream_name(STREAM);
            let answer = put.set_records(Some(some.iter().map(entry).collect())).send().await.unwrap();
            assert_eq!(answer.failed_record_count(), Some(0));
        }
    }

    async fn split(&self, shard: &str) {
        let split = self.client.split_shard().stream_name(STREAM).shard_to_split(shard);
        split.new_starting_hash_key((1_u128 << 126).to_string()).send().await.unwrap();
        until_active(&self.client, STREAM).await.unwrap();
    }

    fn called(&self, operation: &str) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.0 == operation).map(|call| call.1.clone()).collect()
    }
}

/// The records read of a shard.
#[derive(Debug, PartialEq)]
struct Reading {
    end: ReaderEnd,
    last: Option<Position>,
    ended: bool,
    rows: Option<RecordBatch>,
}

fn reader(stream: KinesisStream, shard: ListedShard, position: Position, chunks: mpsc::Sender<Chunk>) -> ShardReader {
    let decoder = Decoder::new(&Contract::embedded().unwrap(), Stream::UserEvents).unwrap();
    let (_, listed) = watch::channel(Listed::of(&shard, Millis::new(Clock::system().now().timestamp_millis())));
    ShardReader {
        listed,
        source: stream,
        stream: Stream::UserEvents,
        shard: readable(shard, position),
        decoder: Arc::new(decoder),
        window: DedupWindow::new(DedupLimits::default()),
        chunks,
        sent: Arc::default(),
        stop_at_tip: true,
        retention: Duration::from_secs(8 * 3_600),
        admission: Admission::new(8 << 20),
        clock: Clock::system(),
        skew: Skew::default(),
        progress: Arc::new(Progress::new(
            Stream::UserEvents,
            Duration::from_secs(86_400),
            Admission::new(8 << 20),
            Clock::system(),
        )),
    }
}

/// Reads one shard to its tip or end. The chunks must join.
async fn read(stream: KinesisStream, shard: ListedShard, position: Position) -> Reading {
    let (sender, mut chunks) = mpsc::channel(2);
    let reading = tokio::spawn(reader(stream, shard, position.clone(), sender).run(CancellationToken::new()));
    let (mut rows, mut ended, mut reached) = (Vec::new(), false, position);
    while let Some(chunk) = chunks.recv().await {
        assert_eq!(chunk.advance.from_exclusive.as_ref(), Some(&reached), "the chunks join");
        reached = chunk.advance.to_inclusive;
        ended |= chunk.advance.ended;
        rows.push(chunk.rows.decoded.rejected);
    }
    let rows = rows.first().map(|first| concat_batches(&first.schema(), &rows).unwrap());
    Reading { end: reading.await.unwrap().unwrap(), last: Some(reached), ended, rows }
}

async fn read_all(stream: &KinesisStream, shards: &[ListedShard]) -> BTreeMap<ShardId, Reading> {
    let read = shards
        .iter()
        .map(|shard| async { (shard.id.clone(), read(stream.clone(), shard.clone(), Position::TrimHorizon).await) });
    futures::future::join_all(read).await.into_iter().collect()
}

fn number_of_rows(readings: &BTreeMap<ShardId, Reading>) -> usize {
    readings.values().filter_map(|reading| reading.rows.as_ref()).map(RecordBatch::num_rows).sum()
}

fn record(sequence: u32) -> Record {
    Record::builder()
        .sequence_number(sequence.to_string())
        .partition_key("p")
        .approximate_arrival_timestamp(DateTime::from_secs(1_767_225_600))
        .data(Blob::new(format!("not json {sequence}")))
        .build()
        .unwrap()
}

fn desk() -> PageDecoder {
    let decoder = Decoder::new(&Contract::embedded().unwrap(), Stream::UserEvents).unwrap();
    PageDecoder::new(Arc::new(decoder).batch(), DedupWindow::new(DedupLimits::default()), None)
}

#[tokio::test]
async fn only_new_records_of_a_page_are_decoded() {
    let (mut desk, admission) = (desk(), Admission::new(8 << 20));
    let page: Vec<Record> = (9..=12).map(record).collect();
    assert_eq!(only(page.clone(), &[0, 1, 2, 3]), page);
    let mut records = only(page.clone(), &[1, 2, 3]).into_iter().peekable();
    let read = desk.decode(&mut records, &ShardId::from("shardId-0"), &admission).await.ok().unwrap();
    assert_eq!((read.tally.counts.received, read.tally.counts.rejected, read.records), (3, 3, 3));
    assert_eq!(
        (read.rows.decoded.rejected.num_rows(), read.tally.newest),
        (3, Some(Micros::new(1_767_225_600_000_000)))
    );
    assert_eq!(read.last, Some(SequenceNumber::parse("12").unwrap()));
    let nothing = desk
        .decode(&mut only(page, &[]).into_iter().peekable(), &ShardId::from("shardId-0"), &admission)
        .await
        .ok()
        .unwrap();
    assert_eq!((nothing.tally.counts.received, nothing.rows.decoded.rejected.num_rows()), (0, 0));
}

/// A gzip record that unpacks to `bytes` bytes.
fn gzip_bomb(sequence: u32, bytes: usize) -> Record {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &vec![b'x'; bytes]).unwrap();
    let mut bomb = record(sequence);
    bomb.data = Blob::new(encoder.finish().unwrap());
    bomb
}

#[tokio::test]
async fn a_page_splits_into_chunks_at_whole_records() {
    let (mut desk, admission) = (desk(), Admission::new(1 << 20));
    let mut page = vec![record(1), gzip_bomb(2, 8 << 20), record(3), record(4), gzip_bomb(5, 8 << 20)];
    // A small record of very many rows.
    page[3].data = Blob::new("0 ".repeat(50_000));
    let mut records = page.into_iter().peekable();
    let shard = ShardId::from("shardId-0");
    let mut chunks = Vec::new();
    while records.peek().is_some() {
        let decoding = desk.decode(&mut records, &shard, &admission);
        // The previous chunk has given its room back; else this one would wait for it.
        let read = tokio::time::timeout(Duration::from_secs(60), decoding).await.unwrap().ok().unwrap();
        assert_eq!(read.tally.counts.received, read.rows.decoded.rejected.num_rows() as u64);
        chunks.push((read.last.unwrap().to_string(), read.records, read.rows.room.is_some()));
    }
    let expected =
        [("2", 2, true), ("4", 2, true), ("5", 1, true)].map(|(last, records, room)| (last.to_owned(), records, room));
    assert_eq!(chunks, expected);
    // Heavy rows that are held stop the next ones.
    let mut records = vec![gzip_bomb(6, 8 << 20), gzip_bomb(7, 8 << 20)].into_iter().peekable();
    let held = desk.decode(&mut records, &ShardId::from("shardId-0"), &admission).await.ok().unwrap();
    assert!(desk.decode(&mut records, &ShardId::from("shardId-0"), &admission).now_or_never().is_none());
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn fan_out_equals_polling_over_a_split() {
    let kinesis = Kinesis::start(2, |_, _| None).await;
    kinesis.put(0, 400).await;
    kinesis.split("shardId-000000000000").await;
    kinesis.put(400, 500).await;
    let shards = kinesis.shards().await;
    assert_eq!(shards.len(), 4);
    let polled = read_all(&kinesis.stream(), &shards).await;
    assert_eq!(number_of_rows(&polled), 500);
    assert!(kinesis.called("SubscribeToShard").is_empty());
    let polls = kinesis.called("GetRecords").len();
    let pushed = read_all(&kinesis.stream().with_fan_out("tests"), &shards).await;
    assert_eq!(pushed, polled);
    assert_eq!(pushed["shardId-000000000000"].end, ReaderEnd::ShardEnded);
    assert_eq!(pushed["shardId-000000000001"].end, ReaderEnd::AtTip);
    assert_eq!(kinesis.called("GetRecords").len(), polls, "nothing was polled");
    assert_eq!(kinesis.called("RegisterStreamConsumer").len(), 1, "the shards share one consumer");
    assert_eq!(kinesis.called("SubscribeToShard").len(), 4);
    // The next run finds the consumer, and a position inside the shard.
    let shard = shards[1].clone();
    let first = polled[&shard.id].rows.as_ref().unwrap().column_by_name("stream_sequence").unwrap();
    let first = arrow::util::display::array_value_to_string(first, 0).unwrap();
    let position = Position::After(SequenceNumber::parse(&first).unwrap());
    let rest = read(kinesis.stream().with_fan_out("tests"), shard.clone(), position).await;
    let polled = polled[&shard.id].rows.as_ref().unwrap();
    assert_eq!(rest.rows.unwrap(), polled.slice(1, polled.num_rows() - 1));
    assert_eq!(kinesis.called("RegisterStreamConsumer").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_renewed_after_the_last_record() {
    let kinesis = Kinesis::with_sessions(1, Duration::from_millis(300), |_, _| None).await;
    kinesis.put(0, 50).await;
    let shard = kinesis.shards().await.remove(0);
    let (sender, mut chunks) = mpsc::channel(2);
    let stop = CancellationToken::new();
    let stream = kinesis.stream().with_fan_out("tests");
    let reader = ShardReader { stop_at_tip: false, ..reader(stream, shard, Position::TrimHorizon, sender) };
    let reading = tokio::spawn(reader.run(stop.clone()));
    let mut next = async || {
        let chunk = loop {
            let chunk = chunks.recv().await.unwrap();
            if chunk.rows.decoded.rejected.num_rows() > 0 {
                break chunk;
            }
        };
        (chunk.advance.to_inclusive, chunk.rows.decoded.rejected.num_rows())
    };
    let (position, rows) = next().await;
    assert_eq!(rows, 50);
    // The first subscription is over by now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    kinesis.put(50, 60).await;
    assert_eq!(next().await.1, 10, "those before the position are passed over");
    let Position::After(last) = position else { panic!("nothing was read") };
    let renewed = kinesis.called("SubscribeToShard").remove(1);
    assert!(renewed.contains("AFTER_SEQUENCE_NUMBER") && renewed.contains(last.as_str()), "{renewed}");
    stop.cancel();
    assert_eq!(reading.await.unwrap().unwrap(), ReaderEnd::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn fan_out_that_is_refused_is_polling() {
    let refusals: [Fault; 3] = [
        |operation, _| (operation == "RegisterStreamConsumer").then_some("AccessDeniedException"),
        |operation, _| (operation == "DescribeStreamConsumer").then_some("UnknownOperationException"),
        |operation, _| (operation == "SubscribeToShard").then_some("AccessDeniedException"),
    ];
    for refusal in refusals {
        let kinesis = Kinesis::start(2, refusal).await;
        kinesis.put(0, 100).await;
        let shards = kinesis.shards().await;
        let read = read_all(&kinesis.stream().with_fan_out("tests"), &shards).await;
        assert_eq!(number_of_rows(&read), 100);
        assert!(!kinesis.called("GetRecords").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_somebody_has_is_waited_for() {
    let in_use: Fault =
        |operation, call| (operation == "SubscribeToShard" && call == 1).then_some("ResourceInUseException");
    let kinesis = Kinesis::start(1, in_use).await;
    kinesis.put(0, 10).await;
    let read = read_all(&kinesis.stream().with_fan_out("tests"), &kinesis.shards().await).await;
    assert_eq!(number_of_rows(&read), 10);
    assert_eq!((kinesis.called("SubscribeToShard").len(), kinesis.called("GetRecords").len()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_iterator_resumes_after_the_last_record() {
    let expired: Fault =
        |operation, call| (operation == "GetRecords" && call == 2).then_some("ExpiredIteratorException");
    let kinesis = Kinesis::start(1, expired).await;
    kinesis.put(0, 20).await;
    let shards = kinesis.shards().await;
    let readings = read_all(&kinesis.stream(), &shards).await;
    assert_eq!(number_of_rows(&readings), 20);
    let Some(Position::After(last)) = &readings[&shards[0].id].last else { panic!("nothing was read") };
    let iterators = kinesis.called("GetShardIterator");
    assert_eq!(iterators.len(), 2);
    assert!(iterators[1].contains("AFTER_SEQUENCE_NUMBER") && iterators[1].contains(last.as_str()), "{}", iterators[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_position_is_skipped_from_the_horizon() {
    let trimmed: Fault =
        |operation, call| (operation == "GetShardIterator" && call == 2).then_some("InvalidArgumentException");
    let kinesis = Kinesis::start(1, trimmed).await;
    kinesis.put(0, 10).await;
    let shard = kinesis.shards().await.remove(0);
    let first = read(kinesis.stream(), shard.clone(), Position::TrimHorizon).await;
    kinesis.put(10, 15).await;
    let position = first.last.unwrap();
    let second = read(kinesis.stream(), shard, position.clone()).await;
    assert_eq!(second.rows.unwrap().num_rows(), 5, "what was read already is passed over");
    assert!(kinesis.called("GetShardIterator")[2].contains("TRIM_HORIZON"));
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_is_waited_out_within_the_quota() {
    let throttled: Fault =
        |operation, call| (operation == "GetRecords" && call <= 4).then_some("ProvisionedThroughputExceededException");
    let kinesis = Kinesis::start(1, throttled).await;
    kinesis.put(0, 10).await;
    let shards = kinesis.shards().await;
    let started = std::time::Instant::now();
    assert_eq!(number_of_rows(&read_all(&kinesis.stream(), &shards).await), 10);
    // This holds for the shortest pauses of the jitter too; and the SDK has not retried by itself.
    assert!(started.elapsed() >= Duration::from_millis(5 * 200));
    assert_eq!(kinesis.called("GetRecords").len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_stream_is_an_error_unlike_shards() {
    let kinesis = Kinesis::start(1, |_, _| None).await;
    let mut gone = kinesis.shards().await.remove(0);
    gone.id = "shardId-000000000007".into();
    let reading = read(kinesis.stream(), gone.clone(), Position::TrimHorizon).await;
    assert_eq!(reading.end, ReaderEnd::ShardVanished);
    let reading = read(kinesis.stream().with_fan_out("tests"), gone.clone(), Position::TrimHorizon).await;
    assert_eq!(reading.end, ReaderEnd::ShardVanished);
    let missing = KinesisStream::new(kinesis.client.clone(), "no-such-stream");
    let (sender, _chunks) = mpsc::channel(2);
    let end = reader(missing, gone, Position::TrimHorizon, sender).run(CancellationToken::new()).await;
    assert!(matches!(end, Err(IngestError::Kinesis { transient: false, .. })), "{end:?}");
}

fn readable(shard: ListedShard, position: Position) -> ReadableShard {
    let state = ShardState {
        starting_sequence: shard.starting_sequence.clone(),
        parents: Vec::new(),
        position: position.clone(),
        ended: false,
        arrived_at: None,
        drained_at: None,
        pinned_at: None,
        totals: ControlTotals::default(),
    };
    ReadableShard { shard, position, state }
}
