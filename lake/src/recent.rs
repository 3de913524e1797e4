//! Reads back the event ids of recent rows, from which a worker rebuilds its deduplication window.

use std::collections::BTreeSet;

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Int32Type, TimestampMicrosecondType},
};
use deltalake::DeltaTable;
use futures::TryStreamExt as _;
use parquet::arrow::{ProjectionMask, async_reader::ParquetRecordBatchStreamBuilder};
use serde::Deserialize;
use uuid::Uuid;

use crate::{error::LakeError, parquet_object::ParquetObject};

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
    /// Arrival time, microseconds since the epoch.
    pub arrived_at: i64,
}

const COLUMNS: [&str; 5] = ["event_id", "stream_shard", "stream_sequence", "stream_sub_sequence", "arrived_at"];

#[derive(Deserialize)]
struct Statistics {
    #[serde(rename = "maxValues")]
    max_values: Option<MaxValues>,
}

#[derive(Deserialize)]
struct MaxValues {
    arrived_at: Option<chrono::DateTime<chrono::Utc>>,
}

/// Calls `found` for each row of `shards` that arrived at or after `since` (microseconds since the epoch), in the
/// table as last loaded, in no order.
///
/// # Errors
/// When the log or a file cannot be read.
pub async fn recent_events(
    name: &str,
    table: &DeltaTable,
    shards: &BTreeSet<String>,
    since: i64,
    found: &mut (dyn FnMut(RecentEvent<'_>) + Send),
) -> Result<(), LakeError> {
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
    let wanted = Wanted { shards, since };
    for (path, size, statistics) in files {
        if may_hold_recent(statistics.as_deref(), since) {
            let size = u64::try_from(size).unwrap_or_default();
            let object = ParquetObject { store: store.clone(), path, size };
            read_file(object, &wanted, found).await?;
        }
    }
    Ok(())
}

struct Wanted<'a> {
    shards: &'a BTreeSet<String>,
    since: i64,
}

/// False only when the statistics prove that every row of the file arrived before `since`.
fn may_hold_recent(statistics: Option<&str>, since: i64) -> bool {
    statistics
        .and_then(|text| serde_json::from_str::<Statistics>(text).ok())
        .and_then(|statistics| statistics.max_values?.arrived_at)
        .is_none_or(|newest| newest.timestamp_micros() >= since)
}

async fn read_file(
    object: ParquetObject,
    wanted: &Wanted<'_>,
    found: &mut (dyn FnMut(RecentEvent<'_>) + Send),
) -> Result<(), LakeError> {
    let path = object.path.clone();
    let fault = |error: parquet::errors::ParquetError| LakeError::DataFile {
        path: path.to_string(),
        reason: error.to_string(),
    };
    let builder = ParquetRecordBatchStreamBuilder::new(object).await.map_err(fault)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
    let mut batches = builder.with_projection(mask).build().map_err(fault)?;
    while let Some(batch) = batches.try_next().await.map_err(fault)? {
        collect(&batch, wanted, found).ok_or_else(|| LakeError::DataFile {
            path: path.to_string(),
            reason: "its lineage columns are missing or of another type".to_owned(),
        })?;
    }
    Ok(())
}

fn collect(batch: &RecordBatch, wanted: &Wanted<'_>, found: &mut (dyn FnMut(RecentEvent<'_>) + Send)) -> Option<()> {
    let ids = batch.column_by_name("event_id")?.as_string_opt::<i32>()?;
    let shard = batch.column_by_name("stream_shard")?.as_string_opt::<i32>()?;
    let sequence = batch.column_by_name("stream_sequence")?.as_string_opt::<i32>()?;
    let sub_sequence = batch.column_by_name("stream_sub_sequence")?.as_primitive_opt::<Int32Type>()?;
    let arrived = batch.column_by_name("arrived_at")?.as_primitive_opt::<TimestampMicrosecondType>()?;
    for row in 0..batch.num_rows() {
        if arrived.value(row) < wanted.since || !wanted.shards.contains(shard.value(row)) {
            continue;
        }
        found(RecentEvent {
            shard: shard.value(row),
            event_id: Uuid::parse_str(ids.value(row)).ok()?,
            sequence: sequence.value(row),
            sub_sequence: u32::try_from(sub_sequence.value(row)).ok()?,
            arrived_at: arrived.value(row),
        });
    }
    Some(())
}
