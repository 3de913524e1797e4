//! What holds for any bytes, and for any valid event.

use arrow::datatypes::TimestampMicrosecondType;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::*;

/// A sequence of arbitrary bytes, texts that are nearly events, and good events with changed bytes.
fn hostile_record() -> impl Strategy<Value = Vec<u8>> {
    let samples = [Sample::interaction(), Sample::donation(), Sample::redemption(), Sample::transfer()]
        .map(|sample| sample.json());
    let good = select(samples.to_vec()).prop_map(String::into_bytes);
    let pieces = vec(
        select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\n",
            "\"",
            "\\",
            "\"event_type\":",
            "\"transfer\"",
            "\"points\":",
            "1",
            "-1",
            "null",
            "\"\\ud800\"",
            "\"items\":[{",
            "\u{feff}",
            "\u{0}",
            "true",
            "1e400",
            "\"occurred_at\":",
            "\"x\":1",
        ]),
        0..20,
    );
    let changed =
        (good.clone(), vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)).prop_map(|(mut bytes, changes)| {
            for (index, byte) in changes {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            bytes
        });
    let piece = prop_oneof![
        3 => good,
        3 => changed,
        2 => pieces.prop_map(|pieces| pieces.concat().into_bytes()),
        1 => vec(any::<u8>(), 0..40),
    ];
    let separator = select(vec!["", "\n", " "]);
    vec((piece, separator), 0..5).prop_map(|pieces| {
        pieces.into_iter().flat_map(|(piece, end)| [piece, end.as_bytes().to_vec()].concat()).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_end_as_rows_or_counts(records in vec(hostile_record(), 0..4), drop in any::<u32>()) {
        let mut builder = builder(Stream::TransactionEvents);
        let mut counts = Counts::default();
        for (number, record) in records.iter().enumerate() {
            let of_record = builder.push(&position(&number.to_string()), record, &mut |_, sub_sequence| sub_sequence == drop % 4);
            prop_assert!(of_record.received > 0);
            counts += of_record;
        }
        prop_assert_eq!(counts.received, counts.stored + counts.rejected + counts.duplicate);
        let batch = builder.finish().unwrap();
        prop_assert_eq!(batch.events.num_rows() as u64, counts.stored);
        prop_assert_eq!(batch.rejected.num_rows() as u64, counts.rejected);
        prop_assert!(batch.events.columns().iter().all(|column| column.len() == batch.events.num_rows()));
        for (row, (_, _, bytes)) in rejections(&batch).iter().enumerate() {
            let number: usize = text(&batch.rejected, "stream_sequence", row).unwrap().parse().unwrap();
            let record = &records[number];
            prop_assert!(bytes.is_empty() || record.windows(bytes.len()).any(|part| part == &bytes[..]));
        }
    }

    #[test]
    fn what_is_whole_is_found_again_whatever_follows(good in 0..4_usize, rest in vec(any::<u8>(), 0..64)) {
        let mut record = format!("{}\n", Sample::transfer().json()).repeat(good).into_bytes();
        record.extend(&rest);
        let (counts, _) = decode(Stream::TransactionEvents, record);
        prop_assert!(counts.stored >= good as u64);
    }

    #[test]
    fn a_valid_event_is_stored_as_serde_reads((event_type, event) in valid_event(), pretty in any::<bool>()) {
        let printed = if pretty { serde_json::to_string_pretty(&event) } else { serde_json::to_string(&event) };
        let (counts, batch) = decode(Stream::TransactionEvents, printed.unwrap());
        prop_assert_eq!(counts.stored, 1, "{:?}", rejections(&batch));
        let mut extras = Map::new();
        for (key, value) in &event {
            match batch.events.column_by_name(key) {
                Some(_) if belongs(&event_type, key) => prop_assert_eq!(&stored(&batch.events, key), value, "{}", key),
                _ => {
                    extras.insert(key.clone(), value.clone());
                }
            }
        }
        let kept = text(&batch.events, "extras", 0).map(|text| serde_json::from_str::<Value>(&text).unwrap());
        prop_assert_eq!(batch.unknown_fields, extras.len() as u64);
        prop_assert_eq!(kept, (!extras.is_empty()).then_some(Value::Object(extras)));
    }
}

fn belongs(event_type: &str, key: &str) -> bool {
    let found = CONTRACT.stream(Stream::TransactionEvents).all_fields().find(|field| field.name == key);
    found.is_some_and(|field| field.presence(event_type) != bluelake_schemas::Presence::Absent)
}

/// The first row's value as JSON, in the form of the generated events.
fn stored(events: &RecordBatch, key: &str) -> Value {
    let column = events.column_by_name(key).unwrap();
    match key {
        _ if column.is_null(0) => Value::Null,
        "occurred_at" => json!(column.as_primitive::<TimestampMicrosecondType>().value(0) / 1000),
        "schema_version" => json!(column.as_primitive::<Int32Type>().value(0)),
        "points" | "amount_cents" => json!(column.as_primitive::<Int64Type>().value(0)),
        "items" => {
            let entries = column.as_list::<i32>().value(0);
            let entries = entries.as_struct();
            let texts = |key: &str| entries.column_by_name(key).unwrap().as_string::<i32>().clone();
            let numbers = |key: &str| entries.column_by_name(key).unwrap().as_primitive::<Int64Type>().clone();
            let (sku, name, quantity, points) = (texts("sku"), texts("name"), numbers("quantity"), numbers("points"));
            (0..entries.len())
                .map(|entry| {
                    json!({ "sku": sku.value(entry), "name": name.value(entry),
                        "quantity": quantity.value(entry), "points": points.value(entry) })
                })
                .collect()
        }
        _ => json!(column.as_string::<i32>().value(0)),
    }
}

/// Any text without NUL, which no event may have.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9-]{1,24}", "\\PC{0,24}", any::<String>()]
        .prop_map(|text| text.replace('\0', "").chars().take(30).collect())
}

fn points() -> impl Strategy<Value = i64> {
    prop_oneof![0..1000_i64, 0..=10_000_000_000_000_000_i64]
}

fn valid_event() -> impl Strategy<Value = (String, Map<String, Value>)> {
    let entry = (any_text(), any_text(), points(), points()).prop_map(
        |(sku, name, quantity, points)| json!({"sku": sku, "name": name, "quantity": quantity, "points": points}),
    );
    let redemption = (any_text(), any_text(), points(), proptest::option::of(points()), proptest::option::of(vec(entry, 0..4)))
        .prop_map(|(redeemer, provider, points, amount_cents, items)| {
            json!({"event_type": "redemption", "redeemer_id": redeemer, "redeemer_kind": "charity", "provider_id": provider,
                "provider_kind": "municipality", "purpose": "fee", "points": points, "amount_cents": amount_cents, "items": items})
        });
    let transfer = (any_text(), any_text(), points())
        .prop_map(|(from, to, points)| json!({"event_type": "transfer", "from_officer_id": from, "to_officer_id": to, "points": points}));
    let extras = proptest::collection::btree_map(
        "[A-Z][ -~é]{0,8}",
        prop_oneof![
            any_text().prop_map(Value::String),
            any::<i64>().prop_map(Value::from),
            Just(json!([{"a": [null, true]}]))
        ],
        0..4,
    );
    let envelope = (any::<u128>(), 1_577_836_800_000..ARRIVED_AT / 1000, proptest::option::of(any_text()), extras);
    (prop_oneof![redemption, transfer], envelope).prop_map(|(event, (id, occurred_at, source, extras))| {
        let Value::Object(mut event) = event else { panic!("an event is an object") };
        event.insert("event_id".to_owned(), json!(uuid::Uuid::from_u128(id).to_string()));
        event.insert("occurred_at".to_owned(), json!(occurred_at));
        event.insert("source".to_owned(), json!(source));
        event.extend(extras);
        (event["event_type"].as_str().unwrap().to_owned(), event)
    })
}
