//! What a table's past tells: who did what, and what differs between two versions.

use bluelake_lake::{
    AsOf, Change, HistoryEntry, HistoryOptions, Housekeeping, LakeError, REJECTED_EVENTS, TableHistory, What, diff,
    history,
};
use bluelake_schemas::Millis;

use super::{faults::compact_by_another_hand, *};

const TABLE: &str = "transactions";

async fn all(lake: &Lake, table: &str) -> TableHistory {
    history(lake, table, &HistoryOptions::default()).await.unwrap()
}

fn whats(history: &TableHistory) -> Vec<What> {
    history.versions.iter().map(|entry| entry.what).collect()
}

fn entry(history: &TableHistory, version: u64) -> &HistoryEntry {
    history.versions.iter().find(|entry| entry.version == version).unwrap()
}

/// Rows that came and left, those that may have changed, and those that only moved.
fn rows(change: &Change) -> [u64; 4] {
    [change.rows_added, change.rows_removed, change.rows_changed, change.rows_moved]
}

/// Two batches, a compaction, an erasure of a row, another batch, another program's compaction of its file.
async fn eventful() -> Fixture {
    let fixture = Fixture::new().await;
    let mut ingest = with_batches(&fixture, 2).await;
    let mut table = maintained(&fixture.lake).await;
    let task = compaction(&table).await;
    table.commit(&task).await.unwrap();
    let task = erasure(&table).await;
    table.commit(&task).await.unwrap();
    ingest.reload().await.unwrap();
    let last = batch(&ingest, SHARD, after(4), 5..=6, 0).await;
    let path = last.files[0].path.clone();
    ingest.commit(&last).await.unwrap();
    let folder = fixture.folder.path().join("transactions");
    let other = path.replace(path.rsplit('/').next().unwrap(), "of-another-program.parquet");
    std::fs::copy(folder.join(&path), folder.join(&other)).unwrap();
    let log = folder.join("_delta_log");
    let text = std::fs::read_to_string(log.join(format!("{:020}.json", 6))).unwrap();
    let add = text.lines().find(|line| line.contains("\"add\"")).unwrap();
    let add = add.replace(&path, &other).replace("\"dataChange\":true", "\"dataChange\":false");
    let remove = format!("{{\"remove\":{{\"path\":\"{path}\",\"deletionTimestamp\":1,\"dataChange\":false}}}}");
    let info = "{\"commitInfo\":{\"operation\":\"OPTIMIZE\",\"engineInfo\":\"Apache-Spark/3.5.1 Delta-Lake/3.2.0\"}}";
    std::fs::write(log.join(format!("{:020}.json", 7)), format!("{info}\n{remove}\n{add}")).unwrap();
    fixture
}

#[tokio::test]
async fn each_version_names_its_act_and_its_actor() {
    let fixture = eventful().await;
    let found = all(&fixture.lake, TABLE).await;
    let expected =
        [What::Foreign, What::Batch, What::Erase, What::Compact, What::Batch, What::Batch, What::Pin, What::Create];
    assert_eq!((whats(&found), found.version, found.log_begins_at), (expected.to_vec(), 7, None));
    let foreign = entry(&found, 7);
    assert_eq!(foreign.who.as_deref(), Some("Apache-Spark/3.5.1 Delta-Lake/3.2.0"));
    assert_eq!((foreign.operation.as_deref(), foreign.quiet), (Some("OPTIMIZE"), true));
    assert_eq!((foreign.rows_added, foreign.rows_removed), (Some(2), Some(2)), "its log does not say the second");
    assert_eq!(foreign.bytes_added, foreign.bytes_removed.unwrap());
    let erase = entry(&found, 5);
    assert_eq!((erase.who.as_deref(), erase.record, erase.document), (Some("care"), Some(2), Some(4)));
    assert_eq!((erase.rows_added, erase.rows_removed, erase.quiet), (Some(3), Some(4), false));
    let compact = entry(&found, 4);
    assert_eq!((compact.files_added, compact.files_removed, compact.quiet), (1, 2, true));
    let batch = entry(&found, 2);
    assert_eq!((batch.who.as_deref(), batch.document, batch.record), (Some("test"), Some(2), None));
    assert!(found.versions.iter().all(|entry| entry.written_at.is_some() && entry.remark.is_none()));
}

#[tokio::test]
async fn as_many_versions_as_wanted_are_told() {
    let fixture = eventful().await;
    let told = async |options: HistoryOptions| -> Vec<u64> {
        let found = history(&fixture.lake, TABLE, &options).await.unwrap();
        found.versions.iter().map(|entry| entry.version).collect()
    };
    assert_eq!(told(HistoryOptions { limit: Some(3), ..HistoryOptions::default() }).await, [7, 6, 5]);
    assert_eq!(told(HistoryOptions { foreign: true, ..HistoryOptions::default() }).await, [7]);
    let log = fixture.folder.path().join("transactions/_delta_log");
    for version in 0..8_u64 {
        let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000 + version);
        let file = std::fs::File::options().append(true).open(log.join(format!("{version:020}.json"))).unwrap();
        file.set_modified(time).unwrap();
    }
    let at = |second: i64| Some(Millis::new(second * 1_000));
    let between = |since, until| HistoryOptions { since, until, ..HistoryOptions::default() };
    assert_eq!(told(between(at(1_002), at(1_004))).await, [4, 3, 2]);
    assert_eq!(told(between(None, at(1_001))).await, [1, 0]);
    assert_eq!(told(between(at(1_006), None)).await, [7, 6]);
    assert_eq!(told(HistoryOptions { limit: Some(1), ..between(None, at(1_005)) }).await, [5]);
    assert!(told(between(at(2_000), None)).await.is_empty());
}

