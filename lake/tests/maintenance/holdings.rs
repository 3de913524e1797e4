//! What a table holds in the store, and what of it maintenance took out.

use bluelake_lake::{Claim, Objects, TableHoldings};
use bluelake_schemas::Millis;

use super::*;

async fn holdings(fixture: &Fixture) -> TableHoldings {
    fixture.lake.holdings(STREAM.table(), Millis::new(0)).await.unwrap()
}

/// A task that changes no file.
async fn note(fixture: &Fixture, kind: TaskKind) {
    let mut table = maintained(&fixture.lake).await;
    let task = table.begin(kind).await.unwrap();
    assert!(matches!(table.commit(&task).await.unwrap(), TaskOutcome::Committed { .. }));
}

#[tokio::test]
async fn what_a_table_holds_is_told_by_its_kind() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 3).await;
    let held = holdings(&fixture).await;
    let size = held.files.iter().map(|file| file.size).sum::<u64>();
    assert_eq!((held.version, held.files.len(), held.data.len()), (Some(4), 3, 3));
    assert_eq!((held.log.objects, held.documents.objects, held.records.objects), (5, 4, 0));
    assert_eq!((held.log_checkpoint, held.record, held.retired), (None, None, Objects::default()));
    assert_eq!(held.all().objects, 3 + 5 + 4);
    assert_eq!((held.all(), held.all().bytes > size), (held.written, true));
    let later = fixture.lake.holdings(STREAM.table(), Millis::new(i64::MAX)).await.unwrap();
    assert_eq!(later.written, Objects::default());
}

#[tokio::test]
async fn files_that_were_merged_are_retired_until_they_are_gone() {
    let fixture = Fixture::new().await;
    let mut ingest = with_batches(&fixture, 3).await;
    let before = holdings(&fixture).await;
    let mut table = maintained(&fixture.lake).await;
    let task = compaction(&table).await;
    expect_committed(&table.commit(&task).await.unwrap(), 1);
    add_batch(&mut ingest, 3).await;
    let held = holdings(&fixture).await;
    let bytes = before.files.iter().map(|file| file.size).sum();
    assert_eq!((held.files.len(), held.data.len(), held.record), (2, 5, Some(1)));
    assert_eq!(held.retired, Objects { objects: 3, bytes });

    let path = fixture.folder.path().join(STREAM.table()).join(&before.files[0].path);
    std::fs::remove_file(path).unwrap();
    assert_eq!(holdings(&fixture).await.retired.objects, 2);
    note(&fixture, TaskKind::Floor { readable_from: 5, purged_to: 1 }).await;
    let held = holdings(&fixture).await;
    assert_eq!((held.retired, held.standing.readable_from, held.standing.purged_to), (Objects::default(), 5, 1));
}

#[tokio::test]
async fn an_open_claim_is_told() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 1).await;
    let until = fixture.lake.store_time().await.unwrap().later(Duration::from_secs(3_600));
    note(&fixture, TaskKind::Claim(Claim { request: REQUEST, partitions: None, until })).await;
    assert_eq!(holdings(&fixture).await.standing.claim.map(|claim| claim.request), Some(REQUEST));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_told() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let mut table = maintained(&fixture.lake).await;
    let task = compaction(&table).await;
    expect_committed(&table.commit(&task).await.unwrap(), 1);
    std::fs::remove_file(fixture.folder.path().join(format!("transactions/_maintenance/{:020}.json", 1))).unwrap();
    let held = holdings(&fixture).await;
    assert_eq!((held.record, held.faults.len()), (Some(1), 1));
    assert!(held.faults[0].contains("it is missing"), "{:?}", held.faults);
}
