//! Inspecting a stream without touching it.

use std::{collections::BTreeSet, path::Path};

use bluelake_lake::{LakeError, Position, StreamInspection};

use crate::{
    fixture::{Fixture, STREAM, batch, pin},
    stores::Fault,
};

const SHARD: &str = "shardId-0";

async fn with_rows() -> Fixture {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    let rows = batch(&table, SHARD, Position::TrimHorizon, 1..=3, 2).await;
    table.commit(&rows).await.unwrap();
    fixture
}

fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        }
        found.insert(format!("{} {:?}", path.display(), path.metadata().unwrap().modified().unwrap()));
    }
    found
}

async fn look(fixture: &Fixture) -> StreamInspection {
    fixture.lake.inspect(STREAM).await.unwrap()
}

#[tokio::test]
async fn an_empty_lake_has_no_document_or_fault() {
    let found = look(&Fixture::new().await).await;
    assert!(found.document.is_none() && found.faults.is_empty() && !found.rejected_behind);
    assert_eq!((found.table_version, found.committed_at), (Some(0), None));
}

#[tokio::test]
async fn inspection_finds_the_document_and_touches_nothing() {
    let fixture = with_rows().await;
    let before = files(fixture.folder.path());
    let found = look(&fixture).await;
    let totals = found.document.unwrap().totals();
    assert_eq!((totals.received, totals.stored, totals.rejected), (5, 3, 2));
    assert_eq!(found.faults, Vec::<String>::new());
    assert!(found.committed_at.is_some() && !found.rejected_behind);
    assert_eq!(files(fixture.folder.path()), before);
}

#[tokio::test]
async fn rejected_events_outside_their_table_are_reported() {
    let fixture = Fixture::new().await;
    let faulty = fixture.faulty("rejected_events/_delta_log", Fault::Fail, usize::MAX);
    let mut table = fixture.try_open(&faulty).await.unwrap();
    pin(&mut table, SHARD).await;
    let rows = batch(&table, SHARD, Position::TrimHorizon, 1..=3, 2).await;
    table.commit(&rows).await.unwrap();
    assert!(look(&fixture).await.rejected_behind);
    fixture.open().await;
    assert!(!look(&fixture).await.rejected_behind, "the next start brings them there");
}

#[tokio::test]
async fn what_workers_would_refuse_is_a_fault() {
    let fixture = with_rows().await;
    let folder = fixture.folder.path().join("transactions");
    let log = folder.join("_delta_log");
    let last = std::fs::read_to_string(log.join(format!("{:020}.json", 2))).unwrap();
    let foreign: Vec<&str> = last.lines().filter(|line| !line.contains("\"txn\"")).collect();
    let foreign = foreign.join("\n").replace("-00000.parquet", "-00001.parquet");
    std::fs::write(log.join(format!("{:020}.json", 3)), foreign).unwrap();
    let found = look(&fixture).await;
    assert_eq!(found.faults.len(), 1);
    assert!(found.faults[0].contains("6 rows") && found.document.is_some(), "{:?}", found.faults);

    std::fs::remove_file(folder.join(format!("_checkpoints/transaction-events/{:020}.json", 2))).unwrap();
    let found = look(&fixture).await;
    assert!(found.faults[0].contains("missing") && found.document.is_none(), "{:?}", found.faults);
}

#[tokio::test]
async fn a_place_without_tables_is_an_error() {
    let fixture = Fixture::new().await;
    std::fs::remove_dir_all(fixture.folder.path().join("transactions")).unwrap();
    assert!(matches!(fixture.lake.inspect(STREAM).await, Err(LakeError::NotALake { .. })));
}
