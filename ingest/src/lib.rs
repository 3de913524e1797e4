//! Kinesis shards to batches to commits: lineage, reading, deduplication, buffering, and the worker loop.
//!
//! Guarantees: every record that Kinesis still held when it was read is counted once, as stored, rejected or duplicate,
//! in the commit that moves its shard's position past it. Decisions (`lineage`, `first_acts`, `cursor`, `window`, `rebuild`,
//! `buffer`, `pace`, `memory`) are pure; I/O is at
//! the edge (`kinesis`, `flush`). Leaves to others: what a row is (`transform`), how a commit lands (`lake`).

mod admission;
mod backfill;
mod buffer;
mod claims;
mod cursor;
mod desk;
mod error;
mod fan_out;
mod first_acts;
mod fleet;
mod flush;
mod gap;
mod kinesis;
mod lineage;
mod memory;
mod options;
mod pace;
mod pages;
mod polling;
mod probe;
mod progress;
mod reader;
mod rebuild;
mod replay;
mod replay_commit;
mod replay_known;
mod replay_plan;
mod replay_read;
mod retry;
mod round;
#[cfg(test)]
#[allow(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]
mod simulation;
mod skew;
mod tip;
mod watchdog;
mod window;
mod worker;

pub use admission::Admission;
pub use backfill::{BackfillOptions, BackfillSummary, DamagedObject, backfill};
pub use error::IngestError;
pub use fleet::{Fleet, FleetOptions};
pub use kinesis::{KinesisStream, StreamDescription};
pub use memory::MemoryBudget;
pub use options::{Clock, DedupLimits, FlushLimits, IngestOptions, OnGap, StartPosition};
pub use probe::{Behind, ShardProbe, StreamProbe, probe};
pub use progress::{
    METRICS, MetricDescription, MetricKind, Progress, ProgressReport, ProgressSnapshot, ShardReport, WorkerPhase,
    describe_metrics, publish_metrics,
};
pub use replay::{ReplayOptions, ReplaySummary, replay};
pub use watchdog::{Concern, WatchdogLimits, examine};
pub use worker::{StreamSummary, StreamWorker, run_workers};
