//! Settings of the ingest worker.

use std::time::Duration;

use crate::{
    clock::Clock,
    landing::limits::FlushLimits,
    memory::admission::Admission,
    reading::dedup::limits::DedupLimits,
    shards::{fleet::Fleet, gap::OnGap, start::StartPosition},
};

/// Settings of one worker for one stream.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// Stop when every shard is read to its tip and committed.
    pub once: bool,
    /// Where reading starts in a stream that is new to the lake.
    pub start: StartPosition,
    /// When to commit.
    pub flush: FlushLimits,
    /// The deduplication window.
    pub dedup: DedupLimits,
    /// How often the list of shards is read again.
    pub lineage_interval: Duration,
    /// Bounds the bytes of pages that are read and not yet buffered, over all streams that share it.
    pub admission: Admission,
    /// Name of the worker in the checkpoint documents.
    pub worker: String,
    /// The wall clock.
    pub clock: Clock,
    /// Shares the shards with other workers; `None` reads every shard.
    pub fleet: Option<Fleet>,
    /// What to do about records that Kinesis discarded unread.
    pub on_gap: OnGap,
}
