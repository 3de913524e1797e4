//! Log checkpoints: from the newest of them a table is opened. One is due by the distance from the one before, whoever
//! commits.

use std::pin::pin;

use arrow::array::{Array as _, AsArray as _};
use deltalake::DeltaTable;
use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;

use super::files::{Hint, checkpoint};
use crate::{
    error::LakeError,
    place::{parquet_object::ParquetObject, stored_file::StoredFile},
};

/// Versions between two log checkpoints, at least and at most. Between them one is due when so many versions came as
/// the hundredth part of the table's files: to write it takes as long as there are files, to open a table as there are
/// versions.
pub(crate) const DISTANCE: (u64, u64) = (100, 500);
/// Rows of a log checkpoint that are decoded at once.
const ROWS: usize = 8_192;
/// Files of a table for one version of distance.
const FILES_A_VERSION: u64 = 100;

/// When the next log checkpoint of a table is due.
#[derive(Debug)]
pub(crate) struct LogCheckpoints {
    /// Least distance.
    pub(crate) every: u64,
    /// The newest that is known, or that was tried.
    known: u64,
}

impl Default for LogCheckpoints {
    fn default() -> Self {
        Self { every: DISTANCE.0, known: 0 }
    }
}

impl LogCheckpoints {
    /// Versions from one to the next for a table of so many files.
    fn distance(&self, files: u64) -> u64 {
        self.every.max(files / FILES_A_VERSION).min(DISTANCE.1.max(self.every))
    }

    /// Writes a log checkpoint of the table as last loaded when one is due. Best effort: readers only get slower
    /// without.
    pub(crate) async fn write_if_due(&mut self, name: &str, table: &DeltaTable) {
        if let Err(error) = self.try_write(name, table).await {
            tracing::warn!(table = name, error = crate::causes(&error), "no log checkpoint was written");
        }
    }

    async fn try_write(&mut self, name: &str, table: &DeltaTable) -> Result<(), LakeError> {
        let state = table.snapshot().map_err(LakeError::table(name, "load its Delta log"))?;
        let version = state.version();
        let is_near = |known: u64, files: u64| version < known.saturating_add(self.distance(files));
        // The least distance first: the files need not be counted for each commit.
        if is_near(self.known, 0) {
            return Ok(());
        }
        let files = u64::try_from(state.log_data().num_files()).unwrap_or(u64::MAX);
        if is_near(self.known, files) {
            return Ok(());
        }
        // Others write them, too.
        let named = Hint::read(name, table).await?.version().unwrap_or_default();
        if is_near(named, files) {
            self.known = self.known.max(named);
            return Ok(());
        }
        // One that fails is not tried again with each commit.
        self.known = version;
        write(name, table).await
    }
}

/// Writes a log checkpoint of the table as last loaded.
pub(crate) async fn write(name: &str, table: &DeltaTable) -> Result<(), LakeError> {
    let written = deltalake::checkpoints::create_checkpoint(table, None).await;
    written.map_err(LakeError::table(name, "write a log checkpoint"))
}

/// Opens a log checkpoint. The table need not be loaded.
///
/// # Errors
/// [`LakeError::DataFile`] when it is torn, [`LakeError::Store`] when it cannot be read.
pub(crate) async fn open(name: &str, table: &DeltaTable, version: u64) -> Result<StoredFile, LakeError> {
    let log = table.log_store();
    let (store, path) = (log.object_store(None), log.log_path().clone().join(checkpoint(version)));
    let size = store.head(&path).await.map_err(LakeError::store("look at a log checkpoint of", name))?.size;
    StoredFile::open(ParquetObject::new(store, path, size)).await
}

/// Opens a log checkpoint and counts the files that it holds.
pub(crate) async fn files_of(name: &str, table: &DeltaTable, version: u64) -> Result<u64, LakeError> {
    let mut batches = pin!(open(name, table, version).await?.with_columns(&["add.path"]).read(ROWS)?);
    let mut files = 0_u64;
    while let Some(batch) = batches.try_next().await? {
        let Some(add) = batch.column_by_name("add").and_then(|add| add.as_struct_opt()) else { continue };
        let Some(path) = add.column_by_name("path") else { continue };
        let there = (0..add.len()).filter(|row| add.is_valid(*row) && path.is_valid(*row)).count();
        files = files.saturating_add(u64::try_from(there).unwrap_or_default());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_grows_with_the_table_within_bounds() {
        let checkpoints = LogCheckpoints::default();
        for (files, versions) in [(0, 100), (9_999, 100), (20_000, 200), (49_900, 499), (1_000_000, 500)] {
            assert_eq!(checkpoints.distance(files), versions, "{files}");
        }
    }
}
