//! Deals events out to the lanes of their stream by partition key, in full batches.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::time::Duration;

use bluelake_schemas::Stream;
use tokio::sync::mpsc;

use super::batch::{MOST_BYTES, MOST_RECORDS};
use crate::{Error, GeneratedEvent};

/// Events taken from the channel at a time.
const TAKEN: usize = 256;
/// When no event came for so long, batches that are not full are put too.
const PATIENCE: Duration = Duration::from_millis(200);

/// One lane's next batch, and the way to the lane.
#[derive(Debug)]
struct Outlet {
    batches: mpsc::Sender<Vec<GeneratedEvent>>,
    events: Vec<GeneratedEvent>,
    bytes: usize,
}

/// The outlets of every stream.
#[derive(Debug, Default)]
pub(crate) struct Router {
    outlets: BTreeMap<Stream, Vec<Outlet>>,
}

impl Router {
    pub(crate) fn add_lane(&mut self, stream: Stream, batches: mpsc::Sender<Vec<GeneratedEvent>>) {
        self.outlets.entry(stream).or_default().push(Outlet { batches, events: Vec::new(), bytes: 0 });
    }

    /// Deals until the channel is closed or a lane has ended; the lane then says why.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<GeneratedEvent>) -> Result<(), Error> {
        let mut taken = Vec::with_capacity(TAKEN);
        loop {
            let more = match tokio::time::timeout(PATIENCE, events.recv_many(&mut taken, TAKEN)).await {
                Ok(count) => count > 0,
                Err(_) => true,
            };
            let idle = taken.is_empty();
            for event in taken.drain(..) {
                if !self.deal(event).await {
                    return Ok(());
                }
            }
            if idle && !self.flush().await {
                return Ok(());
            }
            if !more {
                return Ok(());
            }
        }
    }

    async fn deal(&mut self, event: GeneratedEvent) -> bool {
        let Some(outlets) = self.outlets.get_mut(&event.stream) else { return false };
        let lane = lane_of(&event.partition_key, outlets.len());
        match outlets.get_mut(lane) {
            Some(outlet) => outlet.push(event).await,
            None => false,
        }
    }

    async fn flush(&mut self) -> bool {
        for outlet in self.outlets.values_mut().flatten() {
            if !outlet.send().await {
                return false;
            }
        }
        true
    }
}

impl Outlet {
    /// Adds an event; sends the batch first if the event would not fit, and afterwards if it is full.
    async fn push(&mut self, event: GeneratedEvent) -> bool {
        let size = event.bytes.len() + event.partition_key.len();
        if self.bytes + size > MOST_BYTES && !self.send().await {
            return false;
        }
        self.bytes += size;
        self.events.push(event);
        self.events.len() < MOST_RECORDS || self.send().await
    }

    /// Sends what there is. False: the lane has ended.
    async fn send(&mut self) -> bool {
        if self.events.is_empty() {
            return true;
        }
        self.bytes = 0;
        self.batches.send(mem::take(&mut self.events)).await.is_ok()
    }
}

/// The lane of a partition key: the same for every event of a member.
fn lane_of(partition_key: &str, lanes: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    partition_key.hash(&mut hasher);
    let lanes = u64::try_from(lanes).unwrap_or(1).max(1);
    usize::try_from(hasher.finish() % lanes).unwrap_or(0)
}
