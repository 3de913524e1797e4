//! A good lake passes. A lake with one kind of damage fails in one check.

mod archives;
mod memory;
mod partitions;
mod records;
mod repair;

use std::{
    ops::{Range, RangeInclusive},
    path::PathBuf,
};

use bluelake_lake::{
    ArchiveRange, Batch, Check, CheckOutcome, CheckpointDocument, ControlTotals, Position, StreamReport, StreamTable,
    Supplement, VerifyOptions, verify,
};

use crate::fixture::{Fixture, RowShape, STREAM, advance, after, batch, batch_of, empty, pin};

const SHARD: &str = "shardId-0";
const CHILD: &str = "shardId-1";
const CHECKS: [&str; 14] = [
    "chain",
    "positions",
    "lineage",
    "totals",
    "rows",
    "batches",
    "maintenance",
    "versions",
    "files",
    "uniqueness",
    "window",
    "reach",
    "partitions",
    "rejected",
];

/// A lake with three commits: a pin, five rows and two rejected events, three rows and one.
async fn good() -> (Fixture, StreamTable) {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    for (from, rows, rejected) in [(Position::TrimHorizon, 1..=5, 2), (after(5), 6..=8, 1)] {
        let rows = batch(&table, SHARD, from, rows, rejected).await;
        table.commit(&rows).await.unwrap();
    }
    (fixture, table)
}

async fn report_with(fixture: &Fixture, options: &VerifyOptions) -> StreamReport {
    let report = verify(&fixture.lake, options).await.unwrap();
    let holds = report.holds;
    let stream = report.streams.into_iter().find(|stream| stream.stream == STREAM.name()).unwrap();
    assert_eq!(holds, stream.holds(), "the other stream is empty");
    stream
}

async fn report(fixture: &Fixture) -> StreamReport {
    report_with(fixture, &VerifyOptions::default()).await
}

fn check<'a>(report: &'a StreamReport, name: &str) -> &'a Check {
    report.checks.iter().find(|check| check.name == name).unwrap()
}

/// Names of the checks that failed.
fn failed(report: &StreamReport) -> Vec<&'static str> {
    let failed = |check: &&Check| matches!(check.outcome, CheckOutcome::Failed(_));
    report.checks.iter().filter(failed).map(|check| check.name).collect()
}

fn unchecked(report: &StreamReport) -> Vec<&'static str> {
    let unchecked = |check: &&Check| matches!(check.outcome, CheckOutcome::NotChecked { .. });
    report.checks.iter().filter(unchecked).map(|check| check.name).collect()
}

/// Fails the test unless only this check failed, the rest passed, and its first example holds `words`.
#[track_caller]
fn expect_alone(report: &StreamReport, name: &str, words: &str) {
    assert_eq!((failed(report), unchecked(report)), (vec![name], vec![]), "{:#?}", report.checks);
    expect_example(report, name, words);
}

#[track_caller]
fn expect_example(report: &StreamReport, name: &str, words: &str) {
    let CheckOutcome::Failed(found) = &check(report, name).outcome else { panic!("{name} did not fail") };
    assert!(found.examples.iter().any(|example| example.contains(words)), "{name}: {found:?} lacks {words:?}");
}

fn folder(fixture: &Fixture) -> PathBuf {
    fixture.folder.path().join("transactions")
}

fn document_path(fixture: &Fixture, number: u64) -> PathBuf {
    folder(fixture).join(format!("_checkpoints/transaction-events/{number:020}.json"))
}

fn document(fixture: &Fixture, number: u64) -> CheckpointDocument {
    CheckpointDocument::read(&std::fs::read(document_path(fixture, number)).unwrap(), number).unwrap()
}

/// Replaces documents by others of the same numbers (which must end with the newest), with valid digests.
fn forge(fixture: &Fixture, documents: &mut [CheckpointDocument]) {
    let mut digest = None;
    for document in documents {
        if let (Some(digest), Some(previous)) = (digest, &mut document.head.previous) {
            previous.digest = digest;
        }
        let bytes = document.seal().unwrap();
        std::fs::write(document_path(fixture, document.head.number), bytes).unwrap();
        digest = Some(document.head.digest.clone());
    }
}

