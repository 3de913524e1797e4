//! From the generator through Kinesis into a folder, and out again.

use std::time::Duration;

use crate::support::command::{Machine, wait};
use crate::support::lake_files::{newest_document, parquet_files};
use crate::support::oracle::{Workload, verify};
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS};

const WORKLOAD: Workload = Workload { events: 8_000, seed: 11, bad_rate: 0.02, duplicate_rate: 0.02, days: 20 };

#[tokio::test(flavor = "multi_thread")]
async fn every_event_lands_once_over_reruns() {
    let kinesis = Kinesis::with_streams(2, 4).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    WORKLOAD.put(&machine).await;
    let first = machine.run(&["ingest", "--once", "--init", "--json"]).await.expect_code(0).json();
    let received = |result: &serde_json::Value| {
        result["streams"].as_array().unwrap().iter().map(|stream| stream["received"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(received(&first), WORKLOAD.events);
    WORKLOAD.verify(&machine, "./bluelake-data", &machine.path("bluelake-data")).await;

    let again = machine.run(&["ingest", "--once", "--json"]).await.expect_code(0).json();
    assert_eq!(received(&again), 0);
    WORKLOAD.verify(&machine, "./bluelake-data", &machine.path("bluelake-data")).await;
    for file in parquet_files(&machine.path("bluelake-data"), "transactions") {
        assert!(file.starts_with("event_type=") && file.contains("/event_date="), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_events_exit_3_only_when_asked() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    kinesis.put(TRANSACTION_EVENTS, "key", b"not json").await;
    machine.run(&["ingest", "--once", "--init", "--fail-on-rejected"]).await.expect_code(3);
    // The next run rejects nothing.
    machine.run(&["ingest", "--once", "--fail-on-rejected"]).await.expect_code(0);
    assert_eq!(machine.number("./bluelake-data", "SELECT count(*) FROM rejected_events").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_commits_the_buffer_and_exits_0() {
    let kinesis = Kinesis::with_streams(1, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    WORKLOAD.put(&machine).await;
    let worker = machine.start(&["ingest", "--init", "--buffer-age", "1h", "--json", "--log-level", "info"]);
    let process = worker.id().unwrap().to_string();
    until_read(&machine).await;
    let killed = tokio::process::Command::new("kill").args(["-TERM", &process]).status().await.unwrap();
    assert!(killed.success());
    wait(worker).await.expect_code(0);
    // The next run reads what this one had not read yet.
    machine.succeed(&["ingest", "--once"]).await;
    WORKLOAD.verify(&machine, "./bluelake-data", &machine.path("bluelake-data")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_land_across_a_split() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let worker = machine.start(&["ingest", "--init", "--buffer-age", "1s"]);
    let process = worker.id().unwrap().to_string();
    until_read(&machine).await;
    let after_the_split = Workload { seed: 12, ..WORKLOAD };
    WORKLOAD.put(&machine).await;
    kinesis.split(TRANSACTION_EVENTS).await;
    after_the_split.put(&machine).await;
    let children = "SELECT count(DISTINCT stream_shard) FROM transactions";
    while machine.number("./bluelake-data", children).await < 3 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let ended = tokio::process::Command::new("kill").args(["-TERM", &process]).status().await.unwrap();
    assert!(ended.success());
    wait(worker).await.expect_code(0);
    machine.succeed(&["ingest", "--once"]).await;
    verify(&[WORKLOAD, after_the_split], &machine, "./bluelake-data", &machine.path("bluelake-data")).await;
    let document = newest_document(&machine.path("bluelake-data"), "transactions", TRANSACTION_EVENTS);
    assert_eq!(document["shards"]["shardId-000000000000"]["ended"], true);
}

/// Waits until the worker has pinned its shards and so reads.
async fn until_read(machine: &Machine) {
    let pinned = machine.path("bluelake-data/transactions/_checkpoints/transaction-events");
    while !pinned.is_dir() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_buffers_make_more_equal_commits() {
    let kinesis = Kinesis::with_streams(2, 4).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    WORKLOAD.put(&machine).await;
    machine.succeed(&["ingest", "--once", "--init", "--buffer-size", "256KiB"]).await;
    WORKLOAD.verify(&machine, "./bluelake-data", &machine.path("bluelake-data")).await;
    let document = newest_document(&machine.path("bluelake-data"), "transactions", TRANSACTION_EVENTS);
    assert!(document["number"].as_u64().unwrap() > 3, "{}", document["number"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_can_be_read_without_the_other() {
    let kinesis = Kinesis::empty().await;
    kinesis.create_stream(TRANSACTION_EVENTS, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    kinesis.put(TRANSACTION_EVENTS, "key", b"{}").await;
    machine.succeed(&["ingest", "--once", "--init", "--stream", TRANSACTION_EVENTS]).await;
    assert_eq!(machine.number("./bluelake-data", "SELECT count(*) FROM rejected_events").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_in_every_format() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    WORKLOAD.put(&machine).await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    let sql = "SELECT event_type, count(*) AS events FROM transactions GROUP BY 1 ORDER BY 1";
    assert!(machine.succeed(&["sql", sql]).await.contains("donation"));
    assert!(machine.succeed(&["sql", sql, "--format", "csv"]).await.starts_with("event_type,events\ndonation,"));
    let json = machine.run(&["sql", sql, "--json"]).await.expect_code(0).json();
    assert_eq!(json.as_array().unwrap().len(), 4);
    machine.succeed(&["sql", sql, "--output", "answer.parquet"]).await;
    assert!(std::fs::read(machine.path("answer.parquet")).unwrap().starts_with(b"PAR1"));
    machine.write("question.sql", sql);
    let from_file = machine.succeed(&["sql", "--file", "question.sql", "--format", "ndjson"]).await;
    let from_input = machine.run_with_input(&["sql", "--file", "-", "--format", "ndjson"], sql).await.expect_code(0);
    assert_eq!(from_file, from_input.stdout);
    for view in ["users", "interactions", "donations", "redemptions", "transfers"] {
        assert!(machine.number("./bluelake-data", &format!("SELECT count(*) FROM {view}")).await > 0, "{view}");
    }
    for report in ["donations", "interactions", "redemptions"] {
        for by in ["day", "week", "month"] {
            let run = ["report", "run", report, "--from", "2026-10-12", "--to", "2026-10-31", "--by", by, "--json"];
            let result = machine.run(&run).await.expect_code(0).json();
            assert!(!result["rows"].as_array().unwrap().is_empty(), "{report} by {by}");
        }
    }
}
