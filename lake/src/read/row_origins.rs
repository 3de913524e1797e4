//! Reads back the origins of the rows of the tables: for the deduplication window of a worker, and for replays and
//! backfills, which add only missing rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Int32Type, TimestampMicrosecondType},
};
use bluelake_schemas::{Micros, Stream};
use deltalake::DeltaTable;
use futures::TryStreamExt as _;
use parquet::file::metadata::RowGroupMetaData;
use tokio::{sync::mpsc, task::JoinSet};
use uuid::Uuid;

use crate::{
    checkpoint::{
        data_file::{ColumnRanges, Range},
        shard_id::ShardId,
    },
    error::LakeError,
    layout::REJECTED_EVENTS,
    place::{
        parquet_object::{ParquetObject, SMALL},
        stored_file::{StoredFile, texts, times},
    },
};

/// A row's event id and where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentEvent<'a> {
    /// The shard of its record.
    pub shard: &'a str,
    /// The event's id.
    pub event_id: Uuid,
    /// Sequence number of its record.
    pub sequence: &'a str,
    /// Position inside the record.
    pub sub_sequence: u32,
    /// Arrival time.
    pub arrived_at: Micros,
}

/// Where a rejected event came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectedPosition<'a> {
    /// The shard of its record.
    pub shard: &'a str,
    /// Sequence number of its record.
    pub sequence: &'a str,
    /// Position inside the record.
    pub sub_sequence: u32,
}

const EVENT_COLUMNS: &[&str] = &["event_id", "stream_shard", "stream_sequence", "stream_sub_sequence", "arrived_at"];
const REJECTED_COLUMNS: &[&str] = &["stream_shard", "stream_sequence", "stream_sub_sequence", "arrived_at"];
const ID_COLUMNS: &[&str] = &["event_id"];

/// The wanted rows: for each shard the range of arrival times.
pub type RecentRanges = BTreeMap<ShardId, RangeInclusive<Micros>>;

/// Files read at once, …
const FILES_AT_ONCE: usize = 8;
/// … and small ones, which take more time to wait for than to read.
const SMALL_FILES_AT_ONCE: usize = 32;
/// Rows of a file that are decoded at once.
const PART_ROWS: usize = 8_192;

