//! Rows of one partition, all at once, to the bytes of one Parquet file in memory.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array as _, ArrayRef, RecordBatch};
use arrow::datatypes::Date32Type;
use bytes::Bytes;
use parquet::file::properties::DEFAULT_MAX_ROW_GROUP_ROW_COUNT;
use uuid::Uuid;

use crate::encode::file_writer::{FileOptions, FileWriter};
use crate::encode::partition::{PartitionRows, PlannedFile, TableLayout};
use crate::error::TransformError;

/// False positives of a bloom filter on an id.
const BLOOM_FALSE_POSITIVES: f64 = 0.05;
/// zstd level of the column chunks: the fastest that is still close to the densest on events.
const ZSTD_LEVEL: i32 = 1;
/// Rows that are copied and encoded at once: a copy of a whole large file would take its rows twice.
const PIECE_ROWS: usize = 16 << 10;
/// A value of this size is no usual id, name or text.
const HEAVY_VALUE: usize = 16 << 10;

/// A Parquet file in memory, with its facts for the Delta log.
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
    // A part of a batch, by itself.
    let weights = rows.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or_default());
    let folders = folders(layout, &partition.text_value, partition.date_value)?;
    let mut writer = FileWriter::expecting(rows.schema(), layout, &of_rows(rows), expected(weights.sum()))?;
    writer.push(rows)?;
    finished(writer, folders)
}

/// Writes a planned file. Its rows are copied a piece at a time, unless they are heavy.
///
/// # Errors
/// As [`encode`].
pub fn encode_planned(file: &PlannedFile, layout: TableLayout) -> Result<EncodedFile, TransformError> {
    let rows = &file.rows;
    if file.row_bytes() / rows.len().max(1) > HEAVY_VALUE {
        return encode(&file.gather()?, layout);
    }
    let folders = folders(layout, &file.text_value, file.date_value)?;
    let schema = rows.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str()).zip(rows.valued().iter().copied());
    let mut options = options(names, BTreeSet::new(), rows.len());
    let ids = schema.fields().iter().enumerate().filter(|(_, field)| options.filters.contains_key(field.name()));
    options.seldom_repeated =
        ids.filter(|(index, _)| rows.seldom_repeats(*index)).map(|(_, field)| field.name().clone()).collect();
    let mut writer = FileWriter::expecting(schema.clone(), layout, &options, expected(file.row_bytes()))?;
    for piece in rows.pieces(PIECE_ROWS) {
        writer.push(&piece?)?;
    }
    finished(writer, folders)
}

/// About the bytes of a file of so many bytes of rows.
fn expected(row_bytes: usize) -> usize {
    row_bytes / 4
}

fn finished(writer: FileWriter, partition_values: Vec<(String, String)>) -> Result<EncodedFile, TransformError> {
    let file = writer.finish()?;
    let [bytes] = <[Bytes; 1]>::try_from(file.rest).unwrap_or_else(|parts| [Bytes::from(parts.concat())]);
    Ok(EncodedFile { partition_values, bytes, rows: file.rows, statistics: file.statistics })
}

fn folders(layout: TableLayout, text: &str, date: i32) -> Result<Vec<(String, String)>, TransformError> {
    Ok(vec![(layout.text_partition.to_owned(), text.to_owned()), (layout.date_partition.to_owned(), date_text(date)?)])
}

/// Whether the values are long, on average.
fn is_heavy(column: &ArrayRef) -> bool {
    let bytes = column.to_data().get_slice_memory_size().unwrap_or_default();
    bytes / column.len().max(1) > HEAVY_VALUE
}

fn date_text(days: i32) -> Result<String, TransformError> {
    let date = Date32Type::to_naive_date_opt(days);
    date.map(|date| date.format("%Y-%m-%d").to_string()).ok_or(TransformError::Layout { column: "date" })
}

