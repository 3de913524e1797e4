//! How much of the past the deduplication window holds.

use std::time::Duration;

/// How long event ids are remembered, by the shard's arrival time, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupLimits {
    /// Ids older than this are forgotten; zero: nothing is a duplicate.
    pub span: Duration,
    /// The most ids of a stream, shared out over its shards. Beyond that the oldest are forgotten early, and that is
    /// reported.
    pub max_ids: usize,
}

impl Default for DedupLimits {
    fn default() -> Self {
        Self { span: Duration::from_secs(15 * 60), max_ids: 4_000_000 }
    }
}
