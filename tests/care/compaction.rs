//! Small files become large ones with the same rows, beside ingest and queries, and through faults.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::landing::lake_verify::assert_lake_verifies;
use crate::support::command::{Machine, in_order};
use crate::support::lake_files::parquet_files;
use crate::support::stage::Stage;

const TABLES: [&str; 3] = ["user_events", "transactions", "rejected_events"];
pub(crate) const COMPACT: [&str; 4] = ["lake", "compact", "--full", "--json"];
/// Steps at which a compaction is killed or its store fails.
const STEPS: [&str; 6] = [
    "before_upload",
    "after_upload",
    "before_record",
    "after_record",
    "before_maintenance_commit",
    "after_maintenance_commit",
];

/// Every row of a table with every column, in one order.
async fn rows(machine: &Machine, lake: &str, table: &str) -> String {
    machine.succeed(&["--lake", lake, "sql", &in_order(table), "--format", "ndjson"]).await
}

pub(crate) async fn all_rows(stage: &Stage) -> Vec<String> {
    let mut all = Vec::new();
    for table in TABLES {
        all.push(rows(&stage.machine, &stage.lake, table).await);
    }
    all
}

/// A stage whose lake has this number of commits of both streams, each of some partitions.
pub(crate) async fn with_small_files(commits: usize) -> Stage {
    let mut stage = Stage::on_folder(1, 2).await;
    commit_small_files(&mut stage, commits).await;
    stage
}

pub(crate) async fn commit_small_files(stage: &mut Stage, commits: usize) {
    for _ in 0..commits {
        stage.put(60).await;
        stage.machine.succeed(&["ingest", "--once"]).await;
    }
}

async fn reports(stage: &Stage) -> Vec<String> {
    let mut all = Vec::new();
    for report in ["donations", "points_liability", "active_users"] {
        all.push(stage.machine.succeed(&["report", "run", report, "--format", "csv"]).await);
    }
    all
}

pub(super) fn table<'a>(summary: &'a Value, name: &str) -> &'a Value {
    summary["tables"].as_array().unwrap().iter().find(|table| table["table"] == name).unwrap()
}

fn partitions(files: &[String]) -> BTreeSet<&str> {
    files.iter().map(|path| path.rsplit_once('/').unwrap().0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_stay_and_the_files_become_few() {
    let stage = with_small_files(6).await;
    let before = all_rows(&stage).await;
    let reports = reports(&stage).await;
    let files = parquet_files(stage.folder(), "transactions");

    let planned = stage.machine.run(&["lake", "compact", "--full", "--dry-run", "--json"]).await.expect_code(0).json();
    assert_eq!(parquet_files(stage.folder(), "transactions"), files, "a dry run changes nothing");
    let done = stage.machine.run(&COMPACT).await.expect_code(0).json();
    let transactions = table(&done, "transactions");
    assert_eq!(transactions["files_before"], files.len());
    assert_eq!(transactions["files_after"], partitions(&files).len());
    assert_eq!(transactions["merges"], table(&planned, "transactions")["merges"], "as planned");
    assert!(transactions["left"].as_array().unwrap().is_empty());

    assert_eq!(all_rows(&stage).await, before);
    assert_eq!(self::reports(&stage).await, reports);
    assert_lake_verifies(&stage.machine, &stage.lake).await;
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ingest_and_queries_go_on_beside_it() {
    let mut stage = with_small_files(3).await;
    let worker = stage.worker(&[]).await;
    let over = AtomicBool::new(false);
    let query = async |column: &str| {
        let mut least = 0;
        while !over.load(Ordering::Relaxed) {
            let sql = format!("SELECT count({column}) FROM transactions");
            let counted = stage.machine.number(&stage.lake, &sql).await;
            assert!(counted >= least, "{counted} after {least}");
            least = counted;
        }
    };
    let compact = async {
        for _ in 0..4 {
            let done = stage.machine.run(&COMPACT).await.expect_code(0).json();
            assert!(table(&done, "transactions")["commits"].as_u64().unwrap() > 0);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(compact, query("*"), query("DISTINCT event_id"), query("points"), query("donor_id"));
    stage.put(400).await;
    worker.stop().await;
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_compaction_changes_all_or_nothing() {
    let mut stage = with_small_files(3).await;
    let before = all_rows(&stage).await;
    for step in STEPS {
        for passes in 0..2 {
            stage.machine.set("FAILPOINTS", &format!("{step}={passes}*off->return(abort)"));
            let killed = stage.machine.run(&COMPACT).await;
            stage.machine.unset("FAILPOINTS");
            assert!(killed.code.is_none() || passes > 0, "{step} was not reached: {killed:?}");
            assert_lake_verifies(&stage.machine, &stage.lake).await;
        }
        assert_eq!(all_rows(&stage).await, before, "{step}");
    }
    stage.machine.succeed(&COMPACT).await;
    assert_eq!(all_rows(&stage).await, before);
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_compactions_at_once_double_no_row() {
    let stage = with_small_files(3).await;
    let before = all_rows(&stage).await;
    for _ in 0..3 {
        let (first, second) = tokio::join!(stage.machine.run(&COMPACT), stage.machine.run(&COMPACT));
        // One may give up after three lost tasks in a row.
        assert!(first.code == Some(0) || second.code == Some(0), "{first:?}\n{second:?}");
        assert_eq!(all_rows(&stage).await, before);
    }
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_partition_or_table_is_named() {
    let stage = with_small_files(1).await;
    let files = parquet_files(stage.folder(), "transactions");
    for (arguments, words) in [
        (["--partition", "event_type=nothing"], "event_type=nothing"),
        (["--partition", "donation"], "COLUMN=VALUE"),
        (["--table", "users"], "transactions"),
    ] {
        let all: Vec<&str> = ["lake", "compact"].into_iter().chain(arguments).collect();
        stage.machine.run(&all).await.expect_code(2).expect_message(&[words]);
    }
    assert_eq!(parquet_files(stage.folder(), "transactions"), files);
    let one = ["lake", "compact", "--full", "--partition", "event_type=donation", "--json"];
    let done = stage.machine.run(&one).await.expect_code(0).json();
    for table in done["tables"].as_array().unwrap() {
        for merge in table["merges"].as_array().unwrap() {
            assert!(merge["partition"].as_str().unwrap().starts_with("event_type=donation/"), "{merge}");
        }
    }
}
