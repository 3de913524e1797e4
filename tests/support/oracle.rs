//! The oracle of every fault test: each journalled event is exactly once in its table, among the rejected events, or
//! counted as a duplicate, and the stored values equal those that were put.

use std::collections::{BTreeMap, HashMap};
use std::io::BufReader;
use std::path::Path;

use bluelake_generate::{EventKind, GeneratedEvent, Generator, GeneratorOptions, JournalEntry, JournalKind, Truth};
use bluelake_generate::{payload_sha256, read_journal};
use bluelake_schemas::Stream;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::support::command::Machine;
use crate::support::lake_files::{Totals, control_totals};

/// The workload of a test: the options for the command line and for the oracle's own copy of the events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) events: u64,
    pub(crate) seed: u64,
    pub(crate) bad_rate: f64,
    pub(crate) duplicate_rate: f64,
    /// Length of the period; fewer days mean fewer partitions, and so fewer files in a commit.
    pub(crate) days: u32,
}

const END: &str = "2026-11-01T00:00:00Z";

impl Workload {
    /// Puts the events into Kinesis by the command line, and keeps journal and truth in the working folder.
    pub(crate) async fn put(&self, machine: &Machine) {
        self.put_with(machine, &[]).await;
    }

    /// As [`Workload::put`], with more arguments for the generator.
    pub(crate) async fn put_with(&self, machine: &Machine, more: &[&str]) {
        let (events, seed, days) = (self.events.to_string(), self.seed.to_string(), self.days.to_string());
        let (bad, duplicate) = (self.bad_rate.to_string(), self.duplicate_rate.to_string());
        let (journal, truth) = (self.journal_file(), self.truth_file());
        let arguments = [
            "generate",
            "--events",
            &events,
            "--seed",
            &seed,
            "--days",
            &days,
            "--end",
            END,
            "--bad-rate",
            &bad,
            "--duplicate-rate",
            &duplicate,
            "--to",
            "kinesis",
            "--journal",
            &journal,
            "--truth",
            &truth,
        ];
        machine.succeed(&[&arguments, more].concat()).await;
    }

    /// The events, as the generator makes them.
    fn generated(&self) -> (Vec<GeneratedEvent>, Truth) {
        let options = GeneratorOptions {
            events: self.events,
            seed: self.seed,
            days: self.days,
            end: END.parse().unwrap(),
            bad_rate: self.bad_rate,
            duplicate_rate: self.duplicate_rate,
        };
        let mut generator = Generator::new(options).unwrap();
        let events = generator.by_ref().collect();
        (events, generator.into_truth())
    }

    /// The events, in the order in which they are put.
    pub(crate) fn events(&self) -> Vec<GeneratedEvent> {
        self.generated().0
    }

    /// As [`verify`], for a lake into which only this was put.
    pub(crate) async fn verify(&self, machine: &Machine, lake: &str, folder: &Path) {
        verify(&[*self], machine, lake, folder).await;
    }

    /// The journal; a lost answer would make *exactly once* undecidable, and must not happen on loopback.
    pub(crate) fn journal(&self, machine: &Machine) -> Vec<JournalEntry> {
        let file = std::fs::File::open(machine.path(&self.journal_file())).unwrap();
        let entries: Vec<_> = read_journal(BufReader::new(file)).map(Result::unwrap).collect();
        assert!(entries.iter().all(|entry| entry.sequence.is_some()), "an answer of Kinesis was lost");
        entries
    }

    fn journal_file(&self) -> String {
        format!("journal-{}.ndjson", self.seed)
    }

    fn truth_file(&self) -> String {
        format!("truth-{}.json", self.seed)
    }
}

/// Compares a lake with the journals of all puts, and its control totals with the truth. `lake` is as for `--lake`;
/// `folder` is where its files are on this machine.
pub(crate) async fn verify(workloads: &[Workload], machine: &Machine, lake: &str, folder: &Path) {
    let (mut events, mut journal, mut truths) = (Vec::new(), Vec::new(), Vec::new());
    for workload in workloads {
        let (generated, truth) = workload.generated();
        let written = std::fs::read(machine.path(&workload.truth_file())).unwrap();
        let written: Truth = serde_json::from_slice(&written).unwrap();
        assert_eq!(written, truth, "the command line and the library must generate the same");
        events.extend(generated);
        truths.push(truth);
        journal.extend(workload.journal(machine));
    }
    let payloads: HashMap<String, &GeneratedEvent> =
        events.iter().map(|event| (payload_sha256(&event.bytes), event)).collect();
    for stream in Stream::ALL {
        let entries: Vec<_> = journal.iter().filter(|entry| entry.stream == stream).collect();
        let rows = machine.query(lake, &format!("SELECT * FROM {}", stream.table())).await;
        let rejected_sql = format!("SELECT * FROM rejected_events WHERE stream = '{stream}'");
        let rejected = machine.query(lake, &rejected_sql).await;
        verify_rows(&entries, &rows, &payloads);
        verify_rejected(&entries, &rejected);
        let expected = expected_totals(&truths, stream);
        assert_eq!(control_totals(folder, stream.table(), stream.name()), expected, "{stream}");
        let found = (rows.len() as u64, rejected.len() as u64);
        assert_eq!(found, (expected.stored, expected.rejected), "{stream}");
    }
}

