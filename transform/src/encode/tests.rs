//! Files written batch by batch equal files written at once.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use arrow::{
    array::{
        ArrayRef, Date32Array, Float64Array, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray,
        StringBuilder, TimestampMicrosecondArray,
    },
    compute::concat_batches,
};
use bytes::Bytes;
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
        arrow_writer::ArrowWriterOptions,
    },
    basic::{Compression, Encoding, ZstdLevel},
    file::{
        metadata::{PageIndexPolicy, SortingColumn},
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};
use proptest::prelude::*;

use crate::encode::{
    file_writer::{FileOptions, FileWriter, FinishedFile},
    parquet_file::encode,
    partition::{PartitionRows, TableLayout},
};
use crate::error::TransformError;

/// A row of a made-up table with a column of each kind.
#[derive(Clone, Debug)]
struct Row {
    later: u32,
    points: Option<i64>,
    distance: Option<f64>,
    version: i32,
    shard: u8,
    extras: Option<String>,
    user: Option<u8>,
    tags: Option<Vec<u8>>,
}

fn row() -> impl Strategy<Value = Row> {
    let distance = prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), any::<f64>(), -3.0..3.0];
    (
        (0_u32..3, prop::option::of(any::<i64>()), prop::option::of(distance), any::<i32>(), 0_u8..4),
        (
            prop::option::of("[a-z]{0,4}"),
            prop::option::of(any::<u8>()),
            prop::option::of(prop::collection::vec(any::<u8>(), 0..3)),
        ),
    )
        .prop_map(|((later, points, distance, version, shard), (extras, user, tags))| Row {
            later,
            points,
            distance,
            version,
            shard,
            extras,
            user,
            tags,
        })
}

fn batch(rows: &[Row]) -> RecordBatch {
    let mut time = 1_795_000_000_000_000;
    let times = rows.iter().map(|row| {
        time += i64::from(row.later);
        Some(time)
    });
    let times: TimestampMicrosecondArray = times.collect();
    let mut tags = ListBuilder::new(StringBuilder::new());
    for row in rows {
        tags.append_option(row.tags.as_ref().map(|tags| tags.iter().map(|tag| Some(format!("tag {tag}")))));
    }
    let text =
        |value: fn(&Row) -> Option<String>| -> ArrayRef { Arc::new(rows.iter().map(value).collect::<StringArray>()) };
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("event_type", text(|_| Some("donation".to_owned())), false),
        ("occurred_at", Arc::new(times.with_timezone("UTC")), false),
        ("points", Arc::new(rows.iter().map(|row| row.points).collect::<Int64Array>()), true),
        ("distance_ft", Arc::new(rows.iter().map(|row| row.distance).collect::<Float64Array>()), true),
        ("schema_version", Arc::new(rows.iter().map(|row| Some(row.version)).collect::<Int32Array>()), false),
        ("stream_shard", text(|row| Some(format!("shardId-{}", row.shard))), false),
        ("extras", text(|row| row.extras.clone()), true),
        ("user_id", text(|row| row.user.map(|user| format!("user {user}"))), true),
        ("tags", Arc::new(tags.finish()), true),
        ("event_date", Arc::new(Date32Array::from(vec![20_780; rows.len()])), false),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn options() -> FileOptions {
    FileOptions::large(1, BTreeMap::from([("user_id".to_owned(), 0.001)]))
}

/// Writes the rows in batches that end at `cuts`, and gives the bytes with what is known of the file.
fn write(rows: &RecordBatch, cuts: &[usize], options: &FileOptions) -> (Bytes, FinishedFile) {
    let mut writer = FileWriter::new(rows.schema(), TableLayout::EVENTS, options).unwrap();
    let mut parts = Vec::new();
    let mut ends: Vec<usize> = cuts.iter().map(|cut| (*cut).min(rows.num_rows())).collect();
    ends.push(rows.num_rows());
    ends.sort_unstable();
    let mut from = 0;
    for end in ends {
        writer.push(&rows.slice(from, end - from)).unwrap();
        parts.extend(writer.take_parts());
        from = end;
    }
    let finished = writer.finish().unwrap();
    assert!(parts.iter().all(|part| part.len() == options.part_bytes));
    parts.extend(finished.rest.iter().cloned());
    let bytes = Bytes::from(parts.concat());
    assert_eq!(finished.size, u64::try_from(bytes.len()).unwrap());
    (bytes, finished)
}

fn read(bytes: &Bytes) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
    let schema = reader.schema().clone();
    concat_batches(&schema, &reader.build().unwrap().map(Result::unwrap).collect::<Vec<_>>()).unwrap()
}