/// The data file of version `version` of a table.
fn data_file(fixture: &Fixture, table: &str, version: u64) -> PathBuf {
    let log = std::fs::read_to_string(log_path(fixture, table, version)).unwrap();
    let add = log.lines().find(|line| line.contains("\"add\"")).unwrap();
    let path = add.split("\"path\":\"").nth(1).unwrap().split('"').next().unwrap();
    fixture.folder.path().join(table).join(path)
}

fn log_path(fixture: &Fixture, table: &str, version: u64) -> PathBuf {
    fixture.folder.path().join(table).join(format!("_delta_log/{version:020}.json"))
}

/// Rewrites a version of a table's log.
fn edit_log(fixture: &Fixture, table: &str, version: u64, edit: impl Fn(&str) -> Option<String>) {
    let path = log_path(fixture, table, version);
    let text = std::fs::read_to_string(&path).unwrap();
    let edited: Vec<String> = text.lines().filter_map(edit).collect();
    assert_ne!(edited.join("\n"), text.trim_end(), "the edit changed nothing");
    std::fs::write(&path, edited.join("\n")).unwrap();
}

/// A commit of another program that adds a copy of the file of `version`, as the table's next version.
fn add_copy(fixture: &Fixture, table: &str, version: u64) {
    let original = data_file(fixture, table, version);
    let name = original.file_name().unwrap().to_str().unwrap().to_owned();
    std::fs::copy(&original, original.with_file_name(format!("copy-{name}"))).unwrap();
    let log = std::fs::read_to_string(log_path(fixture, table, version)).unwrap();
    let add = log.lines().find(|line| line.contains("\"add\"")).unwrap().replace(&name, &format!("copy-{name}"));
    let next = (0..).find(|version| !log_path(fixture, table, *version).exists()).unwrap();
    std::fs::write(log_path(fixture, table, next), add).unwrap();
}

async fn commit(table: &mut StreamTable, batch: &Batch) {
    let outcome = table.commit(batch).await.unwrap();
    assert!(matches!(outcome, bluelake_lake::CommitOutcome::Committed { .. }), "{outcome:?}");
}

#[tokio::test]
async fn verify_passes_a_good_lake_with_counts() {
    let (fixture, _) = good().await;
    let report = report(&fixture).await;
    assert_eq!((failed(&report), unchecked(&report)), (vec![], vec![]), "{:#?}", report.checks);
    assert_eq!(report.checks.iter().map(|check| check.name).collect::<Vec<_>>(), CHECKS);
    assert_eq!((report.document, report.documents), (Some(3), 3));
    assert_eq!((report.files, report.rejected_files, report.files_read, report.rows), (2, 2, 4, 11));
    assert_eq!(report.warnings.found, 0);
}

#[tokio::test]
async fn verify_passes_a_lake_without_a_commit() {
    let report = report(&Fixture::new().await).await;
    assert_eq!((failed(&report), unchecked(&report)), (vec![], vec![]), "{:#?}", report.checks);
    assert_eq!((report.document, report.documents, report.files), (None, 0, 0));
}

#[tokio::test]
async fn verify_passes_a_split_without_its_parent() {
    let (fixture, mut table) = good().await;
    let mut end = advance(SHARD, Some(after(8)), after(8), 0, 0);
    end.ended = true;
    let end = empty(&table, vec![end]);
    commit(&mut table, &end).await;
    let mut child = advance(CHILD, None, Position::TrimHorizon, 0, 0);
    child.parents = vec![SHARD.into()];
    let child = empty(&table, vec![child]);
    commit(&mut table, &child).await;
    let mut rows = batch(&table, CHILD, Position::TrimHorizon, 20..=22, 0).await;
    rows.shards[0].parents = vec![SHARD.into()];
    rows.retire = vec![SHARD.into()];
    commit(&mut table, &rows).await;
    assert!(!table.document().unwrap().shards.contains_key(SHARD), "the parent is folded away");
    let report = report(&fixture).await;
    assert_eq!((failed(&report), unchecked(&report)), (vec![], vec![]), "{:#?}", report.checks);
}

