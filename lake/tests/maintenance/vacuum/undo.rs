//! Undo and vacuum are ordered by the floor: what an undo puts back is there.

use std::collections::BTreeMap;

use bluelake_lake::{ContentChange, ContentDigest, DataFile, RowChange};
use bluelake_schemas::Millis;

use super::*;

/// An undo of a version that took files out and put others in.
async fn undo_of(table: &MaintainedTable, lake: &Lake, version: u64) -> Task {
    let actions = log(lake, STREAM.table(), version).await.unwrap();
    let numbers = actions.iter().filter(|action| action["txn"]["appId"] == "bluelake/maintenance");
    let record = numbers.filter_map(|action| action["txn"]["version"].as_u64()).next();
    let mut task = table.begin(TaskKind::Undo { version, record }).await.unwrap();
    let mut adds = BTreeMap::new();
    for earlier in 0..=version {
        for action in log(lake, STREAM.table(), earlier).await.unwrap() {
            if action["add"].is_object() {
                adds.insert(action["add"]["path"].as_str().unwrap().to_owned(), action["add"].clone());
            }
        }
    }
    let removed = actions.iter().filter_map(|action| action["remove"]["path"].as_str());
    task.outputs = removed.map(|path| data_file(path, &adds[path])).collect();
    let added = actions.iter().filter_map(|action| action["add"]["path"].as_str());
    let is_added: BTreeSet<String> = added.map(str::to_owned).collect();
    task.inputs = active(table).into_iter().filter(|file| is_added.contains(&file.path)).collect();
    let change = RowChange {
        before: task.inputs.iter().map(|file| file.rows).sum(),
        after: task.outputs.iter().map(|file| file.rows).sum(),
    };
    task.rows = BTreeMap::from([(STREAM, change)]);
    let digest = ContentDigest::new(1);
    task.content = Some(ContentChange { before: digest, after: digest });
    task.undo.is_quiet = actions.iter().all(|action| action["remove"]["dataChange"] != true);
    task
}

fn data_file(path: &str, add: &serde_json::Value) -> DataFile {
    let statistics = add["stats"].as_str().unwrap().to_owned();
    let rows: serde_json::Value = serde_json::from_str(&statistics).unwrap();
    DataFile {
        path: path.to_owned(),
        partition_values: serde_json::from_value(add["partitionValues"].clone()).unwrap(),
        size: add["size"].as_u64().unwrap(),
        modified_at: Millis::new(add["modificationTime"].as_i64().unwrap()),
        rows: rows["numRecords"].as_u64().unwrap(),
        statistics,
    }
}

fn expect_whole(fixture: &Fixture, table: &MaintainedTable) {
    let missing: Vec<_> = in_table(table).difference(&stored(fixture, STREAM.table())).cloned().collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn an_undo_below_the_floor_is_lost() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 3).await;
    let version = compact(&fixture.lake).await;
    let mut table = maintained(&fixture.lake).await;
    let late = undo_of(&table, &fixture.lake, version).await;
    run(&fixture.lake, &at_once()).await;
    let outcome = table.commit(&late).await.unwrap();
    let TaskOutcome::Lost(lost @ Lost::Outrun { .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(lost.to_string(), "versions before 5 can no longer be read");
    expect_clean(&fixture, 6).await;
}

#[tokio::test]
async fn what_an_undo_put_back_stays() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 3).await;
    let version = compact(&fixture.lake).await;
    let mut table = maintained(&fixture.lake).await;
    let undo = undo_of(&table, &fixture.lake, version).await;
    expect_committed(&table.commit(&undo).await.unwrap(), 2);
    // The files that the compaction took out are in the table again, what it wrote is not.
    let done = run(&fixture.lake, &at_once()).await;
    assert_eq!((done.retired.len(), done.purged_to), (1, 2));
    expect_clean(&fixture, 6).await;
}

#[tokio::test]
async fn what_an_undo_put_back_stays_for_older_versions() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 3).await;
    let version = compact(&fixture.lake).await;
    let mut table = maintained(&fixture.lake).await;
    let undo = undo_of(&table, &fixture.lake, version).await;
    expect_committed(&table.commit(&undo).await.unwrap(), 2);
    compact(&fixture.lake).await;
    // The first compaction is old; the undo and the second one are not.
    age_log(&fixture, 0..=version, 2 * DAY);
    run(&fixture.lake, &VacuumOptions { time_travel: DAY, ..at_once() }).await;
    let mut older = fixture.lake.table(STREAM.table()).await.unwrap();
    older.load_version(version + 1).await.unwrap();
    let files: Vec<_> = older.snapshot().unwrap().log_data().iter().map(|file| file.path().into_owned()).collect();
    assert_eq!(files.len(), 3);
    let kept = stored(&fixture, STREAM.table());
    assert!(files.iter().all(|path| kept.contains(path)), "{files:?} {kept:?}");
    expect_sound(&fixture.lake).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_of_undo_and_vacuum_decides() {
    let mut undone = 0;
    for _ in 0..40 {
        let fixture = Fixture::new().await;
        with_batches(&fixture, 2).await;
        let version = compact(&fixture.lake).await;
        let mut table = maintained(&fixture.lake).await;
        let undo = undo_of(&table, &fixture.lake, version).await;
        let (lake, options) = (fixture.lake.clone(), at_once());
        let vacuum = tokio::spawn(async move { try_run(&lake, &options).await });
        let outcome = table.commit(&undo).await.unwrap();
        vacuum.await.unwrap().unwrap();
        undone += usize::from(matches!(outcome, TaskOutcome::Committed { .. }));
        let table = maintained(&fixture.lake).await;
        expect_whole(&fixture, &table);
        assert_eq!(fixture.sequences().await.len(), 4);
    }
    assert!(undone > 0, "the undo was never the first");
}
