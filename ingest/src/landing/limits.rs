//! When a batch is committed, and how much of it may be in memory.

use std::time::Duration;

use crate::memory::budget::MemoryBudget;

/// The limits at which a stream's buffer is committed, whichever comes first, and how much of it may be in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushLimits {
    /// Bytes of rows in memory (Arrow buffers): of the batch that is filling and of the one on its way. When half of
    /// them are taken and no commit is due, the largest partitions are written ahead.
    pub memory: usize,
    /// Bytes of rows of one batch, wherever they are.
    pub batch_bytes: usize,
    /// Bytes of the files of one batch, by estimate.
    pub file_bytes: usize,
    /// Rows of one batch.
    pub rows: usize,
    /// Age of the oldest row of a batch.
    pub age: Duration,
}

impl Default for FlushLimits {
    fn default() -> Self {
        Self {
            memory: MemoryBudget(1 << 30).row_bytes(2),
            batch_bytes: usize::MAX,
            file_bytes: 128 << 20,
            rows: 2_000_000,
            age: Duration::from_secs(60),
        }
    }
}
