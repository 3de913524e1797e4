//! The decoder and the oracle say the same of any event: the same row and extras, or the same reason and path.

use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use bluelake_schemas::LINEAGE_COLUMNS;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::oracle::{Outcome, outcome};
use super::*;

/// Values of every kind: good ones of some field, and bad ones of each sort that the contract names.
const VALUES: [&str; 64] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "10000000000000000",
    "10000000000000001",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "123456789012345678901234567890",
    "1.0",
    "1e2",
    "-71.09",
    "90",
    "90.000001",
    "1e400",
    "-0.0",
    "1795449600000",
    "1795449600",
    "1795539900001",
    "9223372036854775",
    r#""""#,
    r#""x""#,
    r#""12""#,
    r#""02139""#,
    r#""0213\u0039""#,
    r#""021390""#,
    r#""0213x""#,
    r#""mobile""#,
    r#""mob\u0069le""#,
    r#""MOBILE""#,
    r#""civilian""#,
    r#""charity""#,
    r#""municipality""#,
    r#""merchant""#,
    r#""goods""#,
    r#""fee""#,
    r#""user_created""#,
    r#""tr\u0061nsfer""#,
    r#""interaction""#,
    r#""0198C1A2-5B1E-7C3D-9F00-0123456789AB""#,
    r#""0198c1a25b1e7c3d9f000123456789ab""#,
    r#""0198c1a2-5b1e-7c3d-9f00-0123456789ag""#,
    r#""0198c1a2-5b1e-7c3d-9f00-0123456789a\u0062""#,
    r#""2026-11-23T17:05:00Z""#,
    r#""2026-11-23T17:05:00.1234567Z""#,
    r#""2026-11-23T12:05:00.5-05:00""#,
    r#""2026-11-23 17:05:00Z""#,
    r#""2026-02-30T00:00:00Z""#,
    r#""2026-06-30T23:59:60Z""#,
    r#""2019-12-31T23:59:59Z""#,
    r#""2026-11-24T17:05:00.001Z""#,
    r#""é\n\ud83d\ude00\/""#,
    r#""half \ud83d""#,
    r#""half \ude00\ud83d""#,
    r#""nul \u0000""#,
    r#"[ ]"#,
    r#"{"a": [1, {"b": null}]}"#,
    r#"[{"sku":"s","name":"n","quantity":1,"points":2,"size":[3]}, {"points":1e1}]"#,
    r#"[{"sku":"s","name":"\u00e9","quantity":1,"points":2,"more":"\t"},{"s\u006bu":"t","name":"n","quantity":0,"points":0}]"#,
];

/// Keys that no field has, or that some field has in another spelling.
const KEYS: [&str; 10] = [
    "app_build",
    "device",
    "é",
    "a\\nb",
    "Event_Id",
    "points\\u0020",
    "",
    "poi\\u006ets",
    "\\u0065vent_type",
    "stream_shard",
];

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => select(VALUES.to_vec()).prop_map(str::to_owned),
        2 => any::<String>().prop_map(|text| json!(text).to_string()),
        2 => "[a-zA-Z0-9 -]{0,140}".prop_map(|text| json!(text).to_string()),
        1 => (30..36_usize).prop_map(|depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth))),
        1 => (65_400..65_600_usize).prop_map(|bytes| json!("x".repeat(bytes)).to_string()),
    ]
}

fn any_key(stream: Stream) -> impl Strategy<Value = String> {
    let names: Vec<String> = CONTRACT.stream(stream).all_fields().map(|field| field.name.clone()).collect();
    prop_oneof![3 => select(names), 1 => select(KEYS.to_vec()).prop_map(str::to_owned)]
}

/// A change of an event's members.
#[derive(Clone, Debug)]
enum Change {
    Set(usize, String),
    Add(usize, String, String),
    Remove(usize),
    Swap(usize, usize),
}

fn change(stream: Stream) -> impl Strategy<Value = Change> {
    let at = 0..64_usize;
    prop_oneof![
        4 => (at.clone(), any_value()).prop_map(|(at, value)| Change::Set(at, value)),
        3 => (at.clone(), any_key(stream), any_value()).prop_map(|(at, key, value)| Change::Add(at, key, value)),
        1 => at.clone().prop_map(Change::Remove),
        2 => (at.clone(), at).prop_map(|(one, other)| Change::Swap(one, other)),
    ]
}

fn changed(Sample(mut members): Sample, changes: Vec<Change>) -> Sample {
    for change in changes {
        let count = members.len();
        match change {
            Change::Set(at, value) => members[at % count].1 = value,
            Change::Add(at, key, value) => members.insert(at % (count + 1), (key, value)),
            Change::Remove(at) if count > 1 => drop(members.remove(at % count)),
            Change::Remove(_) => {}
            Change::Swap(one, other) => members.swap(one % count, other % count),
        }
    }
    Sample(members)
}

