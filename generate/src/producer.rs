//! Puts events into Kinesis: full PutRecords requests, several in flight. Only failed records are put again.
//!
//! The events of one partition key are put in order, because each key belongs to one lane of the stream and a lane has
//! one request in flight; only a retry can break that order. Every answer is reported, also a lost one, so that a
//! journal can record where an event went. The SDK's own retries are off: they would hide unknown outcomes.

mod batch;
mod kinesis;
mod lane;
mod packing;
mod router;

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBuilder;
use bluelake_schemas::Stream;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use self::batch::Answered;
use self::kinesis::{Kinesis, PutRecords};
use self::lane::Lane;
use self::packing::Packing;
use self::router::Router;
use crate::{Error, GeneratedEvent, Generator, Truth};

/// Requests in flight for each stream.
const LANES: usize = 4;
/// Answered requests that wait for the observer, for each lane: enough to keep the lanes busy while it works.
const ANSWERS_WAITING: usize = 2;

/// Names of the streams in Kinesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamNames(BTreeMap<Stream, String>);

impl StreamNames {
    /// Both streams by the names given.
    pub fn new(user_events: impl Into<String>, transaction_events: impl Into<String>) -> Self {
        StreamNames(BTreeMap::from([
            (Stream::UserEvents, user_events.into()),
            (Stream::TransactionEvents, transaction_events.into()),
        ]))
    }

    /// Name of a stream in Kinesis.
    pub fn get(&self, stream: Stream) -> &str {
        self.0.get(&stream).map_or(stream.name(), String::as_str)
    }
}

impl Default for StreamNames {
    /// The names of the contract.
    fn default() -> Self {
        StreamNames::new(Stream::UserEvents.name(), Stream::TransactionEvents.name())
    }
}

/// How long a request without a stored record is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The most repetitions in a row that store nothing. Every stored record starts the count anew.
    pub limit: usize,
    /// First delay; each further one is twice as long, with jitter.
    pub first_delay: Duration,
    /// Longest delay, without jitter.
    pub longest_delay: Duration,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Default for RetryPolicy {
    /// Twelve repetitions from 50 ms to 5 s: about half a minute.
    fn default() -> Self {
        RetryPolicy {
            limit: 12,
            first_delay: Duration::from_millis(50),
            longest_delay: Duration::from_secs(5),
            seed: 0,
        }
    }
}

impl RetryPolicy {
    fn delays(&self, lane: u64) -> ExponentialBuilder {
        ExponentialBuilder::new()
            .with_min_delay(self.first_delay)
            .with_max_delay(self.longest_delay)
            .with_factor(2.0)
            .with_max_times(self.limit)
            .with_jitter()
            .with_jitter_seed(self.seed.wrapping_add(lane))
    }
}

/// The outcome of the record that an event was put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// In the stream.
    Stored {
        /// Shard that took it.
        shard: String,
        /// Its sequence number, a decimal number.
        sequence: String,
    },
    /// It may be in the stream: the answer was lost, or the service failed inside. The event is put again.
    Unknown,
}

/// Progress of a producer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutCounts {
    /// Events stored.
    pub stored: u64,
    /// Bytes of data of the records stored.
    pub bytes: u64,
    /// Events put again because they were throttled or their outcome was unknown.
    pub retried: u64,
    /// Outcomes that stayed unknown. Each may be an event in the stream.
    pub unknown: u64,
    /// Requests answered or lost.
    pub requests: u64,
}

/// Puts events into the two streams.
#[derive(Clone, Debug)]
pub struct Producer {
    kinesis: Arc<Kinesis>,
    retry: RetryPolicy,
    aggregate: Option<NonZeroUsize>,
}

impl Producer {
    /// A producer over a configured client. The client's own retries are switched off for it.
    pub fn new(client: &aws_sdk_kinesis::Client, names: StreamNames, retry: RetryPolicy) -> Self {
        Producer { kinesis: Arc::new(Kinesis::new(client, names)), retry, aggregate: None }
    }

