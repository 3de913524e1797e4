//! The producer against a scripted twin of Kinesis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use super::batch::{MOST_BYTES, MOST_RECORDS, PutRecord, RecordAnswer};
use super::kinesis::PutFailure;
use super::*;
use crate::{EventKind, GeneratorOptions, JournalWriter, read_journal};

const QUICK: RetryPolicy =
    RetryPolicy { limit: 12, first_delay: Duration::from_millis(1), longest_delay: Duration::from_millis(2), seed: 0 };

/// The twin's treatment of a request.
#[derive(Clone, Copy, Debug)]
enum Act {
    Store,
    ThrottleEveryThird,
    ThrottleAll,
    StoreAndLose,
    NoStream,
}

/// Keeps stored records by stream; follows its script, then stores everything.
#[derive(Debug, Default)]
struct Twin {
    script: Mutex<VecDeque<Act>>,
    forever: Option<Act>,
    stored: Mutex<BTreeMap<Stream, Vec<GeneratedEvent>>>,
    requests: Mutex<Vec<(usize, usize)>>,
}

impl Twin {
    fn scripted(acts: impl IntoIterator<Item = Act>) -> Arc<Twin> {
        Arc::new(Twin { script: Mutex::new(acts.into_iter().collect()), ..Twin::default() })
    }

    fn store(&self, stream: Stream, record: &PutRecord) -> RecordAnswer {
        let mut stored = self.stored.lock().unwrap();
        let shard = stored.entry(stream).or_default();
        shard.extend(record.events.iter().cloned());
        RecordAnswer::Stored { shard: stream.name().to_owned(), sequence: shard.len().to_string() }
    }

    fn stored(&self, stream: Stream) -> Vec<GeneratedEvent> {
        self.stored.lock().unwrap().get(&stream).cloned().unwrap_or_default()
    }
}

impl PutRecords for Twin {
    async fn put(&self, stream: Stream, records: &[Arc<PutRecord>]) -> Result<Vec<RecordAnswer>, PutFailure> {
        tokio::task::yield_now().await;
        let bytes = records.iter().map(|record| record.size()).sum();
        self.requests.lock().unwrap().push((records.len(), bytes));
        let act = self.script.lock().unwrap().pop_front().or(self.forever).unwrap_or(Act::Store);
        let store = |record: &Arc<PutRecord>| self.store(stream, record);
        match act {
            Act::Store => Ok(records.iter().map(store).collect()),
            Act::ThrottleEveryThird => Ok((0_usize..)
                .zip(records)
                .map(|(place, record)| if place % 3 == 2 { RecordAnswer::Throttled } else { store(record) })
                .collect()),
            Act::ThrottleAll => Err(PutFailure::Throttled("later".into())),
            Act::StoreAndLose => {
                records.iter().for_each(|record| drop(store(record)));
                Err(PutFailure::Unknown("reset".into()))
            }
            Act::NoStream => Err(PutFailure::Final(Error::StreamNotFound {
                stream: stream.name().to_owned(),
                source: "missing".into(),
            })),
        }
    }

    fn name(&self, stream: Stream) -> &str {
        stream.name()
    }
}

fn generator(events: u64) -> Generator {
    Generator::new(GeneratorOptions {
        events,
        seed: 11,
        days: 3,
        end: "2026-11-01T00:00:00Z".parse().unwrap(),
        bad_rate: 0.02,
        duplicate_rate: 0.02,
    })
    .unwrap()
}

/// Puts `events` generated events; gives the result, and the journal.
async fn put(twin: &Arc<Twin>, events: u64) -> (Result<PutCounts, Error>, Vec<crate::JournalEntry>) {
    put_packed(twin, Packing::Plain, events).await
}

/// As [`put`], in records of this packing.
async fn put_packed(
    twin: &Arc<Twin>,
    packing: Packing,
    events: u64,
) -> (Result<PutCounts, Error>, Vec<crate::JournalEntry>) {
    let (receiver, truth) = feed(generator(events), 1_000);
    let mut journal = JournalWriter::new(Vec::new());
    let answer = |event: &GeneratedEvent, outcome: &PutOutcome| journal.record(event, outcome);
    let result = put_all(Arc::clone(twin), (QUICK, packing), receiver, answer, |_| ()).await;
    truth.await.unwrap();
    let journal = journal.finish().unwrap();
    (result, read_journal(journal.as_slice()).map(Result::unwrap).collect())
}

fn bytes_of(events: impl IntoIterator<Item = GeneratedEvent>) -> Vec<Vec<u8>> {
    let mut bytes: Vec<Vec<u8>> = events.into_iter().map(|event| event.bytes).collect();
    bytes.sort();
    bytes
}

fn by_key(events: &[GeneratedEvent]) -> BTreeMap<&str, Vec<&[u8]>> {
    let mut by_key: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
    for event in events {
        by_key.entry(&event.partition_key).or_default().push(&event.bytes);
    }
    by_key
}

