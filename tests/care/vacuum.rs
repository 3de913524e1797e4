//! What was merged is cleared away: the rows stay, older versions are refused, and a vacuum that is killed is finished.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bluelake_fault_proxy::{Action, When, Which};
use hyper::Method;
use serde_json::Value;

use super::compaction::{all_rows, table, with_small_files};
use crate::landing::lake_verify::assert_lake_verifies;
use crate::support::lake_files::parquet_files;
use crate::support::stage::Stage;

const TABLES: [&str; 3] = ["user_events", "transactions", "rejected_events"];
const VACUUM: [&str; 3] = ["lake", "vacuum", "--json"];
/// Steps at which a vacuum is killed.
const STEPS: [&str; 6] = [
    "before_floor",
    "after_floor",
    "before_vacuum_delete",
    "before_purged",
    "before_maintenance_commit",
    "after_purged",
];

/// Makes all versions that the logs have so many days old and more, each a second younger than the one before.
fn age_logs(lake: &Path, days: u64) {
    let begin = SystemTime::now() - Duration::from_secs(days * 24 * 3600 + 3600);
    for table in TABLES {
        for entry in std::fs::read_dir(lake.join(table).join("_delta_log")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let version: u64 = name.split('.').next().unwrap().parse().unwrap_or_default();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(begin + Duration::from_secs(version)).unwrap();
        }
    }
}

/// A stage whose tables were compacted eight days ago.
async fn with_merged_files() -> Stage {
    let stage = with_small_files(3).await;
    stage.machine.succeed(&["lake", "compact", "--full"]).await;
    age_logs(stage.folder(), 8);
    stage
}

/// The files that a table consists of, by its newest version.
async fn active(stage: &Stage, table: &str) -> BTreeSet<String> {
    let location = stage.folder().to_str().unwrap().parse().unwrap();
    let table = bluelake_lake::Lake::at(&location, None).unwrap().table(table).await.unwrap();
    table.snapshot().unwrap().log_data().iter().map(|file| file.path().into_owned()).collect()
}

