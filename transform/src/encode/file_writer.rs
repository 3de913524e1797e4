//! Rows of one partition to the bytes of one Parquet file, batch by batch: zstd, bloom filters, statistics added up on the
//! way.
//!
//! Memory follows the row group and not the file: a row group is held encoded until it is full, and then goes out in
//! parts. Only small things stay until the end: the description of each row group, and bloom filters that are written
//! at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{Field, Schema, SchemaRef, TimestampMicrosecondType},
};
use bytes::Bytes;
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    file::{
        metadata::SortingColumn,
        properties::{BloomFilterPosition, EnabledStatistics, WriterProperties, WriterPropertiesBuilder},
    },
    schema::types::ColumnPath,
};

use crate::encode::{partition::TableLayout, parts::PartBuffer, statistics::FileStatistics, values};
use crate::error::TransformError;

/// Size of the parts of a large file: S3 takes at most 10,000 parts, each but the last of at least 5 MiB.
pub const PART_BYTES: usize = 16 << 20;
/// Rows of a row group of a large file: about 19 MB of usual events, which a reader of one hour can skip.
const GROUP_ROWS: usize = 262_144;
/// The most distinct values of a column in it.
const GROUP_VALUES: u64 = 262_144;
/// Encoded bytes of a row group of a large file: heavy rows fill one sooner.
const GROUP_BYTES: usize = 64 << 20;

/// How a file is written.
#[derive(Clone, Debug, PartialEq)]
pub struct FileOptions {
    /// zstd level of the column chunks.
    pub compression_level: i32,
    /// The most rows of a row group, at least 1.
    pub group_rows: usize,
    /// The most encoded bytes of a row group, by estimate.
    pub group_bytes: Option<usize>,
    /// Columns with a bloom filter, each with its share of false positives: above 0, below 1.
    pub filters: BTreeMap<String, f64>,
    /// Distinct values that a filter has room for before it is cut to size: at most those of a row group.
    pub filter_values: u64,
    /// All filters are together at the end, where one read gets them, and not each after its row group.
    pub filters_at_end: bool,
    /// Columns of long values. They have no dictionary and no range: each would be another copy without use.
    pub heavy: BTreeSet<String>,
    /// Columns without any value. They have no dictionary, and nothing in them is compressed.
    pub empty: BTreeSet<String>,
    /// Columns of ids of which few repeat: they have no dictionary.
    pub seldom_repeated: BTreeSet<String>,
    /// Columns with a range for each page, by which a reader skips parts of a row group.
    pub ranged_pages: BTreeSet<String>,
    /// Size of the parts of the file.
    pub part_bytes: usize,
}

impl FileOptions {
    /// The options of a large file that is written as its rows come.
    #[must_use]
    pub fn large(compression_level: i32, filters: BTreeMap<String, f64>) -> Self {
        Self {
            compression_level,
            group_rows: GROUP_ROWS,
            group_bytes: Some(GROUP_BYTES),
            filters,
            filter_values: GROUP_VALUES,
            filters_at_end: true,
            heavy: BTreeSet::new(),
            empty: BTreeSet::new(),
            seldom_repeated: BTreeSet::new(),
            ranged_pages: ["occurred_at", "arrived_at"].map(str::to_owned).into(),
            part_bytes: PART_BYTES,
        }
    }

    fn properties(&self, schema: &Schema, layout: TableLayout) -> Result<WriterProperties, TransformError> {
        let position = if self.filters_at_end { BloomFilterPosition::End } else { BloomFilterPosition::AfterRowGroup };
        let builder = WriterProperties::builder()
            .set_created_by(format!("bluelake {}", env!("CARGO_PKG_VERSION")))
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(self.compression_level)?))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_max_row_group_row_count(Some(self.group_rows.max(1)))
            .set_max_row_group_bytes(self.group_bytes.map(|bytes| bytes.max(1)))
            .set_bloom_filter_position(position)
            .set_sorting_columns(sorting(schema, layout).map(|column| vec![column]));
        Ok(schema.fields().iter().fold(builder, |builder, field| self.of_column(builder, field)).build())
    }

    fn of_column(&self, builder: WriterPropertiesBuilder, field: &Field) -> WriterPropertiesBuilder {
        let name = field.name().as_str();
        let path = ColumnPath::from(name);
        let mut builder = values::written(builder, &path, field);
        if self.ranged_pages.contains(name) {
            builder = builder.set_column_statistics_enabled(path.clone(), EnabledStatistics::Page);
        }
        if self.empty.contains(name) {
            builder = builder
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_compression(path.clone(), Compression::UNCOMPRESSED);
        }
        if self.seldom_repeated.contains(name) {
            builder = builder.set_column_dictionary_enabled(path.clone(), false);
        }
        if self.heavy.contains(name) {
            builder = builder
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
        }
        match self.filters.get(name) {
            Some(false_positives) => builder
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path.clone(), *false_positives)
                .set_column_bloom_filter_max_ndv(path, self.filter_values),
            None => builder,
        }
    }
}

