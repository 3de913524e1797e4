//! The effects of a commit, each of which happens once.

use std::time::Duration;

use bluelake_lake::{CommitOutcome, Housekeeping, Position};

use crate::{
    fixture::{Fixture, after, batch, pin},
    stores::Fault,
};

const SHARD: &str = "shardId-0";

fn is_committed(outcome: &CommitOutcome) -> bool {
    matches!(outcome, CommitOutcome::Committed { .. })
}

#[tokio::test]
async fn rows_and_position_commit_together() {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    let first = batch(&table, SHARD, Position::TrimHorizon, 9..=11, 2).await;
    assert!(is_committed(&table.commit(&first).await.unwrap()));

    let reopened = fixture.open().await;
    let state = &reopened.document().unwrap().shards[SHARD];
    assert_eq!(state.position, after(11));
    assert_eq!((state.totals.received, state.totals.stored, state.totals.rejected), (5, 3, 2));
    assert_eq!(fixture.sequences().await, ["10", "11", "9"]);
    assert_eq!(fixture.rejected_rows().await, 2);
}

#[tokio::test]
async fn a_batch_from_a_stale_position_is_fenced() {
    let fixture = Fixture::new().await;
    let mut winner = fixture.open().await;
    pin(&mut winner, SHARD).await;
    let mut zombie = fixture.open().await;
    let stale = batch(&zombie, SHARD, Position::TrimHorizon, 1..=5, 1).await;
    let fresh = batch(&winner, SHARD, Position::TrimHorizon, 1..=3, 0).await;
    assert!(is_committed(&winner.commit(&fresh).await.unwrap()));
    let outcome = zombie.commit(&stale).await.unwrap();
    let CommitOutcome::Fenced(fence) = outcome else { panic!("{outcome:?}") };
    let moved = "shardId-0: the table is at record 3, the batch started from the oldest record";
    assert_eq!(fence.to_string(), moved);
    assert_eq!(fixture.sequences().await, ["1", "2", "3"]);
    assert_eq!(fixture.rejected_rows().await, 0);
}

#[tokio::test]
async fn of_racing_workers_exactly_one_commits_each_range() {
    let fixture = Fixture::new().await;
    let mut first = fixture.open().await;
    pin(&mut first, SHARD).await;
    let mut racers = Vec::new();
    for _ in 0..4 {
        let mut table = fixture.open().await;
        let rows = batch(&table, SHARD, Position::TrimHorizon, 1..=4, 1).await;
        racers.push(tokio::spawn(async move { table.commit(&rows).await.unwrap() }));
    }
    let mut won = 0;
    for racer in racers {
        won += usize::from(is_committed(&racer.await.unwrap()));
    }
    assert_eq!(won, 1);
    assert_eq!(fixture.sequences().await.len(), 4);
    fixture.open().await;
    assert_eq!(fixture.rejected_rows().await, 1);
}

#[tokio::test]
async fn different_shards_commit_side_by_side() {
    let fixture = Fixture::new().await;
    let mut left = fixture.open().await;
    pin(&mut left, SHARD).await;
    let mut right = fixture.open().await;
    pin(&mut right, "shardId-1").await;
    let one = batch(&left, SHARD, Position::TrimHorizon, 1..=2, 0).await;
    let two = batch(&right, "shardId-1", Position::TrimHorizon, 3..=4, 0).await;
    let (one, two) = tokio::join!(left.commit(&one), right.commit(&two));
    assert!(is_committed(&one.unwrap()) && is_committed(&two.unwrap()));
    assert_eq!(fixture.sequences().await.len(), 4);
}

