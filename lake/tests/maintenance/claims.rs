//! Claims of erasures and the floor, which change no file.

use bluelake_lake::Claim;

use super::*;

async fn commit_of(table: &mut MaintainedTable, kind: TaskKind) -> TaskOutcome {
    let task = table.begin(kind).await.unwrap();
    table.commit(&task).await.unwrap()
}

#[tokio::test]
async fn a_claim_blocks_compactions_until_returned() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let mut table = maintained(&fixture.lake).await;
    let until = fixture.lake.store_time().await.unwrap().later(Duration::from_secs(60));
    let claim = Claim { request: REQUEST, partitions: None, until };
    expect_committed(&commit_of(&mut table, TaskKind::Claim(claim.clone())).await, 1);
    let compact = compaction(&table).await;
    assert_eq!(table.commit(&compact).await.unwrap(), TaskOutcome::Lost(Lost::Claimed { request: REQUEST }));
    let erase = erasure(&table).await;
    assert!(matches!(table.commit(&erase).await.unwrap(), TaskOutcome::Committed { .. }));
    let standing = table.record().unwrap().standing.claim.clone().unwrap();
    assert!(standing.until > claim.until, "progress puts it off");
    let mut other = maintained(&fixture.lake).await;
    assert!(matches!(
        commit_of(&mut table, TaskKind::Release { request: REQUEST }).await,
        TaskOutcome::Committed { .. }
    ));
    let gone = commit_of(&mut other, TaskKind::Release { request: REQUEST }).await;
    assert!(matches!(gone, TaskOutcome::Lost(Lost::Outrun { .. })), "{gone:?}");
    let compact = compaction(&other).await;
    assert!(matches!(other.commit(&compact).await.unwrap(), TaskOutcome::Committed { .. }));
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn a_floor_changes_no_file_and_never_sinks() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 1).await;
    let mut table = maintained(&fixture.lake).await;
    let files = active(&table);
    expect_committed(&commit_of(&mut table, TaskKind::Floor { readable_from: 2, purged_to: 0 }).await, 1);
    assert_eq!((active(&table), table.record().unwrap().standing.readable_from), (files, 2));
    let lower = commit_of(&mut table, TaskKind::Floor { readable_from: 1, purged_to: 0 }).await;
    assert!(matches!(lower, TaskOutcome::Lost(Lost::Outrun { .. })), "{lower:?}");
    expect_sound(&fixture.lake).await;
}