fn expected_totals(truths: &[Truth], stream: Stream) -> Totals {
    let mut sum = Totals { received: 0, stored: 0, rejected: 0, duplicate: 0 };
    for totals in truths.iter().filter_map(|truth| truth.streams.get(&stream)) {
        sum.received += totals.put;
        sum.stored += totals.good;
        sum.rejected += totals.bad.values().sum::<u64>();
        sum.duplicate += totals.duplicate;
    }
    sum
}

/// Where a record is in its stream.
fn position(entry: &JournalEntry) -> (String, String) {
    (entry.shard.clone().unwrap(), entry.sequence.clone().unwrap())
}

fn row_position(row: &Value) -> (String, String) {
    let text = |name: &str| row[name].as_str().unwrap().to_owned();
    assert_eq!(row["stream_sub_sequence"], 0, "one event a record");
    (text("stream_shard"), text("stream_sequence"))
}

fn verify_rows(entries: &[&JournalEntry], rows: &[Value], payloads: &HashMap<String, &GeneratedEvent>) {
    let mut by_id: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for row in rows {
        by_id.entry(row["event_id"].as_str().unwrap()).or_default().push(row);
    }
    // A retry has the bytes of the original: the first of them is the row.
    let mut puts: BTreeMap<&str, Vec<&JournalEntry>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.kind != JournalKind::Bad) {
        puts.entry(&entry.event_id).or_default().push(entry);
    }
    for (id, entries) in &puts {
        let found = by_id.remove(id).unwrap_or_default();
        let [row] = found.as_slice() else { panic!("event {id} is stored {} times", found.len()) };
        let at = row_position(row);
        let entry = entries.iter().find(|entry| position(entry) == at);
        let entry = entry.unwrap_or_else(|| panic!("event {id} is stored from {at:?}, where it was not put"));
        let event = payloads[&entry.payload_sha256];
        assert!(matches!(event.kind, EventKind::Good | EventKind::Duplicate));
        verify_payload(row, &serde_json::from_slice(&event.bytes).unwrap());
    }
    assert!(by_id.is_empty(), "stored, but never put as good: {:?}", by_id.keys());
}

/// Checks that every field that was put is in its column (or in `extras`), and no other field of the contract has a
/// value.
pub(crate) fn verify_payload(row: &Value, payload: &Value) {
    let payload = payload.as_object().unwrap();
    let extras: Value = row["extras"].as_str().map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
    for (name, put) in payload {
        match name.as_str() {
            // Checked and dropped on arrival.
            "latitude" | "longitude" => assert!(row.get(name).is_none()),
            "occurred_at" => assert_eq!(instant(&row[name]), instant(put)),
            "event_id" => assert_eq!(row[name].as_str().unwrap(), put.as_str().unwrap().to_lowercase()),
            _ => match row.get(name) {
                Some(stored) => assert_eq!(stored, put, "{name} of {payload:?}"),
                None => assert_eq!(&extras[name], put, "{name} of {payload:?}"),
            },
        }
    }
    let lineage = ["stream_shard", "stream_sequence", "stream_sub_sequence", "arrived_at", "event_date"];
    for (column, stored) in row.as_object().unwrap() {
        let ours = lineage.contains(&column.as_str()) || column == "extras" || column == "schema_version";
        if !ours && !payload.contains_key(column) {
            assert!(stored.is_null(), "{column} was not put, but is {stored}");
        }
    }
    let date = instant(&row["occurred_at"]).date_naive().to_string();
    assert_eq!(row["event_date"].as_str().unwrap(), date);
}

fn instant(value: &Value) -> DateTime<Utc> {
    match value {
        Value::Number(milliseconds) => DateTime::from_timestamp_millis(milliseconds.as_i64().unwrap()).unwrap(),
        other => DateTime::parse_from_rfc3339(other.as_str().unwrap()).unwrap().to_utc(),
    }
}

fn verify_rejected(entries: &[&JournalEntry], rejected: &[Value]) {
    let mut by_position: BTreeMap<_, Vec<&Value>> = BTreeMap::new();
    for row in rejected {
        by_position.entry(row_position(row)).or_default().push(row);
    }
    for entry in entries.iter().filter(|entry| entry.kind == JournalKind::Bad) {
        let found = by_position.remove(&position(entry)).unwrap_or_default();
        let [row] = found.as_slice() else { panic!("{entry:?} is rejected {} times", found.len()) };
        assert_eq!(row["reason"].as_str(), entry.reason.as_deref(), "{entry:?}");
        assert_eq!(payload_sha256(&bytes(&row["event_bytes"])), entry.payload_sha256, "{entry:?}");
    }
    assert!(by_position.is_empty(), "rejected, but not put as bad: {by_position:?}");
}

/// Bytes from the JSON output, which writes them in hexadecimal.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|start| u8::from_str_radix(&text[start..start + 2], 16).unwrap()).collect()
}