/// The members with white space around every part.
fn spaced(sample: &Sample, space: &str) -> String {
    let members = sample.0.iter().map(|(key, raw)| format!("{space}\"{key}\"{space}:{space}{raw}{space}"));
    format!("{space}{{{}}}{space}", members.collect::<Vec<_>>().join(","))
}

fn samples(stream: Stream) -> Vec<Sample> {
    match stream {
        Stream::TransactionEvents => {
            vec![Sample::interaction(), Sample::donation(), Sample::redemption(), Sample::transfer()]
        }
        Stream::UserEvents => vec![
            Sample::user().with("email", "\"a@example.org\"").with("phone", "\"+1\"").with("status", "\"active\""),
            Sample::user().with("event_type", "\"user_updated\"").with("display_name", "\"Zo\\u00eb \\\"Z\\\"\""),
        ],
    }
}

/// Events of one stream that differ from good ones in a few places.
fn events() -> impl Strategy<Value = (Stream, Vec<String>)> {
    select(Stream::ALL.to_vec()).prop_flat_map(|stream| {
        let sample = (select(samples(stream)), vec(change(stream), 0..5));
        let space = select(vec!["", "", "", " ", "\n\t"]);
        let event = (sample, space).prop_map(|((sample, changes), space)| spaced(&changed(sample, changes), space));
        (Just(stream), vec(event, 1..6))
    })
}

/// One builder decodes all events, so that each meets what the others left behind.
fn assert_agrees(stream: Stream, events: &[String]) {
    let mut builder = builder(stream);
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for event in events {
        builder.push(&position("1"), event.as_bytes(), &mut |_, _| false);
        match outcome(stream, event) {
            Outcome::Row(row, extras) => rows.push((row, extras)),
            Outcome::Rejected(fault) => faults.push((fault.0, fault.1, event.trim().as_bytes().to_vec())),
        }
    }
    let batch = builder.finish().unwrap();
    let found: Vec<_> = rejections(&batch);
    assert_eq!(found, faults, "{events:?}");
    let found: Vec<_> = (0..batch.events.num_rows()).map(|row| stored(&batch.events, row)).collect();
    assert_eq!(found, rows, "{events:?}");
}

/// The columns of the contract that are not null, and the extras.
fn stored(events: &RecordBatch, row: usize) -> (Map<String, Value>, Option<String>) {
    let schema = events.schema();
    let columns = schema.fields().iter().zip(events.columns());
    let columns =
        columns.filter(|(field, column)| column.is_valid(row) && !LINEAGE_COLUMNS.contains(&field.name().as_str()));
    let columns = columns.map(|(field, column)| (field.name().clone(), value(column.as_ref(), row)));
    (columns.collect(), text(events, "extras", row))
}

fn value(column: &dyn Array, row: usize) -> Value {
    match column.data_type() {
        _ if column.is_null(row) => Value::Null,
        DataType::Utf8 => json!(column.as_string::<i32>().value(row)),
        DataType::Int32 => json!(column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => json!(column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => json!(column.as_boolean().value(row)),
        DataType::Timestamp(_, _) => json!(column.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::List(_) => {
            let entries = column.as_list::<i32>().value(row);
            (0..entries.len()).map(|entry| value(entries.as_ref(), entry)).collect()
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(column.as_struct().columns());
            columns.map(|(field, column)| (field.name().clone(), value(column.as_ref(), row))).collect()
        }
        other => panic!("no column is {other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_changed_event_ends_as_the_oracle_says((stream, events) in events()) {
        assert_agrees(stream, &events);
    }

    /// Where a change of bytes leaves one value of JSON.
    #[test]
    fn an_event_with_changed_bytes_ends_as_the_oracle_says(
        (stream, sample) in select(Stream::ALL.to_vec()).prop_flat_map(|stream| (Just(stream), select(samples(stream)))),
        changes in vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), select(b"\"\\{}[],:0 ue".to_vec())]), 1..4),
    ) {
        let mut bytes = sample.json().into_bytes();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Ok(text) = String::from_utf8(bytes) && serde_json::from_str::<IgnoredAny>(&text).is_ok() {
            assert_agrees(stream, &[text]);
        }
    }
}

#[test]
fn each_value_in_each_field_ends_as_the_oracle_says() {
    for stream in Stream::ALL {
        for sample in samples(stream) {
            let names = CONTRACT.stream(stream).all_fields().map(|field| field.name.as_str());
            for key in names.chain(KEYS) {
                let events: Vec<String> = VALUES.iter().map(|value| sample.clone().with(key, *value).json()).collect();
                assert_agrees(stream, &events);
            }
        }
    }
}