async fn expect_clean(stage: &Stage) {
    for table in TABLES {
        let stored: BTreeSet<String> = parquet_files(stage.folder(), table).into_iter().collect();
        assert_eq!(stored, active(stage, table).await, "{table}");
    }
    assert_lake_verifies(&stage.machine, &stage.lake).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_files_go_and_the_rows_stay() {
    let mut stage = with_merged_files().await;
    let before = all_rows(&stage).await;
    let files = parquet_files(stage.folder(), "transactions");
    let planned = stage.machine.run(&["lake", "vacuum", "--dry-run", "--json"]).await.expect_code(0).json();
    assert_eq!(parquet_files(stage.folder(), "transactions"), files, "a dry run changes nothing");
    stage.machine.succeed(&["report", "run", "donations", "--as-of", "2"]).await;
    let done = stage.machine.run(&VACUUM).await.expect_code(0).json();
    let transactions = table(&done, "transactions");
    let merged = files.len() - active(&stage, "transactions").await.len();
    assert_eq!(transactions["retired"]["files"], merged);
    assert_eq!(transactions["retired"], table(&planned, "transactions")["retired"], "as planned");
    assert!(transactions["retired"]["bytes"].as_u64().unwrap() > 0);
    expect_clean(&stage).await;
    assert_eq!(all_rows(&stage).await, before);
    let refused = stage.machine.run(&["report", "run", "donations", "--as-of", "2"]).await;
    refused.expect_code(1).expect_message(&["version 2 can no longer be read since 20", "(vacuum)"]);
    let text = stage.machine.succeed(&["lake", "vacuum"]).await;
    assert!(text.contains("readable from version"), "{text}");
    stage.put(200).await;
    stage.machine.succeed(&["ingest", "--once"]).await;
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_in_a_bucket_is_vacuumed_although_answers_are_lost() {
    let mut stage = Stage::on_bucket(1, 2).await;
    for _ in 0..2 {
        stage.put(60).await;
        stage.machine.succeed(&["ingest", "--once"]).await;
    }
    stage.machine.succeed(&["lake", "compact", "--full"]).await;
    age_logs(stage.folder(), 8);
    let before = all_rows(&stage).await;
    // The record of the floor, its commit, and the first call that deletes.
    let calls: [(Method, &str); 3] =
        [(Method::PUT, "/_maintenance/0"), (Method::PUT, "/transactions/_delta_log/0"), (Method::POST, "")];
    let rules = calls.map(|(method, part)| {
        let when = When::any().method(method).path_contains(part);
        stage.store().on(when, Which::First(2), Action::LoseAnswer)
    });
    let done = stage.machine.run(&VACUUM).await.expect_code(0).json();
    for rule in &rules {
        assert!(rule.taken() > 0, "{rules:?}");
        rule.remove();
    }
    assert!(table(&done, "transactions")["retired"]["files"].as_u64().unwrap() > 0, "{done}");
    expect_clean(&stage).await;
    assert_eq!(all_rows(&stage).await, before);
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_vacuum_finishes_a_killed_one() {
    let mut stage = with_merged_files().await;
    for step in STEPS {
        for passes in 0..3 {
            stage.put(60).await;
            stage.machine.succeed(&["ingest", "--once"]).await;
            stage.machine.succeed(&["lake", "compact", "--full"]).await;
            age_logs(stage.folder(), 8);
            let before = all_rows(&stage).await;
            stage.machine.set("FAILPOINTS", &format!("{step}={passes}*off->return(abort)"));
            let killed = stage.machine.run(&VACUUM).await;
            stage.machine.unset("FAILPOINTS");
            assert!(killed.code.is_none() || passes > 0, "{step} was not reached: {killed:?}");
            assert_lake_verifies(&stage.machine, &stage.lake).await;
            assert_eq!(all_rows(&stage).await, before, "{step}");
            // What was old when it was planned stays old.
            age_logs(stage.folder(), 8);
            stage.machine.succeed(&VACUUM).await;
            expect_clean(&stage).await;
        }
    }
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_travel_shorter_than_a_query_is_refused() {
    let mut stage = with_merged_files().await;
    let files = parquet_files(stage.folder(), "transactions");
    for (time_travel, limit, code) in [("1h", "5m", 2), ("64m", "5m", 2), ("2h", "90m", 2), ("65m", "5m", 0)] {
        stage.machine.set("BLUELAKE_CARE_TIME_TRAVEL", time_travel);
        stage.machine.set("BLUELAKE_SQL_TIME_LIMIT", limit);
        let done = stage.machine.run(&["lake", "vacuum", "--dry-run"]).await.expect_code(code);
        if code == 2 {
            done.expect_message(&["care.time-travel is", "it must be at least", "sql.time-limit"]);
        }
    }
    stage.machine.unset("BLUELAKE_CARE_TIME_TRAVEL");
    stage.machine.unset("BLUELAKE_SQL_TIME_LIMIT");
    stage.machine.set("BLUELAKE_CARE_ORPHAN_AGE", "23h");
    stage.machine.run(&["lake", "vacuum"]).await.expect_code(2).expect_message(&["at least 1d"]);
    stage.machine.unset("BLUELAKE_CARE_ORPHAN_AGE");
    stage.machine.run(&["lake", "vacuum", "--table", "users"]).await.expect_code(2).expect_message(&["transactions"]);
    assert_eq!(parquet_files(stage.folder(), "transactions"), files);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_ends_the_query_that_reads_it() {
    let stage = with_small_files(2).await;
    let files = parquet_files(stage.folder(), "transactions");
    std::fs::remove_file(stage.folder().join("transactions").join(&files[0])).unwrap();
    let sql = "SELECT event_type, count(DISTINCT event_id) FROM transactions GROUP BY 1";
    let failed = stage.machine.run(&["sql", sql]).await.expect_code(1);
    failed.expect_message(&["a file of the tables was deleted while the query read it", "run it again"]);
    let failed = stage.machine.run(&["report", "run", "donations"]).await.expect_code(1);
    failed.expect_message(&["a file of the tables was deleted while the query read it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_told_first_and_then_deleted() {
    let stage = with_merged_files().await;
    let folder = stage.folder().join("transactions/event_type=donation/event_date=2026-01-01");
    std::fs::create_dir_all(&folder).unwrap();
    // A batch of 2025.
    let orphan = folder.join("01980000-0000-7000-8000-000000000001-00000.parquet");
    std::fs::write(&orphan, "12345").unwrap();
    let file = std::fs::File::options().write(true).open(&orphan).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(8 * 24 * 3600)).unwrap();
    let status = stage.machine.run(&["lake", "status", "--orphans", "--json"]).await.expect_code(0).json();
    assert_eq!(table(&status, "transactions")["orphans"], serde_json::json!({"objects": 1, "bytes": 5}), "{status}");
    assert_eq!(table(&status, "user_events")["orphans"]["objects"], 0);
    let text = stage.machine.succeed(&["lake", "vacuum"]).await;
    assert!(text.contains("Orphan: transactions/event_type=donation") && text.contains("--orphans"), "{text}");
    assert!(orphan.exists());
    let done = stage.machine.run(&["lake", "vacuum", "--orphans", "--json"]).await.expect_code(0).json();
    let found: &Value = &table(&done, "transactions")["orphans"];
    assert_eq!((&found["files"], &found["bytes"]), (&1.into(), &5.into()), "{done}");
    assert!(!orphan.exists());
    expect_clean(&stage).await;
}
