//! Running counts of one stream, for progress bars and summaries. Any thread may read them at any time.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bluelake_lake::ControlTotals;

/// Counts of what was read and committed since the worker started.
#[derive(Debug, Default)]
pub struct Progress {
    records: AtomicU64,
    bytes: AtomicU64,
    received: AtomicU64,
    unknown_fields: AtomicU64,
    committed: Mutex<Committed>,
    lag: Mutex<BTreeMap<String, i64>>,
    window_shortened: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Committed {
    totals: ControlTotals,
    commits: u64,
    files: u64,
    file_bytes: u64,
}

/// Counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgressSnapshot {
    /// Kinesis records read.
    pub records: u64,
    /// Bytes of those records.
    pub bytes: u64,
    /// Events read.
    pub received: u64,
    /// Fields that the contract does not know, kept in `extras`.
    pub unknown_fields: u64,
    /// Control totals of what is committed.
    pub committed: ControlTotals,
    /// Commits, those without rows included.
    pub commits: u64,
    /// Parquet files committed.
    pub files: u64,
    /// Bytes of those files.
    pub file_bytes: u64,
    /// Greatest lag of a shard at its last read, milliseconds behind the tip.
    pub lag_millis: i64,
    /// A deduplication window held too many ids and is shorter than asked for.
    pub window_shortened: bool,
}

impl Progress {
    pub(crate) fn observe_read(&self, records: u64, bytes: u64, counts: ControlTotals, unknown_fields: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.received.fetch_add(counts.received, Ordering::Relaxed);
        self.unknown_fields.fetch_add(unknown_fields, Ordering::Relaxed);
    }

    pub(crate) fn observe_lag(&self, shard: &str, millis: i64) {
        let mut lag = self.lag.lock().unwrap_or_else(PoisonError::into_inner);
        match lag.get_mut(shard) {
            Some(held) => *held = millis,
            None => {
                lag.insert(shard.to_owned(), millis);
            }
        }
    }

    pub(crate) fn observe_shortened_window(&self, shard: &str) {
        if !self.window_shortened.swap(true, Ordering::Relaxed) {
            tracing::warn!(shard, "the deduplication window holds too many ids and is shortened");
        }
    }

    pub(crate) fn observe_commit(&self, counts: ControlTotals, files: u64, file_bytes: u64) {
        let mut committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        committed.totals += counts;
        committed.commits += 1;
        committed.files += files;
        committed.file_bytes += file_bytes;
    }

    /// The counts now.
    #[must_use]
    pub fn snapshot(&self) -> ProgressSnapshot {
        let committed = *self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        let lag = self.lag.lock().unwrap_or_else(PoisonError::into_inner);
        ProgressSnapshot {
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            unknown_fields: self.unknown_fields.load(Ordering::Relaxed),
            committed: committed.totals,
            commits: committed.commits,
            files: committed.files,
            file_bytes: committed.file_bytes,
            lag_millis: lag.values().copied().max().unwrap_or(0),
            window_shortened: self.window_shortened.load(Ordering::Relaxed),
        }
    }
}
