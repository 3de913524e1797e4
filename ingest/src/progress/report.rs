//! The report of a worker: counts, and how it stands at one moment.

use std::{collections::BTreeMap, fmt, time::Duration};

use arrow::array::{AsArray as _, RecordBatch};
use bluelake_lake::{ControlTotals, ShardId};
use bluelake_schemas::{Millis, Stream};

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
    /// Events of aggregated records that hash to another shard than the one they came by.
    pub misrouted: u64,
    /// Control totals of all commits.
    pub committed: ControlTotals,
    /// Commits, those without rows included.
    pub commits: u64,
    /// Parquet files committed.
    pub files: u64,
    /// Bytes of those files.
    pub file_bytes: u64,
    /// The greatest lag of a shard at its last read, milliseconds behind the tip.
    pub lag_millis: i64,
    /// A deduplication window held too many ids and is shorter than set.
    pub window_shortened: bool,
}

/// Counts of the records that were read of a page.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadCounts {
    pub(crate) records: u64,
    /// Bytes of the records.
    pub(crate) bytes: u64,
    pub(crate) events: u64,
    pub(crate) unknown_fields: u64,
    pub(crate) misrouted: u64,
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkerPhase {
    /// Its table is open and checked.
    #[default]
    Opened,
    /// It reads and commits.
    Running,
    /// It has finished its work.
    Left,
    /// It ended before its time.
    Failed,
}

/// What a worker does with the records that it has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkerStep {
    /// It reads, or waits for its readers: nothing is on its way into the lake.
    #[default]
    Reading,
    /// It makes the first file of a batch.
    Encoding,
    /// It uploads files, while the next are made.
    Uploading,
    /// It commits a batch to the table of its stream.
    Committing,
    /// It brings `rejected_events` up to date, after the last commit.
    Following,
}

impl fmt::Display for WorkerStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reading => "reading",
            Self::Encoding => "encoding files",
            Self::Uploading => "uploading files",
            Self::Committing => "committing",
            Self::Following => "following rejected_events",
        })
    }
}

/// How a worker stands at one moment.
#[derive(Clone, Debug)]
pub struct ProgressReport {
    /// The stream.
    pub stream: Stream,
    /// How far the worker is.
    pub phase: WorkerPhase,
    /// What it does with the records that it has read.
    pub step: WorkerStep,
    /// Counts since it started.
    pub counts: ProgressSnapshot,
    /// Committed rejected events by reason code.
    pub rejected: BTreeMap<String, u64>,
    /// Batches that were dropped because another worker had moved a shard.
    pub fenced: u64,
    /// Answers of Kinesis with or without records.
    pub answers: u64,
    /// The shards that are read.
    pub shards: Vec<ShardReport>,
    /// Shards that wait for a parent.
    pub waiting: usize,
    /// Shards that stand still behind a gap.
    pub stopped: usize,
    /// Rows read and not committed.
    pub uncommitted_rows: usize,
    /// Bytes of those rows in memory, as decoded.
    pub uncommitted_bytes: usize,
    /// Age of the oldest read that is not committed.
    pub oldest_uncommitted: Option<Duration>,
    /// When the last commit happened.
    pub last_commit: Option<Millis>,
    /// Workers that share the streams, this one included; `None` when it is alone by intent.
    pub fleet: Option<usize>,
    /// Bytes that pages on their way from Kinesis may take.
    pub budget_bytes: usize,
    /// Bytes of the budget that are taken.
    pub budget_used_bytes: usize,
}

/// How a shard that is read stands at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardReport {
    /// Shard id.
    pub shard: ShardId,
    /// How far it is behind the tip: the last reported lag, and the time since then.
    pub lag: Duration,
    /// Time since Kinesis last answered for it, or since reading began.
    pub silence: Duration,
    /// How long it may at least stand still before Kinesis discards unread records; `None` until that is known.
    pub headroom: Option<Duration>,
    /// Ids in its deduplication window.
    pub dedup_ids: usize,
}

impl ProgressReport {
    /// The greatest lag of a shard that is read.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.shards.iter().map(|shard| shard.lag).max()
    }

    /// The least headroom of a shard that is read.
    #[must_use]
    pub fn headroom(&self) -> Option<Duration> {
        self.shards.iter().filter_map(|shard| shard.headroom).min()
    }
}

/// The number of rejected events of each reason.
pub(super) fn reasons(rejected: &RecordBatch) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let Some(column) = rejected.column_by_name("reason").and_then(|column| column.as_string_opt::<i32>()) else {
        return counts;
    };
    for reason in column.iter().flatten() {
        match counts.get_mut(reason) {
            Some(count) => *count += 1,
            None => {
                counts.insert(reason.to_owned(), 1);
            }
        }
    }
    counts
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bluelake_schemas::Micros;
    use std::sync::Arc;

    use bluelake_schemas::Contract;
    use bluelake_transform::{Decoder, RecordPosition};

    use super::*;

    #[test]
    fn rejected_events_are_counted_by_reason() {
        let decoder = Arc::new(Decoder::new(&Contract::embedded().unwrap(), Stream::UserEvents).unwrap());
        let mut batch = decoder.batch();
        for (number, event) in ["nonsense", "[]", "more nonsense"].into_iter().enumerate() {
            let sequence = number.to_string();
            let position = RecordPosition {
                shard: "s",
                sequence: &sequence,
                arrived_at: Micros::new(1_790_000_000_000_000),
                hash_keys: None,
            };
            batch.push(&position, event.as_bytes(), &mut |_, _| false);
        }
        let rows = batch.finish().unwrap();
        let expected = BTreeMap::from([("not_json".to_owned(), 2), ("not_object".to_owned(), 1)]);
        assert_eq!(reasons(&rows.rejected), expected);
        assert!(reasons(&rows.events).is_empty());
    }
}