#[tokio::test]
async fn verify_names_an_altered_document() {
    let (fixture, _) = good().await;
    let path = document_path(&fixture, 2);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"stored\": 5", "\"stored\": 6")).unwrap();
    let report = report(&fixture).await;
    assert_eq!(failed(&report), ["chain"], "{:#?}", report.checks);
    expect_example(&report, "chain", "digest does not match");
    assert_eq!(unchecked(&report), ["positions", "lineage", "totals", "batches", "rejected"]);
}

#[tokio::test]
async fn verify_names_a_missing_document() {
    let (fixture, _) = good().await;
    std::fs::remove_file(document_path(&fixture, 2)).unwrap();
    let report = report(&fixture).await;
    assert_eq!(failed(&report), ["chain"], "{:#?}", report.checks);
    expect_example(&report, "chain", "00000002.json");
    std::fs::remove_file(document_path(&fixture, 3)).unwrap();
    let report = self::report(&fixture).await;
    assert_eq!(failed(&report), ["chain"], "{:#?}", report.checks);
    assert!(unchecked(&report).contains(&"rows") && unchecked(&report).contains(&"reach"));
}

#[tokio::test]
async fn verify_names_a_replaced_document() {
    let (fixture, _) = good().await;
    let mut other = document(&fixture, 2);
    other.head.worker = "somebody else".to_owned();
    forge(&fixture, &mut [other]);
    expect_alone(&report(&fixture).await, "chain", "is not the one that it builds on");
}

#[tokio::test]
async fn verify_names_an_erasure_epoch_that_falls() {
    let (fixture, _) = good().await;
    let mut documents = [document(&fixture, 2), document(&fixture, 3)];
    documents[0].head.erasure_epoch = 1;
    forge(&fixture, &mut documents);
    expect_alone(&report(&fixture).await, "chain", "the erasure epoch falls");
}

#[tokio::test]
async fn verify_names_a_table_that_was_rolled_back() {
    let (fixture, _) = good().await;
    std::fs::remove_file(log_path(&fixture, "transactions", 3)).unwrap();
    expect_alone(&report(&fixture).await, "rejected", "follows document 3, its event table only document 2");
    for version in 1..=2 {
        std::fs::remove_file(log_path(&fixture, "transactions", version)).unwrap();
    }
    let report = report(&fixture).await;
    assert!(failed(&report).contains(&"chain"), "{:#?}", report.checks);
    expect_example(&report, "chain", "document 3 builds on a commit");
}

#[tokio::test]
async fn verify_names_a_position_that_goes_back() {
    let (fixture, _) = good().await;
    let mut documents = [document(&fixture, 2), document(&fixture, 3)];
    documents[0].shards.get_mut(SHARD).unwrap().position = after(9);
    documents[0].commit.ranges[0].to_inclusive = after(9);
    documents[1].commit.ranges[0].from_exclusive = Some(after(9));
    forge(&fixture, &mut documents);
    expect_alone(&report(&fixture).await, "positions", "document 3, shard shardId-0: the position goes back");
}

#[tokio::test]
async fn verify_names_ranges_with_a_hole_between_them() {
    let (fixture, _) = good().await;
    let mut forged = document(&fixture, 3);
    forged.commit.ranges[0].from_exclusive = Some(after(6));
    forge(&fixture, &mut [forged]);
    expect_alone(&report(&fixture).await, "positions", "does not start where it stood before");
}

#[tokio::test]
async fn verify_names_a_child_pinned_too_early() {
    let (fixture, mut table) = good().await;
    let mut child = advance(CHILD, None, Position::TrimHorizon, 0, 0);
    child.parents = vec![SHARD.into()];
    let child = empty(&table, vec![child]);
    commit(&mut table, &child).await;
    expect_alone(&report(&fixture).await, "lineage", "shardId-1 is pinned before its parent shardId-0 ended");
}

