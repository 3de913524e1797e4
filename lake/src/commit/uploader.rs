//! Data files: their places and names.

use std::sync::Arc;

use bluelake_schemas::{EVENT_PARTITIONS, REJECTED_PARTITIONS};
use bytes::Bytes;
use deltalake::DeltaTable;
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path};

use crate::{
    checkpoint::{advance::Batch, data_file::DataFile},
    commit::file_upload::FileUpload,
    error::LakeError,
    failpoint,
};

/// A Parquet file in memory that is to be uploaded.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Path below the table; it holds the batch id.
    pub path: String,
    /// Partition column and value.
    pub partition_values: Vec<(String, String)>,
    /// The file.
    pub bytes: Bytes,
    /// Rows, as in the footer.
    pub rows: u64,
    /// Delta per-file statistics as JSON text.
    pub statistics: String,
}

/// Puts data files into a table's folder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Uploader {
    store: Arc<dyn ObjectStore>,
}

impl Uploader {
    pub(crate) fn of(table: &DeltaTable) -> Self {
        Self { store: table.object_store() }
    }

    /// Begins a file that is put part by part, at this path below the table.
    ///
    /// # Errors
    /// [`LakeError::DataFile`] when the path is invalid.
    pub fn begin(&self, path: String) -> Result<FileUpload, LakeError> {
        FileUpload::new(Arc::clone(&self.store), path)
    }

    /// Uploads one Parquet file.
    ///
    /// # Errors
    /// [`LakeError::Store`] when the upload failed; a landed file is unreferenced.
    pub async fn upload(&self, file: NewFile) -> Result<DataFile, LakeError> {
        let path = file.path;
        let location = Path::parse(&path)
            .map_err(|error| LakeError::DataFile { path: path.clone(), reason: error.to_string() })?;
        let size = file.bytes.len();
        failpoint::pass("before_upload").await?;
        self.store.put(&location, file.bytes.into()).await.map_err(LakeError::store("write", &path))?;
        failpoint::pass("after_upload").await?;
        let meta = self.store.head(&location).await.map_err(LakeError::store("look at", &path))?;
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        if meta.size != size {
            let reason = format!("it has {} bytes in the store, {size} were written", meta.size);
            return Err(LakeError::DataFile { path, reason });
        }
        Ok(DataFile {
            path,
            partition_values: file.partition_values.into_iter().collect(),
            size,
            modified_at: meta.last_modified.into(),
            rows: file.rows,
            statistics: file.statistics,
        })
    }
}

/// Checks that every file is in the folder of its partition values, with the batch's id in its name.
pub(crate) fn check_files(batch: &Batch) -> Result<(), LakeError> {
    let tables = [(&batch.files, EVENT_PARTITIONS), (&batch.rejected_files, REJECTED_PARTITIONS)];
    for (files, columns) in tables {
        for file in files {
            if let Some(expected) = file.misplaced(columns, Some(batch.id)) {
                return Err(LakeError::DataFile {
                    path: file.path.clone(),
                    reason: format!("its path should start with '{expected}'"),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bluelake_schemas::Millis;
    use uuid::Uuid;

    use super::*;

    const ID: Uuid = Uuid::from_u128(7);

    fn batch(path: &str, values: &[(&str, &str)]) -> Batch {
        let file = DataFile {
            path: path.to_owned(),
            partition_values: values.iter().map(|(column, value)| ((*column).into(), (*value).into())).collect(),
            size: 1,
            modified_at: Millis::new(0),
            rows: 1,
            statistics: String::new(),
        };
        Batch {
            id: ID,
            base: 0,
            erasure_epoch: 0,
            shards: Vec::new(),
            retire: Vec::new(),
            supplement: None,
            files: vec![file],
            rejected_files: Vec::new(),
        }
    }

    #[test]
    fn a_files_name_carries_partition_and_batch() {
        let (kind, day) = (("event_type", "transfer"), ("event_date", "2026-01-01"));
        let own = format!("event_type=transfer/event_date=2026-01-01/{ID}-00000.parquet");
        assert!(check_files(&batch(&own, &[kind, day])).is_ok());
        let of_another_batch = own.replace(&ID.to_string(), &Uuid::from_u128(8).to_string());
        let of_another_day = own.replace("2026-01-01", "2026-01-02");
        for path in [of_another_batch, of_another_day] {
            assert!(check_files(&batch(&path, &[kind, day])).is_err(), "{path}");
        }
        for values in [&[kind][..], &[kind, day, ("stream", "x")]] {
            assert!(check_files(&batch(&own, values)).is_err(), "{values:?}");
        }
    }
}
