//! Distributes events to the lanes of their stream by partition key, in full batches.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::time::Duration;

use bluelake_schemas::Stream;
use tokio::sync::mpsc;

use super::batch::{MOST_BYTES, MOST_RECORDS, PutRecord};
use super::packing::{Aggregates, Packing};
use crate::{Error, GeneratedEvent};

/// Events taken from the channel at a time.
const TAKEN: usize = 256;
/// When no event came for this time, batches that are not full are put too.
const PATIENCE: Duration = Duration::from_millis(200);

/// One lane's next batch, and the way to the lane.
#[derive(Debug)]
struct Outlet {
    batches: mpsc::Sender<Vec<PutRecord>>,
    records: Vec<PutRecord>,
    bytes: usize,
    aggregates: Aggregates,
}

/// The outlets of every stream.
#[derive(Debug)]
pub(crate) struct Router {
    outlets: BTreeMap<Stream, Vec<Outlet>>,
    packing: Packing,
}

impl Router {
    pub(crate) fn new(packing: Packing) -> Self {
        Router { outlets: BTreeMap::new(), packing }
    }

    pub(crate) fn add_lane(&mut self, stream: Stream, batches: mpsc::Sender<Vec<PutRecord>>) {
        let outlet = Outlet { batches, records: Vec::new(), bytes: 0, aggregates: Aggregates::default() };
        self.outlets.entry(stream).or_default().push(outlet);
    }

    /// Distributes until the channel is closed or a lane has ended; the lane then says why.
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
            Some(outlet) => match outlet.aggregates.pack(&self.packing, event) {
                Some(record) => outlet.push(record).await,
                None => true,
            },
            None => false,
        }
    }

    async fn flush(&mut self) -> bool {
        for outlet in self.outlets.values_mut().flatten() {
            for record in outlet.aggregates.finish() {
                if !outlet.push(record).await {
                    return false;
                }
            }
            if !outlet.send().await {
                return false;
            }
        }
        true
    }
}

impl Outlet {
    /// Adds a record; sends the batch first if the record would not fit, and afterwards if it is full.
    async fn push(&mut self, record: PutRecord) -> bool {
        let size = record.size();
        if self.bytes + size > MOST_BYTES && !self.send().await {
            return false;
        }
        self.bytes += size;
        self.records.push(record);
        self.records.len() < MOST_RECORDS || self.send().await
    }

    /// Sends what there is. False: the lane has ended.
    async fn send(&mut self) -> bool {
        if self.records.is_empty() {
            return true;
        }
        self.bytes = 0;
        self.batches.send(mem::take(&mut self.records)).await.is_ok()
    }
}

/// The lane of a partition key: the same for every event of a member.
fn lane_of(partition_key: &str, lanes: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    partition_key.hash(&mut hasher);
    let lanes = u64::try_from(lanes).unwrap_or(1).max(1);
    usize::try_from(hasher.finish() % lanes).unwrap_or(0)
}