#[tokio::test]
async fn verify_names_totals_that_do_not_add_up() {
    let (fixture, _) = good().await;
    let mut forged = document(&fixture, 3);
    let totals = &mut forged.shards.get_mut(SHARD).unwrap().totals;
    totals.received += 1;
    totals.duplicate += 1;
    forge(&fixture, &mut [forged]);
    expect_alone(&report(&fixture).await, "totals", "not those before and those of its range");

    let (fixture, _) = good().await;
    let mut forged = document(&fixture, 3);
    forged.commit.ranges[0].counts.received += 1;
    forged.shards.get_mut(SHARD).unwrap().totals.received += 1;
    forge(&fixture, &mut [forged]);
    expect_alone(&report(&fixture).await, "totals", "received is not stored + rejected + duplicate");

    let (fixture, _) = good().await;
    let mut forged = document(&fixture, 3);
    forged.tally.retired.received += 1;
    forged.tally.retired.duplicate += 1;
    forge(&fixture, &mut [forged]);
    expect_alone(&report(&fixture).await, "totals", "totals of retired shards");

    let (fixture, _) = good().await;
    let mut forged = document(&fixture, 3);
    forged.tally.supplemented.received += 1;
    forged.tally.supplemented.duplicate += 1;
    forge(&fixture, &mut [forged]);
    expect_alone(&report(&fixture).await, "totals", "replays and backfills");
}

#[tokio::test]
async fn verify_names_rows_missing_in_the_documents() {
    let (fixture, _) = good().await;
    let mut forged = document(&fixture, 3);
    forged.tally.erased = 1;
    forge(&fixture, &mut [forged]);
    let report = report(&fixture).await;
    assert_eq!(failed(&report), ["totals", "rows", "maintenance"], "{:#?}", report.checks);
    assert_eq!(unchecked(&report), [""; 0]);
    expect_example(&report, "totals", "document 3: rows are erased or expired without a maintenance record");
    expect_example(&report, "rows", "holds 8 rows by its log, its document says 7");
    expect_example(&report, "maintenance", "counts 1 rows erased and 0 expired, the records 0 and 0");
}

#[tokio::test]
async fn verify_names_a_missing_file() {
    for table in ["transactions", "rejected_events"] {
        let (fixture, _) = good().await;
        let version = if table == "transactions" { 2 } else { 1 };
        std::fs::remove_file(data_file(&fixture, table, version)).unwrap();
        let report = report(&fixture).await;
        assert_eq!(failed(&report), ["files"], "{:#?}", report.checks);
        expect_example(&report, "files", "it is missing");
        expect_example(&report, "files", table);
        assert_eq!(unchecked(&report), ["uniqueness", "window", "reach", "partitions"]);
    }
}

#[tokio::test]
async fn verify_names_a_truncated_and_a_garbled_file() {
    let (fixture, _) = good().await;
    let path = data_file(&fixture, "transactions", 2);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
    let report = report(&fixture).await;
    assert_eq!(failed(&report), ["files"], "{:#?}", report.checks);
    expect_example(&report, "files", "bytes, the log says");

    std::fs::write(&path, vec![b'x'; bytes.len()]).unwrap();
    let report = self::report(&fixture).await;
    assert_eq!(failed(&report), ["files"], "{:#?}", report.checks);
}

#[tokio::test]
async fn verify_names_files_unlike_the_log() {
    let (fixture, _) = good().await;
    let edit = |from: &'static str, to: &'static str| move |line: &str| Some(line.replace(from, to));
    edit_log(&fixture, "transactions", 2, edit("\\\"numRecords\\\":5", "\\\"numRecords\\\":4"));
    edit_log(&fixture, "transactions", 3, edit("\\\"numRecords\\\":3", "\\\"numRecords\\\":4"));
    let report = report(&fixture).await;
    assert_eq!(failed(&report), ["batches", "files"], "{:#?}", report.checks);
    expect_example(&report, "batches", "document 2: it counts 5 rows, the files of its batch hold 4");
    expect_example(&report, "files", "it has 5 rows, the log says 4");
}

#[tokio::test]
async fn verify_names_a_file_under_another_partition() {
    let (fixture, _) = good().await;
    edit_log(&fixture, "transactions", 2, |line| {
        Some(line.replace("\"event_type\":\"donation\"", "\"event_type\":\"transfer\""))
    });
    expect_alone(&report(&fixture).await, "files", "belongs into event_type=transfer");
}

#[tokio::test]
async fn verify_names_rows_outside_their_partition() {
    let (fixture, mut table) = good().await;
    let shape = RowShape { event_date: 20_455, ..RowShape::default() };
    let rows = batch_of(&table, (SHARD, after(8)), 9..=10, 0, shape).await;
    commit(&mut table, &rows).await;
    expect_alone(&report(&fixture).await, "partitions", "is of 2026-01-01");
}