/// Calls `found` for each wanted row in the table as last loaded, in no order. Files whose arrival times, by the log's
/// statistics, meet no range are not read.
///
/// # Errors
/// When the log or a file cannot be read.
pub async fn recent_events(
    name: &str,
    table: &DeltaTable,
    wanted: &RecentRanges,
    found: &mut (dyn FnMut(RecentEvent<'_>) + Send),
) -> Result<(), LakeError> {
    let chosen = |_: &str, statistics: Option<&str>| file_may_hold(statistics, wanted);
    let scan = Scan { name, table, columns: EVENT_COLUMNS, wanted: Some(Arc::new(wanted.clone())) };
    scan.run(&chosen, &mut |batch| {
        let ids = batch.column_by_name("event_id")?.as_string_opt::<i32>()?;
        each_row(batch, wanted, &mut |row, place, arrived_at| {
            found(RecentEvent {
                shard: place.shard,
                event_id: Uuid::parse_str(ids.value(row)).ok()?,
                sequence: place.sequence,
                sub_sequence: place.sub_sequence,
                arrived_at,
            });
            Some(())
        })
    })
    .await
}

/// Calls `found` for each wanted row of a stream in `rejected_events` as last loaded, in no order.
///
/// # Errors
/// When the log or a file cannot be read.
pub async fn rejected_positions(
    stream: Stream,
    rejected: &DeltaTable,
    wanted: &RecentRanges,
    found: &mut (dyn FnMut(RejectedPosition<'_>) + Send),
) -> Result<(), LakeError> {
    // The shards of different streams have the same ids.
    let folder = format!("stream={stream}/");
    let chosen = |path: &str, statistics: Option<&str>| path.starts_with(&folder) && file_may_hold(statistics, wanted);
    let wanted_rows = Some(Arc::new(wanted.clone()));
    let scan = Scan { name: REJECTED_EVENTS, table: rejected, columns: REJECTED_COLUMNS, wanted: wanted_rows };
    scan.run(&chosen, &mut |batch| {
        each_row(batch, wanted, &mut |_, place, _| {
            found(place);
            Some(())
        })
    })
    .await
}

/// Calls `found` with each event id in some partitions of the table as last loaded, in no order. A partition is named by
/// its folder: `event_type=…/event_date=…/`.
///
/// # Errors
/// When the log or a file cannot be read.
pub async fn event_ids(
    name: &str,
    table: &DeltaTable,
    partitions: &BTreeSet<String>,
    found: &mut (dyn FnMut(Uuid) + Send),
) -> Result<(), LakeError> {
    let chosen = |path: &str, _: Option<&str>| {
        path.rfind('/').and_then(|end| path.get(..=end)).is_some_and(|folder| partitions.contains(folder))
    };
    let scan = Scan { name, table, columns: ID_COLUMNS, wanted: None };
    scan.run(&chosen, &mut |batch| {
        let ids = batch.column_by_name("event_id")?.as_string_opt::<i32>()?;
        for row in 0..batch.num_rows() {
            found(Uuid::parse_str(ids.value(row)).ok()?);
        }
        Some(())
    })
    .await
}

/// Some columns of some files of a table.
struct Scan<'a> {
    name: &'a str,
    table: &'a DeltaTable,
    columns: &'static [&'static str],
    /// The wanted rows; `None`: all.
    wanted: Option<Arc<RecentRanges>>,
}

/// Rows that were read, with the path of their file for messages.
type Part = (Arc<str>, RecordBatch);

impl Scan<'_> {
    /// Reads the files that are `chosen` by path and statistics; `take` gives `None` for a batch of another shape.
    async fn run(
        &self,
        chosen: &(dyn Fn(&str, Option<&str>) -> bool + Sync),
        take: &mut (dyn FnMut(&RecordBatch) -> Option<()> + Send),
    ) -> Result<(), LakeError> {
        let Self { name, table, .. } = *self;
        let log_store = table.log_store();
        let state = table.snapshot().map_err(LakeError::table(name, "load its Delta log"))?;
        let files: Vec<_> = state
            .snapshot()
            .file_views(log_store.as_ref(), None)
            .map_ok(|file| (file.object_store_path(), file.size(), file.stats()))
            .try_collect()
            .await
            .map_err(LakeError::table(name, "list its files"))?;
        let store = table.object_store();
        let objects: Vec<ParquetObject> = files
            .into_iter()
            .filter(|(path, _, statistics)| chosen(path.as_ref(), statistics.as_deref()))
            .map(|(path, size, _)| ParquetObject::new(store.clone(), path, u64::try_from(size).unwrap_or_default()))
            .collect();
        tracing::debug!(table = name, files = objects.len(), "reading back where rows came from");
        let (small, large) = objects.into_iter().partition(|object: &ParquetObject| object.size <= SMALL);
        self.read(small, SMALL_FILES_AT_ONCE, take).await?;
        self.read(large, FILES_AT_ONCE, take).await
    }

    /// Reads files side by side, each in a task of its own, which ends with this. A task is at most one part ahead.
    async fn read(
        &self,
        objects: Vec<ParquetObject>,
        at_once: usize,
        take: &mut (dyn FnMut(&RecordBatch) -> Option<()> + Send),
    ) -> Result<(), LakeError> {
        let mut take = |(path, batch): Part| {
            let reason = "its id or lineage columns are missing or of another type";
            take(&batch).ok_or_else(|| LakeError::DataFile { path: path.to_string(), reason: reason.to_owned() })
        };
        let mut objects = objects.into_iter();
        let mut reading = JoinSet::new();
        let (sender, mut parts) = mpsc::channel(1);
        loop {
            while reading.len() < at_once
                && let Some(object) = objects.next()
            {
                reading.spawn(read_file(object, self.columns, self.wanted.clone(), sender.clone()));
            }
            if reading.is_empty() {
                // The last task's answer.
                while let Ok(part) = parts.try_recv() {
                    take(part)?;
                }
                return Ok(());
            }
            tokio::select! {
                biased;
                Some(part) = parts.recv() => take(part)?,
                Some(ended) = reading.join_next() => ended.map_err(|error| LakeError::DataFile {
                    path: format!("of {}", self.name),
                    reason: error.to_string(),
                })??,
            }
        }
    }
}

/// False only if the statistics of a file in the log prove that none of its rows is wanted.
fn file_may_hold(statistics: Option<&str>, wanted: &RecentRanges) -> bool {
    let ranges = statistics.and_then(ColumnRanges::read).unwrap_or_default();
    may_hold(ranges.times("arrived_at"), ranges.texts("stream_shard"), wanted)
}

/// Sends some columns of a file in parts, without the row groups that hold no wanted row.
async fn read_file(
    object: ParquetObject,
    columns: &'static [&'static str],
    wanted: Option<Arc<RecentRanges>>,
    parts: mpsc::Sender<Part>,
) -> Result<(), LakeError> {
    let path: Arc<str> = object.path.to_string().into();
    let file = StoredFile::open(object).await?.with_columns(columns);
    let file = match wanted {
        Some(wanted) => file.with_row_groups(|group| group_may_hold(group, &wanted)),
        None => file,
    };
    let mut rows = std::pin::pin!(file.read(PART_ROWS)?);
    while let Some(batch) = rows.try_next().await? {
        if parts.send((path.clone(), batch)).await.is_err() {
            // A receiver that is gone has an error of its own.
            return Ok(());
        }
    }
    Ok(())
}

