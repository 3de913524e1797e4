//! Records that unpack to far more than they weigh land like any other, each event once, and memory stays bounded.

use std::io::Write as _;

use aws_sdk_kinesis::primitives::Blob;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bluelake_transform::AggregatedRecordWriter;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::landing::lake_verify::assert_lake_verifies;
use crate::landing::many_partitions::watch_peak_memory;
use crate::support::command::{Finished, Machine, wait};
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS, USER_EVENTS};

const MEBIBYTE: usize = 1 << 20;
/// What one record unpacks to.
const HEAVY: usize = 60 * MEBIBYTE;
/// Peak resident memory of ingest with the least memory budget.
const MOST_MEMORY: u64 = 400;
/// The same with all kinds of such records at once, and both streams.
const MOST_MEMORY_MIXED: u64 = 450;

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

async fn put(kinesis: &Kinesis, stream: &str, key: usize, data: Vec<u8>) {
    let put = kinesis.client.put_record().stream_name(stream).partition_key(key.to_string()).data(Blob::new(data));
    put.send().await.unwrap();
}

/// Runs a command to its end, and gives the peak of its memory in MiB.
async fn measured(machine: &Machine, arguments: &[&str]) -> (Finished, u64) {
    let child = machine.start(arguments);
    let watching = watch_peak_memory(child.id().unwrap());
    let finished = wait(child).await.expect_code(0);
    let peak = watching.await.unwrap() / 1024;
    eprintln!("{arguments:?}: peak memory {peak} MiB");
    (finished, peak)
}

