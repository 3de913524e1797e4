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
use tokio::time::{Instant, timeout};

use crate::{
    kinesis::{consumer::Consumer, fault::ReadFault, stream::KinesisStream},
    memory::admission::Admitted,
    reading::page::{Page, SUBSCRIPTION_INTERVAL, ShardSource},
};

/// The service sends an event every few seconds, even if an empty one. After this long without any, the connection is
/// dead.
const SILENCE: Duration = Duration::from_secs(30);
/// An event that arrives while the reader waits was sent no longer ago than this.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

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

    /// The next page; `position` is the end of the last one, for a new subscription.
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
            // While the shard is behind, the next event is on its way already and needs room. At the tip it may come
            // late: it gets room when it is here.
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
        tracing::debug!(shard = %source.shard, ?position, "subscribed");
        Ok(events)
    }
}

/// The next event, and whether it was here before the reader asked.
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

/// The last event of a closed shard names no continuation. An event that names child shards may still have records
/// behind it, unless it is empty. An event that was waiting says nothing about the shard now.
fn page(event: SubscribeToShardEvent, was_waiting: bool) -> Page {
    let closed = event.child_shards.as_ref().is_some_and(|children| !children.is_empty());
    Page {
        end_of_shard: event.continuation_sequence_number.is_empty() || (closed && event.records.is_empty()),
        millis_behind: Some(event.millis_behind_latest).filter(|behind| *behind > 0 || !was_waiting),
        records: event.records,
        on_its_way: ON_ITS_WAY,
    }
}
