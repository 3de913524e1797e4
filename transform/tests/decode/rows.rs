//! What rows look like: values, lineage, several events in a record, duplicates, sizes.

use arrow::datatypes::{Date32Type, Float64Type};
use bluelake_schemas::rejected_events_schema;

use super::*;

#[test]
fn an_event_fills_only_its_types_columns() {
    let data = [Sample::interaction(), Sample::donation(), Sample::redemption(), Sample::transfer()]
        .iter()
        .map(Sample::json)
        .collect::<Vec<_>>()
        .join("\n");
    let (counts, batch) = decode(Stream::TransactionEvents, data);
    assert_eq!((counts.stored, batch.unknown_fields), (4, 0));
    let events = &batch.events;
    assert_eq!(events.schema(), CONTRACT.stream(Stream::TransactionEvents).table_schema());
    let types: Vec<_> = (0..4).map(|row| text(events, "event_type", row).unwrap()).collect();
    assert_eq!(types, ["interaction", "donation", "redemption", "transfer"]);
    let points: Vec<_> = (0..4).map(|row| integer(events, "points", row)).collect();
    assert_eq!(points, [None, Some(25), Some(40), Some(7)]);
    let zip_codes: Vec<_> = (0..4).map(|row| text(events, "zip_code", row)).collect();
    assert_eq!(zip_codes, [Some("02139".to_owned()), None, None, None]);
    let distance = events.column_by_name("distance_ft").unwrap().as_primitive::<Float64Type>();
    assert_eq!((distance.value(0), distance.null_count()), (3.25, 3));
    assert_eq!(sub_sequences(events), [0, 1, 2, 3]);
    let version = events.column_by_name("schema_version").unwrap().as_primitive::<Int32Type>();
    assert_eq!(version.values(), &[1; 4]);
    let dates = events.column_by_name("event_date").unwrap().as_primitive::<Date32Type>();
    assert_eq!(dates.values(), &[20_780; 4]);
}

