//! Replays and archives in the chain of documents, foreign commits while a table is open, and housekeeping.

use std::{path::Path, time::Duration};

use bluelake_lake::{
    ArchiveRange, Batch, CommitOutcome, ControlTotals, Housekeeping, Position, RecentRanges, StreamTable, Supplement,
    rejected_positions,
};
use bluelake_schemas::Micros;

use crate::{
    fixture::{Fixture, STREAM, after, batch, empty, pin},
    stores::Fault,
};

const SHARD: &str = "shardId-0";

fn is_committed(outcome: &CommitOutcome) -> bool {
    matches!(outcome, CommitOutcome::Committed { .. })
}

fn archive(object: &str, rows: u64) -> ArchiveRange {
    let counts = ControlTotals { received: rows, stored: rows, ..ControlTotals::default() };
    ArchiveRange { object: object.to_owned(), version: "v1".to_owned(), from: 0, to: 10, ended: true, counts }
}

/// Turns a batch for a shard into one beside the shards' progress.
fn beside(table: &StreamTable, mut batch: Batch, archive_ranges: Vec<ArchiveRange>) -> Batch {
    let mut counts = ControlTotals::default();
    for step in batch.shards.drain(..) {
        counts += step.counts;
    }
    let base = table.document().map_or(0, |document| document.tally.supplements);
    batch.supplement = Some(Supplement { base, counts, archive_ranges });
    batch
}

/// Commits N rows, one commit each, from sequence number `from` on.
async fn commits(table: &mut StreamTable, from: u32, count: u32) {
    for sequence in from..from + count {
        let start = if sequence == 1 { Position::TrimHorizon } else { after(sequence - 1) };
        let rows = batch(table, SHARD, start, sequence..=sequence, 0).await;
        assert!(is_committed(&table.commit(&rows).await.unwrap()));
    }
}

/// Adds the last commit's files to the log again, as a program without knowledge of the documents would.
fn commit_by_another_hand(folder: &Path, version: u64) {
    let log = folder.join("transactions/_delta_log");
    let last = std::fs::read_to_string(log.join(format!("{:020}.json", version - 1))).unwrap();
    let foreign: Vec<&str> = last.lines().filter(|line| !line.contains("\"txn\"")).collect();
    let foreign = foreign.join("\n").replace("-00000.parquet", "-00001.parquet");
    std::fs::write(log.join(format!("{version:020}.json")), foreign).unwrap();
}

#[tokio::test]
async fn foreign_rows_in_an_open_table_are_refused() {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    commits(&mut table, 1, 1).await;
    commit_by_another_hand(fixture.folder.path(), 3);
    for _ in 0..2 {
        let message = table.reload().await.expect_err("must be refused").to_string();
        assert!(message.contains("it holds 2 rows") && message.contains("say 1"), "{message}");
    }
    let rows = batch(&table, SHARD, after(1), 2..=2, 0).await;
    let message = table.commit(&rows).await.expect_err("must be refused").to_string();
    assert!(message.contains("refusing to write"), "{message}");
}

#[tokio::test]
async fn other_workers_commits_pass_the_check() {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    let mut other = fixture.open().await;
    commits(&mut other, 1, 3).await;
    table.reload().await.unwrap();
    assert_eq!(table.document().unwrap().expected_rows(), Some(3));
}

#[tokio::test]
async fn a_replay_beside_a_worker_lands_once() {
    let fixture = Fixture::new().await;
    let mut worker = fixture.open().await;
    pin(&mut worker, SHARD).await;
    let mut replay = fixture.open().await;
    let mut other = fixture.open().await;
    let rows = batch(&replay, SHARD, Position::TrimHorizon, 101..=102, 1).await;
    let first = beside(&replay, rows, Vec::new());
    let rows = batch(&other, SHARD, Position::TrimHorizon, 101..=102, 1).await;
    let second = beside(&other, rows, Vec::new());
    commits(&mut worker, 1, 2).await;
    assert!(is_committed(&replay.commit(&first).await.unwrap()), "a worker's progress does not fence it");
    let outcome = other.commit(&second).await.unwrap();
    let CommitOutcome::Fenced(fence) = outcome else { panic!("{outcome:?}") };
    assert_eq!(fence.to_string(), "supplements: the table is at 1, the batch started from 0");
    assert!(is_committed(&replay.commit(&first).await.unwrap()), "found in the chain");
    let rows = batch(&worker, SHARD, after(2), 3..=3, 0).await;
    assert!(is_committed(&worker.commit(&rows).await.unwrap()), "nor does it fence the worker");
    let table = fixture.open().await;
    let document = table.document().unwrap();
    assert_eq!((document.expected_rows(), document.tally.supplements), (Some(5), 1));
    assert_eq!(document.shards[SHARD].position, after(3));
    assert_eq!((fixture.sequences().await.len(), fixture.rejected_rows().await), (5, 1));
    let wanted: RecentRanges = [(SHARD.into(), Micros::new(0)..=Micros::MAX)].into();
    let mut found = Vec::new();
    let mut take = |place: bluelake_lake::RejectedPosition<'_>| found.push(place.sequence.to_owned());
    rejected_positions(STREAM, table.rejected_table(), &wanted, &mut take).await.unwrap();
    assert_eq!(found, ["102"]);
    let mut found = 0;
    let mut count = |_: bluelake_lake::RejectedPosition<'_>| found += 1;
    let other_stream = bluelake_schemas::Stream::UserEvents;
    rejected_positions(other_stream, table.rejected_table(), &wanted, &mut count).await.unwrap();
    assert_eq!(found, 0, "shards of another stream have the same ids");
}