    /// Puts `events` into each record, as the Kinesis Producer Library does. `None` puts one event as it is.
    ///
    /// An aggregate holds events of one shard, by the shards that are open when [`Producer::put`] begins.
    #[must_use]
    pub fn aggregating(mut self, events: Option<NonZeroUsize>) -> Self {
        self.aggregate = events;
        self
    }

    async fn packing(&self) -> Result<Packing, Error> {
        let Some(events) = self.aggregate else { return Ok(Packing::Plain) };
        let mut shards = BTreeMap::new();
        for stream in Stream::ALL {
            shards.insert(stream, self.kinesis.open_shards(stream).await?);
        }
        Ok(Packing::Aggregated { events: events.get(), shards })
    }

    /// Puts every event that arrives until the channel is closed, and returns when all are answered.
    ///
    /// `on_answer` is called once for every event of every answer; its error stops the producer. `on_progress` is
    /// called after each request. Both are called on the calling task, in no particular order between lanes.
    ///
    /// # Errors
    /// [`Error::StreamNotFound`], [`Error::Refused`], [`Error::GaveUp`], [`Error::Observer`], [`Error::Cancelled`].
    /// Requests that are in flight on other lanes are finished and reported before an error of one lane is returned.
    pub async fn put(
        &self,
        events: mpsc::Receiver<GeneratedEvent>,
        on_answer: impl FnMut(&GeneratedEvent, &PutOutcome) -> io::Result<()>,
        on_progress: impl FnMut(PutCounts),
    ) -> Result<PutCounts, Error> {
        let how = (self.retry, self.packing().await?);
        put_all(Arc::clone(&self.kinesis), how, events, on_answer, on_progress).await
    }
}

/// Runs a generator on a blocking thread and hands its events over through a channel of this capacity.
///
/// The thread ends when all events were taken or the receiver is gone, and gives the truth about the events yielded by
/// then.
pub fn feed(mut generator: Generator, capacity: usize) -> (mpsc::Receiver<GeneratedEvent>, JoinHandle<Truth>) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let truth = tokio::task::spawn_blocking(move || {
        for event in generator.by_ref() {
            if sender.blocking_send(event).is_err() {
                break;
            }
        }
        generator.into_truth()
    });
    (receiver, truth)
}

async fn put_all<T: PutRecords>(
    transport: Arc<T>,
    (retry, packing): (RetryPolicy, Packing),
    events: mpsc::Receiver<GeneratedEvent>,
    mut on_answer: impl FnMut(&GeneratedEvent, &PutOutcome) -> io::Result<()>,
    mut on_progress: impl FnMut(PutCounts),
) -> Result<PutCounts, Error> {
    let (answers, mut answered) = mpsc::channel::<Answered>(Stream::ALL.len() * LANES * ANSWERS_WAITING);
    let mut router = Router::new(packing);
    let mut tasks = JoinSet::new();
    for (stream, number) in Stream::ALL.into_iter().flat_map(|stream| (0..LANES).map(move |lane| (stream, lane))) {
        // One batch waits while another is in flight.
        let (sender, batches) = mpsc::channel(1);
        router.add_lane(stream, sender);
        let delays = retry.delays(u64::try_from(number).unwrap_or(0));
        let lane = Lane { stream, transport: Arc::clone(&transport), delays, batches, answers: answers.clone() };
        tasks.spawn(lane.run());
    }
    drop(answers);
    tasks.spawn(router.run(events));

    let mut counts = PutCounts::default();
    while let Some(request) = answered.recv().await {
        request.count(&mut counts);
        let events =
            request.outcomes.iter().flat_map(|(put, outcome)| put.events.iter().map(move |one| (one, outcome)));
        for (event, outcome) in events {
            on_answer(event, outcome).map_err(|source| Error::Observer { source })?;
        }
        on_progress(counts);
    }
    joined(tasks).await?;
    Ok(counts)
}

/// Waits for every task; the first error counts.
async fn joined(mut tasks: JoinSet<Result<(), Error>>) -> Result<(), Error> {
    let mut result = Ok(());
    while let Some(joined) = tasks.join_next().await {
        let ended = match joined {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::Cancelled),
            },
        };
        result = result.and(ended);
    }
    result
}

#[cfg(test)]
mod tests;
