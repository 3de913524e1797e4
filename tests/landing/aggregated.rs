//! An aggregated stream gives the same rows as the plain one.

use std::collections::BTreeSet;

use aws_sdk_kinesis::primitives::Blob;
use bluelake_schemas::Stream;
use bluelake_transform::AggregatedRecordWriter;
use serde_json::Value;

use crate::support::command::Machine;
use crate::support::oracle::Workload;
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS};

const WORKLOAD: Workload = Workload { events: 20_000, seed: 17, bad_rate: 0.03, duplicate_rate: 0.02, days: 5 };

/// The columns that differ between two streams of the same events.
const LINEAGE: [&str; 5] = ["stream_shard", "stream_sequence", "stream_sub_sequence", "arrived_at", "arrival_date"];

/// A lake of the events, put with these additional arguments.
async fn lake(more: &[&str]) -> Machine {
    let kinesis = Kinesis::with_streams(2, 3).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    WORKLOAD.put_with(&machine, more).await;
    let result = machine.run(&["ingest", "--once", "--init", "--json"]).await.expect_code(0).json();
    let received = |stream: &Value| stream["received"].as_u64().unwrap();
    assert_eq!(result["streams"].as_array().unwrap().iter().map(received).sum::<u64>(), WORKLOAD.events);
    machine
}

async fn rows(machine: &Machine, table: &str) -> Vec<Value> {
    machine.query("./bluelake-data", &format!("SELECT * FROM {table}")).await
}

/// Rows without their lineage, in an order that does not depend on it.
fn sorted(rows: &[Value]) -> Vec<String> {
    let mut texts: Vec<String> = rows
        .iter()
        .map(|row| {
            let mut row = row.clone();
            row.as_object_mut().unwrap().retain(|column, _| !LINEAGE.contains(&column.as_str()));
            row.to_string()
        })
        .collect();
    texts.sort();
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn events_hashed_to_another_shard_are_counted() {
    let kinesis = Kinesis::with_streams(1, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let event = |number: u32| {
        format!(
            r#"{{"event_id":"00000000-0000-4000-8000-{number:012}","event_type":"transfer","occurred_at":"2026-01-01T00:00:00Z",
            "source":"scoring","channel":"web","from_officer_id":"a","to_officer_id":"b","points":1}}"#
        )
    };
    let (low, high) = ("0", (u128::MAX - 1).to_string());
    let mut writer = AggregatedRecordWriter::default();
    for (number, key) in [low, &high, low, &high, &high].into_iter().enumerate() {
        writer.push("key", Some(key), event(number as u32).as_bytes());
    }
    let put = kinesis.client.put_record().stream_name(TRANSACTION_EVENTS).partition_key("key");
    put.explicit_hash_key(low).data(Blob::new(writer.finish())).send().await.unwrap();
    let result = machine.run(&["ingest", "--once", "--init", "--json"]).await.expect_code(0).json();
    let transactions = &result["streams"][1];
    assert_eq!((&transactions["stored"], &transactions["misrouted"]), (&5.into(), &3.into()), "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregated_stream_gives_the_same_rows() {
    let (plain, aggregated) = tokio::join!(lake(&[]), lake(&["--aggregate", "100"]));
    let journal = WORKLOAD.journal(&aggregated);
    let put: BTreeSet<[&str; 3]> = journal
        .iter()
        .map(|entry| [entry.event_id.as_str(), entry.shard.as_deref().unwrap(), entry.sequence.as_deref().unwrap()])
        .collect();
    for stream in Stream::ALL {
        let of_plain = rows(&plain, stream.table()).await;
        let of_aggregated = rows(&aggregated, stream.table()).await;
        assert!(!of_plain.is_empty());
        assert!(sorted(&of_plain) == sorted(&of_aggregated), "rows of {stream} differ");
        for row in &of_aggregated {
            let at = ["event_id", "stream_shard", "stream_sequence"].map(|column| row[column].as_str().unwrap());
            assert!(put.contains(&at), "{at:?} is not in the journal");
        }
        let sub_sequence = |row: &Value| row["stream_sub_sequence"].as_u64().unwrap();
        assert!(of_plain.iter().all(|row| sub_sequence(row) == 0));
        assert!(of_aggregated.iter().map(sub_sequence).max() >= Some(90), "{stream} was not aggregated");
    }
    let rejected = rows(&plain, "rejected_events").await;
    assert!(rejected.len() > 400, "{}", rejected.len());
    assert!(sorted(&rejected) == sorted(&rows(&aggregated, "rejected_events").await), "rejected events differ");
}
