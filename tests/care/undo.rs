//! What another program did to the lake, and what was merged, is undone; then all is as before and ingest goes on.

use serde_json::Value;
use url::Url;

use crate::care::compaction::{COMPACT, all_rows, with_small_files};
use crate::landing::lake_verify::assert_lake_verifies;
use crate::support::command::Machine;
use crate::support::lake_files::compact;
use crate::support::stage::{ONCE, Stage};

/// Steps at which an undo is killed.
const STEPS: [&str; 4] = ["before_record", "after_record", "before_maintenance_commit", "after_maintenance_commit"];

/// The history of a table, the newest version first.
async fn history(machine: &Machine, table: &str) -> Vec<Value> {
    let told = machine.run(&["lake", "history", "--table", table, "--json"]).await.expect_code(0).json();
    told["tables"][0]["versions"].as_array().unwrap().clone()
}

/// The newest version that was this.
async fn newest(machine: &Machine, table: &str, what: &str) -> String {
    let found = history(machine, table).await;
    found.iter().find(|entry| entry["what"] == what).unwrap()["version"].to_string()
}

/// Another program deletes the rows of an event type.
async fn delete_by_another(stage: &Stage, event_type: &str) {
    use datafusion::prelude::{col, lit};
    let url = Url::from_directory_path(stage.folder().join("transactions")).unwrap();
    let table = deltalake::open_table(url).await.unwrap();
    let (_, done) = table.delete().with_predicate(col("event_type").eq(lit(event_type))).await.unwrap();
    assert!(done.num_removed_files > 0);
}

fn undo(version: &str) -> [&str; 7] {
    ["lake", "undo", version, "--table", "transactions", "--yes", "--json"]
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_another_program_deleted_come_back() {
    let mut stage = with_small_files(3).await;
    let before = all_rows(&stage).await;
    delete_by_another(&stage, "donation").await;
    stage.put(60).await;
    stage.machine.run(&ONCE).await.expect_code(1).expect_message(&["refusing to write", "lake undo"]);
    stage.machine.run(&["lake", "verify"]).await.expect_code(3);
    let version = newest(&stage.machine, "transactions", "foreign").await;
    let plan = ["lake", "undo", &version, "--table", "transactions", "--dry-run"];
    let planned = stage.machine.run(&plan).await.expect_code(0).stdout;
    assert!(planned.contains("DELETE") && planned.contains("Nothing was changed"), "{planned}");
    assert_ne!(all_rows(&stage).await, before, "a dry run changes nothing");
    let done = stage.machine.run(&undo(&version)).await.expect_code(0).json();
    assert_eq!(done["record"], 1);
    assert_eq!(all_rows(&stage).await, before);
    let found = history(&stage.machine, "transactions").await;
    assert_eq!((&found[0]["what"], &found[0]["version"]), (&"undo".into(), &done["version"]));
    stage.machine.run(&undo(&version)).await.expect_code(1).expect_message(&["undone it already"]);
    assert_lake_verifies(&stage.machine, &stage.lake).await;
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_engine_merged_comes_apart_again() {
    let stage = with_small_files(3).await;
    let before = all_rows(&stage).await;
    assert!(compact(stage.folder()).await > 0);
    stage.machine.run(&["lake", "verify"]).await.expect_code(3);
    for table in ["transactions", "user_events"] {
        let version = newest(&stage.machine, table, "foreign").await;
        let arguments = ["lake", "undo", &version, "--table", table, "--yes"];
        let text = stage.machine.run(&arguments).await.expect_code(0).stdout;
        assert!(text.contains("OPTIMIZE") && text.contains("Undone by version"), "{text}");
    }
    assert_eq!(all_rows(&stage).await, before);
    assert_lake_verifies(&stage.machine, &stage.lake).await;
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_undo_finishes_a_killed_one() {
    let mut stage = with_small_files(3).await;
    let before = all_rows(&stage).await;
    for step in STEPS {
        stage.machine.succeed(&COMPACT).await;
        let version = newest(&stage.machine, "transactions", "compact").await;
        stage.machine.set("FAILPOINTS", &format!("{step}=return(abort)"));
        let killed = stage.machine.run(&undo(&version)).await;
        stage.machine.unset("FAILPOINTS");
        assert!(killed.code.is_none(), "{step} was not reached: {killed:?}");
        assert_lake_verifies(&stage.machine, &stage.lake).await;
        let again = stage.machine.run(&undo(&version)).await;
        if step == "after_maintenance_commit" {
            again.expect_code(1).expect_message(&["undone it already"]);
        } else {
            again.expect_code(0);
        }
        assert_eq!(all_rows(&stage).await, before, "{step}");
        assert_lake_verifies(&stage.machine, &stage.lake).await;
    }
    let diff = stage.machine.run(&["lake", "diff", "1", "0", "--json"]).await.expect_code(0).json();
    assert_eq!(diff["total"]["rows_added"], 0, "{diff}");
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_undos_at_once_one_lands() {
    let stage = with_small_files(2).await;
    let before = all_rows(&stage).await;
    stage.machine.succeed(&COMPACT).await;
    let version = newest(&stage.machine, "transactions", "compact").await;
    let arguments = undo(&version);
    let (left, right) = tokio::join!(stage.machine.run(&arguments), stage.machine.run(&arguments));
    let done = [left.code, right.code].into_iter().filter(|code| *code == Some(0)).count();
    assert_eq!(done, 1, "{left:?} {right:?}");
    assert_eq!(all_rows(&stage).await, before);
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_undone_or_told_is_named() {
    let stage = with_small_files(1).await;
    let version = newest(&stage.machine, "transactions", "batch").await;
    let run = async |arguments: &[&str]| stage.machine.run(arguments).await;
    run(&undo(&version)).await.expect_code(1).expect_message(&["a batch of ingest", "Kinesis"]);
    run(&undo("999")).await.expect_code(1).expect_message(&["there is no version 999"]);
    run(&["lake", "undo", &version, "--table", "transactions"]).await.expect_code(2).expect_message(&["--yes"]);
    run(&["lake", "undo", &version, "--yes"]).await.expect_code(2).expect_message(&["--table"]);
    run(&["lake", "undo", "x", "--table", "transactions"]).await.expect_code(2).expect_message(&["<V>"]);
    run(&["lake", "diff", "0", "999"]).await.expect_code(1).expect_message(&["there is no version 999"]);
    run(&["lake", "diff", "0", "1", "--table", "users"]).await.expect_code(2).expect_message(&["transactions"]);
    run(&["lake", "history", "--since", "yesterday"]).await.expect_code(2).expect_message(&["--since", "RFC 3339"]);
    run(&["lake", "history", "--limit", "0"]).await.expect_code(2).expect_message(&["--limit"]);
    let text = run(&["lake", "history", "--limit", "1"]).await.expect_code(0).stdout;
    for table in ["user_events", "transactions", "rejected_events"] {
        assert!(text.contains(&format!("{table}, now at version")), "{text}");
    }
    let text = run(&["lake", "diff", "0", &version]).await.expect_code(0).stdout;
    assert!(text.contains("from version 0 to") && text.contains("total") && text.contains("donation"), "{text}");
}
