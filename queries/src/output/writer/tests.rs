#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io;

use arrow::array::{
    ArrayRef, BinaryArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListBuilder, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use super::*;

mod documents;

fn batch() -> RecordBatch {
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("a,b"), None]);
    tags.append_null();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("name", Arc::new(StringArray::from(vec![Some("x, \"y\"\u{1b}[31m\n"), None]))),
        ("points", Arc::new(Int64Array::from(vec![9_007_199_254_740_993, -5]))),
        (
            "sum",
            Arc::new(
                Decimal128Array::from(vec![99_999_999_999_999_999_999_i128, 1])
                    .with_precision_and_scale(29, 2)
                    .unwrap(),
            ),
        ),
        ("share", Arc::new(Float64Array::from(vec![Some(0.1), None]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_767_225_600_000_001, 0]).with_timezone("UTC"))),
        ("day", Arc::new(Date32Array::from(vec![Some(20_454), None]))),
        ("tags", Arc::new(tags.finish())),
        ("bytes", Arc::new(BinaryArray::from_vec(vec![b"\x00\xff", b""]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn written(format: OutputFormat, batches: &[RecordBatch], schema: &Schema) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ResultWriter::new(format, schema, &mut bytes).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(writer.finish().unwrap(), rows as u64);
    bytes
}

fn text(format: OutputFormat, batches: &[RecordBatch], schema: &Schema) -> String {
    String::from_utf8(written(format, batches, schema)).unwrap()
}

#[test]
fn csv_quotes_values_and_nests_json() {
    let text = text(OutputFormat::Csv, &[batch()], &batch().schema());
    assert_eq!(
        text,
        "name,points,sum,share,at,day,tags,bytes\n\
         \"x, \"\"y\"\"\u{1b}[31m\n\",9007199254740993,999999999999999999.99,0.1,2026-01-01T00:00:00.000001Z,2026-01-01,\
         \"[\"\"a,b\"\",null]\",00ff\n\
         ,-5,0.01,,1970-01-01T00:00:00Z,,,\n"
    );
}

#[test]
fn json_and_ndjson_hold_equal_exact_objects() {
    let json_text = text(OutputFormat::Json, &[batch(), batch()], &batch().schema());
    let lines = text(OutputFormat::Ndjson, &[batch(), batch()], &batch().schema());
    assert!(json_text.contains("\"sum\":999999999999999999.99"), "{json_text}");
    let array: Vec<Value> = serde_json::from_str(&json_text).unwrap();
    let objects: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(array, objects);
    assert_eq!(array.len(), 4);
    assert_eq!(array[0]["points"], json!(9_007_199_254_740_993_i64));
    assert_eq!(array[0]["at"], "2026-01-01T00:00:00.000001Z");
    assert_eq!(array[0]["tags"], json!(["a,b", null]));
    assert_eq!(array[1]["name"], Value::Null);
    assert!(array[1].as_object().unwrap().contains_key("share"));
}

#[test]
fn parquet_gives_the_same_bytes_each_time() {
    let bytes = written(OutputFormat::Parquet, &[batch()], &batch().schema());
    assert_eq!(bytes, written(OutputFormat::Parquet, &[batch()], &batch().schema()));
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap().build().unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), batch());
    assert!(reader.next().is_none());
}

#[test]
fn a_table_aligns_numbers_and_shows_control_characters() {
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a\u{1b}[31m"), None, Some("\u{202e}b\nc")]));
    let points: ArrayRef = Arc::new(Int64Array::from(vec![1, 1000, -20]));
    let batch = RecordBatch::try_from_iter_with_nullable([("name", names, true), ("points", points, true)]).unwrap();
    let text = text(OutputFormat::Table, std::slice::from_ref(&batch), &batch.schema());
    let cells = |line: usize| -> Vec<String> {
        text.lines().nth(line).unwrap().trim_matches('│').split('┆').map(str::to_owned).collect()
    };
    assert_eq!(cells(1), [" name         ", " points "]);
    assert_eq!(cells(3), [" a\\u{1b}[31m  ", "      1 "]);
    assert_eq!(cells(4), ["              ", "   1000 "]);
    assert_eq!(cells(5), [" \\u{202e}b\\nc ", "    -20 "]);
    assert!(!text.contains(['\u{1b}', '\u{202e}']));
}

#[test]
fn a_long_table_counts_its_hidden_rows() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..6_000));
    let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
    let text = text(OutputFormat::Table, &[batch.clone(), batch.clone()], &batch.schema());
    assert!(text.ends_with("10000 of 12000 rows shown; csv, json, ndjson and parquet have them all\n"));
    assert_eq!(text.lines().filter(|line| line.starts_with('│')).count(), crate::output::table::TABLE_ROWS_MAX + 1);
}

