//! Reads back the event ids of recent rows, from which a worker rebuilds its deduplication window.

use std::{collections::BTreeMap, ops::RangeInclusive};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Int32Type, TimestampMicrosecondType},
};
use deltalake::DeltaTable;
use futures::{StreamExt as _, TryStreamExt as _};
use parquet::{
    arrow::{ProjectionMask, async_reader::ParquetRecordBatchStreamBuilder},
    errors::ParquetError,
};
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
    #[serde(rename = "minValues")]
    min_values: Option<Extremes>,
    #[serde(rename = "maxValues")]
    max_values: Option<Extremes>,
}

#[derive(Deserialize)]
struct Extremes {
    arrived_at: Option<chrono::DateTime<chrono::Utc>>,
}

/// Which rows are wanted: for each shard the range of arrival times, microseconds since the epoch.
pub type RecentRanges = BTreeMap<String, RangeInclusive<i64>>;

/// Files read at once.
const FILES_AT_ONCE: usize = 8;

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
    let objects = files.into_iter().filter(|(_, _, statistics)| may_hold(statistics.as_deref(), wanted)).map(
        |(path, size, _)| ParquetObject { store: store.clone(), path, size: u64::try_from(size).unwrap_or_default() },
    );
    let mut batches = futures::stream::iter(objects).map(read_file).buffer_unordered(FILES_AT_ONCE);
    while let Some((path, batches)) = batches.try_next().await? {
        for batch in batches {
            collect(&batch, wanted, found).ok_or_else(|| LakeError::DataFile {
                path: path.clone(),
                reason: "its lineage columns are missing or of another type".to_owned(),
            })?;
        }
    }
    Ok(())
}

/// False only when the statistics prove that no row of the file is wanted.
fn may_hold(statistics: Option<&str>, wanted: &RecentRanges) -> bool {
    let arrivals = statistics
        .and_then(|text| serde_json::from_str::<Statistics>(text).ok())
        .and_then(|statistics| Some((statistics.min_values?.arrived_at?, statistics.max_values?.arrived_at?)));
    arrivals.is_none_or(|(oldest, newest)| {
        let (oldest, newest) = (oldest.timestamp_micros(), newest.timestamp_micros());
        wanted.values().any(|range| *range.start() <= newest && oldest <= *range.end())
    })
}

/// The lineage columns of a whole file, with its path for messages.
async fn read_file(object: ParquetObject) -> Result<(String, Vec<RecordBatch>), LakeError> {
    let path = object.path.to_string();
    let batches = async {
        let builder = ParquetRecordBatchStreamBuilder::new(object).await?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
        builder.with_projection(mask).build()?.try_collect().await
    }
    .await;
    match batches {
        Ok(batches) => Ok((path, batches)),
        Err(ParquetError::External(source)) => Err(match source.downcast::<object_store::Error>() {
            Ok(source) => LakeError::Store { operation: "read", path, source: *source },
            Err(source) => LakeError::DataFile { path, reason: source.to_string() },
        }),
        Err(error) => Err(LakeError::DataFile { path, reason: error.to_string() }),
    }
}

fn collect(batch: &RecordBatch, wanted: &RecentRanges, found: &mut (dyn FnMut(RecentEvent<'_>) + Send)) -> Option<()> {
    let ids = batch.column_by_name("event_id")?.as_string_opt::<i32>()?;
    let shard = batch.column_by_name("stream_shard")?.as_string_opt::<i32>()?;
    let sequence = batch.column_by_name("stream_sequence")?.as_string_opt::<i32>()?;
    let sub_sequence = batch.column_by_name("stream_sub_sequence")?.as_primitive_opt::<Int32Type>()?;
    let arrived = batch.column_by_name("arrived_at")?.as_primitive_opt::<TimestampMicrosecondType>()?;
    for row in 0..batch.num_rows() {
        let arrived_at = arrived.value(row);
        if !wanted.get(shard.value(row)).is_some_and(|range| range.contains(&arrived_at)) {
            continue;
        }
        found(RecentEvent {
            shard: shard.value(row),
            event_id: Uuid::parse_str(ids.value(row)).ok()?,
            sequence: sequence.value(row),
            sub_sequence: u32::try_from(sub_sequence.value(row)).ok()?,
            arrived_at,
        });
    }
    Some(())
}
