//! One data file, read in its order and a part at a time: memory follows a row group, and never the file.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::{Stream, TryStreamExt as _};
use parquet::{
    arrow::{ProjectionMask, async_reader::ParquetRecordBatchStreamBuilder},
    basic::{LogicalType, TimeUnit, TimestampType},
    errors::ParquetError,
    file::{metadata::RowGroupMetaData, statistics::Statistics},
};

use crate::{error::LakeError, place::parquet_object::ParquetObject};

/// A Parquet file whose footer was read.
pub struct StoredFile {
    path: String,
    builder: ParquetRecordBatchStreamBuilder<ParquetObject>,
}

/// Least and largest value of a column in a row group; `None` where nobody knows.
pub(crate) type Range<T> = (Option<T>, Option<T>);

impl StoredFile {
    /// Reads the footer.
    ///
    /// # Errors
    /// [`LakeError::Store`] when the object cannot be read, [`LakeError::DataFile`] when it is no Parquet file.
    pub(crate) async fn open(object: ParquetObject) -> Result<Self, LakeError> {
        let path = object.path.to_string();
        match object.reader().await {
            Ok(builder) => Ok(Self { path, builder }),
            Err(error) => Err(fault(path, error)),
        }
    }

    /// The columns of the file, with types by its Parquet schema alone.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        self.builder.schema()
    }

    /// Rows, by the footer.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let rows = self.builder.metadata().file_metadata().num_rows();
        u64::try_from(rows).unwrap_or_default()
    }

    /// Only these columns; one that the file does not have is left out.
    pub(crate) fn with_columns(mut self, columns: &[&str]) -> Self {
        let mask = ProjectionMask::columns(self.builder.parquet_schema(), columns.iter().copied());
        self.builder = self.builder.with_projection(mask);
        self
    }

    /// Only the row groups that are wanted.
    pub(crate) fn with_row_groups(mut self, wanted: impl Fn(&RowGroupMetaData) -> bool) -> Self {
        let groups = self.builder.metadata().row_groups().iter().enumerate();
        let chosen = groups.filter(|(_, group)| wanted(group)).map(|(index, _)| index).collect();
        self.builder = self.builder.with_row_groups(chosen);
        self
    }

    /// The rows, at most so many at once.
    ///
    /// # Errors
    /// As [`Self::open`], also while the rows are read.
    pub fn read(self, rows: usize) -> Result<impl Stream<Item = Result<RecordBatch, LakeError>> + Send, LakeError> {
        let Self { path, builder } = self;
        let failed = path.clone();
        let stream = builder.with_batch_size(rows.max(1)).build().map_err(|error| fault(path, error))?;
        Ok(stream.map_err(move |error| fault(failed.clone(), error)))
    }
}

/// The times of a column in a row group, in microseconds.
pub(crate) fn times(group: &RowGroupMetaData, column: &str) -> Range<i64> {
    let Some(chunk) = group.columns().iter().find(|chunk| chunk.column_path().string() == column) else {
        return (None, None);
    };
    // Other engines write other units.
    let logical_type = chunk.column_descr().logical_type_ref();
    let in_micros = matches!(logical_type, Some(LogicalType::Timestamp(TimestampType { unit: TimeUnit::MICROS, .. })));
    match chunk.statistics() {
        Some(Statistics::Int64(values)) if in_micros => (values.min_opt().copied(), values.max_opt().copied()),
        _ => (None, None),
    }
}

/// The texts of a column in a row group. Both ends may be cut, the lower one downwards and the upper one upwards.
pub(crate) fn texts<'a>(group: &'a RowGroupMetaData, column: &str) -> Range<&'a str> {
    let chunk = group.columns().iter().find(|chunk| chunk.column_path().string() == column);
    let text = |bytes: Option<&'a [u8]>| bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
    match chunk.and_then(|chunk| chunk.statistics()) {
        // What is deprecated was compared by signed bytes.
        Some(values @ Statistics::ByteArray(_)) if !values.is_min_max_deprecated() => {
            (text(values.min_bytes_opt()), text(values.max_bytes_opt()))
        }
        _ => (None, None),
    }
}

fn fault(path: String, error: ParquetError) -> LakeError {
    match error {
        ParquetError::External(source) => match source.downcast::<object_store::Error>() {
            Ok(source) => LakeError::Store { operation: "read", path, source: *source },
            Err(source) => LakeError::DataFile { path, reason: source.to_string() },
        },
        error => LakeError::DataFile { path, reason: error.to_string() },
    }
}
