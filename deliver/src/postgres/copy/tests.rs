use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Builder, ListBuilder, StringBuilder, StructBuilder},
    datatypes::{Field, Schema, TimeUnit},
};
use bluelake_schemas::Contract;
use proptest::prelude::*;

use super::*;
use crate::columns::Columns;

fn table(columns: &[(&'static str, DataType)]) -> (Table, Arc<Schema>) {
    let fields: Vec<Field> = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let contract = Contract::embedded().unwrap();
    (Table::new("transactions", &schema, &contract, &Columns::All).unwrap(), schema)
}

fn partition() -> [String; 2] {
    ["donation", "2026-01-02"].map(str::to_owned)
}

fn encoded(table: &Table, batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let rows = Rows::new(table, batch, &partition()).unwrap();
    (0..batch.num_rows()).for_each(|row| rows.encode(row, &mut bytes).unwrap());
    bytes
}

#[test]
fn values_are_as_the_server_has_them() {
    let columns = [
        ("event_id", DataType::Utf8),
        ("event_type", DataType::Utf8),
        ("points", DataType::Int64),
        ("distance_ft", DataType::Float64),
        ("schema_version", DataType::Int32),
        ("occurred_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("event_date", DataType::Date32),
    ];
    let (table, schema) = table(&columns);
    let batch = RecordBatch::try_new(
        schema,
        vec![
            Arc::new(StringArray::from(vec!["00112233-4455-6677-8899-aabbccddeeff"])) as ArrayRef,
            Arc::new(StringArray::from(vec!["a\0ö"])),
            Arc::new(Int64Array::from(vec![-2])),
            Arc::new(Float64Array::from(vec![None])),
            Arc::new(Int32Array::from(vec![7])),
            Arc::new(TimestampMicrosecondArray::from(vec![EPOCH_MICROS + 1]).with_timezone("UTC")),
            Arc::new(Date32Array::from(vec![EPOCH_DAYS - 1])),
        ],
    )
    .unwrap();
    let row = encoded(&table, &batch);
    assert_eq!(value(&row, 0).unwrap()[..4], [0, 0x11, 0x22, 0x33]);
    assert_eq!(value(&row, 1), Some("a\u{fffd}ö".as_bytes()));
    assert_eq!(value(&row, 2), Some(&(-2_i64).to_be_bytes()[..]));
    assert_eq!(value(&row, 3), None);
    assert_eq!(value(&row, 4), Some(&7_i32.to_be_bytes()[..]));
    assert_eq!(value(&row, 5), Some(&1_i64.to_be_bytes()[..]));
    assert_eq!(day_of(value(&row, 6).unwrap()), "1999-12-31".parse().ok());
    assert_eq!(value(&row, 7), None, "there are no more");
    assert_eq!(Rows::new(&table, &batch, &partition()).unwrap().points(0), -2);
}

#[test]
fn columns_that_a_file_lacks_name_its_partition_or_are_null() {
    let (table, _) =
        table(&[("event_type", DataType::Utf8), ("points", DataType::Int64), ("event_date", DataType::Date32)]);
    let (_, schema) = self::table(&[("points_officer", DataType::Int64)]);
    let batch = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
    let row = encoded(&table, &batch);
    assert_eq!((value(&row, 0), value(&row, 1)), (Some(&b"donation"[..]), None));
    assert_eq!(day_of(value(&row, 2).unwrap()), "2026-01-02".parse().ok());
}

#[test]
fn other_forms_of_a_type_are_read() {
    let (table, _) = table(&[("points", DataType::Int64), ("currency", DataType::Utf8)]);
    let batch = RecordBatch::try_from_iter([
        ("points", Arc::new(Int32Array::from(vec![5])) as ArrayRef),
        ("currency", Arc::new(arrow::array::LargeStringArray::from(vec!["EUR"]))),
    ])
    .unwrap();
    let row = encoded(&table, &batch);
    assert_eq!((value(&row, 0), value(&row, 1)), (Some(&5_i64.to_be_bytes()[..]), Some(&b"EUR"[..])));
}

#[test]
fn an_id_that_is_none_is_told() {
    let (table, schema) = table(&[("event_id", DataType::Utf8)]);
    let batch = RecordBatch::try_new(schema, vec![Arc::new(StringArray::from(vec!["nonsense"]))]).unwrap();
    let error = Rows::new(&table, &batch, &partition()).unwrap().encode(0, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "table 'transactions': column 'event_id': a value is no UUID");
}

#[test]
fn a_list_is_written_as_jsonb_writes_it() {
    let names = ["sku", "quantity", "name"];
    let kinds = [DataType::Utf8, DataType::Int64, DataType::Utf8];
    let fields: Vec<Field> = names.iter().zip(kinds).map(|(name, kind)| Field::new(*name, kind, true)).collect();
    let mut builder = ListBuilder::new(StructBuilder::from_fields(fields, 2));
    for (sku, quantity) in [("a\"\\\n\u{1}\u{7f}😀\0", Some(3)), ("b", None)] {
        let entry = builder.values();
        entry.field_builder::<StringBuilder>(0).unwrap().append_value(sku);
        entry.field_builder::<Int64Builder>(1).unwrap().append_option(quantity);
        entry.field_builder::<StringBuilder>(2).unwrap().append_null();
        entry.append(true);
    }
    builder.append(true);
    builder.append(true);
    let lists = builder.finish();
    let (table, schema) = table(&[("items", lists.data_type().clone())]);
    let batch = RecordBatch::try_new(schema, vec![Arc::new(lists)]).unwrap();
    let rows = Rows::new(&table, &batch, &partition()).unwrap();
    let mut row = Vec::new();
    rows.encode(0, &mut row).unwrap();
    let expected = "\u{1}[{\"sku\": \"a\\\"\\\\\\n\\u0001\u{7f}😀\u{fffd}\", \"name\": null, \"quantity\": 3}, {\"sku\": \"b\", \"name\": null, \"quantity\": null}]";
    assert_eq!(std::str::from_utf8(value(&row, 0).unwrap()).unwrap(), expected);
    row.clear();
    rows.encode(1, &mut row).unwrap();
    assert_eq!(value(&row, 0), Some(&b"\x01[]"[..]));
}

proptest! {
    #[test]
    fn rows_are_found_however_they_are_cut(
        texts in proptest::collection::vec(proptest::option::of(".{0,40}"), 0..20),
        cuts in proptest::collection::vec(1_usize..50, 1..60),
    ) {
        let (table, schema) = table(&[("currency", DataType::Utf8)]);
        let batch = RecordBatch::try_new(schema, vec![Arc::new(StringArray::from(texts.clone()))]).unwrap();
        let mut bytes = HEADER.to_vec();
        bytes.extend(encoded(&table, &batch));
        bytes.extend(TRAILER);
        let (mut split, mut found, mut rest, mut cuts) = (Split::default(), Vec::new(), bytes.as_slice(), cuts.into_iter().cycle());
        while !rest.is_empty() {
            prop_assert!(!split.has_ended());
            let (part, left) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            split.push(part);
            rest = left;
            while let Some(row) = split.next() {
                found.push(value(row, 0).map(|text| String::from_utf8(text.to_vec()).unwrap()));
            }
        }
        let expected: Vec<_> = texts.into_iter().map(|text| text.map(|text| text.replace('\0', REPLACEMENT))).collect();
        prop_assert_eq!(found, expected);
        prop_assert!(split.has_ended());
    }
}
