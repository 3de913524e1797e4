//! One data file, read in its order and in parts: memory follows a row group, never the file.

use arrow::array::RecordBatch;
use bluelake_schemas::Micros;
use futures::{Stream, TryStreamExt as _};
use parquet::{
    arrow::{ProjectionMask, async_reader::ParquetRecordBatchStreamBuilder},
    basic::{LogicalType, TimeUnit, TimestampType},
    errors::ParquetError,
    file::{metadata::RowGroupMetaData, statistics::Statistics},
};

use crate::{checkpoint::data_file::Range, error::LakeError, place::parquet_object::ParquetObject};

/// A Parquet file whose footer was read.
pub struct StoredFile {
    path: String,
    builder: ParquetRecordBatchStreamBuilder<ParquetObject>,
}

impl StoredFile {
    /// Reads the footer.
    ///
    /// # Errors
    /// [`LakeError::Store`] when the object cannot be read, [`LakeError::DataFile`] when it is not a Parquet file.
    pub(crate) async fn open(object: ParquetObject) -> Result<Self, LakeError> {
        let path = object.path.to_string();
        match object.reader().await {
            Ok(builder) => Ok(Self { path, builder }),
            Err(error) => Err(fault(path, error)),
        }
    }

    /// Its rows, by the footer.
    #[must_use]
    pub fn rows(&self) -> u64 {
        u64::try_from(self.builder.metadata().file_metadata().num_rows()).unwrap_or_default()
    }

    /// The approximate decoded bytes of its rows.
    #[must_use]
    pub fn decoded_bytes(&self) -> u64 {
        self.builder.metadata().row_groups().iter().map(decoded_bytes).fold(0, u64::saturating_add)
    }

    /// The number of rows that decode to about `bytes` at once: at least one, and at most `most`.
    #[must_use]
    pub fn rows_within(&self, bytes: u64, most: usize) -> usize {
        let groups = self.builder.metadata().row_groups().iter();
        let heaviest = groups.map(|group| decoded_bytes(group) / u64::try_from(group.num_rows()).unwrap_or(1).max(1));
        let rows = bytes / heaviest.max().unwrap_or(1).max(1);
        usize::try_from(rows).unwrap_or(most).clamp(1, most.max(1))
    }

    /// Reads only these columns; columns that the file lacks are left out.
    pub(crate) fn with_columns(mut self, columns: &[&str]) -> Self {
        let mask = ProjectionMask::columns(self.builder.parquet_schema(), columns.iter().copied());
        self.builder = self.builder.with_projection(mask);
        self
    }

    /// Reads only the wanted row groups.
    pub(crate) fn with_row_groups(mut self, wanted: impl Fn(&RowGroupMetaData) -> bool) -> Self {
        let groups = self.builder.metadata().row_groups().iter().enumerate();
        let chosen = groups.filter(|(_, group)| wanted(group)).map(|(index, _)| index).collect();
        self.builder = self.builder.with_row_groups(chosen);
        self
    }

    /// The rows, at most `rows` at once.
    ///
    /// # Errors
    /// Those of [`Self::open`], also while the rows are read.
    pub fn read(self, rows: usize) -> Result<impl Stream<Item = Result<RecordBatch, LakeError>> + Send, LakeError> {
        let Self { path, builder } = self;
        let failed = path.clone();
        let stream = builder.with_batch_size(rows.max(1)).build().map_err(|error| fault(path, error))?;
        Ok(stream.map_err(move |error| fault(failed.clone(), error)))
    }
}

/// Bytes of a row group's values: a text of a dictionary is decoded once for each row.
fn decoded_bytes(group: &RowGroupMetaData) -> u64 {
    let chunks = group.columns().iter().map(|chunk| {
        let texts = chunk.unencoded_byte_array_data_bytes().unwrap_or_default();
        u64::try_from(chunk.uncompressed_size().max(texts)).unwrap_or_default()
    });
    chunks.fold(0, u64::saturating_add)
}

/// The times of a column in a row group.
pub(crate) fn times(group: &RowGroupMetaData, column: &str) -> Range<Micros> {
    let Some(chunk) = group.columns().iter().find(|chunk| chunk.column_path().string() == column) else {
        return (None, None);
    };
    // Other engines write other units.
    let logical_type = chunk.column_descr().logical_type_ref();
    let in_micros = matches!(logical_type, Some(LogicalType::Timestamp(TimestampType { unit: TimeUnit::MICROS, .. })));
    match chunk.statistics() {
        Some(Statistics::Int64(values)) if in_micros => {
            (values.min_opt().copied().map(Micros::new), values.max_opt().copied().map(Micros::new))
        }
        _ => (None, None),
    }
}

/// The texts of a column in a row group. Both ends may be cut, the lower one downwards and the upper one upwards.
pub(crate) fn texts<'a>(group: &'a RowGroupMetaData, column: &str) -> Range<&'a str> {
    let chunk = group.columns().iter().find(|chunk| chunk.column_path().string() == column);
    let text = |bytes: Option<&'a [u8]>| bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
    match chunk.and_then(|chunk| chunk.statistics()) {
        // Deprecated statistics compare signed bytes.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Int64Array, StringArray},
        record_batch::RecordBatch,
    };
    use object_store::{ObjectStore, ObjectStoreExt as _, memory::InMemory, path::Path};
    use parquet::arrow::ArrowWriter;

    use super::*;

    /// A file of 1,000 rows, each with this text.
    async fn file_of(text: &str) -> StoredFile {
        let columns: [(&str, ArrayRef); 2] = [
            ("number", Arc::new(Int64Array::from_iter_values(0..1_000))),
            ("text", Arc::new(StringArray::from(vec![text; 1_000]))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        let (store, path): (Arc<dyn ObjectStore>, _) = (Arc::new(InMemory::new()), Path::from("x.parquet"));
        let size = u64::try_from(bytes.len()).unwrap();
        store.put(&path, bytes.into()).await.unwrap();
        StoredFile::open(ParquetObject::new(store, path, size)).await.unwrap()
    }

    #[tokio::test]
    async fn rows_are_weighed_as_they_are_decoded() {
        let light = file_of("x").await;
        assert_eq!((light.rows_within(1 << 20, 500), light.rows_within(0, 500)), (500, 1));
        // One entry of a dictionary, and a thousand texts.
        let heavy = file_of(&"x".repeat(10_000)).await;
        assert!(heavy.decoded_bytes() > 10_000_000 && heavy.decoded_bytes() < 11_000_000, "{}", heavy.decoded_bytes());
        assert_eq!(heavy.rows_within(1 << 20, 500), 104);
    }
}
