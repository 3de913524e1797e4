//! Kinesis shards to batches to commits: lineage, reading, deduplication, buffering, and the worker loop.
//!
//! Guarantees: every record that Kinesis still held when it was read is counted once, as stored, rejected or duplicate,
//! in the commit that moves its shard's position past it. Decisions (`lineage`, `window`, `buffer`) are pure; I/O is at
//! the edge (`kinesis`, `flush`). Leaves to others: what a row is (`transform`), how a commit lands (`lake`).

mod admission;
mod buffer;
mod error;
mod flush;
mod kinesis;
mod lineage;
mod options;
mod progress;
mod reader;
mod replay;
mod replay_commit;
mod replay_known;
mod replay_plan;
mod replay_read;
mod retry;
mod round;
mod window;
mod worker;

pub use admission::Admission;
pub use error::IngestError;
pub use kinesis::{KinesisStream, StreamDescription};
pub use options::{Clock, DedupLimits, FlushLimits, IngestOptions, StartPosition};
pub use progress::{Progress, ProgressSnapshot};
pub use replay::{ReplayOptions, ReplaySummary, replay};
pub use worker::{StreamSummary, StreamWorker, run_workers};