#[tokio::test]
async fn a_log_that_was_cleared_says_where_it_begins() {
    let fixture = Fixture::new().await;
    let housekeeping = Housekeeping { log_checkpoint_every: 20, ..Housekeeping::default() };
    let mut ingest = with_kept_batches(&fixture, 22, housekeeping).await;
    ingest = ingest.with_housekeeping(Housekeeping { every: 1, log_age: Some(Duration::ZERO), ..housekeeping });
    add_batch(&mut ingest, 22).await;
    let found = all(&fixture.lake, TABLE).await;
    let begins = found.log_begins_at.unwrap();
    assert!(begins > 0 && found.versions.last().unwrap().version == begins, "{begins}");
    assert_eq!(found.versions.len(), usize::try_from(25 - begins).unwrap());
    let error = diff(&fixture.lake, TABLE, 3, 24).await.expect_err("must be refused");
    let LakeError::NoSuchVersion { reason, .. } = error else { panic!("{error:?}") };
    assert!(reason.contains("no version 3") && reason.contains(&format!("from version {begins}")), "{reason}");
    let change = diff(&fixture.lake, TABLE, begins, 24).await.unwrap().total;
    assert_eq!(rows(&change), [(24 - begins) * 2, 0, 0, 0]);
}

#[tokio::test]
async fn what_was_cleared_away_or_altered_is_told() {
    let fixture = eventful().await;
    let folder = fixture.folder.path().join("transactions");
    std::fs::remove_file(folder.join("_checkpoints/transaction-events").join(format!("{:020}.json", 2))).unwrap();
    for number in 1..=2 {
        let record = folder.join("_maintenance").join(format!("{number:020}.json"));
        let text = std::fs::read_to_string(&record).unwrap();
        std::fs::write(&record, text.replace("\"worker\": \"care\"", "\"worker\": \"other\"")).unwrap();
    }
    let found = all(&fixture.lake, TABLE).await;
    let pruned = entry(&found, 2);
    assert_eq!((pruned.what, pruned.document, pruned.who.as_deref()), (What::Batch, Some(2), None));
    assert_eq!((pruned.rows_added, pruned.remark.as_deref()), (Some(2), None));
    for (version, record) in [(4, 1), (5, 2)] {
        let altered = entry(&found, version);
        assert_eq!((altered.what, altered.record), (What::Maintenance, Some(record)));
        assert!(altered.remark.as_ref().unwrap().contains("digest does not match"), "{altered:?}");
    }
}

#[tokio::test]
async fn a_history_holds_undos_and_what_they_undid() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    compact_by_another_hand(fixture.folder.path(), 4);
    let plan = bluelake_care::plan_undo(&fixture.lake, TABLE, 4, "undo").await.unwrap();
    let (version, record) = plan.commit().await.unwrap();
    let found = all(&fixture.lake, TABLE).await;
    let undo = entry(&found, version);
    assert_eq!((undo.what, undo.undoes, undo.record), (What::Undo, Some(4), Some(record)));
    assert_eq!((undo.who.as_deref(), undo.quiet), (Some("undo"), true));
    assert_eq!((entry(&found, 4).what, entry(&found, 4).undone_by), (What::Foreign, Some(version)));
}

#[tokio::test]
async fn rejected_events_tell_whose_events_came() {
    let fixture = Fixture::new().await;
    let mut ingest = fixture.open().await;
    pin(&mut ingest, SHARD).await;
    let rows = batch(&ingest, SHARD, Position::TrimHorizon, 1..=1, 2).await;
    ingest.commit(&rows).await.unwrap();
    let found = all(&fixture.lake, REJECTED_EVENTS).await;
    assert_eq!(whats(&found), [What::Follow, What::Create]);
    let follow = entry(&found, 1);
    assert_eq!((follow.who.as_deref(), follow.document, follow.rows_added), (Some("test"), Some(2), Some(2)));
}

#[tokio::test]
async fn a_difference_shows_added_removed_and_changed_rows() {
    let fixture = eventful().await;
    let between = async |from, to| diff(&fixture.lake, TABLE, from, to).await.unwrap();
    let whole = between(1, 7).await;
    assert_eq!(rows(&whole.total), [6, 1, 3, 4 + 2]);
    let [partition] = whole.partitions.as_slice() else { panic!("{whole:?}") };
    assert_eq!(partition.partition, ["donation", "2026-01-01"]);
    assert_eq!((whole.total.files_added, whole.total.files_removed), (2, 0));
    let compacted = between(3, 4).await.total;
    assert_eq!((rows(&compacted), compacted.files_added, compacted.files_removed), ([0, 0, 0, 4], 1, 2));
    let back = between(7, 5).await.total;
    assert_eq!((rows(&back), back.files_added, back.files_removed), ([0, 2, 0, 2], 0, 1));
    assert!(between(4, 4).await.partitions.is_empty());
    let error = diff(&fixture.lake, TABLE, 4, 9).await.expect_err("must be refused").to_string();
    assert!(error.contains("there is no version 9") && error.contains("to 7"), "{error}");
}

#[tokio::test]
async fn a_difference_agrees_with_the_rows_of_both_versions() {
    let fixture = eventful().await;
    let counted = async |version| {
        let reading = fixture.lake.read(&AsOf::Versions([(TABLE.to_owned(), version)].into())).await.unwrap();
        reading.tables.iter().find(|table| table.name == TABLE).unwrap().rows.unwrap()
    };
    for (from, to) in (0..8).flat_map(|from| (0..8).map(move |to| (from, to))) {
        let change = diff(&fixture.lake, TABLE, from, to).await.unwrap().total;
        assert_eq!(counted(from).await + change.rows_added, counted(to).await + change.rows_removed, "{from} {to}");
    }
}