/// False only if the statistics of a row group prove that none of its rows is wanted. A merged file spans all shards
/// and a whole day; its row groups do not.
fn group_may_hold(group: &RowGroupMetaData, wanted: &RecentRanges) -> bool {
    may_hold(times(group, "arrived_at"), texts(group, "stream_shard"), wanted)
}

/// False only if rows of these ranges cannot be wanted.
fn may_hold((oldest, newest): Range<Micros>, (first, last): Range<&str>, wanted: &RecentRanges) -> bool {
    wanted.iter().any(|(shard, range)| {
        let arrives =
            oldest.is_none_or(|oldest| oldest <= *range.end()) && newest.is_none_or(|newest| *range.start() <= newest);
        let shard: &str = shard;
        arrives && first.is_none_or(|first| first <= shard) && last.is_none_or(|last| shard <= last)
    })
}

/// Calls `found` with number, place and arrival time of each wanted row.
fn each_row(
    batch: &RecordBatch,
    wanted: &RecentRanges,
    found: &mut dyn FnMut(usize, RejectedPosition<'_>, Micros) -> Option<()>,
) -> Option<()> {
    let shard = batch.column_by_name("stream_shard")?.as_string_opt::<i32>()?;
    let sequence = batch.column_by_name("stream_sequence")?.as_string_opt::<i32>()?;
    let sub_sequence = batch.column_by_name("stream_sub_sequence")?.as_primitive_opt::<Int32Type>()?;
    let arrived = batch.column_by_name("arrived_at")?.as_primitive_opt::<TimestampMicrosecondType>()?;
    for row in 0..batch.num_rows() {
        let arrived_at = Micros::new(arrived.value(row));
        if wanted.get(shard.value(row)).is_some_and(|range| range.contains(&arrived_at)) {
            let place = RejectedPosition {
                shard: shard.value(row),
                sequence: sequence.value(row),
                sub_sequence: u32::try_from(sub_sequence.value(row)).ok()?,
            };
            found(row, place, arrived_at)?;
        }
    }
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_skipped_only_by_proof() {
        let wanted: RecentRanges =
            [(ShardId::from("shardId-5"), Micros::new(1_767_225_600_000_000)..=Micros::new(1_767_225_700_000_000))]
                .into();
        let file = |low: &str, high: &str| format!(r#"{{"minValues":{low},"maxValues":{high}}}"#);
        let times = |shard: &str, time: &str| format!(r#"{{"stream_shard":"{shard}","arrived_at":"{time}"}}"#);
        let (before, within, after) = ("2025-12-31T00:00:00Z", "2026-01-01T00:01:00Z", "2026-01-02T00:00:00Z");
        let cases = [
            (file(&times("shardId-1", before), &times("shardId-9", after)), true),
            (file(&times("shardId-5", within), &times("shardId-5", within)), true),
            (file(&times("shardId-1", before), &times("shardId-9", before)), false),
            (file(&times("shardId-1", after), &times("shardId-9", after)), false),
            (file(&times("shardId-6", within), &times("shardId-9", within)), false),
            (file(&times("shardId-1", within), &times("shardId-4", within)), false),
            (file("{}", "{}"), true),
            ("{}".to_owned(), true),
            ("not json".to_owned(), true),
        ];
        for (statistics, expected) in cases {
            assert_eq!(file_may_hold(Some(&statistics), &wanted), expected, "{statistics}");
        }
        assert!(file_may_hold(None, &wanted));
    }
}