#[tokio::test]
async fn every_event_is_stored_once_in_key_order() {
    let twin = Twin::scripted([]);
    let (result, journal) = put(&twin, 9_000).await;
    let counts = result.unwrap();
    assert_eq!((counts.stored, counts.retried, counts.unknown), (9_000, 0, 0));
    assert_eq!(journal.len(), 9_000);
    for stream in Stream::ALL {
        let sent: Vec<GeneratedEvent> = generator(9_000).filter(|event| event.stream == stream).collect();
        let stored = twin.stored(stream);
        assert_eq!(bytes_of(stored.clone()), bytes_of(sent.clone()));
        assert_eq!(by_key(&stored), by_key(&sent));
    }
    let requests = twin.requests.lock().unwrap();
    assert!(requests.iter().all(|(records, bytes)| *records <= MOST_RECORDS && *bytes <= MOST_BYTES));
    assert!(requests.iter().filter(|(records, _)| *records == MOST_RECORDS).count() >= 10, "{requests:?}");
}

#[tokio::test]
async fn only_the_failed_records_are_put_again() {
    let twin = Twin::scripted([Act::ThrottleEveryThird, Act::ThrottleAll, Act::ThrottleEveryThird]);
    let (result, journal) = put(&twin, 5_000).await;
    let counts = result.unwrap();
    assert_eq!((counts.stored, counts.unknown, journal.len()), (5_000, 0, 5_000));
    assert!(counts.retried > 0);
    let stored = Stream::ALL.into_iter().flat_map(|stream| twin.stored(stream));
    assert_eq!(bytes_of(stored), bytes_of(generator(5_000)));
}

#[tokio::test]
async fn a_lost_answer_is_journalled_and_put_again() {
    let twin = Twin::scripted([Act::StoreAndLose]);
    let (result, journal) = put(&twin, 3_000).await;
    let counts = result.unwrap();
    assert_eq!(counts.stored, 3_000);
    let unknown: Vec<_> = journal.iter().filter(|entry| entry.sequence.is_none()).collect();
    assert!(!unknown.is_empty());
    assert_eq!(u64::try_from(unknown.len()).unwrap(), counts.unknown);
    for lost in unknown {
        let again = journal.iter().filter(|entry| entry.event_id == lost.event_id && entry.sequence.is_some());
        assert!(again.count() >= 1, "{lost:?}");
    }
}

#[tokio::test]
async fn a_missing_stream_stops_producer_and_generator() {
    let twin = Arc::new(Twin { forever: Some(Act::NoStream), ..Twin::default() });
    let (result, _) = put(&twin, 50_000).await;
    assert!(matches!(result, Err(Error::StreamNotFound { .. })), "{result:?}");
}

#[tokio::test]
async fn attempts_without_progress_come_to_an_end() {
    let twin = Arc::new(Twin { forever: Some(Act::ThrottleAll), ..Twin::default() });
    let (result, journal) = put(&twin, 20_000).await;
    let error = result.unwrap_err();
    assert!(matches!(error, Error::GaveUp { attempts: 13, source: Some(_), .. }), "{error:?}");
    assert!(journal.is_empty());
}

#[tokio::test]
async fn an_observer_that_fails_stops_the_producer() {
    let (receiver, truth) = feed(generator(5_000), 100);
    let full = |_: &GeneratedEvent, _: &PutOutcome| Err(io::Error::other("disk full"));
    let result = put_all(Twin::scripted([]), (QUICK, Packing::Plain), receiver, full, |_| ()).await;
    assert!(matches!(result, Err(Error::Observer { .. })), "{result:?}");
    truth.await.unwrap();
}

#[tokio::test]
async fn an_idle_source_does_not_hold_events_back() {
    let twin = Twin::scripted([]);
    let (sender, receiver) = mpsc::channel(10);
    let mut events = generator(3);
    sender.send(events.next().unwrap()).await.unwrap();
    let producer = put_all(Arc::clone(&twin), (QUICK, Packing::Plain), receiver, |_, _| Ok(()), |_| ());
    let watch = async {
        while twin.stored(Stream::UserEvents).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(sender);
    };
    let (result, ()) = tokio::join!(producer, watch);
    assert_eq!(result.unwrap().stored, 1);
    assert_eq!(twin.stored(Stream::UserEvents)[0].kind, EventKind::Good);
}

#[tokio::test]
async fn aggregates_are_retried_whole_and_journalled_by_event() {
    let middle = 1 << 127;
    let ranges = vec![(0, middle - 1), (middle, u128::MAX)];
    let shards = Stream::ALL.into_iter().map(|stream| (stream, ranges.clone())).collect();
    let twin = Twin::scripted([Act::ThrottleEveryThird, Act::ThrottleAll, Act::ThrottleEveryThird]);
    let (result, journal) = put_packed(&twin, Packing::Aggregated { events: 10, shards }, 5_000).await;
    let counts = result.unwrap();
    assert_eq!((counts.stored, counts.unknown, journal.len()), (5_000, 0, 5_000));
    assert!(counts.retried > 0);
    let stored = Stream::ALL.into_iter().flat_map(|stream| twin.stored(stream));
    assert_eq!(bytes_of(stored), bytes_of(generator(5_000)));
    let records: usize = twin.requests.lock().unwrap().iter().map(|(records, _)| records).sum();
    assert!(records < 1_500, "{records} records for 5,000 events");
    let mut by_sequence: BTreeMap<_, usize> = BTreeMap::new();
    for entry in &journal {
        *by_sequence.entry((entry.stream, entry.sequence.clone())).or_default() += 1;
    }
    assert!(by_sequence.values().all(|events| *events <= 10));
    assert!(by_sequence.values().filter(|events| **events == 10).count() > 400);
}
