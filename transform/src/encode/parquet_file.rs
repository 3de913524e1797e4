//! Rows of one partition to the bytes of one Parquet file: zstd, sorted, bloom filters on ids.

use arrow::array::{Array as _, ArrayRef, RecordBatch};
use bytes::Bytes;
use chrono::{DateTime, Days};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    file::{
        metadata::SortingColumn,
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};
use uuid::Uuid;

use crate::encode::partition::{PartitionRows, TableLayout};
use crate::encode::statistics::statistics;
use crate::error::TransformError;

/// False positives of a bloom filter on an id.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;
/// zstd level of the column chunks: the fastest that is still close to the densest on events.
const ZSTD_LEVEL: i32 = 1;
/// Bytes of a value that is no usual id, name or text.
const HEAVY_VALUE: usize = 16 << 10;

/// A Parquet file in memory, with what the Delta log says of it.
#[derive(Clone, Debug)]
pub struct EncodedFile {
    /// Partition column and value, in the order of the folders.
    pub partition_values: Vec<(String, String)>,
    /// The file.
    pub bytes: Bytes,
    /// Rows, from the footer.
    pub rows: u64,
    /// Delta per-file statistics, JSON text.
    pub statistics: String,
}

impl EncodedFile {
    /// Path below the table: `<column>=<value>/…/<batch id>-<number>.parquet`.
    #[must_use]
    pub fn path(&self, batch_id: Uuid, number: usize) -> String {
        let folders: String =
            self.partition_values.iter().map(|(column, value)| format!("{column}={value}/")).collect();
        format!("{folders}{batch_id}-{number:05}.parquet")
    }
}

/// Writes the rows of one partition as one Parquet file.
///
/// # Errors
/// When Arrow or Parquet refuses the rows, or the date is out of the calendar.
pub fn encode(partition: &PartitionRows, layout: TableLayout) -> Result<EncodedFile, TransformError> {
    let rows = &partition.rows;
    let options = ArrowWriterOptions::new().with_properties(properties(rows, layout)?).with_skip_arrow_metadata(true);
    // A part of a batch, by itself.
    let weights = rows.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or_default());
    let mut bytes = Vec::with_capacity(weights.sum::<usize>() / 4);
    let mut writer = ArrowWriter::try_new_with_options(&mut bytes, rows.schema(), options)?;
    writer.write(rows)?;
    let metadata = writer.close()?;
    let written = metadata.file_metadata().num_rows();
    Ok(EncodedFile {
        partition_values: vec![
            (layout.text_partition.to_owned(), partition.text_value.clone()),
            (layout.date_partition.to_owned(), date_text(partition.date_value)?),
        ],
        bytes: Bytes::from(bytes),
        rows: u64::try_from(written).map_err(|_| TransformError::Layout { column: "rows" })?,
        statistics: statistics(rows)?,
    })
}

/// Whether the values are long, on average.
fn is_heavy(column: &ArrayRef) -> bool {
    let bytes = column.to_data().get_slice_memory_size().unwrap_or_default();
    bytes / column.len().max(1) > HEAVY_VALUE
}

fn date_text(days: i32) -> Result<String, TransformError> {
    let epoch = DateTime::UNIX_EPOCH.date_naive();
    let magnitude = Days::new(u64::from(days.unsigned_abs()));
    let date = if days < 0 { epoch.checked_sub_days(magnitude) } else { epoch.checked_add_days(magnitude) };
    date.map(|date| date.format("%Y-%m-%d").to_string()).ok_or(TransformError::Layout { column: "date" })
}

fn properties(rows: &RecordBatch, layout: TableLayout) -> Result<WriterProperties, TransformError> {
    let count = u64::try_from(rows.num_rows()).unwrap_or(u64::MAX);
    let mut builder = WriterProperties::builder()
        .set_created_by(format!("bluelake {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    if let Ok(index) = rows.schema().index_of(layout.sort_by)
        && let Ok(column_idx) = i32::try_from(index)
    {
        builder = builder.set_sorting_columns(Some(vec![SortingColumn {
            column_idx,
            descending: false,
            nulls_first: false,
        }]));
    }
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        if is_heavy(column) {
            // A dictionary, the smallest and the largest value would each be one more copy, and help nobody.
            let path = ColumnPath::from(field.name().as_str());
            builder = builder
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path, EnabledStatistics::None);
        }
        if field.name().ends_with("_id") && column.null_count() < rows.num_rows() {
            let path = ColumnPath::from(field.name().as_str());
            builder = builder
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path.clone(), BLOOM_FALSE_POSITIVES)
                .set_column_bloom_filter_max_ndv(path, count);
        }
    }
    Ok(builder.build())
}
