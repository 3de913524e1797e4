//! Reads with the real SDK from a Kinesis inside this process, by polling and by enhanced fan-out, and through faults.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use arrow::{array::RecordBatch, compute::concat_batches};
use aws_credential_types::Credentials;
use aws_sdk_kinesis::{
    Client,
    config::{BehaviorVersion, Region},
    primitives::{Blob, DateTime},
    types::PutRecordsRequestEntry,
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::StatusCode,
    middleware::{self, Next as Inner},
    response::{IntoResponse as _, Response},
};
use bluelake_lake::{ControlTotals, Position, ShardId, ShardState};
use bluelake_schemas::{Contract, Micros, Millis};
use ferrokinesis::store::StoreOptions;
use futures::{FutureExt as _, Stream as _, StreamExt as _};
use tokio::task::JoinHandle;

use super::*;
use crate::{kinesis::listed::ListedShard, reading::dedup::limits::DedupLimits};

const STREAM: &str = "user-events";

/// Answers the n-th call (from 1) of an operation, in place of the server, with an error of this code.
type Fault = fn(operation: &str, call: usize) -> Option<&'static str>;

/// A Kinesis in memory that answers one request at a time and fails as told.
struct Kinesis {
    client: Client,
    /// Operations called, with their bodies.
    calls: Arc<Mutex<Vec<(String, String)>>>,
    server: JoinHandle<()>,
}

impl Drop for Kinesis {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Kinesis {
    async fn start(shards: i32, fault: Fault) -> Self {
        Self::with_sessions(shards, Duration::from_secs(60), fault).await
    }

    /// Subscriptions last for `session`. ferrokinesis 0.7 drops the sequence number and the time of a starting position
    /// and begins every subscription at the start of the shard: what was read before comes again.
    async fn with_sessions(shards: i32, session: Duration, fault: Fault) -> Self {
        let options = StoreOptions {
            create_stream_ms: 0,
            update_stream_ms: 0,
            shard_limit: 100,
            subscribe_to_shard_event_record_limit: 60,
            subscribe_to_shard_session_ms: session.as_millis().try_into().unwrap(),
            ..StoreOptions::default()
        };
        let (router, _store) = ferrokinesis::create_app(options);
        let calls = Arc::default();
        let router = scripted(router, fault, Arc::clone(&calls));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "tests"))
            .endpoint_url(endpoint)
            .build();
        let client = Client::from_conf(config);
        client.create_stream().stream_name(STREAM).shard_count(shards).send().await.unwrap();
        let kinesis = Self { client, calls, server };
        kinesis.until_active().await;
        kinesis
    }

    async fn until_active(&self) {
        while self.stream().describe().await.is_err() || self.shards().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        loop {
            let answer = self.client.describe_stream_summary().stream_name(STREAM).send().await.unwrap();
            if answer.stream_description_summary().unwrap().stream_status().as_str() == "ACTIVE" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
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
        self.until_active().await;
    }

    fn called(&self, operation: &str) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.0 == operation).map(|call| call.1.clone()).collect()
    }
}

