//! Each row of the table of bad input that concerns JSON, with its required outcome.

use super::*;

/// The record is one rejected item that keeps all of its bytes.
#[track_caller]
fn assert_rejected(stream: Stream, data: impl AsRef<[u8]>, reason: &str, path: Option<&str>) {
    let shown = String::from_utf8_lossy(data.as_ref()).chars().take(200).collect::<String>();
    let (counts, batch) = decode(stream, &data);
    assert_eq!((counts.received, counts.rejected), (1, 1), "{shown}");
    let [(found, found_path, bytes)] = &rejections(&batch)[..] else { panic!("{shown}") };
    assert_eq!((found.as_str(), found_path.as_deref()), (reason, path), "{shown}");
    assert_eq!(bytes, data.as_ref(), "{shown}");
}

#[track_caller]
fn assert_sample_rejected(sample: &Sample, reason: &str, path: Option<&str>) {
    assert_rejected(Stream::TransactionEvents, sample.json(), reason, path);
}

#[track_caller]
fn assert_stored(sample: &Sample) -> RecordBatch {
    let (counts, batch) = decode(Stream::TransactionEvents, sample.json());
    assert_eq!(counts.stored, 1, "{}: {:?}", sample.json(), rejections(&batch));
    batch.events
}

#[test]
fn an_empty_record_is_empty() {
    for data in ["", " ", "\n", " \r\n\t ", "\u{feff}", "\u{feff} \n"] {
        assert_rejected(Stream::UserEvents, data, "empty", None);
    }
}

#[test]
fn values_that_are_no_objects_are_not_object() {
    let array = format!("[\"{EVENT_ID}\",\"transfer\",1,\"2026-11-23T12:00:00Z\",null,null,\"o-1\",\"o-2\",7]");
    for data in ["null", "\"text\"", "12", "-1.5e3", "true", "false", "[]", "[{}]", &array] {
        assert_rejected(Stream::TransactionEvents, data, "not_object", None);
    }
}

#[test]
fn text_that_breaks_the_grammar_is_not_json() {
    let whole = Sample::transfer().json();
    for cut in 1..whole.len() {
        assert_rejected(Stream::TransactionEvents, &whole[..cut], "not_json", None);
    }
    for data in [
        "{\"a\":1,}",
        "[1,]",
        "{\"a\":1 /* note */}",
        "// note",
        "{'a':1}",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\":}",
        "{,}",
        "{\"a\":1]",
        "[1}",
        "01",
        "+1",
        ".5",
        "1.",
        "0x10",
        "NaN",
        "Infinity",
        "-",
        "nul",
        "truefalse",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":1.}",
        "{\"a\":0x10}",
        "{\"a\":NaN}",
        "{\"a\":\"tab\there\"}",
        "\"line\nbreak\"",
        "{\"a\":\"\u{0}\"}",
        "\"\\x41\"",
        "\"\\u12g4\"",
        "}",
        "]",
        ":",
        "hello",
        "<event/>",
    ] {
        assert_rejected(Stream::TransactionEvents, data, "not_json", None);
    }
    let avro = b"Obj\x01\x04\x14avro.codec\x08null\xff";
    let schema_registry = b"\x00\x00\x00\x00\x2a\x0a\x05hello";
    let protobuf = b"\x0a\x24\xf0\x9f\x05hello";
    for data in [&avro[..], schema_registry, protobuf] {
        assert_rejected(Stream::TransactionEvents, data, "not_json", None);
    }
}

#[test]
fn a_leading_byte_order_mark_is_skipped() {
    let (counts, batch) = decode(Stream::TransactionEvents, format!("\u{feff}{}", Sample::transfer().json()));
    assert_eq!((counts.stored, batch.events.num_rows()), (1, 1));
    assert_rejected(Stream::TransactionEvents, "\u{feff}{", "not_json", None);
    let twice = format!("{}\u{feff}{}", Sample::transfer().json(), Sample::transfer().json());
    let (counts, batch) = decode(Stream::TransactionEvents, &twice);
    assert_eq!((counts.stored, rejections(&batch)[0].0.as_str()), (1, "not_json"));
}

