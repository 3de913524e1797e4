//! The rows of a file of the feed, in parts.

use arrow::array::RecordBatch;
use futures::{Stream, StreamExt as _, stream::BoxStream};
use object_store::path::Path;

use super::{Feed, FeedFile};
use crate::{
    error::LakeError,
    place::{parquet_object::ParquetObject, stored_file::StoredFile},
};

/// Decoded bytes of a part, about.
const PART_BYTES: u64 = 8 << 20;
/// Rows of a part.
const PART_ROWS: usize = 8_192;

/// The rows of a file in parts, with the columns that the file has of those wanted.
pub struct FeedRows(BoxStream<'static, Result<RecordBatch, LakeError>>);

impl FeedRows {
    /// The next part; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, LakeError> {
        self.0.next().await.transpose()
    }
}

impl Feed {
    /// Opens a file. Columns that it lacks are left out: their values are null, or name its partition.
    ///
    /// # Errors
    /// When it cannot be read; [`LakeError::is_missing_object`] tells whether it was deleted.
    pub async fn rows(&self, file: &FeedFile, columns: &[&str]) -> Result<FeedRows, LakeError> {
        let stored = self.stored(&file.path, file.size).await?;
        let part = stored.rows_within(PART_BYTES, PART_ROWS);
        Ok(FeedRows(boxed(stored.with_columns(columns).read(part)?)))
    }

    pub(super) async fn stored(&self, path: &str, size: u64) -> Result<StoredFile, LakeError> {
        let location = Path::parse(path)
            .map_err(|error| LakeError::DataFile { path: path.to_owned(), reason: error.to_string() })?;
        StoredFile::open(ParquetObject::new(self.table.object_store(), location, size)).await
    }
}

pub(super) fn boxed(
    rows: impl Stream<Item = Result<RecordBatch, LakeError>> + Send + 'static,
) -> BoxStream<'static, Result<RecordBatch, LakeError>> {
    rows.boxed()
}
