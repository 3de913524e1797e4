//! Archives become the rows of the stream, each once.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bluelake_generate::{EventKind, GeneratedEvent};
use bluelake_schemas::Stream;
use chrono::Utc;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::landing::many_partitions::watch_peak_memory;
use crate::support::command::{Finished, Machine, wait};
use crate::support::oracle::Workload;
use crate::support::servers::{Kinesis, S3, TRANSACTION_EVENTS, USER_EVENTS};

const WORKLOAD: Workload = Workload { events: 4_000, seed: 61, bad_rate: 0.05, duplicate_rate: 0.03, days: 10 };

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn lines<'a>(events: impl IntoIterator<Item = &'a GeneratedEvent>) -> Vec<u8> {
    events.into_iter().flat_map(|event| event.bytes.iter().copied().chain([b'\n'])).collect()
}

/// Makes the files of a folder an hour old.
pub(crate) fn make_older(folder: &Path) {
    let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3_600);
    for entry in std::fs::read_dir(folder).unwrap() {
        std::fs::File::options().write(true).open(entry.unwrap().path()).unwrap().set_modified(hour_ago).unwrap();
    }
}

/// Objects of Firehose with records that it could not deliver.
fn failed<'a>(events: impl IntoIterator<Item = &'a GeneratedEvent>) -> Vec<u8> {
    let line = |event: &GeneratedEvent| {
        let raw = STANDARD.encode(&event.bytes);
        let now = Utc::now().timestamp_millis();
        format!("{}\n", json!({ "attemptsMade": 4, "arrivalTimestamp": now, "errorCode": "x", "rawData": raw }))
    };
    events.into_iter().flat_map(|event| line(event).into_bytes()).collect()
}

/// Writes the events of one stream as an archive of all forms, in the order in which they were put.
fn archive(folder: &Path, workload: Workload, stream: Stream) {
    let events: Vec<GeneratedEvent> = workload.events().into_iter().filter(|event| event.stream == stream).collect();
    let quarters: Vec<&[GeneratedEvent]> = events.chunks(events.len().div_ceil(4)).collect();
    let is_bad = |event: &&GeneratedEvent| matches!(event.kind, EventKind::Bad(_));
    let whole: Vec<u8> =
        quarters[1].iter().filter(|event| !is_bad(event)).flat_map(|event| event.bytes.clone()).collect();
    std::fs::create_dir_all(folder.join("2026/11/25")).unwrap();
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(folder.join(name), bytes).unwrap();
    write("2026/11/25/a.ndjson", lines(quarters[0]));
    write("2026/11/25/b-without-delimiters.gz", gzip(&whole));
    write("2026/11/25/c.zst", zstd::encode_all(lines(quarters[2]).as_slice(), 1).unwrap());
    write(
        "2026/11/25/d-of-compressed-records",
        [gzip(&lines(&quarters[3][..20])), gzip(&lines(&quarters[3][20..]))].concat(),
    );
    write("2026/11/25/errors", failed(quarters[1].iter().filter(is_bad)));
    write("2026/11/25/_SUCCESS", b"not a record".to_vec());
    write("2026/11/25/empty", Vec::new());
}

/// Every column of the event without its lineage, in the order of the ids.
async fn events(machine: &Machine, lake: &str, table: &str) -> Vec<Value> {
    let mut rows = machine.query(lake, &format!("SELECT * FROM {table} ORDER BY event_id")).await;
    for row in &mut rows {
        for column in ["stream_shard", "stream_sequence", "stream_sub_sequence", "arrived_at"] {
            assert!(row.as_object_mut().unwrap().remove(column).is_some());
        }
    }
    rows
}

/// The rejected events and their reasons, in order. An empty record leaves no bytes in an archive.
async fn rejected(machine: &Machine, lake: &str) -> Vec<Value> {
    let sql = "SELECT stream, reason, field_path, event_bytes FROM rejected_events WHERE reason <> 'empty' ORDER BY 1, 2, 3, 4";
    machine.query(lake, sql).await
}