#[tokio::test]
async fn a_lost_answer_still_gives_one_commit() {
    let cases = [
        ("_delta_log/0000", Fault::LoseAnswer),
        ("_delta_log/0000", Fault::SayAlreadyExists),
        ("_delta_log/0000", Fault::Fail),
        ("_checkpoints", Fault::LoseAnswer),
        ("_checkpoints", Fault::SayAlreadyExists),
        ("_checkpoints", Fault::Fail),
        ("rejected_events/_delta_log", Fault::LoseAnswer),
        ("rejected_events/_delta_log", Fault::Fail),
    ];
    for (pattern, fault) in cases {
        let fixture = Fixture::new().await;
        pin(&mut fixture.open().await, SHARD).await;
        let lake = fixture.faulty(pattern, fault, 2);
        let mut table = fixture.try_open(&lake).await.unwrap();
        let rows = batch(&table, SHARD, Position::TrimHorizon, 1..=3, 2).await;
        let outcome = table.commit(&rows).await;
        assert!(is_committed(outcome.as_ref().unwrap()), "{pattern} {fault:?}: {outcome:?}");
        fixture.open().await;
        assert_eq!(fixture.sequences().await.len(), 3, "{pattern} {fault:?}");
        assert_eq!(fixture.rejected_rows().await, 2, "{pattern} {fault:?}");
    }
}

#[tokio::test]
async fn a_batch_over_an_hour_old_is_dropped() {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    let mut late = batch(&table, SHARD, Position::TrimHorizon, 1..=3, 1).await;
    for file in late.files.iter_mut().chain(&mut late.rejected_files) {
        file.modified_at = file.modified_at.earlier(Duration::from_secs(61 * 60));
    }
    assert_eq!(table.commit(&late).await.unwrap(), CommitOutcome::Expired);
    assert!(fixture.sequences().await.is_empty());
    table.reload().await.unwrap();
    let again = batch(&table, SHARD, Position::TrimHorizon, 1..=3, 1).await;
    assert!(is_committed(&table.commit(&again).await.unwrap()));
    assert_eq!((fixture.sequences().await.len(), fixture.rejected_rows().await), (3, 1));
}

#[tokio::test]
async fn committing_the_same_batch_again_changes_nothing() {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    let rows = batch(&table, SHARD, Position::TrimHorizon, 1..=3, 0).await;
    assert!(is_committed(&table.commit(&rows).await.unwrap()));
    let next = batch(&table, SHARD, after(3), 4..=4, 0).await;
    assert!(is_committed(&table.commit(&next).await.unwrap()));
    assert!(is_committed(&table.commit(&rows).await.unwrap()), "found in the chain, not committed again");
    assert_eq!(fixture.sequences().await.len(), 4);
}

#[tokio::test]
async fn the_next_worker_completes_rejected_events_first() {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    let log = fixture.folder.path().join("rejected_events/_delta_log");
    for (from, rows) in [(Position::TrimHorizon, 1..=2), (after(2), 3..=4)] {
        let rows = batch(&table, SHARD, from, rows, 3).await;
        table.commit(&rows).await.unwrap();
    }
    assert_eq!(fixture.rejected_rows().await, 6);
    for version in 1..=2 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    assert_eq!(fixture.rejected_rows().await, 0, "as after a crash between the two commits");
    fixture.open().await;
    assert_eq!(fixture.rejected_rows().await, 6);
}

#[tokio::test]
async fn a_document_without_its_commit_is_skipped() {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    let folder = fixture.folder.path().join("transactions/_checkpoints/transaction-events");
    std::fs::copy(folder.join(format!("{:020}.json", 1)), folder.join(format!("{:020}.json", 2))).unwrap();
    let rows = batch(&table, SHARD, Position::TrimHorizon, 1..=3, 0).await;
    assert!(is_committed(&table.commit(&rows).await.unwrap()));
    assert_eq!(fixture.open().await.document().unwrap().head.number, 3);
}

#[tokio::test]
async fn a_table_resumes_from_its_log_checkpoint() {
    let fixture = Fixture::new().await;
    let housekeeping = Housekeeping { log_checkpoint_every: 20, ..Housekeeping::default() };
    let mut table = fixture.open().await.with_housekeeping(housekeeping);
    pin(&mut table, SHARD).await;
    let mut from = Position::TrimHorizon;
    for sequence in 1..=45 {
        let rows = batch(&table, SHARD, from, sequence..=sequence, 0).await;
        assert!(is_committed(&table.commit(&rows).await.unwrap()));
        from = after(sequence);
    }
    let log = fixture.folder.path().join("transactions/_delta_log");
    assert!(log.join("_last_checkpoint").exists());
    assert_eq!(fixture.open().await.document().unwrap().shards[SHARD].position, after(45));
    assert_eq!(fixture.sequences().await.len(), 45);
}