#[tokio::test]
async fn archive_ranges_are_found_past_other_commits() {
    let fixture = Fixture::new().await;
    let lake = fixture.faulty("_checkpoints", Fault::SayAlreadyExists, 1);
    let mut table = fixture.try_open(&lake).await.unwrap();
    assert!(table.archive_ranges().await.unwrap().is_empty(), "a lake without a document");
    // Its first number is lost: the links must name the one that it got.
    let rows = batch(&table, SHARD, Position::TrimHorizon, 1..=2, 0).await;
    let first = beside(&table, rows, vec![archive("one", 2)]);
    assert!(is_committed(&table.commit(&first).await.unwrap()));
    assert_eq!(table.document().unwrap().links.last_archive, Some(2));
    pin(&mut table, SHARD).await;
    let rows = batch(&table, SHARD, Position::TrimHorizon, 3..=3, 0).await;
    let second = beside(&table, rows, vec![archive("two", 1)]);
    assert!(is_committed(&table.commit(&second).await.unwrap()));
    let none = beside(&table, empty(&table, Vec::new()), vec![archive("three", 0)]);
    assert!(is_committed(&table.commit(&none).await.unwrap()), "an object without events is done, too");
    commits(&mut table, 1, 1).await;
    let ranges = fixture.open().await.archive_ranges().await.unwrap();
    assert_eq!(ranges, [archive("three", 0), archive("two", 1), archive("one", 2)]);
}

/// Numbers of the documents in the store.
fn documents(fixture: &Fixture) -> Vec<u64> {
    let folder = fixture.folder.path().join("transactions/_checkpoints/transaction-events");
    let number = |name: String| name.trim_end_matches(".json").parse().unwrap();
    let entries = std::fs::read_dir(folder).unwrap();
    let mut numbers: Vec<u64> =
        entries.map(|entry| number(entry.unwrap().file_name().into_string().unwrap())).collect();
    numbers.sort_unstable();
    numbers
}

/// Treats all but the newest `documents` documents as old.
fn eager(documents: usize) -> Housekeeping {
    let ages = Housekeeping { document_age: Duration::ZERO, log_age: None, ..Housekeeping::default() };
    Housekeeping { every: 1, documents, log_checkpoint_every: 20, ..ages }
}

#[tokio::test]
async fn old_documents_go_except_archive_ranges() {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    commits(&mut table, 1, 3).await;
    let archived = beside(&table, empty(&table, Vec::new()), vec![archive("one", 0)]);
    assert!(is_committed(&table.commit(&archived).await.unwrap()));
    commits(&mut table, 4, 4).await;
    assert_eq!(documents(&fixture), [1, 2, 3, 4, 5, 6, 7, 8, 9], "nothing goes by default");
    let mut table = table.with_housekeeping(eager(3));
    commits(&mut table, 8, 1).await;
    assert_eq!(documents(&fixture), [5, 8, 9, 10]);
    let mut table = fixture.open().await.with_housekeeping(eager(3));
    assert_eq!(table.archive_ranges().await.unwrap(), [archive("one", 0)]);
    commits(&mut table, 9, 2).await;
    assert_eq!(documents(&fixture), [5, 10, 11, 12]);
}

#[tokio::test]
async fn uncommitted_documents_are_not_in_the_chain() {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    commits(&mut table, 1, 3).await;
    let folder = fixture.folder.path().join("transactions/_checkpoints/transaction-events");
    for number in 5..=7 {
        std::fs::copy(folder.join(format!("{:020}.json", 4)), folder.join(format!("{number:020}.json"))).unwrap();
    }
    let mut table = table.with_housekeeping(eager(3));
    commits(&mut table, 4, 1).await;
    assert_eq!(documents(&fixture), [3, 4, 5, 6, 7, 8], "8, 4 and 3 are the newest three of the chain");
}

#[tokio::test]
async fn documents_that_rejected_events_still_needs_stay() {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    let rows = batch(&table, SHARD, Position::TrimHorizon, 1..=1, 2).await;
    table.commit(&rows).await.unwrap();
    let mut table = table.with_housekeeping(eager(1));
    commits(&mut table, 2, 3).await;
    assert_eq!(documents(&fixture), [2, 3, 4, 5], "document 2 is the newest with rejected events");
}

#[tokio::test]
async fn log_clearing_stops_at_a_log_checkpoint() {
    let fixture = Fixture::new().await;
    let everything = Housekeeping { log_age: Some(Duration::ZERO), ..eager(1_000) };
    let mut table = fixture.open().await.with_housekeeping(everything);
    pin(&mut table, SHARD).await;
    let log = fixture.folder.path().join("transactions/_delta_log");
    let first = log.join(format!("{:020}.json", 1));
    commits(&mut table, 1, 18).await;
    assert!(first.exists(), "there is no log checkpoint yet");
    commits(&mut table, 19, 5).await;
    assert!(!first.exists());
    let reopened = fixture.open().await;
    assert_eq!(reopened.document().unwrap().shards[SHARD].position, after(23));
    assert_eq!(fixture.sequences().await.len(), 23);
    let mut young = reopened.with_housekeeping(Housekeeping { log_age: None, ..everything });
    let kept = std::fs::read_dir(&log).unwrap().count();
    commits(&mut young, 24, 2).await;
    assert_eq!(std::fs::read_dir(&log).unwrap().count(), kept + 2, "thirty days by default");
}
