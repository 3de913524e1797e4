//! Pages of one shard by enhanced fan-out: a registered consumer subscribes to the shard, and the service pushes events.
//!
//! A subscription lasts five minutes and is renewed after the last record read. A shard gives a consumer one
//! subscription at a time, and a new one takes the place of the old after five seconds.

use std::{pin::pin, sync::Arc, task::Poll, time::Duration};

use aws_sdk_kinesis::{
    operation::subscribe_to_shard::SubscribeToShardOutput,
    types::{SubscribeToShardEvent, SubscribeToShardEventStream},
};
use bluelake_lake::Position;
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout},
};

use crate::{
    error::IngestError,
    kinesis::stream::{ConsumerState, KinesisStream, ReadFault},
    reading::{
        admission::Admitted,
        pages::{Page, SUBSCRIPTION_INTERVAL, ShardSource},
    },
};

/// How often a consumer that is being made is looked at, and how often at most.
const ACTIVE_INTERVAL: Duration = Duration::from_secs(1);
const ACTIVE_CHECKS: usize = 60;
/// The service sends an event every few seconds, if an empty one; without any for so long the connection is dead.
const SILENCE: Duration = Duration::from_secs(30);
/// An event that comes while it is waited for was sent no longer ago than this, milliseconds.
const ON_ITS_WAY: i64 = 5_000;

/// The registered consumer of a stream. Registered when first asked for, once for all shards.
#[derive(Debug)]
pub(crate) struct Consumer {
    name: String,
    /// Its ARN, or why it cannot be had.
    arn: OnceCell<Result<String, String>>,
}

impl Consumer {
    /// A consumer of this name, not yet looked for.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), arn: OnceCell::new() }
    }

    /// The ARN of the consumer, registered and active. A refusal is kept; what may pass is asked again.
    async fn arn(&self, stream: &KinesisStream) -> Result<&str, ReadFault> {
        let known = self.arn.get_or_try_init(|| async {
            match self.register(stream).await {
                Ok(arn) => Ok(Ok(arn)),
                Err(ReadFault::Denied(error) | ReadFault::Final(error) | ReadFault::NotFound(error)) => {
                    Ok(Err(error.to_string()))
                }
                Err(fault) => Err(fault),
            }
        });
        known.await?.as_deref().map_err(|reason| {
            ReadFault::Denied(IngestError::Kinesis {
                stream: stream.name().to_owned(),
                operation: "RegisterStreamConsumer",
                reason: reason.clone(),
                remedy: None,
                transient: false,
            })
        })
    }

    async fn register(&self, stream: &KinesisStream) -> Result<String, ReadFault> {
        let stream_arn = match stream.describe().await {
            Ok(description) => description.arn,
            Err(error) if error.is_transient() => return Err(ReadFault::Transient(error.to_string())),
            Err(error) => return Err(ReadFault::Final(error)),
        };
        for _ in 0..ACTIVE_CHECKS {
            match stream.find_consumer(&stream_arn, &self.name).await? {
                ConsumerState::Active(arn) => {
                    tracing::info!(stream = stream.name(), consumer = self.name, "reading by enhanced fan-out");
                    return Ok(arn);
                }
                ConsumerState::Missing => stream.register_consumer(&stream_arn, &self.name).await?,
                ConsumerState::Changing => {}
            }
            tokio::time::sleep(ACTIVE_INTERVAL).await;
        }
        Err(ReadFault::Transient(format!("the consumer {} does not become active", self.name)))
    }
}

/// Subscribes to one shard.
#[derive(Debug)]
pub(crate) struct FanOut {
    consumer: Arc<Consumer>,
    events: Option<SubscribeToShardOutput>,
    subscribed_at: Option<Instant>,
    /// Bytes of the last event; `None` when it reached the tip.
    last_event: Option<usize>,
}

impl FanOut {
    /// Not yet subscribed.
    pub(crate) fn new(consumer: Arc<Consumer>) -> Self {
        Self { consumer, events: None, subscribed_at: None, last_event: None }
    }

    /// The page that follows what was read last; `position` is where that ended, for a new subscription.
    pub(crate) async fn next(
        &mut self,
        source: &ShardSource,
        position: &Position,
    ) -> Result<(Page, Admitted), ReadFault> {
        loop {
            let (mut events, is_new) = match self.events.take() {
                Some(events) => (events, false),
                None => (self.subscribe(source, position).await?, true),
            };
            // While behind, the next event is on its way already and wants room. At the tip it may be long in coming:
            // room is found for it when it is here.
            let room = match self.last_event {
                Some(bytes) => Some(source.admission.admit(Some(bytes)).await),
                None => None,
            };
            let (event, was_waiting) = receive(&mut events, &source.stream).await?;
            let page = match event {
                Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)) => page(event, was_waiting && !is_new),
                Some(_) => {
                    self.events = Some(events);
                    continue;
                }
                // Its five minutes are over.
                None => continue,
            };
            self.events = Some(events);
            let bytes = page.bytes();
            let room = match room {
                Some(mut room) => {
                    room.grow(bytes);
                    room
                }
                None => source.admission.admit(Some(bytes)).await,
            };
            self.last_event = (page.millis_behind != Some(0)).then_some(bytes);
            return Ok((page, room));
        }
    }

    async fn subscribe(
        &mut self,
        source: &ShardSource,
        position: &Position,
    ) -> Result<SubscribeToShardOutput, ReadFault> {
        let arn = self.consumer.arn(&source.stream).await?;
        if let Some(before) = self.subscribed_at {
            tokio::time::sleep_until(before + SUBSCRIPTION_INTERVAL).await;
        }
        let events = source.stream.subscribe(arn, &source.shard, position).await?;
        self.subscribed_at = Some(Instant::now());
        tracing::debug!(shard = source.shard, ?position, "subscribed");
        Ok(events)
    }
}

/// The next event, and whether it was here before anybody looked for it.
async fn receive(
    events: &mut SubscribeToShardOutput,
    stream: &KinesisStream,
) -> Result<(Option<SubscribeToShardEventStream>, bool), ReadFault> {
    let mut next = pin!(timeout(SILENCE, events.event_stream.recv()));
    let (received, was_waiting) = match futures::poll!(&mut next) {
        Poll::Ready(received) => (received, true),
        Poll::Pending => (next.await, false),
    };
    match received {
        Ok(Ok(event)) => Ok((event, was_waiting)),
        Ok(Err(error)) => Err(stream.fault("SubscribeToShard", error)),
        Err(_) => Err(ReadFault::Transient(format!("a subscription was silent for {} s", SILENCE.as_secs()))),
    }
}

/// The last event of a closed shard names no continuation. One that names child shards too may still have records
/// behind it, unless it is empty. An event that was waiting says nothing of how the shard is now.
fn page(event: SubscribeToShardEvent, was_waiting: bool) -> Page {
    let closed = event.child_shards.as_ref().is_some_and(|children| !children.is_empty());
    Page {
        end_of_shard: event.continuation_sequence_number.is_empty() || (closed && event.records.is_empty()),
        millis_behind: Some(event.millis_behind_latest).filter(|behind| *behind > 0 || !was_waiting),
        records: event.records,
        on_its_way: ON_ITS_WAY,
    }
}