fn sorting(schema: &Schema, layout: TableLayout) -> Option<SortingColumn> {
    let column_idx = i32::try_from(schema.index_of(layout.sort_by).ok()?).ok()?;
    Some(SortingColumn { column_idx, descending: false, nulls_first: false })
}

/// What is known of a file after its last row.
#[derive(Clone, Debug)]
pub struct FinishedFile {
    /// The bytes that were not taken as parts before, in order.
    pub rest: Vec<Bytes>,
    /// Size of the whole file in bytes.
    pub size: u64,
    /// Rows, from the footer.
    pub rows: u64,
    /// Delta per-file statistics, JSON text.
    pub statistics: String,
}

/// A Parquet file that is being written.
pub struct FileWriter {
    writer: ArrowWriter<PartBuffer>,
    schema: SchemaRef,
    layout: TableLayout,
    statistics: FileStatistics,
    /// The newest value of the column by which the file is sorted.
    reached: i64,
}

impl FileWriter {
    /// A file of rows of this schema. The numbers of columns are in its metadata.
    ///
    /// # Errors
    /// When Parquet cannot hold the schema, or does not know the compression level.
    pub fn new(schema: SchemaRef, layout: TableLayout, options: &FileOptions) -> Result<Self, TransformError> {
        Self::expecting(schema, layout, options, options.part_bytes)
    }

    /// As [`FileWriter::new`]; `bytes` is the approximate size of the file.
    pub(crate) fn expecting(
        schema: SchemaRef,
        layout: TableLayout,
        options: &FileOptions,
        bytes: usize,
    ) -> Result<Self, TransformError> {
        let properties = options.properties(&schema, layout)?;
        let arrow = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let buffer = PartBuffer::new(options.part_bytes, bytes);
        let writer = ArrowWriter::try_new_with_options(buffer, schema.clone(), arrow)?;
        Ok(Self { writer, schema, layout, statistics: FileStatistics::default(), reached: i64::MIN })
    }

    /// Adds rows, in the order of the layout. After an error the file is of no use.
    ///
    /// # Errors
    /// When the rows are of another schema or out of order, or Parquet refuses them.
    pub fn push(&mut self, rows: &RecordBatch) -> Result<(), TransformError> {
        self.check_columns(rows)?;
        self.check_order(rows)?;
        self.writer.write(rows)?;
        self.statistics.add(rows);
        Ok(())
    }

    /// The complete parts that were not taken before. They have one size; the rest comes with the end.
    pub fn take_parts(&mut self) -> Vec<Bytes> {
        self.writer.inner_mut().take_complete()
    }

    /// The approximate bytes held: of the row group that is filling and of parts that were not taken.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.writer.memory_size() + self.writer.inner().held()
    }

    /// The approximate bytes of the file so far: those written, and those of the row group that is filling.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        let filling = u64::try_from(self.writer.in_progress_size()).unwrap_or(u64::MAX);
        self.writer.inner().written().saturating_add(filling)
    }

    /// Writes the end of the file.
    ///
    /// # Errors
    /// When Parquet cannot write it, or counts other rows than were pushed.
    pub fn finish(mut self) -> Result<FinishedFile, TransformError> {
        let metadata = self.writer.finish()?;
        let rows = u64::try_from(metadata.file_metadata().num_rows()).ok();
        let rows = rows.filter(|rows| *rows == self.statistics.rows());
        let rows = rows.ok_or_else(|| TransformError::Schema { column: "the number of rows".to_owned() })?;
        let buffer = mem::replace(self.writer.inner_mut(), PartBuffer::new(1, 0));
        Ok(FinishedFile {
            size: buffer.written(),
            rows,
            statistics: self.statistics.to_json()?,
            rest: buffer.into_rest(),
        })
    }

    /// Parquet identifies columns by their order alone.
    fn check_columns(&self, rows: &RecordBatch) -> Result<(), TransformError> {
        let (expected, found) = (self.schema.fields(), rows.schema_ref().fields());
        let differs = expected.iter().zip(found).find(|(expected, found)| {
            expected.name() != found.name() || !expected.data_type().equals_datatype(found.data_type())
        });
        match differs {
            Some((expected, _)) => Err(TransformError::Schema { column: expected.name().clone() }),
            None if expected.len() != found.len() => {
                Err(TransformError::Schema { column: "the number of columns".to_owned() })
            }
            None => Ok(()),
        }
    }

    /// The file declares that it is sorted, and readers rely on it.
    fn check_order(&mut self, rows: &RecordBatch) -> Result<(), TransformError> {
        let column = self.layout.sort_by;
        let Some(values) = rows.column_by_name(column) else { return Ok(()) };
        let values = values.as_primitive_opt::<TimestampMicrosecondType>();
        let values = values.filter(|values| values.null_count() == 0).ok_or(TransformError::Layout { column })?;
        for value in values.values() {
            if *value < self.reached {
                return Err(TransformError::Unsorted { column });
            }
            self.reached = *value;
        }
        Ok(())
    }
}
