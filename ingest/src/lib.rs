//! Kinesis shards to batches to commits: lineage, reading, deduplication, buffering, and the worker loop.
//!
//! Guarantees: every record that Kinesis still held when it was read is counted once, as stored, rejected or duplicate.
//! It is counted in the commit that moves its shard's position past it. Decisions (`lineage`, `pins_and_gaps`,
//! `cursor`, `window`, `rebuild`, `buffer`, `pace`, `budget`) are pure; I/O is at the edge (`kinesis`, `flush`). Leaves
//! to others: the content of rows (`transform`), how a commit lands (`lake`).

mod clock;
mod error;
mod kinesis;
mod landing;
mod memory;
mod progress;
mod reading;
mod shards;
#[cfg(test)]
#[allow(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]
mod simulation;
mod supplement;
mod worker;

pub use clock::Clock;
pub use error::IngestError;
pub use kinesis::stream::{KinesisStream, StreamDescription};
pub use landing::limits::FlushLimits;
pub use memory::admission::Admission;
pub use memory::budget::MemoryBudget;
pub use progress::watchdog::{Concern, WatchdogLimits, examine};
pub use progress::{
    METRICS, MetricDescription, MetricKind, Progress, ProgressReport, ProgressSnapshot, ShardReport, WorkerPhase,
    WorkerStep, describe_metrics, publish_metrics, publish_table,
};
pub use reading::dedup::limits::DedupLimits;
pub use shards::fleet::{Fleet, FleetOptions};
pub use shards::gap::OnGap;
pub use shards::probe::{Behind, ShardProbe, StreamProbe, probe};
pub use shards::start::StartPosition;
pub use shards::status;
pub use supplement::backfill::{BackfillOptions, BackfillSummary, DamagedObject, backfill};
pub use supplement::replay::{ReplayOptions, ReplaySummary, replay};
pub use worker::options::IngestOptions;
pub use worker::stream_worker::{StreamSummary, StreamWorker, run_workers};