#[test]
fn other_encodings_are_not_utf8() {
    let json = Sample::transfer().json();
    let little: Vec<u8> = json.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = json.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let marked = [b"\xff\xfe", &little[..]].concat();
    let latin1 = b"{\"source\":\"caf\xe9\"}";
    let overlong = b"{\"source\":\"\xc0\xaf\"}";
    let surrogate = b"{\"source\":\"\xed\xa0\x80\"}";
    let cut = b"{\"source\":\"\xf0\x9f\x98\"}";
    for data in [&little[..], &big, &marked, latin1, overlong, surrogate, cut, b"\xff", b"\"\xc3\xa9\xc3"] {
        assert_rejected(Stream::TransactionEvents, data, "not_utf8", None);
    }
}

#[test]
fn half_a_surrogate_pair_is_not_utf8() {
    for escape in ["\\ud800", "\\udc00", "\\ud83d\\ud83d", "x\\uDBFFx", "\\ud800\\u0041", "\\ud800\\\\udc00"] {
        let escape = format!("\"{escape}\"");
        assert_sample_rejected(&Sample::transfer().with("source", &escape), "not_utf8", Some("source"));
        assert_sample_rejected(&Sample::transfer().with("unknown", &escape), "not_utf8", None);
        assert_sample_rejected(&Sample::transfer().with("unknown", format!("[{{\"a\":{escape}}}]")), "not_utf8", None);
        assert_sample_rejected(&Sample::transfer().with(escape.trim_matches('"'), "1"), "not_utf8", None);
    }
    let whole = assert_stored(&Sample::transfer().with("source", "\"\\ud83d\\ude00\""));
    assert_eq!(text(&whole, "source", 0).unwrap(), "😀");
}

#[test]
fn an_escaped_nul_is_a_bad_string() {
    assert_sample_rejected(&Sample::transfer().with("source", "\"a\\u0000b\""), "bad_string", Some("source"));
    assert_sample_rejected(&Sample::transfer().with("unknown", "{\"a\":[\"\\u0000\"]}"), "bad_string", None);
    assert_sample_rejected(&Sample::transfer().with("\\u0000", "1"), "bad_string", None);
    let item = r#"[{"sku":"\u0000","name":"Bread","quantity":2,"points":30}]"#;
    assert_sample_rejected(&Sample::redemption().with("items", item), "bad_string", Some("items"));
}

#[test]
fn nesting_beyond_32_is_too_deep_anywhere() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_stored(&Sample::transfer().with("unknown", nested(31)));
    assert_sample_rejected(&Sample::transfer().with("unknown", nested(32)), "too_deep", None);
    assert_sample_rejected(&Sample::redemption().with("items", nested(32)), "too_deep", Some("items"));
    assert_rejected(Stream::UserEvents, nested(32), "not_object", None);
    assert_rejected(Stream::UserEvents, nested(33), "too_deep", None);
}

