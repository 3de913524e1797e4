//! Limits and time zone of a session.

use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;

/// The default limit of spilled intermediate results on disk.
const SPILL_BYTES: u64 = 4 << 30;

/// The limits of a session, and the time zone of its days, weeks and months.
#[derive(Clone, Debug)]
pub struct QueryOptions {
    /// Bytes that the queries of the session may hold together; sorts and groupings spill to disk beyond their share.
    /// A query is also stopped when the process grows by much more than this while it runs: see the module `memory`.
    pub memory_limit_bytes: usize,
    /// Bytes that the spilled intermediate results of the session may take together.
    pub spill_limit_bytes: u64,
    /// Where a private directory for spilled results is made, and removed with the session; `None`: the system's place
    /// for temporary files.
    pub spill_directory: Option<PathBuf>,
    /// Time that one query may take: planning, and waiting for its batches. Time that the reader of the result spends
    /// between batches does not count.
    pub time_limit: Duration,
    /// The number of partitions of a plan, each for one thread.
    pub target_partitions: usize,
    /// Zone of `local_date` in the views, of `now()` and of `timestamptz` literals without an offset.
    pub time_zone: Tz,
}

impl Default for QueryOptions {
    fn default() -> Self {
        Self {
            memory_limit_bytes: 1 << 30,
            spill_limit_bytes: SPILL_BYTES,
            spill_directory: None,
            time_limit: Duration::from_secs(300),
            target_partitions: std::thread::available_parallelism().map_or(1, usize::from),
            time_zone: Tz::UTC,
        }
    }
}