#[tokio::test]
async fn verify_names_doubled_rows_of_a_foreign_commit() {
    let (fixture, _) = good().await;
    add_copy(&fixture, "transactions", 2);
    let report = report(&fixture).await;
    assert_eq!(failed(&report), ["rows", "batches", "uniqueness"], "{:#?}", report.checks);
    expect_example(&report, "batches", "no document commits its batch");
    expect_example(&report, "uniqueness", "shard shardId-0 sequence 3 sub-sequence 0");
    let CheckOutcome::Failed(found) = &check(&report, "uniqueness").outcome else { unreachable!() };
    assert_eq!((found.found, found.examples.len()), (5, 5));
}

#[tokio::test]
async fn verify_names_rows_committed_twice() {
    let (fixture, mut table) = good().await;
    let mut again = batch(&table, SHARD, after(8), 1..=5, 0).await;
    again.shards[0].to_inclusive = after(9);
    commit(&mut table, &again).await;
    for rows_per_pass in [1_000, 3, 1] {
        let options = VerifyOptions { rows_per_pass, ..VerifyOptions::default() };
        let report = report_with(&fixture, &options).await;
        expect_alone(&report, "uniqueness", "sub-sequence 0 in row");
        let CheckOutcome::Failed(found) = &check(&report, "uniqueness").outcome else { unreachable!() };
        assert_eq!(found.found, 5, "{rows_per_pass} rows a pass");
        assert_eq!(report.rows, 16);
    }
}

#[tokio::test]
async fn verify_names_repeated_ids_by_the_window() {
    let (fixture, mut table) = good().await;
    let shape = RowShape { id_offset: 8, arrived: 60, ..RowShape::default() };
    let rows = batch_of(&table, (SHARD, after(8)), 9..=10, 0, shape).await;
    commit(&mut table, &rows).await;
    expect_alone(&report(&fixture).await, "window", "again after 60000000 µs");
    let options = VerifyOptions { window: std::time::Duration::from_secs(59), ..VerifyOptions::default() };
    let report = report_with(&fixture, &options).await;
    assert_eq!((failed(&report), report.warnings.found), (vec![], 2), "{:#?}", report.checks);
}

#[tokio::test]
async fn verify_warns_of_ids_repeated_across_shards() {
    let (fixture, mut table) = good().await;
    pin(&mut table, CHILD).await;
    let rows = batch(&table, CHILD, Position::TrimHorizon, 1..=3, 0).await;
    commit(&mut table, &rows).await;
    let report = report(&fixture).await;
    assert_eq!((failed(&report), report.warnings.found), (vec![], 3), "{:#?}", report.checks);
}

#[tokio::test]
async fn verify_names_an_id_that_a_child_repeats() {
    let (fixture, mut table) = good().await;
    let mut end = advance(SHARD, Some(after(8)), after(8), 0, 0);
    end.ended = true;
    let end = empty(&table, vec![end]);
    commit(&mut table, &end).await;
    let mut child = advance(CHILD, None, Position::TrimHorizon, 0, 0);
    child.parents = vec![SHARD.into()];
    let child = empty(&table, vec![child]);
    commit(&mut table, &child).await;
    let mut rows = batch(&table, CHILD, Position::TrimHorizon, 1..=3, 0).await;
    rows.shards[0].parents = vec![SHARD.into()];
    commit(&mut table, &rows).await;
    expect_alone(&report(&fixture).await, "window", "again after 0 µs");
}

#[tokio::test]
async fn verify_names_rows_past_position_or_known_shards() {
    let (fixture, mut table) = good().await;
    let mut rows = batch(&table, SHARD, after(8), 9..=12, 0).await;
    rows.shards[0].to_inclusive = after(10);
    commit(&mut table, &rows).await;
    expect_alone(&report(&fixture).await, "reach", "sequence 11, committed is 10");

    let (fixture, mut table) = good().await;
    let mut rows = batch(&table, "shardId-9", after(8), 9..=12, 0).await;
    rows.shards[0].shard = SHARD.into();
    commit(&mut table, &rows).await;
    expect_alone(&report(&fixture).await, "reach", "no document knows shard shardId-9");
}