fn scripted(router: Router, fault: Fault, calls: Arc<Mutex<Vec<(String, String)>>>) -> Router {
    let turn = Arc::new(tokio::sync::Mutex::new(()));
    router.layer(middleware::from_fn(move |request: Request, inner: Inner| {
        let (turn, calls) = (Arc::clone(&turn), Arc::clone(&calls));
        async move {
            let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
            let operation = target.and_then(|target| target.rsplit_once('.')).unwrap().1.to_owned();
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
            let call = {
                let mut calls = calls.lock().unwrap();
                calls.push((operation.clone(), String::from_utf8_lossy(&body).into_owned()));
                calls.iter().filter(|call| call.0 == operation).count()
            };
            if let Some(code) = fault(&operation, call) {
                let answer = format!(r#"{{"__type":"{code}","message":"as told"}}"#);
                return (StatusCode::BAD_REQUEST, [("content-type", "application/x-amz-json-1.1")], answer)
                    .into_response();
            }
            let answer = {
                let _turn = turn.lock().await;
                inner.run(Request::from_parts(parts, Body::from(body))).await
            };
            in_turn(answer, turn)
        }
    }))
}

/// The body of a subscription reads the store too, after the answer has begun: it waits for its turn each time.
fn in_turn(answer: Response, turn: Arc<tokio::sync::Mutex<()>>) -> Response {
    let (parts, body) = answer.into_parts();
    if parts.headers.get("content-type").is_none_or(|kind| kind != "application/vnd.amazon.eventstream") {
        return Response::from_parts(parts, body);
    }
    let mut body = body.into_data_stream();
    let mut waiting = None;
    let stream = futures::stream::poll_fn(move |context| -> std::task::Poll<Option<Result<Bytes, axum::Error>>> {
        let wait = waiting.get_or_insert_with(|| Arc::clone(&turn).lock_owned().boxed());
        let _turn = std::task::ready!(wait.poll_unpin(context));
        waiting = None;
        std::pin::Pin::new(&mut body).poll_next(context)
    });
    Response::from_parts(parts, Body::from_stream(stream.boxed()))
}

/// What was read of a shard.
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

fn desk() -> Desk {
    let decoder = Decoder::new(&Contract::embedded().unwrap(), Stream::UserEvents).unwrap();
    Desk::new(Arc::new(decoder).batch(), DedupWindow::new(DedupLimits::default()), None)
}

#[tokio::test]
async fn only_the_new_records_of_a_page_are_decoded() {
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

/// A record that is gzip of so many bytes.
fn gzip_bomb(sequence: u32, bytes: usize) -> Record {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &vec![b'x'; bytes]).unwrap();
    let mut bomb = record(sequence);
    bomb.data = Blob::new(encoder.finish().unwrap());
    bomb
}

#[tokio::test]
async fn a_page_becomes_as_many_chunks_as_its_rows_need_and_each_ends_at_a_whole_record() {
    let (mut desk, admission) = (desk(), Admission::new(1 << 20));
    let mut page = vec![record(1), gzip_bomb(2, 8 << 20), record(3), record(4), gzip_bomb(5, 8 << 20)];
    // A small record of very many rows.
    page[3].data = Blob::new("0 ".repeat(50_000));
    let mut records = page.into_iter().peekable();
    let shard = ShardId::from("shardId-0");
    let mut chunks = Vec::new();
    while records.peek().is_some() {
        let decoding = desk.decode(&mut records, &shard, &admission);
        // The room of the chunk before is given back: else this one would wait for it.
        let read = tokio::time::timeout(Duration::from_secs(60), decoding).await.unwrap().ok().unwrap();
        assert_eq!(read.tally.counts.received, read.rows.decoded.rejected.num_rows() as u64);
        chunks.push((read.last.unwrap().to_string(), read.records, read.rows.room.is_some()));
    }
    let expected =
        [("2", 2, true), ("4", 2, true), ("5", 1, true)].map(|(last, records, room)| (last.to_owned(), records, room));
    assert_eq!(chunks, expected);
    // Whoever holds heavy rows stops the next.
    let mut records = vec![gzip_bomb(6, 8 << 20), gzip_bomb(7, 8 << 20)].into_iter().peekable();
    let held = desk.decode(&mut records, &ShardId::from("shardId-0"), &admission).await.ok().unwrap();
    assert!(desk.decode(&mut records, &ShardId::from("shardId-0"), &admission).now_or_never().is_none());
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn fan_out_gives_the_rows_of_polling_over_a_split_too() {
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
async fn a_subscription_that_ended_is_renewed_after_the_last_record_read() {
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
async fn an_expired_iterator_is_renewed_after_the_last_record_read() {
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
async fn a_position_that_kinesis_does_not_know_is_passed_over_from_the_horizon() {
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
async fn throttling_is_waited_out_five_calls_a_second_at_most() {
    let throttled: Fault =
        |operation, call| (operation == "GetRecords" && call <= 4).then_some("ProvisionedThroughputExceededException");
    let kinesis = Kinesis::start(1, throttled).await;
    kinesis.put(0, 10).await;
    let shards = kinesis.shards().await;
    let started = std::time::Instant::now();
    assert_eq!(number_of_rows(&read_all(&kinesis.stream(), &shards).await), 10);
    // However short the pauses that the jitter drew; and the SDK has not tried again by itself.
    assert!(started.elapsed() >= Duration::from_millis(5 * 200));
    assert_eq!(kinesis.called("GetRecords").len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_left_the_stream_is_no_error_and_a_missing_stream_is() {
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