fn shown(rows: &RecordBatch) -> Vec<String> {
    rows.columns().iter().map(|column| format!("{column:?}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn batches_change_neither_statistics_nor_rows(
        rows in prop::collection::vec(row(), 0..200),
        cuts in prop::collection::vec(0_usize..200, 0..6),
        group_rows in 1_usize..80,
        part_bytes in 1_usize..3_000,
        filters_at_end in any::<bool>(),
    ) {
        let rows = batch(&rows);
        let options = FileOptions { group_rows, part_bytes, filters_at_end, ..options() };
        let (whole, at_once) = write(&rows, &[], &options);
        let (bytes, finished) = write(&rows, &cuts, &options);
        prop_assert_eq!(&finished.statistics, &at_once.statistics);
        prop_assert_eq!(finished.rows, u64::try_from(rows.num_rows()).unwrap());
        prop_assert_eq!(shown(&read(&bytes)), shown(&rows));
        prop_assert_eq!(shown(&read(&whole)), shown(&rows));
    }
}

#[test]
fn statistics_are_those_of_all_rows() {
    let row =
        Row { later: 1, points: None, distance: Some(0.5), version: 1, shard: 2, extras: None, user: None, tags: None };
    let rows = batch(&[
        row.clone(),
        Row { points: Some(-7), shard: 1, version: 3, ..row.clone() },
        Row { points: Some(9), extras: Some("{}".to_owned()), distance: Some(-2.0), shard: 3, ..row },
    ]);
    let (_, finished) = write(&rows, &[1, 2], &options());
    let statistics: serde_json::Value = serde_json::from_str(&finished.statistics).unwrap();
    let expected = serde_json::json!({
        "numRecords": 3,
        "minValues": {
            "occurred_at": "2026-11-18T11:06:40.000001Z", "points": -7, "distance_ft": -2.0, "schema_version": 1,
            "stream_shard": "shardId-1",
        },
        "maxValues": {
            "occurred_at": "2026-11-18T11:06:40.000003Z", "points": 9, "distance_ft": 0.5, "schema_version": 3,
            "stream_shard": "shardId-3",
        },
        "nullCount": { "extras": 2 },
    });
    assert_eq!(statistics, expected);
}

#[test]
fn encode_gives_the_bytes_of_one_write() {
    let rows: Vec<Row> = (0..3_000_u32)
        .map(|number| Row {
            later: number % 3,
            points: (number % 7 > 0).then(|| i64::from(number)),
            distance: Some(f64::from(number)),
            version: 1,
            shard: 0,
            extras: (number % 100 == 0).then(|| "x".repeat(100)),
            user: Some(u8::try_from(number % 50).unwrap()),
            tags: None,
        })
        .collect();
    let rows = batch(&rows);
    // As Parquet's own writer writes them, with the encodings of `values.rs`.
    let user = ColumnPath::from("user_id");
    let properties = WriterProperties::builder()
        .set_created_by(format!("bluelake {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_sorting_columns(Some(vec![SortingColumn { column_idx: 1, descending: false, nulls_first: false }]))
        .set_column_dictionary_enabled(ColumnPath::from("occurred_at"), false)
        .set_column_encoding(ColumnPath::from("occurred_at"), Encoding::DELTA_BINARY_PACKED)
        .set_column_encoding(user.clone(), Encoding::DELTA_LENGTH_BYTE_ARRAY)
        .set_column_dictionary_page_size_limit(user.clone(), 4 << 20)
        .set_column_bloom_filter_enabled(user.clone(), true)
        .set_column_bloom_filter_fpp(user.clone(), 0.05)
        .set_column_bloom_filter_max_ndv(user, 3_000)
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut expected = Vec::new();
    let mut writer = ArrowWriter::try_new_with_options(&mut expected, rows.schema(), options).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let partition = PartitionRows { text_value: "donation".to_owned(), date_value: 20_780, rows };
    let file = encode(&partition, TableLayout::EVENTS).unwrap();
    assert!(file.bytes == expected, "{} bytes, expected {}", file.bytes.len(), expected.len());
}

/// Row groups of a file, with the places of the filters of `user_id` and the pages that have a range.
fn metadata(bytes: &Bytes) -> (Vec<Range<u64>>, Vec<u64>, usize) {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let metadata = ArrowReaderMetadata::load(bytes, options).unwrap().metadata().clone();
    let column = |name: &str| {
        let columns = metadata.file_metadata().schema_descr().columns();
        columns.iter().position(|column| column.path().string() == name).unwrap()
    };
    let (user, time) = (column("user_id"), column("occurred_at"));
    let groups = metadata.row_groups().iter().map(|group| {
        let ranges = group.columns().iter().map(parquet::file::metadata::ColumnChunkMetaData::byte_range);
        let (starts, ends): (Vec<_>, Vec<_>) = ranges.map(|(start, length)| (start, start + length)).unzip();
        starts.into_iter().min().unwrap()..ends.into_iter().max().unwrap()
    });
    let filters = metadata.row_groups().iter().filter_map(|group| group.column(user).bloom_filter_offset());
    let pages = metadata.column_index().unwrap().iter().map(|group| {
        let index = &group[time];
        usize::try_from(index.num_pages()).unwrap()
    });
    (groups.collect(), filters.map(|at| u64::try_from(at).unwrap()).collect(), pages.sum())
}

#[test]
fn large_files_have_their_filters_last() {
    let rows: Vec<Row> = (0..1_000_u32)
        .map(|number| Row {
            later: 1,
            points: Some(i64::from(number)),
            distance: None,
            version: 1,
            shard: 0,
            extras: None,
            user: Some(u8::try_from(number % 250).unwrap()),
            tags: None,
        })
        .collect();
    let rows = batch(&rows);
    let (bytes, _) = write(&rows, &[77, 500], &FileOptions { group_rows: 300, ..options() });
    let (groups, filters, pages) = metadata(&bytes);
    assert_eq!((groups.len(), filters.len()), (4, 4));
    let end = groups.iter().map(|group| group.end).max().unwrap();
    assert!(filters.iter().all(|filter| *filter >= end), "{filters:?} after {groups:?}");
    assert!(pages >= 4, "{pages} pages have a range");
    let between = FileOptions { group_rows: 300, filters_at_end: false, ..options() };
    let (bytes, _) = write(&rows, &[], &between);
    let (groups, filters, _) = metadata(&bytes);
    assert!(filters[0] < groups[1].start + 1, "{filters:?} between {groups:?}");
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let row =
        Row { later: 1, points: Some(1), distance: None, version: 1, shard: 0, extras: None, user: None, tags: None };
    let rows = batch(&vec![row; 10]);
    let writer = || FileWriter::new(rows.schema(), TableLayout::EVENTS, &options()).unwrap();
    let mut later_first = writer();
    later_first.push(&rows.slice(5, 5)).unwrap();
    let unsorted = later_first.push(&rows.slice(0, 5));
    assert!(matches!(unsorted, Err(TransformError::Unsorted { column: "occurred_at" })), "{unsorted:?}");
    let less = rows.project(&[0, 1, 2]).unwrap();
    assert!(matches!(writer().push(&less), Err(TransformError::Schema { .. })));
    let renamed = rows.project(&[0, 1, 3, 2, 4, 5, 6, 7, 8, 9]).unwrap();
    let refused = writer().push(&renamed);
    assert!(matches!(&refused, Err(TransformError::Schema { column }) if column == "points"), "{refused:?}");
    let level = FileOptions { compression_level: 99, ..options() };
    assert!(FileWriter::new(rows.schema(), TableLayout::EVENTS, &level).is_err());
}

#[test]
fn what_is_held_follows_the_row_group() {
    let options = FileOptions { group_rows: 10_000, part_bytes: 256 << 10, ..options() };
    let held = [20, 200].map(|batches| {
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        let mut held = 0;
        let mut rows: Vec<Row> = Vec::new();
        let mut writer = None;
        let mut size = 0;
        for _ in 0..batches {
            rows.clear();
            rows.extend((0..1_000).map(|_| {
                random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
                Row {
                    later: 0,
                    points: Some(i64::from_le_bytes(random.to_le_bytes())),
                    distance: None,
                    version: 1,
                    shard: 0,
                    extras: Some(format!("{random:x}{:x}", random.rotate_left(17))),
                    user: None,
                    tags: None,
                }
            }));
            let rows = batch(&rows);
            let file =
                writer.get_or_insert_with(|| FileWriter::new(rows.schema(), TableLayout::EVENTS, &options).unwrap());
            file.push(&rows).unwrap();
            held = held.max(file.held_bytes());
            size += file.take_parts().iter().map(Bytes::len).sum::<usize>();
            assert!(file.file_bytes() > u64::try_from(size).unwrap());
        }
        let rest = writer.unwrap().finish().unwrap();
        (held, rest.size)
    });
    let [(short, small), (long, large)] = held;
    assert!(large > 9 * small, "{held:?}");
    assert!(long < short + (512 << 10), "{held:?}");
}
