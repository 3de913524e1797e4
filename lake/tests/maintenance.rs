//! Maintenance commits: rows are neither doubled nor lost, beside any other writer and after a kill in any step.

mod claims;
mod expiry;
pub(crate) mod faults;
mod files;
mod holdings;
mod rejected;
pub(crate) mod rewrite;
mod time;
mod undo;
mod vacuum;

use std::time::Duration;

use bluelake_lake::{
    CheckpointDocument, CommitOutcome, Housekeeping, Lake, Lost, MaintainedTable, MaintenanceRecord, Position,
    StreamTable, Task, TaskKind, TaskOutcome, VerifyOptions, verify,
};
use object_store::{ObjectStoreExt as _, path::Path};
use uuid::Uuid;

use crate::fixture::{Fixture, STREAM, after, batch, pin};
use rewrite::{active, rewrite};

const SHARD: &str = "shardId-0";
const REQUEST: Uuid = Uuid::from_u128(5);

/// Commits `batches` batches of two rows each, and gives the table.
async fn with_batches(fixture: &Fixture, batches: u32) -> StreamTable {
    with_kept_batches(fixture, batches, Housekeeping::default()).await
}

/// The same, with this housekeeping.
async fn with_kept_batches(fixture: &Fixture, batches: u32, housekeeping: Housekeeping) -> StreamTable {
    let mut table = fixture.open().await.with_housekeeping(housekeeping);
    pin(&mut table, SHARD).await;
    for number in 0..batches {
        add_batch(&mut table, number).await;
    }
    table
}

/// Commits the batch of this number: two rows.
async fn add_batch(table: &mut StreamTable, number: u32) {
    let first = number * 2 + 1;
    let start = if number == 0 { Position::TrimHorizon } else { after(first - 1) };
    let rows = batch(table, SHARD, start, first..=first + 1, 0).await;
    let outcome = table.commit(&rows).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
}

async fn maintained(lake: &Lake) -> MaintainedTable {
    MaintainedTable::open(lake, STREAM.table(), "care").await.unwrap()
}

/// A compaction of all files of the table.
async fn compaction(table: &MaintainedTable) -> Task {
    rewrite(table, TaskKind::Compact, active(table), &[]).await
}

/// An erasure of the first row of the first file.
async fn erasure(table: &MaintainedTable) -> Task {
    let first = active(table).into_iter().take(1).collect();
    rewrite(table, TaskKind::Erase { request: REQUEST }, first, &[0]).await
}

#[track_caller]
fn expect_committed(outcome: &TaskOutcome, expected_record: u64) -> u64 {
    let TaskOutcome::Committed { version, record } = outcome else { panic!("{outcome:?}") };
    assert_eq!(*record, expected_record);
    *version
}

