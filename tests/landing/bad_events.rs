//! Bad input, as raw records in one stream and one ingest: each has the outcome of `docs/contract.md`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::command::Machine;
use crate::support::oracle::bytes;
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS, USER_EVENTS};

/// The required outcome of one event of a record.
enum Expected {
    /// A row with these values.
    Stored(Vec<(&'static str, Value)>),
    /// Rejected with this reason code.
    Rejected(&'static str),
}

use Expected::{Rejected, Stored};

struct Case {
    name: String,
    stream: &'static str,
    data: Vec<u8>,
    /// One for each event of the record, in order.
    expected: Vec<Expected>,
}

/// Collects the cases; each good event gets an id of its own.
struct Cases {
    cases: Vec<Case>,
    ids: u64,
}

impl Cases {
    fn id(&mut self) -> String {
        self.ids += 1;
        format!("00000000-0000-4000-8000-{:012}", self.ids)
    }

    fn user(&mut self) -> Value {
        json!({
            "event_id": self.id(), "event_type": "user_created", "occurred_at": "2026-10-05T12:00:00Z",
            "user_id": "u-1", "user_kind": "merchant",
        })
    }

    fn interaction(&mut self) -> Value {
        json!({
            "event_id": self.id(), "event_type": "interaction", "occurred_at": "2026-10-05T12:00:00-05:00",
            "civilian_id": "c-1", "officer_id": "o-1", "method": "qr",
            "points_civilian": 10, "points_officer": 5, "zip_code": "60601",
        })
    }

    fn donation(&mut self) -> Value {
        json!({
            "event_id": self.id(), "event_type": "donation", "occurred_at": "2026-10-05T12:00:00Z",
            "donor_id": "c-1", "donor_kind": "civilian", "recipient_id": "h-1", "recipient_kind": "charity", "points": 7,
        })
    }

    fn redemption(&mut self) -> Value {
        json!({
            "event_id": self.id(), "event_type": "redemption", "occurred_at": "2026-10-05T12:00:00Z",
            "redeemer_id": "c-1", "redeemer_kind": "civilian", "provider_id": "m-1", "provider_kind": "merchant",
            "purpose": "goods", "points": 7,
        })
    }

    fn add(&mut self, name: impl Into<String>, data: impl Into<Vec<u8>>, expected: Vec<Expected>) {
        self.add_to(TRANSACTION_EVENTS, name, data, expected);
    }

    fn add_to(
        &mut self,
        stream: &'static str,
        name: impl Into<String>,
        data: impl Into<Vec<u8>>,
        expected: Vec<Expected>,
    ) {
        self.cases.push(Case { name: name.into(), stream, data: data.into(), expected });
    }

    /// An interaction with this raw text as the value of one field.
    fn add_raw_field(&mut self, field: &str, raw: &str, expected: Expected) {
        let event = self.interaction();
        self.add(format!("{field}: {raw}"), with_raw_field(&event, field, raw), vec![expected]);
    }

    /// An event with this value of one field.
    fn add_changed(&mut self, mut event: Value, field: &str, value: Value, expected: Expected) {
        let name = format!("{} with {field} = {value}", event["event_type"]);
        let stream = if event.get("user_id").is_some() { USER_EVENTS } else { TRANSACTION_EVENTS };
        event[field] = value;
        self.add_to(stream, name.chars().take(120).collect::<String>(), event.to_string(), vec![expected]);
    }
}

/// The event's text with a value that `serde_json` would not write.
fn with_raw_field(event: &Value, field: &str, raw: &str) -> String {
    let mut event = event.clone();
    event[field] = json!("RAW");
    event.to_string().replace("\"RAW\"", raw)
}

fn stored() -> Expected {
    Stored(Vec::new())
}

fn whole_records(cases: &mut Cases) {
    cases.add("nothing", "", vec![Rejected("empty")]);
    cases.add("white space", " \r\n\t ", vec![Rejected("empty")]);
    let events: Vec<String> = (0..4).map(|_| cases.interaction().to_string()).collect();
    let several = format!("{}\n{}{}  \t{}\n", events[0], events[1], events[2], events[3]);
    cases.add("four objects", several, vec![stored(), stored(), stored(), stored()]);
    let rest = format!("{}{{\"event_id\":", cases.interaction());
    cases.add("an object and a torn one", rest, vec![stored(), Rejected("not_json")]);
    for text in ["null", "\"text\"", "12", "true", "[]", "[{\"event_id\":1}]"] {
        cases.add(text, text, vec![Rejected("not_object")]);
    }
    let values: Vec<Value> = cases.interaction().as_object().unwrap().values().cloned().collect();
    cases.add("an array of an event's values", json!(values).to_string(), vec![Rejected("not_object")]);
    for text in ["Obj\u{1}\u{4}\u{14}avro.codec", "\u{0}\u{0}\u{0}\u{0}\u{1}protobuf", "hello", "<event/>", "a,b,c"] {
        cases.add(text, text, vec![Rejected("not_json")]);
    }
}

fn syntax(cases: &mut Cases) {
    let event = cases.interaction().to_string();
    cases.add("truncated", &event[..event.len() - 5], vec![Rejected("not_json")]);
    cases.add("trailing comma", event.replace('}', ",}"), vec![Rejected("not_json")]);
    cases.add("comment", event.replacen('{', "{/* hello */", 1), vec![Rejected("not_json")]);
    cases.add("single quotes", event.replace('"', "'"), vec![Rejected("not_json")]);
    for number in ["01", "+1", ".5", "1.", "0x10", "NaN", "Infinity", "-", "1e", "1_000"] {
        cases.add_raw_field("points_civilian", number, Rejected("not_json"));
    }
    cases.add_raw_field("civilian_id", "\"a\nb\"", Rejected("not_json"));
    cases.add_raw_field("civilian_id", r#""\x41""#, Rejected("not_json"));
}

fn text_encoding(cases: &mut Cases) {
    let with_mark = format!("\u{feff}{}", cases.interaction());
    cases.add("byte-order mark", with_mark, vec![stored()]);
    let units = cases.interaction().to_string();
    let utf16 = [0xff, 0xfe].into_iter().chain(units.encode_utf16().flat_map(u16::to_le_bytes));
    cases.add("UTF-16", utf16.collect::<Vec<u8>>(), vec![Rejected("not_utf8")]);
    for (name, raw) in [
        ("Latin-1", &b"Jos\xe9"[..]),
        ("overlong", b"\xc0\xaf"),
        ("broken", b"\xe2\x82"),
        ("surrogate", b"\xed\xa0\x80"),
    ] {
        let text = with_raw_field(&cases.interaction(), "civilian_id", "\"@\"");
        let at = text.find('@').unwrap();
        let data = [&text.as_bytes()[..at], raw, &text.as_bytes()[at + 1..]].concat();
        cases.add(name, data, vec![Rejected("not_utf8")]);
    }
    cases.add_raw_field("civilian_id", r#""\ud800""#, Rejected("not_utf8"));
    cases.add_raw_field("civilian_id", r#""\udc00\ud800""#, Rejected("not_utf8"));
    cases.add_raw_field("civilian_id", r#""a\u0000b""#, Rejected("bad_string"));
    cases.add_raw_field("civilian_id", r#""\ud83d\ude00""#, Stored(vec![("civilian_id", json!("😀"))]));
}

fn nesting(cases: &mut Cases) {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    // The event itself is one level.
    cases.add_raw_field("unknown", &nested(31), stored());
    cases.add_raw_field("unknown", &nested(32), Rejected("too_deep"));
    cases.add_raw_field("unknown", &nested(20_000), Rejected("too_deep"));
    cases.add("500,000 brackets", "[".repeat(500_000), vec![Rejected("too_deep")]);
}

fn fields(cases: &mut Cases) {
    let event = cases.interaction().to_string();
    let twice = event.replacen('{', "{\"officer_id\":\"o-2\",", 1);
    cases.add("a field twice", twice, vec![Rejected("duplicate_key")]);
    let event = cases.interaction().to_string();
    let escaped = event.replacen('{', "{\"officer\\u005fid\":\"o-2\",", 1);
    cases.add("a field twice, once escaped", escaped, vec![Rejected("duplicate_key")]);
    let mut event = cases.interaction();
    event["Officer_Id"] = json!("o-9");
    let extras = Stored(vec![("officer_id", json!("o-1")), ("extras", json!(r#"{"Officer_Id":"o-9"}"#))]);
    cases.add("a name in other case", event.to_string(), vec![extras]);
    let event = cases.interaction();
    cases.add_changed(event, "unknown", json!("x".repeat(60 * 1024)), stored());
    let event = cases.interaction();
    cases.add_changed(event, "unknown", json!("x".repeat(66 * 1024)), Rejected("too_large"));
    for field in ["event_id", "event_type", "occurred_at", "civilian_id", "points_civilian", "zip_code"] {
        let mut event = cases.interaction();
        event.as_object_mut().unwrap().remove(field);
        cases.add(format!("without {field}"), event.to_string(), vec![Rejected("missing_field")]);
        let event = cases.interaction();
        cases.add_changed(event, field, Value::Null, Rejected("missing_field"));
    }
}

fn types_and_ranges(cases: &mut Cases) {
    for raw in ["\"12\"", "1.5", "1.0", "1e2", "true", "[1]", "{}"] {
        cases.add_raw_field("points_civilian", raw, Rejected("wrong_type"));
    }
    cases.add_raw_field("zip_code", "60601", Rejected("wrong_type"));
    cases.add_raw_field("method", "1", Rejected("wrong_type"));
    for raw in ["-1", "18446744073709551616", "99999999999999999999999999", "-9223372036854775809"] {
        cases.add_raw_field("points_civilian", raw, Rejected("out_of_range"));
    }
    let event = cases.redemption();
    cases.add_changed(event, "amount_cents", json!(10_000_000_000_000_001_i64), Rejected("out_of_range"));
    let event = cases.redemption();
    let exact = json!(9_007_199_254_740_993_i64);
    cases.add_changed(event, "amount_cents", exact.clone(), Stored(vec![("amount_cents", exact)]));
    let event = cases.redemption();
    cases.add_changed(event, "items", json!({"sku": "s"}), Rejected("wrong_type"));
    let event = cases.redemption();
    let items = json!([{"sku": "s", "name": "Tea", "quantity": 2, "points": 7}]);
    cases.add_changed(event, "items", items.clone(), Stored(vec![("items", items)]));
}

fn enums_and_rules(cases: &mut Cases) {
    let event = cases.interaction();
    cases.add_changed(event, "method", json!("telepathy"), Rejected("not_in_enum"));
    let event = cases.user();
    cases.add_changed(event, "user_kind", json!("alien"), Rejected("not_in_enum"));
    let event = cases.donation();
    cases.add_changed(event, "donor_kind", json!("family_in_need"), Rejected("rule_violated"));
    let event = cases.donation();
    cases.add_changed(event, "recipient_kind", json!("civilian"), Rejected("rule_violated"));
    let event = cases.redemption();
    cases.add_changed(event, "provider_kind", json!("municipality"), Rejected("rule_violated"));
    let event = cases.interaction();
    cases.add_changed(event, "event_type", json!("user_created"), Rejected("unknown_event_type"));
    let event = cases.interaction();
    cases.add_changed(event, "schema_version", json!(99), Rejected("unsupported_schema_version"));
    let event = cases.interaction();
    cases.add_changed(event, "event_id", json!("not-a-uuid"), Rejected("bad_uuid"));
}

fn timestamps(cases: &mut Cases) {
    for text in [
        "2026-02-30T00:00:00Z",
        "2026-10-05T12:00:60Z",
        "2026-10-05T12:00:00",
        "2026-10-05",
        "+292277-01-01T00:00:00Z",
        "yesterday",
        "",
    ] {
        let event = cases.interaction();
        cases.add_changed(event, "occurred_at", json!(text), Rejected("bad_timestamp"));
    }
    let in_two_days = chrono::Utc::now() + chrono::TimeDelta::days(2);
    for value in [
        json!("2019-12-31T23:59:59Z"),
        json!(in_two_days.to_rfc3339()),
        json!(in_two_days.timestamp_millis()),
        json!(1_790_000_000_i64),
        json!(1_790_000_000_000_000_i64),
        json!(i64::MAX),
        json!(i64::MIN),
    ] {
        let event = cases.interaction();
        cases.add_changed(event, "occurred_at", value, Rejected("implausible_timestamp"));
    }
    let event = cases.interaction();
    let milliseconds = json!(1_790_000_000_123_i64);
    cases.add_changed(event, "occurred_at", milliseconds, Stored(vec![("event_date", json!("2026-09-21"))]));
}

fn texts(cases: &mut Cases) {
    let event = cases.interaction();
    cases.add_changed(event, "civilian_id", json!("x".repeat(128)), stored());
    let event = cases.interaction();
    cases.add_changed(event, "civilian_id", json!("x".repeat(129)), Rejected("too_large"));
    for zip in ["6060", "606011", "6060a", "６０６０１", ""] {
        let event = cases.interaction();
        cases.add_changed(event, "zip_code", json!(zip), Rejected("bad_format"));
    }
    for text in
        ["../../x", "%00", "a=b/c", "🚓👮", "=1+1", "<script>alert(1)</script>", "\u{1b}[31mred", "'; DROP TABLE x"]
    {
        let event = cases.user();
        let kept = Stored(vec![("organization_name", json!(text))]);
        cases.add_changed(event, "organization_name", json!(text), kept);
    }
}

/// Rows of a table by shard, sequence number and sub-sequence number.
async fn by_position(machine: &Machine, table: &str) -> BTreeMap<(String, String, u64), Value> {
    let rows = machine.query("./bluelake-data", &format!("SELECT * FROM {table}")).await;
    let position = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (text("stream_shard"), text("stream_sequence"), row["stream_sub_sequence"].as_u64().unwrap())
    };
    rows.into_iter().map(|row| (position(&row), row)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_event_ends_as_the_contract_says() {
    let mut cases = Cases { cases: Vec::new(), ids: 0 };
    for add in
        [whole_records, syntax, text_encoding, nesting, fields, types_and_ranges, enums_and_rules, timestamps, texts]
    {
        add(&mut cases);
    }
    let kinesis = Kinesis::with_streams(2, 3).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let mut put = Vec::new();
    for (number, case) in cases.cases.into_iter().enumerate() {
        let at = kinesis.put(case.stream, &format!("key-{number}"), &case.data).await;
        put.push((case, at));
    }
    let result = machine.run(&["ingest", "--once", "--init", "--json", "--fail-on-rejected"]).await.expect_code(3);
    // Values are personal data: reasons and log lines hold none.
    assert!(!result.stderr.contains("Jos") && !result.stderr.contains("telepathy"), "{}", result.stderr);

    let stored = [by_position(&machine, "user_events").await, by_position(&machine, "transactions").await];
    let rejected = machine.query("./bluelake-data", "SELECT * FROM rejected_events").await.len();
    let rejected_rows = by_rejected_position(&machine).await;
    assert_eq!(rejected, rejected_rows.len(), "a position is rejected twice");
    let mut wrong = Vec::new();
    let (mut expected_rows, mut expected_rejected) = (0, 0);
    for (case, (shard, sequence)) in &put {
        for (number, expected) in (0_u64..).zip(&case.expected) {
            let rows = &stored[usize::from(case.stream == TRANSACTION_EVENTS)];
            let row = rows.get(&(shard.clone(), sequence.clone(), number));
            let refused = rejected_rows.get(&(case.stream.to_owned(), shard.clone(), sequence.clone(), number));
            match expected {
                Stored(_) => expected_rows += 1,
                Rejected(_) => expected_rejected += 1,
            }
            if let Err(fault) = compare(case, expected, row, refused) {
                wrong.push(format!("{} [{number}]: {fault}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(stored.iter().map(BTreeMap::len).sum::<usize>(), expected_rows, "rows that no case expects");
    assert_eq!(rejected, expected_rejected, "rejected events that no case expects");
}

type StreamPosition = (String, String, String, u64);

async fn by_rejected_position(machine: &Machine) -> BTreeMap<StreamPosition, Value> {
    let rows = machine.query("./bluelake-data", "SELECT * FROM rejected_events").await;
    let position = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (text("stream"), text("stream_shard"), text("stream_sequence"), row["stream_sub_sequence"].as_u64().unwrap())
    };
    rows.into_iter().map(|row| (position(&row), row)).collect()
}

fn compare(case: &Case, expected: &Expected, row: Option<&Value>, refused: Option<&Value>) -> Result<(), String> {
    match (expected, row, refused) {
        (Stored(values), Some(row), None) => {
            let other = values.iter().find(|(column, value)| row[column] != *value);
            other.map_or(Ok(()), |(column, value)| Err(format!("{column} is {}, not {value}", row[column])))
        }
        (Rejected(reason), None, Some(refused)) => {
            if refused["reason"] != *reason {
                return Err(format!("rejected as {}, not {reason} ({})", refused["reason"], refused["field_path"]));
            }
            // A record of several events keeps the bytes of the bad one only.
            if case.expected.len() == 1 && bytes(&refused["event_bytes"]) != case.data {
                return Err("its bytes were not kept as they were".to_owned());
            }
            Ok(())
        }
        (_, Some(_), Some(_)) => Err("both stored and rejected".to_owned()),
        (Stored(_), None, Some(refused)) => {
            Err(format!("rejected as {} ({})", refused["reason"], refused["field_path"]))
        }
        (Rejected(reason), Some(_), None) => Err(format!("stored, not rejected as {reason}")),
        (_, None, None) => Err("neither stored nor rejected".to_owned()),
    }
}