#[test]
fn items_are_a_list_of_objects() {
    let data = [
        Sample::redemption().json(),
        Sample::redemption().without("items").json(),
        Sample::redemption().with("items", " [ ] ").json(),
        Sample::redemption().with("items", r#"[ {"points":1,"quantity":2,"name":"\u00e9","sku":"z"} ]"#).json(),
    ];
    let (_, batch) = decode(Stream::TransactionEvents, data.concat());
    let items = batch.events.column_by_name("items").unwrap().as_list::<i32>();
    let lengths: Vec<_> = (0..4).map(|row| items.is_valid(row).then(|| items.value_length(row))).collect();
    assert_eq!(lengths, [Some(2), None, Some(0), Some(1)]);
    let entries = items.values().as_struct();
    let names: Vec<_> = entries.column_by_name("name").unwrap().as_string::<i32>().iter().flatten().collect();
    assert_eq!(names, ["Bread", "Milk", "é"]);
    let quantities = entries.column_by_name("quantity").unwrap().as_primitive::<Int64Type>();
    assert_eq!(quantities.values(), &[2, 1, 2]);
}

#[test]
fn values_in_a_record_are_numbered_from_zero() {
    let (one, two) = (Sample::transfer().json(), Sample::donation().json());
    for separator in ["", "\n", "\r\n", " \t\n ", "\n\n"] {
        let (counts, batch) = decode(Stream::TransactionEvents, format!("{separator}{one}{separator}{two}{separator}"));
        assert_eq!((counts.received, counts.stored), (2, 2));
        assert_eq!(sub_sequences(&batch.events), [0, 1]);
    }
    let bad = Sample::transfer().with("points", "-1").json();
    let (counts, batch) =
        decode(Stream::TransactionEvents, format!("{one} null {bad}\n{two}[1]\"text\"7\n{one},{two}\n"));
    assert_eq!((counts.received, counts.stored, counts.rejected), (9, 3, 6));
    assert_eq!(sub_sequences(&batch.events), [0, 3, 7]);
    assert_eq!(sub_sequences(&batch.rejected), [1, 2, 4, 5, 6, 8]);
    let rejected: Vec<_> =
        rejections(&batch).into_iter().map(|(reason, _, bytes)| (reason, String::from_utf8(bytes).unwrap())).collect();
    let expected = [
        ("not_object", "null"),
        ("out_of_range", bad.as_str()),
        ("not_object", "[1]"),
        ("not_object", "\"text\""),
        ("not_object", "7"),
        ("not_json", &format!(",{two}\n")),
    ];
    assert_eq!(rejected, expected.map(|(reason, bytes)| (reason.to_owned(), bytes.to_owned())));
}

#[test]
fn a_partial_last_value_is_one_rejected_item() {
    let one = Sample::transfer().json();
    for (rest, reason) in [
        (&b"{\"event_id\":"[..], "not_json"),
        (b"garbage {} {} []", "not_json"),
        (b"{\"a\":\"\xff\"}{}", "not_utf8"),
        (b"\xff{}", "not_utf8"),
        (b"12abc", "not_json"),
    ] {
        let data = [one.as_bytes(), b"\n", rest].concat();
        let (counts, batch) = decode(Stream::TransactionEvents, data);
        assert_eq!((counts.stored, counts.rejected), (1, 1));
        assert_eq!(rejections(&batch), [(reason.to_owned(), None, rest.to_vec())]);
    }
}

#[test]
fn a_record_of_countless_values_is_cut_off() {
    let (counts, batch) = decode(Stream::TransactionEvents, "0 ".repeat(150_000));
    assert_eq!((counts.received, counts.rejected), (100_001, 100_001));
    let (reason, _, bytes) = rejections(&batch).pop().unwrap();
    assert_eq!((reason.as_str(), bytes.len()), ("too_large", 100_000));
}

#[test]
fn every_row_says_where_it_came_from() {
    let mut builder = builder(Stream::UserEvents);
    builder.push(&position("1"), Sample::user().json().as_bytes(), &mut |_, _| false);
    builder.push(&position("2"), b"nonsense", &mut |_, _| false);
    builder.push(&position("30"), Sample::user().json().as_bytes(), &mut |_, _| false);
    assert_eq!(builder.rows(), 3);
    let batch = builder.finish().unwrap();
    for (rows, sequences) in [(&batch.events, vec!["1", "30"]), (&batch.rejected, vec!["2"])] {
        for (row, sequence) in sequences.into_iter().enumerate() {
            assert_eq!(text(rows, "stream_shard", row).unwrap(), "shardId-000000000007");
            assert_eq!(text(rows, "stream_sequence", row).unwrap(), sequence);
            let arrived_at = rows.column_by_name("arrived_at").unwrap();
            let arrived_at = arrived_at.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
            assert_eq!(arrived_at.value(row), ARRIVED_AT);
        }
    }
    assert_eq!(batch.rejected.schema(), rejected_events_schema());
    assert_eq!(text(&batch.rejected, "stream", 0).unwrap(), "user-events");
    let dates = batch.rejected.column_by_name("arrival_date").unwrap().as_primitive::<Date32Type>();
    assert_eq!(dates.value(0), 20_780);
    let versions = batch.rejected.column_by_name("contract_version").unwrap().as_primitive::<Int32Type>();
    assert_eq!(versions.value(0), 1);
}

#[test]
fn each_valid_event_is_checked_for_duplicates_once() {
    let mut builder = builder(Stream::TransactionEvents);
    let bad = Sample::transfer().with("points", "-1").json();
    let data = format!("{}\n{bad}\n{}", Sample::transfer().with("extra", "1").json(), Sample::donation().json());
    let mut asked = Vec::new();
    let counts = builder.push(&position("1"), data.as_bytes(), &mut |event_id, sub_sequence| {
        asked.push((event_id.to_string(), sub_sequence));
        sub_sequence == 0
    });
    assert_eq!(asked, [(EVENT_ID.to_owned(), 0), (EVENT_ID.to_owned(), 2)]);
    assert_eq!(counts, Counts { received: 3, stored: 1, rejected: 1, duplicate: 1, misrouted: 0 });
    let batch = builder.finish().unwrap();
    assert_eq!((text(&batch.events, "event_type", 0).unwrap().as_str(), batch.unknown_fields), ("donation", 0));
}

#[test]
fn a_builder_begins_anew_after_finish() {
    let mut builder = builder(Stream::TransactionEvents);
    assert_eq!((builder.buffered_bytes(), builder.rows()), (0, 0));
    let empty = builder.finish().unwrap();
    assert_eq!((empty.events.num_rows(), empty.rejected.num_rows()), (0, 0));
    let data = format!("{}\n{}oops", Sample::redemption().with("note", "\"x\"").json(), Sample::transfer().json());
    let mut sizes = Vec::new();
    for _ in 0..2 {
        for record in 0..500 {
            let before = builder.buffered_bytes();
            builder.push(&position(&record.to_string()), data.as_bytes(), &mut |_, _| false);
            assert!(builder.buffered_bytes() > before);
        }
        let estimated = builder.buffered_bytes();
        let batch = builder.finish().unwrap();
        assert_eq!((batch.events.num_rows(), batch.rejected.num_rows(), batch.unknown_fields), (1000, 500, 500));
        assert_eq!((builder.buffered_bytes(), builder.rows()), (0, 0));
        let actual: usize = [&batch.events, &batch.rejected]
            .iter()
            .flat_map(|rows| rows.columns())
            .map(|column| column.to_data().get_slice_memory_size().unwrap())
            .sum();
        assert!(estimated > actual * 8 / 10 && estimated < actual * 12 / 10, "{estimated} for {actual}");
        sizes.push(estimated);
    }
    assert_eq!(sizes[0], sizes[1]);
}

#[test]
fn counts_add_up() {
    let mut sum = Counts { received: 3, stored: 1, rejected: 1, duplicate: 1, misrouted: 0 };
    sum += Counts { received: 2, stored: 2, rejected: 0, duplicate: 0, misrouted: 0 };
    assert_eq!(sum, Counts { received: 5, stored: 3, rejected: 1, duplicate: 1, misrouted: 0 });
}

#[test]
fn the_contract_page_lists_every_reason_code() {
    let page = include_str!("../../../docs/contract.md");
    for code in bluelake_transform::ReasonCode::ALL {
        assert!(page.contains(&format!("| `{code}` |")), "docs/contract.md lacks {code}");
    }
}

#[test]
fn a_bound_of_a_text_that_is_kept_rejects_nothing() {
    let long = "é".repeat(100_000);
    let raw = format!("\"{long}\"");
    let user = Sample::user().with("display_name", &raw).with("status", &raw).with("source", &raw);
    let (counts, stored) = decode(Stream::UserEvents, user.json());
    assert_eq!(counts.stored, 1, "{:?}", rejections(&stored));
    let stored = stored.events;
    for field in ["display_name", "status", "source"] {
        assert_eq!(text(&stored, field, 0).as_deref(), Some(long.as_str()), "{field}");
    }
    let items = format!("[{{\"sku\":\"s\",\"name\":{raw},\"quantity\":1,\"points\":2}}]");
    let (counts, stored) =
        decode(Stream::TransactionEvents, Sample::redemption().with("currency", &raw).with("items", items).json());
    assert_eq!(counts.stored, 1, "{:?}", rejections(&stored));
    let stored = stored.events;
    assert_eq!(text(&stored, "currency", 0).as_deref(), Some(long.as_str()));
}