/// Options from rows: which columns are long, and which have a value.
fn of_rows(rows: &RecordBatch) -> FileOptions {
    let schema = rows.schema();
    let columns = || schema.fields().iter().map(|field| field.name().as_str()).zip(rows.columns());
    let heavy = columns().filter(|(_, column)| is_heavy(column)).map(|(name, _)| name.to_owned()).collect();
    let names = columns().map(|(name, column)| (name, column.null_count() < rows.num_rows()));
    options(names, heavy, rows.num_rows())
}

/// A file of one part, of columns by name that have a value or none.
fn options<'a>(columns: impl Iterator<Item = (&'a str, bool)>, heavy: BTreeSet<String>, rows: usize) -> FileOptions {
    let (mut filters, mut empty) = (BTreeMap::new(), BTreeSet::new());
    for (name, valued) in columns {
        if !valued {
            empty.insert(name.to_owned());
        } else if name.ends_with("_id") {
            filters.insert(name.to_owned(), BLOOM_FALSE_POSITIVES);
        }
    }
    FileOptions {
        compression_level: ZSTD_LEVEL,
        group_rows: DEFAULT_MAX_ROW_GROUP_ROW_COUNT,
        group_bytes: None,
        filters,
        filter_values: u64::try_from(rows).unwrap_or(u64::MAX),
        filters_at_end: false,
        heavy,
        empty,
        seldom_repeated: BTreeSet::new(),
        ranged_pages: BTreeSet::new(),
        part_bytes: usize::MAX,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use arrow::{
        array::AsArray as _,
        datatypes::{DataType, Field},
    };
    use bluelake_schemas::{Contract, FIELD_ID_KEY, Micros, Stream};
    use parquet::arrow::{
        PARQUET_FIELD_ID_META_KEY,
        arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    };
    use parquet::schema::types::Type;
    use serde_json::json;

    use super::*;
    use crate::decode::decoder::{Decoder, RecordPosition};
    use crate::encode::partition::Partitions;

    /// Files of one record of each kind: redemptions with and without items, and bytes that are no event.
    fn files() -> Vec<(PartitionRows, TableLayout)> {
        let contract = Contract::embedded().unwrap();
        let mut builder = Arc::new(Decoder::new(&contract, Stream::TransactionEvents).unwrap()).batch();
        let item = json!({ "sku": "a-1", "name": "Bread", "quantity": 2, "points": 20 });
        let redemption = |id: u32, items: serde_json::Value| {
            json!({
                "event_id": Uuid::from_u128(u128::from(id)).to_string(), "event_type": "redemption",
                "occurred_at": format!("2026-11-0{id}T12:00:00Z"), "redeemer_id": "c-1", "redeemer_kind": "civilian",
                "provider_id": "m-1", "provider_kind": "merchant", "purpose": "goods", "points": 40, "items": items,
                "colour": "red",
            })
        };
        let records = [
            redemption(1, json!([item, item])).to_string(),
            redemption(1, json!(null)).to_string(),
            redemption(2, json!([])).to_string(),
            "no event".to_owned(),
        ];
        for (number, record) in records.iter().enumerate() {
            let position = RecordPosition {
                shard: "shardId-000000000000",
                sequence: &number.to_string(),
                arrived_at: Micros::new(1_795_453_500_000_000),
                hash_keys: None,
            };
            builder.push(&position, record.as_bytes(), &mut |_, _| false);
        }
        let rows = builder.finish().unwrap();
        let tables = [(rows.events, TableLayout::EVENTS), (rows.rejected, TableLayout::REJECTED)];
        let files = tables.into_iter().flat_map(|(rows, layout)| {
            Partitions::plan(vec![rows], layout, usize::MAX).unwrap().map(move |rows| (rows.unwrap(), layout))
        });
        files.collect()
    }

    fn read(bytes: &Bytes) -> (Type, RecordBatch) {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options).unwrap();
        let schema = reader.parquet_schema().root_schema().clone();
        let rows = reader.build().unwrap().map(Result::unwrap).collect::<Vec<_>>();
        assert_eq!(rows.len(), 1);
        (schema, rows[0].clone())
    }

    /// The number of each column of a file, those inside of lists by their path.
    fn numbers_in_file(group: &Type, prefix: &str, numbers: &mut BTreeMap<String, i32>) {
        for column in group.get_fields() {
            // The group between a list and its entries is Parquet's own.
            let name = if column.name() == "list" { prefix.to_owned() } else { format!("{prefix}/{}", column.name()) };
            if column.get_basic_info().has_id() {
                numbers.insert(name.clone(), column.get_basic_info().id());
            }
            if column.is_group() {
                numbers_in_file(column, &name, numbers);
            }
        }
    }

    fn numbers_in_schema(columns: &[Arc<Field>], prefix: &str, numbers: &mut BTreeMap<String, i32>) {
        for column in columns {
            let name = format!("{prefix}/{}", column.name());
            numbers.insert(name.clone(), column.metadata()[FIELD_ID_KEY].parse().unwrap());
            match column.data_type() {
                DataType::List(entry) => numbers_in_schema(&[Arc::clone(entry)], &name, numbers),
                DataType::Struct(fields) => numbers_in_schema(fields, &name, numbers),
                _ => {}
            }
        }
    }

    #[test]
    fn every_column_of_a_file_has_its_number() {
        assert_eq!(FIELD_ID_KEY, PARQUET_FIELD_ID_META_KEY);
        for (partition, layout) in files() {
            let (schema, _) = read(&encode(&partition, layout).unwrap().bytes);
            let (mut found, mut expected) = (BTreeMap::new(), BTreeMap::new());
            numbers_in_file(&schema, "", &mut found);
            numbers_in_schema(partition.rows.schema().fields(), "", &mut expected);
            assert_eq!(found, expected);
            assert_eq!(found.contains_key("/items/element/sku"), layout == TableLayout::EVENTS, "{found:?}");
        }
    }

    #[test]
    fn a_file_holds_its_partition_as_columns() {
        let mut folders = Vec::new();
        for (partition, layout) in files() {
            let file = encode(&partition, layout).unwrap();
            let (_, rows) = read(&file.bytes);
            let texts = rows.column_by_name(layout.text_partition).unwrap().as_string::<i32>();
            let dates = rows.column_by_name(layout.date_partition).unwrap().as_primitive::<Date32Type>();
            for row in 0..rows.num_rows() {
                let inside = [
                    (layout.text_partition.to_owned(), texts.value(row).to_owned()),
                    (layout.date_partition.to_owned(), date_text(dates.value(row)).unwrap()),
                ];
                assert_eq!(file.partition_values, inside);
            }
            folders.push((file.partition_values[0].1.clone(), rows.num_rows()));
        }
        let redemptions = |rows| ("redemption".to_owned(), rows);
        assert_eq!(folders, [redemptions(2), redemptions(1), ("transaction-events".to_owned(), 1)]);
    }

    #[test]
    fn a_file_read_back_has_every_value() {
        for (partition, layout) in files() {
            let (_, rows) = read(&encode(&partition, layout).unwrap().bytes);
            assert_eq!(rows.num_columns(), partition.rows.num_columns());
            for (field, column) in partition.rows.schema().fields().iter().zip(partition.rows.columns()) {
                let found = rows.column_by_name(field.name()).unwrap();
                assert_eq!(format!("{found:?}"), format!("{column:?}"), "{}", field.name());
            }
        }
    }

    #[test]
    fn nulls_are_counted_of_extras_alone() {
        for (partition, layout) in files() {
            let statistics: serde_json::Value =
                serde_json::from_str(&encode(&partition, layout).unwrap().statistics).unwrap();
            let counted = if layout == TableLayout::EVENTS { json!({ "extras": 0 }) } else { json!({}) };
            assert_eq!(statistics["nullCount"], counted);
            assert_eq!(statistics["numRecords"], partition.rows.num_rows());
            for partition_column in [layout.text_partition, layout.date_partition] {
                assert_eq!(statistics["minValues"].get(partition_column), None);
            }
            assert!(statistics["maxValues"]["arrived_at"].is_string(), "{statistics}");
        }
    }
}
