//! The files of a table by its log, and their rows.

use std::collections::BTreeMap;

use arrow::datatypes::{Schema, SchemaRef};
use bluelake_schemas::{Micros, Millis, Stream};
use deltalake::{kernel::engine::arrow_conversion::TryIntoArrow as _, table::state::DeltaTableState};
use object_store::path::Path;

use crate::{
    checkpoint::data_file::{ColumnRanges, folder_of},
    error::LakeError,
    layout::{REJECTED_EVENTS, partitions_of, stream_of},
    maintenance::table::MaintainedTable,
    place::{parquet_object::ParquetObject, stored_file::StoredFile},
};

/// A file of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFile {
    /// Path below the table, not percent-encoded.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Rows.
    pub rows: u64,
    /// When it was written, by its writer's clock; for our files, by the store's.
    pub written_at: Millis,
    /// Partition column → value.
    pub partition_values: BTreeMap<String, String>,
    /// The stream whose rows it holds.
    pub stream: Stream,
    /// Least and greatest value of the column that files are sorted by.
    pub first: Option<Micros>,
    /// As `first`.
    pub last: Option<Micros>,
}

/// A file without enough facts in the log, or with rows that the log hides: it stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OddFile {
    /// Path below the table.
    pub path: String,
    /// What is odd about it.
    pub reason: &'static str,
}

impl MaintainedTable {
    /// The files of the table as last loaded, in no order, and the files that stay as they are, with the reason.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn files(&self) -> Result<(Vec<TableFile>, Vec<OddFile>), LakeError> {
        let state = self.delta_table().snapshot().map_err(LakeError::table(self.name(), "load its Delta log"))?;
        Ok(table_files(self.name(), state))
    }

    /// The columns of the table as last loaded.
    ///
    /// # Errors
    /// When the log cannot be read, or has a type that Arrow does not.
    pub fn schema(&self) -> Result<SchemaRef, LakeError> {
        let state = self.delta_table().snapshot().map_err(LakeError::table(self.name(), "read its schema"))?;
        let schema: Result<Schema, _> = state.schema().as_ref().try_into_arrow();
        schema.map(Into::into).map_err(|source| {
            LakeError::table(self.name(), "read its schema")(deltalake::DeltaTableError::Arrow { source })
        })
    }

    /// Opens a file by its path below the table and its size in bytes; the log need not refer to it.
    ///
    /// # Errors
    /// As [`StoredFile::read`].
    pub async fn open_file(&self, path: &str, size: u64) -> Result<StoredFile, LakeError> {
        let location = Path::parse(path)
            .map_err(|error| LakeError::DataFile { path: path.to_owned(), reason: error.to_string() })?;
        StoredFile::open(ParquetObject::new(self.delta_table().object_store(), location, size)).await
    }
}

/// The files of a table, in no order; and those that stay as they are, with the reason.
pub(crate) fn table_files(name: &str, state: &DeltaTableState) -> (Vec<TableFile>, Vec<OddFile>) {
    let is_rejected = name == REJECTED_EVENTS;
    let columns = partitions_of(name);
    let sorted_by = if is_rejected { "arrived_at" } else { "occurred_at" };
    let (mut files, mut odd) = (Vec::new(), Vec::new());
    for file in state.log_data().iter() {
        let path = file.object_store_path().as_ref().to_owned();
        let mut values = file.partition_values_map();
        let partition_values: BTreeMap<String, String> = columns
            .iter()
            .filter_map(|column| Some(((*column).to_owned(), values.remove(*column).flatten()?)))
            .collect();
        let rows = file.num_records().and_then(|rows| u64::try_from(rows).ok());
        let stream = stream_of(name, partition_values.get("stream").map(String::as_str));
        let reason = match rows {
            _ if file.deletion_vector_descriptor().is_some() => Some("the log hides some of its rows"),
            _ if partition_values.len() != columns.len() => Some("the log does not say its partition"),
            // Files of one folder are merged: they must be of one partition.
            _ if !path.starts_with(&folder_of(&partition_values, columns)) => {
                Some("it does not stand in the folder of its partition")
            }
            None => Some("the log does not say how many rows it has"),
            Some(_) => None,
        };
        let Some(stream) = stream.filter(|_| reason.is_none()) else {
            odd.push(OddFile { path, reason: reason.unwrap_or("it is of no stream that is known") });
            continue;
        };
        let ranges = file.stats().and_then(|text| ColumnRanges::read(&text)).unwrap_or_default();
        let (first, last) = ranges.times(sorted_by);
        files.push(TableFile {
            path,
            size: u64::try_from(file.size()).unwrap_or_default(),
            rows: rows.unwrap_or_default(),
            written_at: Millis::new(file.modification_time()),
            partition_values,
            stream,
            first,
            last,
        });
    }
    (files, odd)
}