fn total(result: &Value, count: &str) -> u64 {
    result["streams"].as_array().unwrap().iter().map(|stream| stream[count].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_records_of_sixty_mebibytes_fit_the_budget() {
    const RECORDS: usize = 40;
    let kinesis = Kinesis::with_streams(1, 4).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let bomb = gzip(&vec![b'x'; HEAVY]);
    for key in 0..RECORDS {
        put(&kinesis, TRANSACTION_EVENTS, key, bomb.clone()).await;
    }
    let ingest = ["ingest", "--once", "--init", "--memory-budget", "128MiB", "--json"];
    let (finished, peak) = measured(&machine, &ingest).await;
    assert!(peak > 0 && peak < MOST_MEMORY, "{peak} MiB");
    let result = finished.json();
    assert_eq!((total(&result, "received"), total(&result, "rejected")), (RECORDS as u64, RECORDS as u64));
    // Each is there once and complete, and our queries can read it.
    let positions = "SELECT count(DISTINCT stream_shard || stream_sequence) FROM rejected_events";
    assert_eq!(machine.number("./bluelake-data", positions).await, RECORDS as i64);
    let bytes = "SELECT sum(octet_length(CAST(event_bytes AS VARCHAR))) FROM rejected_events";
    assert_eq!(machine.number("./bluelake-data", bytes).await, (RECORDS * HEAVY) as i64);
    let shortest = "SELECT min(octet_length(CAST(event_bytes AS VARCHAR))) FROM rejected_events";
    assert_eq!(machine.number("./bluelake-data", shortest).await, HEAVY as i64);
    assert_lake_verifies(&machine, "./bluelake-data").await;
    // Another run adds no rows.
    let from = "2026-01-01T00:00:00Z";
    let replay = [
        "replay",
        "--stream",
        TRANSACTION_EVENTS,
        "--from",
        from,
        "--to",
        "2100-01-01T00:00:00Z",
        "--allow-partial",
        "--json",
    ];
    let (finished, peak) = measured(&machine, &replay).await;
    let replayed = finished.json();
    assert_eq!((&replayed["present"], &replayed["rejected"]), (&Value::from(RECORDS), &Value::from(0)), "{replayed}");
    assert!(peak < MOST_MEMORY, "{peak} MiB");
}

/// A valid event with a source of `source_bytes`: the contract does not limit it.
fn event(number: usize, source_bytes: usize) -> String {
    let source = "s".repeat(source_bytes);
    format!(
        r#"{{"event_id":"00000000-0000-4000-8000-{number:012}","event_type":"transfer","occurred_at":"2026-01-01T00:00:00Z","source":"{source}","from_officer_id":"a","to_officer_id":"b","points":1}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_that_unpacks_hugely_fits_the_budget() {
    let kinesis = Kinesis::with_streams(2, 4).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let events: String = (0..50_000).map(|number| event(number, 1_000) + "\n").collect();
    let lines = "{\"a\":1}\n".repeat(99_999) + &"y".repeat(HEAVY - 99_999 * 8);
    let mut aggregate = AggregatedRecordWriter::default();
    let part = gzip(&vec![b'z'; MEBIBYTE]);
    for key in 0..60 {
        aggregate.push(&key.to_string(), None, &part);
    }
    let aggregate = aggregate.finish();
    let escaped = format!(r#"{{"event_id":"{}"}}"#, "\\n".repeat(HEAVY / 2 - 20));
    let kinds: [Vec<u8>; 6] = [
        zstd::encode_all(events.as_bytes(), 3).unwrap(),
        zstd::encode_all(lines.as_bytes(), 3).unwrap(),
        aggregate,
        gzip(event(1_000_000, HEAVY - 1_000).as_bytes()),
        gzip(escaped.as_bytes()),
        // It is not packed, but far larger as rows than as a record.
        "0 ".repeat(99_999).into_bytes(),
    ];
    let (mut stored, mut rejected) = (0, 0);
    for copy in 0..3 {
        for (number, data) in kinds.iter().enumerate() {
            assert!(data.len() < MEBIBYTE, "kind {number}: {} bytes", data.len());
            // They have the same key, so that a valid repeated event is a duplicate.
            put(&kinesis, TRANSACTION_EVENTS, number, data.clone()).await;
            put(&kinesis, USER_EVENTS, number + copy, kinds[1].clone()).await;
            rejected += 100_000;
        }
        rejected += 100_000 + 60 + 1 + 99_999;
    }
    stored += 50_000 + 1;
    let ingest = ["ingest", "--once", "--init", "--memory-budget", "128MiB", "--json"];
    let (finished, peak) = measured(&machine, &ingest).await;
    assert!(peak > 0 && peak < MOST_MEMORY_MIXED, "{peak} MiB");
    let result = finished.json();
    assert_eq!((total(&result, "stored"), total(&result, "rejected")), (stored, rejected), "{result}");
    assert_eq!(total(&result, "duplicate"), 2 * stored, "{result}");
    let longest = "SELECT max(octet_length(source)) FROM transactions";
    assert_eq!(machine.number("./bluelake-data", longest).await, (HEAVY - 1_000) as i64);
    assert_lake_verifies(&machine, "./bluelake-data").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_gigabytes_fits_the_budget() {
    let machine = Machine::new();
    let bomb = STANDARD.encode(gzip(&vec![b'x'; HEAVY]));
    let failed =
        json!({ "attemptsMade": 4, "arrivalTimestamp": 1_790_000_000_000_i64, "errorCode": "x", "rawData": bomb });
    std::fs::create_dir_all(machine.path("archive")).unwrap();
    // Records that unpack to much, and an object that does.
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(machine.path("archive").join(name), bytes).unwrap();
    write("a-failed", format!("{failed}\n").repeat(10).into_bytes());
    write("b-failed", format!("{failed}\n").repeat(10).into_bytes());
    let line = "x".repeat(MEBIBYTE) + "\n";
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..1_024 {
        encoder.write_all(line.as_bytes()).unwrap();
    }
    write("c.gz", encoder.finish().unwrap());
    machine.succeed(&["lake", "init"]).await;
    let machine = machine.with("BLUELAKE_INGEST_MEMORY_BUDGET", "128MiB");
    let (finished, peak) =
        measured(&machine, &["backfill", "./archive", "--stream", TRANSACTION_EVENTS, "--json"]).await;
    assert!(peak > 0 && peak < MOST_MEMORY, "{peak} MiB");
    let found = finished.json();
    assert_eq!((&found["received"], &found["rejected"]), (&Value::from(1_044), &Value::from(1_044)), "{found}");
    let bytes = "SELECT sum(octet_length(CAST(event_bytes AS VARCHAR))) FROM rejected_events";
    assert_eq!(machine.number("./bluelake-data", bytes).await, (20 * HEAVY + 1_024 * MEBIBYTE) as i64);
    assert_lake_verifies(&machine, "./bluelake-data").await;
}