#[test]
fn a_very_long_value_is_cut() {
    let short: ArrayRef = Arc::new(StringArray::from(vec!["ü".repeat(1_000), "ü".repeat(1_001)]));
    let batch = RecordBatch::try_from_iter([("text", short)]).unwrap();
    let shown = text(OutputFormat::Table, std::slice::from_ref(&batch), &batch.schema());
    assert_eq!(shown.matches('…').count(), 1);
    // The ellipsis is one of the thousand.
    assert_eq!(shown.matches('ü').count(), 1_999);
    let long = || -> ArrayRef { Arc::new(StringArray::from(vec!["x".repeat(1_100); 9_000])) };
    let batch = RecordBatch::try_from_iter([("a", long()), ("b", long()), ("c", long())]).unwrap();
    let shown = text(OutputFormat::Table, std::slice::from_ref(&batch), &batch.schema());
    assert!(shown.len() < 32 * 1024 * 1024, "{}", shown.len());
    assert!(shown.ends_with(" of 9000 rows shown; csv, json, ndjson and parquet have them all\n"));
}

#[test]
fn an_empty_result_is_complete_in_every_format() {
    let schema = batch().schema();
    assert_eq!(text(OutputFormat::Csv, &[], &schema), "name,points,sum,share,at,day,tags,bytes\n");
    assert_eq!(serde_json::from_str::<Value>(&text(OutputFormat::Json, &[], &schema)).unwrap(), json!([]));
    assert_eq!(text(OutputFormat::Ndjson, &[], &schema), "");
    assert!(text(OutputFormat::Table, &[], &schema).contains("points"));
    let parquet = bytes::Bytes::from(written(OutputFormat::Parquet, &[], &schema));
    assert_eq!(ParquetRecordBatchReaderBuilder::try_new(parquet).unwrap().schema().fields().len(), 8);
}

#[test]
fn columns_of_the_same_name_get_numbers() {
    let field = |name: &str| arrow::datatypes::Field::new(name, arrow::datatypes::DataType::Int64, true);
    let schema = Arc::new(Schema::new(vec![field("a"), field("a"), field("a_2"), field("a")]));
    let one = || -> ArrayRef { Arc::new(Int64Array::from(vec![1])) };
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![one(), one(), one(), one()]).unwrap();
    assert_eq!(text(OutputFormat::Csv, &[batch], &schema), "a,a_2,a_2_2,a_3\n1,1,1,1\n");
}

/// A sink whose reader has gone.
struct Closed;

impl io::Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn a_closed_sink_has_its_own_error() {
    for format in OutputFormat::ALL {
        let attempt = || -> Result<u64, OutputError> {
            let mut writer = ResultWriter::new(format, &batch().schema(), Closed)?;
            writer.write(&batch())?;
            writer.finish()
        };
        match attempt().unwrap_err() {
            OutputError::Write(error) => assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{format}"),
            other => panic!("{format}: {other:?}"),
        }
    }
}

#[test]
fn a_format_is_read_by_its_name() {
    for format in OutputFormat::ALL {
        assert_eq!(format.to_string().parse::<OutputFormat>().unwrap(), format);
    }
    assert!(
        "xls"
            .parse::<OutputFormat>()
            .unwrap_err()
            .to_string()
            .contains("use table, csv, json, ndjson, parquet, xlsx, md or html")
    );
}