/// The actions of a version of a table's log.
async fn log(lake: &Lake, table: &str, version: u64) -> Option<Vec<serde_json::Value>> {
    let table = lake.table(table).await.unwrap();
    let path = Path::from(format!("_delta_log/{version:020}.json"));
    let bytes = table.object_store().get(&path).await.ok()?.bytes().await.unwrap();
    Some(bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Checks that at every version the rows of the log are those of that version's document. Gives the number of versions
/// that maintenance committed.
async fn check_versions(lake: &Lake) -> usize {
    let (mut rows, mut expected, mut maintained) = (std::collections::BTreeMap::new(), 0, 0);
    let table = lake.table(STREAM.table()).await.unwrap();
    for version in 0.. {
        let Some(actions) = log(lake, STREAM.table(), version).await else { break };
        for action in &actions {
            if let Some(path) = action["remove"]["path"].as_str() {
                rows.remove(path).expect("what leaves was there");
            }
            if let Some(path) = action["add"]["path"].as_str() {
                let statistics: serde_json::Value =
                    serde_json::from_str(action["add"]["stats"].as_str().unwrap()).unwrap();
                rows.insert(path.to_owned(), statistics["numRecords"].as_u64().unwrap());
            }
            match action["txn"]["appId"].as_str() {
                Some("bluelake/maintenance") => maintained += 1,
                Some("bluelake/transaction-events") => {
                    let number = action["txn"]["version"].as_u64().unwrap();
                    let path = Path::from(format!("_checkpoints/{}/{number:020}.json", STREAM.name()));
                    let bytes = table.object_store().get(&path).await.unwrap().bytes().await.unwrap();
                    expected = CheckpointDocument::read(&bytes, number).unwrap().expected_rows().unwrap();
                }
                _ => {}
            }
        }
        assert_eq!(rows.values().sum::<u64>(), expected, "version {version}");
    }
    maintained
}

/// Checks that the lake has no faults, and that every check was possible.
async fn expect_sound(lake: &Lake) {
    let report = verify(lake, &VerifyOptions::default()).await.unwrap();
    for stream in report.streams {
        let bad = stream.checks.iter().filter(|check| check.outcome != bluelake_lake::CheckOutcome::Passed);
        let bad: Vec<_> = bad.collect();
        assert!(bad.is_empty(), "{}: {bad:#?}", stream.stream);
    }
}

#[tokio::test]
async fn a_compaction_is_one_version_without_row_changes() {
    let fixture = Fixture::new().await;
    let mut ingest = with_batches(&fixture, 3).await;
    let before = fixture.sequences().await;
    let mut table = maintained(&fixture.lake).await;
    let task = compaction(&table).await;
    let version = expect_committed(&table.commit(&task).await.unwrap(), 1);
    let actions = log(&fixture.lake, STREAM.table(), version).await.unwrap();
    let of = |kind: &str| actions.iter().filter(|action| action[kind].is_object()).cloned().collect::<Vec<_>>();
    assert_eq!((of("remove").len(), of("add").len(), of("txn").len()), (3, 1, 1));
    let changes = of("remove").into_iter().map(|action| action["remove"]["dataChange"].clone());
    assert!(changes.chain([of("add")[0]["add"]["dataChange"].clone()]).all(|changes| changes == false));
    assert_eq!(of("txn")[0]["txn"]["appId"], "bluelake/maintenance");
    assert_eq!(of("commitInfo")[0]["commitInfo"]["bluelakeTask"], task.id.to_string());
    assert_eq!(fixture.sequences().await, before);
    add_batch(&mut ingest, 3).await;
    assert_eq!(active(&maintained(&fixture.lake).await).len(), 2);
    assert_eq!(check_versions(&fixture.lake).await, 1);
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn an_erasure_counts_rows_in_its_version() {
    let fixture = Fixture::new().await;
    let mut ingest = with_batches(&fixture, 2).await;
    let mut table = maintained(&fixture.lake).await;
    let task = erasure(&table).await;
    let version = expect_committed(&table.commit(&task).await.unwrap(), 1);
    let actions = log(&fixture.lake, STREAM.table(), version).await.unwrap();
    let changes = actions.iter().filter_map(|action| action["remove"]["dataChange"].as_bool()).collect::<Vec<_>>();
    assert_eq!(changes, [true], "who follows changes must see it");
    ingest.reload().await.unwrap();
    let document = ingest.document().unwrap();
    assert_eq!((document.tally.erased, document.expected_rows()), (1, Some(3)));
    let named = document.commit.maintenance.clone().unwrap();
    let path = fixture.folder.path().join(format!("transactions/_maintenance/{:020}.json", named.number));
    let record = MaintenanceRecord::read(&std::fs::read(path).unwrap(), named.number).unwrap();
    assert_eq!((record.digest, record.task, record.planned_on), (named.digest, task.id, task.planned_on));
    add_batch(&mut ingest, 2).await;
    assert_eq!(ingest.document().unwrap().commit.maintenance, None, "it is of one commit");
    assert_eq!(check_versions(&fixture.lake).await, 1);
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn only_one_task_on_shared_inputs_lands() {
    let fixture = Fixture::in_memory().await;
    let mut ingest = with_batches(&fixture, 1).await;
    let (mut left, mut right) = (maintained(&fixture.lake).await, maintained(&fixture.lake).await);
    for race in 0..200 {
        add_batch(&mut ingest, race + 1).await;
        left.reload().await.unwrap();
        right.reload().await.unwrap();
        let (one, two) = (compaction(&left).await, compaction(&right).await);
        let (one, two) = tokio::join!(left.commit(&one), right.commit(&two));
        let outcomes = [one.unwrap(), two.unwrap()];
        let won = outcomes.iter().filter(|outcome| matches!(outcome, TaskOutcome::Committed { .. })).count();
        let lost =
            outcomes.iter().filter(|outcome| matches!(outcome, TaskOutcome::Lost(Lost::InputGone { .. }))).count();
        assert_eq!((won, lost), (1, 1), "race {race}: {outcomes:?}");
        let rows: u64 = active(&maintained(&fixture.lake).await).iter().map(|file| file.rows).sum();
        assert_eq!(rows, u64::from(race + 2) * 2, "race {race}");
    }
    assert_eq!(check_versions(&fixture.lake).await, 200);
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn rows_leaving_beside_ingest_are_always_counted() {
    let fixture = Fixture::in_memory().await;
    let mut ingest = with_batches(&fixture, 1).await;
    let mut table = maintained(&fixture.lake).await;
    let worker = tokio::spawn(async move {
        for number in 1..40 {
            add_batch(&mut ingest, number).await;
        }
        ingest
    });
    let mut erased = 0;
    while !worker.is_finished() || erased < 5 {
        table.reload().await.unwrap();
        if active(&table).is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        let task = erasure(&table).await;
        let outcome = table.commit(&task).await.unwrap();
        erased += u64::from(matches!(outcome, TaskOutcome::Committed { .. }));
    }
    let mut ingest = worker.await.unwrap();
    ingest.reload().await.unwrap();
    let document = ingest.document().unwrap();
    assert_eq!((document.tally.erased, document.expected_rows()), (erased, Some(80 - erased)));
    assert_eq!(check_versions(&fixture.lake).await, usize::try_from(erased).unwrap());
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn a_task_is_lost_after_an_hour() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let mut table = maintained(&fixture.lake).await;
    let mut task = compaction(&table).await;
    task.began_at = task.began_at.earlier(Duration::from_secs(3_601));
    assert_eq!(table.commit(&task).await.unwrap(), TaskOutcome::Lost(Lost::TooOld));
    assert_eq!(check_versions(&fixture.lake).await, 0);
    let again = compaction(&table).await;
    expect_committed(&table.commit(&again).await.unwrap(), 2);
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn a_table_of_an_older_format_is_maintained() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let folder = fixture.folder.path().join("transactions/_checkpoints/transaction-events");
    let mut digest = None;
    for number in 1..=3 {
        let path = folder.join(format!("{number:020}.json"));
        let mut document = CheckpointDocument::read(&std::fs::read(&path).unwrap(), number).unwrap();
        document.head.format = 4;
        if let (Some(digest), Some(previous)) = (digest, &mut document.head.previous) {
            previous.digest = digest;
        }
        std::fs::write(&path, document.seal().unwrap()).unwrap();
        digest = Some(document.head.digest);
    }
    let mut table = maintained(&fixture.lake).await;
    let task = erasure(&table).await;
    expect_committed(&table.commit(&task).await.unwrap(), 1);
    let ingest = fixture.open().await;
    let document = ingest.document().unwrap();
    assert_eq!((document.head.format, document.head.number, document.tally.erased), (5, 4, 1));
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn a_table_of_another_protocol_is_refused() {
    let fixture = Fixture::new().await;
    let path = fixture.folder.path().join("transactions/_delta_log").join(format!("{:020}.json", 0));
    let text = std::fs::read_to_string(&path).unwrap();
    let newer =
        text.replace("\"minReaderVersion\":1,\"minWriterVersion\":2", "\"minReaderVersion\":1,\"minWriterVersion\":4");
    assert_ne!(newer, text);
    std::fs::write(&path, newer).unwrap();
    let refused = MaintainedTable::open(&fixture.lake, STREAM.table(), "care").await.expect_err("must be refused");
    assert!(refused.to_string().contains("its protocol is 1/4"), "{refused}");
}

#[tokio::test]
async fn a_table_with_foreign_rows_is_refused() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let folder = fixture.folder.path().join("transactions/_delta_log");
    let last = std::fs::read_to_string(folder.join(format!("{:020}.json", 3))).unwrap();
    let foreign: Vec<&str> = last.lines().filter(|line| !line.contains("\"txn\"")).collect();
    let foreign = foreign.join("\n").replace("-00000.parquet", "-00001.parquet");
    std::fs::write(folder.join(format!("{:020}.json", 4)), foreign).unwrap();
    let refused = MaintainedTable::open(&fixture.lake, STREAM.table(), "care").await.expect_err("must be refused");
    assert!(refused.to_string().contains("it holds 6 rows"), "{refused}");
}
