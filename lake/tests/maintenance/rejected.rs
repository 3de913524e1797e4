//! Maintenance of `rejected_events`, which follows the documents of both streams and has no documents of its own.

use bluelake_lake::REJECTED_EVENTS;

use super::*;

/// Commits `batches` batches with one row and two rejected events each.
async fn with_rejected(fixture: &Fixture, batches: u32) -> StreamTable {
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    for number in 1..=batches {
        add_rejected(&mut table, number).await;
    }
    table
}

async fn add_rejected(table: &mut StreamTable, number: u32) {
    let start = if number == 1 { Position::TrimHorizon } else { after(number - 1) };
    let rows = batch(table, SHARD, start, number..=number, 2).await;
    let outcome = table.commit(&rows).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
}

async fn rejected(lake: &Lake) -> MaintainedTable {
    MaintainedTable::open(lake, REJECTED_EVENTS, "care").await.unwrap()
}

#[tokio::test]
async fn rejected_events_are_compacted_and_followed_on() {
    let fixture = Fixture::new().await;
    let mut ingest = with_rejected(&fixture, 3).await;
    let mut table = rejected(&fixture.lake).await;
    let task = compaction(&table).await;
    expect_committed(&table.commit(&task).await.unwrap(), 1);
    add_rejected(&mut ingest, 4).await;
    assert_eq!(fixture.rejected_rows().await, 8);
    let mut table = rejected(&fixture.lake).await;
    assert_eq!(active(&table).len(), 2);
    let again = compaction(&table).await;
    expect_committed(&table.commit(&again).await.unwrap(), 2);
    assert_eq!((active(&table).len(), fixture.rejected_rows().await), (1, 8));
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn rows_gone_from_rejected_events_are_counted() {
    let fixture = Fixture::new().await;
    let mut ingest = with_rejected(&fixture, 3).await;
    let mut table = rejected(&fixture.lake).await;
    let before = chrono::NaiveDate::from_ymd_opt(2027, 1, 1).unwrap();
    let files = active(&table);
    let expire = rewrite(&table, TaskKind::Expire { before }, files[..1].to_vec(), &[0, 1]).await;
    expect_committed(&table.commit(&expire).await.unwrap(), 1);
    let repair = rewrite(&table, TaskKind::Repair { batch: REQUEST }, files[1..].to_vec(), &[2]).await;
    expect_committed(&table.commit(&repair).await.unwrap(), 2);
    let left = table.record().unwrap().counts.rows_left[&STREAM];
    assert_eq!((left.expired, left.repaired, left.erased), (2, 1, 0));
    add_rejected(&mut ingest, 4).await;
    assert_eq!(fixture.rejected_rows().await, 5);
    rejected(&fixture.lake).await;
    // No document says that one of them was repaired: only that is reported.
    let report = verify(&fixture.lake, &VerifyOptions::default()).await.unwrap();
    let checks = report.streams.into_iter().flat_map(|stream| stream.checks);
    let failed: Vec<_> = checks.filter(|check| check.outcome != bluelake_lake::CheckOutcome::Passed).collect();
    let [check] = failed.as_slice() else { panic!("{failed:#?}") };
    assert!(format!("{check:?}").contains("records took 1 rows out as repaired"), "{check:?}");
}

#[tokio::test]
async fn rejected_events_taken_by_another_program_are_refused() {
    let fixture = Fixture::new().await;
    with_rejected(&fixture, 2).await;
    let log = fixture.folder.path().join("rejected_events/_delta_log");
    let path = active(&rejected(&fixture.lake).await)[0].path.clone();
    let remove = format!("{{\"remove\":{{\"path\":\"{path}\",\"deletionTimestamp\":1,\"dataChange\":true}}}}");
    std::fs::write(log.join(format!("{:020}.json", 3)), remove).unwrap();
    let refused = MaintainedTable::open(&fixture.lake, REJECTED_EVENTS, "care").await.expect_err("must be refused");
    let refused = refused.to_string();
    assert!(refused.contains("2 rows of transaction-events") && refused.contains("say 4"), "{refused}");
}