#[test]
fn half_a_million_brackets_are_too_deep() {
    let run = || {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            let unclosed = open.repeat(500_000);
            assert_rejected(Stream::UserEvents, &unclosed, "too_deep", None);
            assert_rejected(Stream::UserEvents, format!("{unclosed}1{}", close.repeat(500_000)), "too_deep", None);
            let inside = Sample::transfer().with("unknown", format!("{unclosed}1{}", close.repeat(500_000)));
            assert_sample_rejected(&inside, "too_deep", None);
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn a_known_field_twice_is_a_duplicate_key() {
    assert_sample_rejected(&Sample::transfer().and("points", "7"), "duplicate_key", Some("points"));
    assert_sample_rejected(&Sample::transfer().and("\\u0070oints", "7"), "duplicate_key", Some("points"));
    assert_sample_rejected(&Sample::transfer().and("p\\u006fint\\u0073", "null"), "duplicate_key", Some("points"));
    assert_sample_rejected(&Sample::transfer().and("event_id", "\"x\""), "duplicate_key", Some("event_id"));
    assert_sample_rejected(
        &Sample::transfer().and("donor_id", "1").and("donor_id", "1"),
        "duplicate_key",
        Some("donor_id"),
    );
    let item = r#"[{"sku":"a","name":"b","quantity":1,"points":1},{"sku":"a","name":"b","quantity":1,"s\u006bu":"c","points":1}]"#;
    assert_sample_rejected(&Sample::redemption().with("items", item), "duplicate_key", Some("items[1].sku"));
}

#[test]
fn unknown_fields_are_kept_verbatim_in_extras() {
    let sample = Sample::transfer()
        .with("Points", "8")
        .with("note \\u00e9", "\"a\\/b \\u00e9\"")
        .with("big", "{ \"x\" : [1.50, 1e400,\n null] }")
        .and("twice", "1")
        .and("twice", "2");
    let events = assert_stored(&sample);
    let expected = "{\"Points\":8,\"note \\u00e9\":\"a\\/b \\u00e9\",\"big\":{ \"x\" : [1.50, 1e400,\n null] },\"twice\":1,\"twice\":2}";
    assert_eq!(text(&events, "extras", 0).unwrap(), expected);
    assert_eq!(integer(&events, "points", 0), Some(7));
    assert_eq!(text(&assert_stored(&Sample::transfer()), "extras", 0), None);
    let (_, batch) = decode(Stream::TransactionEvents, sample.json());
    assert_eq!(batch.unknown_fields, 5);
}

#[test]
fn fields_of_other_types_stay_in_extras() {
    let events = assert_stored(&Sample::transfer().with("donor_id", "[1, 2]").with("zip_code", "null"));
    assert_eq!(text(&events, "extras", 0).unwrap(), r#"{"donor_id":[1, 2],"zip_code":null}"#);
    assert_eq!(text(&events, "donor_id", 0), None);
    let items = r#"[{"sku":"a","name":"b","quantity":1,"points":1},{"color":"re\u0064","sku":"a","name":"b","quantity":1,"SKU":[ ],"points":1}]"#;
    let events = assert_stored(&Sample::redemption().with("items", items).with("gift", "true"));
    let extras = text(&events, "extras", 0).unwrap();
    assert_eq!(extras, r#"{"items[1].color":"re\u0064","items[1].SKU":[ ],"gift":true}"#);
    serde_json::from_str::<serde_json::Value>(&extras).unwrap();
}

#[test]
fn a_position_is_not_kept_in_extras_either() {
    let events = assert_stored(&Sample::transfer().with("latitude", "42.36").with("longitude", "-71.09"));
    assert_eq!(text(&events, "extras", 0), None);
    assert_sample_rejected(&Sample::interaction().with("latitude", "90.1"), "out_of_range", Some("latitude"));
    assert_sample_rejected(&Sample::interaction().with("longitude", "\"x\""), "wrong_type", Some("longitude"));
    // These fields belong to interactions; other events must not bring bad ones either.
    for event in [Sample::transfer(), Sample::donation(), Sample::redemption()] {
        assert_sample_rejected(&event.clone().with("latitude", "90.1"), "out_of_range", Some("latitude"));
        assert_sample_rejected(&event.clone().with("longitude", "\"x\""), "wrong_type", Some("longitude"));
        let kept = assert_stored(&event.with("latitude", "42.36").with("longitude", "null"));
        assert_eq!(text(&kept, "extras", 0), None);
    }
}

#[test]
fn unknown_fields_beyond_64_kibibytes_are_too_large() {
    let fits = "x".repeat(65_536 - r#"{"k":""}"#.len());
    let events = assert_stored(&Sample::transfer().with("k", format!("\"{fits}\"")));
    assert_eq!(text(&events, "extras", 0).unwrap().len(), 65_536);
    assert_sample_rejected(&Sample::transfer().with("k", format!("\"{fits}x\"")), "too_large", Some("extras"));
    let many: Vec<String> = (0..20_000).map(|number| format!("\"k{number}\":0")).collect();
    let many = Sample::transfer().json().replacen('{', &format!("{{{},", many.join(",")), 1);
    assert_rejected(Stream::TransactionEvents, many, "too_large", Some("extras"));
}

#[test]
fn a_null_or_absent_required_field_is_missing() {
    for (sample, fields) in [
        (
            Sample::interaction(),
            &[
                "event_id",
                "event_type",
                "occurred_at",
                "civilian_id",
                "officer_id",
                "method",
                "points_civilian",
                "points_officer",
                "zip_code",
            ][..],
        ),
        (Sample::donation(), &["donor_id", "donor_kind", "recipient_id", "recipient_kind", "points"]),
        (Sample::redemption(), &["redeemer_id", "redeemer_kind", "provider_id", "provider_kind", "purpose", "points"]),
        (Sample::transfer(), &["from_officer_id", "to_officer_id", "points"]),
    ] {
        for field in fields {
            assert_sample_rejected(&sample.clone().without(field), "missing_field", Some(field));
            assert_sample_rejected(&sample.clone().with(field, "null"), "missing_field", Some(field));
        }
    }
    for field in ["user_id", "user_kind"] {
        assert_rejected(Stream::UserEvents, Sample::user().without(field).json(), "missing_field", Some(field));
    }
    let item = r#"[{"sku":"a","name":"b","quantity":1,"points":1},{"sku":"a","name":null,"quantity":1,"points":1}]"#;
    assert_sample_rejected(&Sample::redemption().with("items", item), "missing_field", Some("items[1].name"));
    assert_rejected(Stream::TransactionEvents, "{}", "missing_field", Some("event_type"));
}

#[test]
fn an_optional_field_may_be_missing_or_null() {
    for field in ["amount_cents", "currency", "items", "schema_version", "source", "channel"] {
        assert_stored(&Sample::redemption().without(field));
        let events = assert_stored(&Sample::redemption().with(field, "null"));
        if field != "schema_version" {
            assert!(events.column_by_name(field).unwrap().is_null(0), "{field}");
        }
    }
}

#[test]
fn a_wrong_json_type_is_reported_so() {
    for raw in ["\"12\"", "1.5", "1.0", "1e2", "true", "[]", "{}"] {
        assert_sample_rejected(&Sample::transfer().with("points", raw), "wrong_type", Some("points"));
        assert_sample_rejected(&Sample::transfer().with("schema_version", raw), "wrong_type", Some("schema_version"));
        let item = format!(r#"[{{"sku":"a","name":"b","quantity":{raw},"points":1}}]"#);
        assert_sample_rejected(&Sample::redemption().with("items", item), "wrong_type", Some("items[0].quantity"));
    }
    for raw in ["12", "1.5", "true", "[\"c-1\"]", "{}"] {
        for field in ["event_id", "event_type", "from_officer_id", "channel", "source"] {
            assert_sample_rejected(&Sample::transfer().with(field, raw), "wrong_type", Some(field));
        }
    }
    for raw in ["1.5", "1e12", "true", "[]", "{}"] {
        assert_sample_rejected(&Sample::transfer().with("occurred_at", raw), "wrong_type", Some("occurred_at"));
    }
    for raw in ["\"3\"", "false", "[]"] {
        assert_sample_rejected(&Sample::interaction().with("distance_ft", raw), "wrong_type", Some("distance_ft"));
    }
    for raw in ["{}", "\"[]\"", "1"] {
        assert_sample_rejected(&Sample::redemption().with("items", raw), "wrong_type", Some("items"));
    }
    for raw in ["[null]", "[1]", "[[]]", "[\"a\"]"] {
        assert_sample_rejected(&Sample::redemption().with("items", raw), "wrong_type", Some("items[0]"));
    }
}

#[test]
fn a_number_past_limits_is_out_of_range() {
    for raw in ["-1", "9223372036854775808", "-9223372036854775809", "10000000000000001", &"9".repeat(400)] {
        assert_sample_rejected(&Sample::transfer().with("points", raw), "out_of_range", Some("points"));
        assert_sample_rejected(&Sample::redemption().with("amount_cents", raw), "out_of_range", Some("amount_cents"));
    }
    for raw in ["-0.5", "1e400", "-1e400"] {
        assert_sample_rejected(&Sample::interaction().with("distance_ft", raw), "out_of_range", Some("distance_ft"));
    }
    for raw in ["0", "-1", "99999999999999999999"] {
        assert_sample_rejected(&Sample::transfer().with("schema_version", raw), "out_of_range", Some("schema_version"));
    }
}

#[test]
fn amounts_are_exact_beyond_2_to_53() {
    let events = assert_stored(&Sample::redemption().with("amount_cents", "9007199254740993").with("points", "-0"));
    assert_eq!(integer(&events, "amount_cents", 0), Some(9_007_199_254_740_993));
    assert_eq!(integer(&events, "points", 0), Some(0));
    assert_stored(&Sample::transfer().with("points", "10000000000000000"));
}

#[test]
fn enums_roles_and_rules_are_kept_apart() {
    for (sample, field, raw, reason) in [
        (Sample::transfer(), "channel", "\"carrier pigeon\"", "not_in_enum"),
        (Sample::interaction(), "method", "\"QR\"", "not_in_enum"),
        (Sample::donation(), "donor_kind", "\"pirate\"", "not_in_enum"),
        (Sample::donation(), "donor_kind", "\"\"", "not_in_enum"),
        (Sample::donation(), "donor_kind", "\"family_in_need\"", "rule_violated"),
        (Sample::donation(), "recipient_kind", "\"civilian\"", "rule_violated"),
        (Sample::redemption(), "redeemer_kind", "\"police_officer\"", "rule_violated"),
        (Sample::redemption(), "provider_kind", "\"charity\"", "rule_violated"),
        (Sample::redemption(), "provider_kind", "\"municipality\"", "rule_violated"),
    ] {
        assert_sample_rejected(&sample.with(field, raw), reason, Some(field));
    }
    for purpose in ["\"fine\"", "\"fee\""] {
        let redemption = Sample::redemption().with("purpose", purpose);
        assert_sample_rejected(&redemption, "rule_violated", Some("provider_kind"));
        assert_stored(&redemption.with("provider_kind", "\"municipality\""));
    }
    assert_stored(&Sample::donation().with("donor_kind", "\"polic\\u0065_officer\""));
    assert_rejected(
        Stream::UserEvents,
        Sample::user().with("user_kind", "\"robot\"").json(),
        "not_in_enum",
        Some("user_kind"),
    );
}

#[test]
fn times_are_good_bad_or_implausible() {
    for raw in [
        "\"2026-02-30T00:00:00Z\"",
        "\"2026-06-30T23:59:60Z\"",
        "\"2026-11-23T12:00:00\"",
        "\"2026-11-23\"",
        "\"\"",
        "\"292277-01-01T00:00:00Z\"",
        "\"1795453500000\"",
        "\"yesterday\"",
        "\"2026-11-23T25:00:00Z\"",
        "\"2026-11-23 17:05:00Z\"",
        "\"2026-11-23\\u002017:05:00Z\"",
    ] {
        assert_sample_rejected(&Sample::transfer().with("occurred_at", raw), "bad_timestamp", Some("occurred_at"));
    }
    for raw in [
        "\"2026-11-24T17:05:00.000001Z\"",
        "\"2019-12-31T23:59:59Z\"",
        "\"0000-01-01T00:00:00Z\"",
        "\"9999-12-31T23:59:59Z\"",
        "1795453500",
        "1795453500000000",
        "0",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
    ] {
        assert_sample_rejected(
            &Sample::transfer().with("occurred_at", raw),
            "implausible_timestamp",
            Some("occurred_at"),
        );
    }
    for raw in ["9223372036854775808", "-9223372036854775809", "99999999999999999999", "9224318015999999000"] {
        let event = Sample::transfer().with("occurred_at", raw);
        assert_sample_rejected(&event, "out_of_range", Some("occurred_at"));
    }
    for (raw, micros) in [
        ("\"2026-11-23T17:05:00Z\"", ARRIVED_AT),
        ("1795453500000", ARRIVED_AT),
        ("\"2026-11-24T17:05:00Z\"", ARRIVED_AT + 86_400_000_000),
        ("\"2026-11-23T12:05:00.5-05:00\"", ARRIVED_AT + 500_000),
        ("\"2020-01-01T00:00:00Z\"", 1_577_836_800_000_000),
        ("\"2026-11-23T17:05:00\\u005a\"", ARRIVED_AT),
    ] {
        let events = assert_stored(&Sample::transfer().with("occurred_at", raw));
        let times = events.column_by_name("occurred_at").unwrap();
        let times = times.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
        assert_eq!(times.value(0), micros, "{raw}");
    }
}

#[test]
fn an_unhyphenated_event_id_is_a_bad_uuid() {
    let simple = EVENT_ID.replace('-', "");
    for id in [
        "",
        "x",
        "1234",
        &simple,
        &format!("{{{EVENT_ID}}}"),
        &format!("urn:uuid:{EVENT_ID}"),
        &EVENT_ID.replace('a', "g"),
    ] {
        assert_sample_rejected(&Sample::transfer().with("event_id", format!("\"{id}\"")), "bad_uuid", Some("event_id"));
    }
    let upper = assert_stored(&Sample::transfer().with("event_id", format!("\"{}\"", EVENT_ID.to_uppercase())));
    assert_eq!(text(&upper, "event_id", 0).unwrap(), EVENT_ID);
}

#[test]
fn unknown_types_and_newer_versions_are_rejected() {
    for raw in ["\"purchase\"", "\"Transfer\"", "\"user_created\"", "\"\""] {
        assert_sample_rejected(&Sample::transfer().with("event_type", raw), "unknown_event_type", Some("event_type"));
    }
    let newer = Sample::transfer().with("schema_version", "2").with("event_type", "\"purchase\"");
    assert_sample_rejected(&newer, "unsupported_schema_version", Some("schema_version"));
    assert_sample_rejected(
        &Sample::transfer().with("schema_version", "9223372036854775807"),
        "unsupported_schema_version",
        Some("schema_version"),
    );
}

#[test]
fn ids_and_zip_codes_have_limited_lengths() {
    let id = "é".repeat(64);
    assert_stored(&Sample::transfer().with("from_officer_id", format!("\"{id}\"")));
    assert_stored(&Sample::transfer().with("from_officer_id", format!("\"{}\"", "\\u00e9".repeat(64))));
    let longer = Sample::transfer().with("from_officer_id", format!("\"{id}x\""));
    assert_sample_rejected(&longer, "too_large", Some("from_officer_id"));
    for zip_code in ["2139", "021390", "0213a", "02139-1234", "", " 2139", "٠٢١٣٩", "02139\\n"] {
        let interaction = Sample::interaction().with("zip_code", format!("\"{zip_code}\""));
        assert_sample_rejected(&interaction, "bad_format", Some("zip_code"));
    }
}

#[test]
fn hostile_strings_are_stored_as_they_are() {
    for hostile in [
        "../../x",
        "%00",
        "a=b/c",
        "😀",
        "=SUM(A1:A9)",
        "<script>alert(1)</script>",
        "\u{1b}[31mred",
        "'; DROP TABLE users; --",
        "\u{202e}txt",
        "\"quoted\"",
        "back\\slash",
        "line\nbreak",
        "",
    ] {
        let raw = serde_json::to_string(hostile).unwrap();
        let events = assert_stored(&Sample::transfer().with("from_officer_id", &raw).with("source", &raw));
        assert_eq!(text(&events, "from_officer_id", 0).as_deref(), Some(hostile));
        assert_eq!(text(&events, "source", 0).as_deref(), Some(hostile));
    }
}

#[test]
fn a_reason_never_holds_a_value() {
    let canary = "canary@example.com";
    for sample in [
        Sample::user().with("user_kind", format!("\"{canary}\"")),
        Sample::user().with("event_id", format!("\"{canary}\"")),
        Sample::user().with("zip_code", format!("\"{canary}\"")),
        Sample::user().with(canary, "\"\\ud800\""),
        Sample::user().with("occurred_at", format!("\"{canary}\"")),
    ] {
        let (_, batch) = decode(Stream::UserEvents, sample.json());
        let (reason, path, _) = &rejections(&batch)[0];
        assert!(!reason.contains(canary) && !path.clone().unwrap_or_default().contains(canary));
    }
}