async fn backfill(machine: &Machine, lake: &str, archive: &str, stream: &str) -> Finished {
    machine.run(&["--lake", lake, "backfill", archive, "--stream", stream, "--json"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_rebuilt_from_archives_equals_the_ingested() {
    let kinesis = Kinesis::with_streams(2, 3).await;
    let s3 = S3::start().await;
    let machine = Machine::new().with_kinesis(&kinesis).with_s3(&s3);
    WORKLOAD.put(&machine).await;
    machine.succeed(&["--lake", "./ingested", "ingest", "--once", "--init"]).await;

    let rebuilt = "s3://rebuilt/lake";
    machine.succeed(&["--lake", rebuilt, "lake", "init"]).await;
    for (stream, name) in [(Stream::UserEvents, USER_EVENTS), (Stream::TransactionEvents, TRANSACTION_EVENTS)] {
        // One from a folder, one from a bucket.
        let folder = machine.path("archive").join(name);
        archive(&folder, WORKLOAD, stream);
        let place = if stream == Stream::UserEvents {
            folder.display().to_string()
        } else {
            copy(&folder, &s3.bucket("archive").join("points"));
            "s3://archive/points".to_owned()
        };
        let first = backfill(&machine, rebuilt, &place, name).await.expect_code(0).json();
        assert_eq!(
            (&first["objects"], &first["read"], &first["present"]),
            (&5.into(), &5.into(), &0.into()),
            "{first}"
        );
        assert!(first["duplicate"].as_u64().unwrap() > 0 && first["rejected"].as_u64().unwrap() > 0, "{first}");
        let again = backfill(&machine, rebuilt, &place, name).await.expect_code(0).json();
        assert_eq!((&again["read"], &again["present"]), (&0.into(), &5.into()), "{again}");
        assert_eq!((&again["received"], &again["commits"]), (&0.into(), &0.into()), "{again}");
    }
    for table in ["user_events", "transactions"] {
        let ingested = events(&machine, "./ingested", table).await;
        assert!(!ingested.is_empty());
        assert_eq!(events(&machine, rebuilt, table).await, ingested, "{table}");
    }
    assert_eq!(rejected(&machine, rebuilt).await, rejected(&machine, "./ingested").await);
    machine.succeed(&["--lake", rebuilt, "lake", "verify"]).await;
    machine.succeed(&["--lake", rebuilt, "status", "--offline"]).await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backfill_goes_on_where_it_was() {
    // Enough for several commits with the least memory.
    let workload = Workload { events: 90_000, days: 5, ..WORKLOAD };
    let mut machine = Machine::new().with("BLUELAKE_INGEST_MEMORY_BUDGET", "128MiB");
    machine.succeed(&["lake", "init"]).await;
    let events: Vec<GeneratedEvent> =
        workload.events().into_iter().filter(|event| event.stream == Stream::TransactionEvents).collect();
    std::fs::create_dir(machine.path("archive")).unwrap();
    std::fs::write(machine.path("archive/all.ndjson"), lines(&events)).unwrap();
    let mut kills = 0;
    for step in ["after_upload", "after_document", "after_delta_commit", "after_follow"] {
        machine = machine.with("FAILPOINTS", &format!("{step}=return(abort)"));
        let killed = backfill(&machine, "./bluelake-data", "archive", TRANSACTION_EVENTS).await;
        kills += u32::from(killed.code.is_none());
    }
    assert_eq!(kills, 4, "each run had something left to commit");
    machine = machine.without("FAILPOINTS");
    let last = backfill(&machine, "./bluelake-data", "archive", TRANSACTION_EVENTS).await.expect_code(0).json();
    assert_eq!(last["read"], 1, "{last}");
    let good = events.iter().filter(|event| event.kind == EventKind::Good).count();
    let bad = events.iter().filter(|event| matches!(event.kind, EventKind::Bad(reason) if reason != "empty")).count();
    let counts = machine
        .query("./bluelake-data", "SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM transactions")
        .await;
    assert_eq!(counts[0], json!({ "n": good, "ids": good }));
    assert_eq!(machine.number("./bluelake-data", "SELECT count(*) FROM rejected_events").await, bad as i64);
    machine.succeed(&["lake", "verify"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ingested_events_are_duplicates_in_a_backfill() {
    let kinesis = Kinesis::with_streams(1, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let folder = machine.path("archive");
    archive(&folder, WORKLOAD, Stream::TransactionEvents);
    let place = folder.display().to_string();
    WORKLOAD.put(&machine).await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    let before = events(&machine, "./bluelake-data", "transactions").await;

    // It was written a moment ago: within the margin of "complete to".
    let early = backfill(&machine, "./bluelake-data", &place, TRANSACTION_EVENTS).await.expect_code(3).json();
    assert_eq!((early["left"].as_array().unwrap().len(), &early["commits"]), (5, &0.into()), "{early}");
    make_older(&folder.join("2026/11/25"));
    let late = backfill(&machine, "./bluelake-data", &place, TRANSACTION_EVENTS).await.expect_code(0).json();
    assert_eq!((&late["read"], &late["stored"]), (&5.into(), &0.into()), "{late}");
    assert_eq!(events(&machine, "./bluelake-data", "transactions").await, before);
    machine.succeed(&["lake", "verify"]).await;
    machine.succeed(&["status"]).await;

    // Without Kinesis the progress of ingest is unknown.
    drop(kinesis);
    let blind = backfill(&machine, "./bluelake-data", &place, TRANSACTION_EVENTS).await;
    blind.expect_code(1).expect_message(&["cannot tell how far ingest is", "--offline"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_gives_its_readable_part() {
    let machine = Machine::new();
    machine.succeed(&["lake", "init"]).await;
    let events: Vec<GeneratedEvent> =
        WORKLOAD.events().into_iter().filter(|event| event.kind == EventKind::Good).collect();
    let events: Vec<&GeneratedEvent> =
        events.iter().filter(|event| event.stream == Stream::TransactionEvents).collect();
    std::fs::create_dir(machine.path("archive")).unwrap();
    let whole = gzip(&lines(events.iter().copied()));
    std::fs::write(machine.path("archive/a.gz"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(machine.path("archive/b.ndjson"), lines(events[..10].iter().copied())).unwrap();
    for stored in [true, false] {
        let found = backfill(&machine, "./bluelake-data", "archive", TRANSACTION_EVENTS).await.expect_code(3).json();
        let [damaged] = found["damaged"].as_array().unwrap().as_slice() else { panic!("{found}") };
        assert!(damaged["object"].as_str().unwrap().ends_with("a.gz") && damaged["offset"].as_u64().unwrap() > 0);
        assert_eq!(found["stored"].as_u64().unwrap() > 100, stored, "{found}");
    }
    // A repaired version of the object, whose first half is known by its ids.
    std::fs::write(machine.path("archive/a.gz"), &whole).unwrap();
    let mended = backfill(&machine, "./bluelake-data", "archive", TRANSACTION_EVENTS).await.expect_code(0).json();
    assert!(mended["duplicate"].as_u64().unwrap() > 100, "{mended}");
    assert_eq!(machine.number("./bluelake-data", "SELECT count(*) FROM transactions").await, events.len() as i64);
    machine.succeed(&["lake", "verify"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_archive_lands_within_the_memory_budget() {
    const EVENTS: &str = "1000000";
    let machine = Machine::new().with("BLUELAKE_INGEST_MEMORY_BUDGET", "256MiB");
    machine
        .succeed(&["generate", "--events", EVENTS, "--days", "5", "--to", "t.ndjson", "--stream", TRANSACTION_EVENTS])
        .await;
    machine.succeed(&["lake", "init"]).await;
    let landing = machine.start(&["backfill", "t.ndjson", "--stream", TRANSACTION_EVENTS, "--json"]);
    let watching = watch_peak_memory(landing.id().unwrap());
    let summary = wait(landing).await.expect_code(0).json();
    let peak = watching.await.unwrap() >> 10;
    eprintln!("peak memory: {peak} MiB");
    // All rows have 300 MiB; a part of them at a time is held, decoded and encoded.
    assert!(peak > 0 && peak < 400, "{peak} MiB");
    assert!(summary["commits"].as_u64().unwrap() > 5, "{summary}");
    let rows = machine.number("./bluelake-data", "SELECT count(*) FROM transactions").await;
    assert_eq!(summary["stored"], rows, "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_without_archives_is_refused() {
    let machine = Machine::new();
    machine.succeed(&["lake", "init"]).await;
    std::fs::create_dir(machine.path("hollow")).unwrap();
    std::fs::write(machine.path("hollow/_SUCCESS"), b"").unwrap();
    std::fs::write(machine.path("one.ndjson"), b"{}\n").unwrap();
    for (place, stream, code, message) in [
        ("./missing", TRANSACTION_EVENTS, 1, "nothing is there"),
        ("./hollow", TRANSACTION_EVENTS, 1, "no objects with records"),
        ("./bluelake-data", TRANSACTION_EVENTS, 1, "Delta tables"),
        ("gs://bucket/x", TRANSACTION_EVENTS, 2, "scheme 'gs'"),
        ("./one.ndjson", "payments", 2, "transaction-events"),
    ] {
        backfill(&machine, "./bluelake-data", place, stream).await.expect_code(code).expect_message(&[message]);
    }
    backfill(&machine, "./none", "one.ndjson", USER_EVENTS).await.expect_code(1).expect_message(&["lake init"]);
    let one = backfill(&machine, "./bluelake-data", "one.ndjson", USER_EVENTS).await.expect_code(0).json();
    assert_eq!((&one["objects"], &one["rejected"]), (&1.into(), &1.into()), "{one}");
}
