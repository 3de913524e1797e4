//! The doctor from outside: how the tables stand, what was verified is remembered, and what can be mended is mended.

use serde_json::Value;

use super::compaction::with_small_files;
use crate::landing::lake_verify::assert_lake_verifies;
use crate::support::lake_files::parquet_files;
use crate::support::stage::Stage;

async fn json(stage: &Stage, arguments: &[&str], code: i32) -> Value {
    let all: Vec<&str> = ["lake"].into_iter().chain(arguments.iter().copied()).chain(["--json"]).collect();
    stage.machine.run(&all).await.expect_code(code).json()
}

fn of_table<'a>(status: &'a Value, name: &str) -> &'a Value {
    status["tables"].as_array().unwrap().iter().find(|table| table["table"] == name).unwrap()
}

/// Partitions that were read, taken from memory and remembered, of both streams together.
fn partitions(report: &Value) -> [u64; 3] {
    let streams = report["streams"].as_array().unwrap();
    ["read", "from_memory", "remembered"]
        .map(|count| streams.iter().map(|stream| stream["partitions"][count].as_u64().unwrap()).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_how_the_tables_stand() {
    let stage = with_small_files(3).await;
    let status = json(&stage, &["status"], 0).await;
    let transactions = of_table(&status, "transactions");
    let paths = parquet_files(stage.folder(), "transactions");
    let files = paths.len();
    let folder = |path: &str| path.rsplit_once('/').unwrap().0.to_owned();
    let beside = |path: &&String| paths.iter().filter(|other| folder(other) == folder(path)).count() > 1;
    assert_eq!(transactions["files"], files);
    assert_eq!(transactions["small"]["objects"], paths.iter().filter(beside).count());
    assert_eq!((&transactions["retired"]["objects"], &transactions["record"]), (&0.into(), &Value::Null));
    assert!(status["estimate"]["bytes"].as_u64() > transactions["bytes"].as_u64());

    json(&stage, &["compact", "--full"], 0).await;
    let status = json(&stage, &["status", "--table", "transactions"], 0).await;
    assert_eq!(status["tables"].as_array().unwrap().len(), 1);
    let transactions = of_table(&status, "transactions");
    assert_eq!((&transactions["retired"]["objects"], &transactions["record"]), (&files.into(), &1.into()));
    assert_eq!(transactions["small"]["objects"], 0);
    let text = stage.machine.succeed(&["lake", "status"]).await;
    for words in ["last compaction", "retired", "an estimate", "No problems."] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    let text = stage.machine.run(&["status", "--offline"]).await.expect_code(0).stdout;
    assert!(text.contains("not full") && text.contains("rejected_events"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daily_verify_reads_what_changed() {
    let mut stage = with_small_files(2).await;
    let [read, from_memory, remembered] = partitions(&json(&stage, &["verify", "--remember"], 0).await);
    assert_eq!((from_memory, remembered), (0, read));
    assert_eq!(partitions(&json(&stage, &["verify"], 0).await), [0, read, 0]);
    stage.put(1).await;
    stage.machine.succeed(&["ingest", "--once"]).await;
    let [again, unchanged, new] = partitions(&json(&stage, &["verify", "--remember"], 0).await);
    assert!((1..=3).contains(&again) && unchanged >= read - again && new == again, "{again} {unchanged} {new}");
    assert_eq!(partitions(&json(&stage, &["verify", "--full"], 0).await)[1], 0);
    let text = stage.machine.succeed(&["lake", "verify"]).await;
    assert!(text.contains("from memory"), "{text}");
    assert_lake_verifies(&stage.machine, &stage.lake).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_says_what_is_left_to_do() {
    let stage = with_small_files(1).await;
    let text = stage.machine.succeed(&["lake", "repair"]).await;
    assert!(text.contains("Nothing is to be mended."), "{text}");
    let victim = parquet_files(stage.folder(), "transactions").remove(0);
    std::fs::remove_file(stage.folder().join("transactions").join(&victim)).unwrap();
    let report = json(&stage, &["repair", "--dry-run"], 3).await;
    let left = &report["remaining"][0];
    assert_eq!(left["fault"], "files");
    assert!(left["found"].as_str().unwrap().contains(&victim), "{left}");
    let text = stage.machine.run(&["lake", "repair"]).await.expect_code(3).stdout;
    for words in ["what to do", "restore the file", "left for a person"] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
}
