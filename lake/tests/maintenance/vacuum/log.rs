//! The log beside maintenance: when log checkpoints are due, which of them stay, and that none is relied on that is
//! torn.

use std::collections::BTreeMap;

use bluelake_lake::{Housekeeper, Housekeeping};

use super::*;

/// Clears the log after each commit: all of it is old.
fn eager(every: u64) -> Housekeeping {
    Housekeeping { every: 1, log_age: Some(Duration::ZERO), log_checkpoint_every: every, ..Housekeeping::default() }
}

fn log_folder(fixture: &Fixture) -> PathBuf {
    fixture.folder.path().join("transactions/_delta_log")
}

/// The files of the log by what follows the version in their names.
fn log_files(fixture: &Fixture) -> BTreeMap<String, Vec<u64>> {
    let mut files: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for entry in std::fs::read_dir(log_folder(fixture)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some((version, kind)) = name.split_once('.') {
            files.entry(kind.to_owned()).or_default().push(version.parse().unwrap());
        }
    }
    files.values_mut().for_each(|versions| versions.sort_unstable());
    files
}

fn checkpoints(fixture: &Fixture) -> Vec<u64> {
    log_files(fixture).remove("checkpoint.parquet").unwrap_or_default()
}

async fn commits(table: &mut StreamTable, numbers: std::ops::Range<u32>) {
    for number in numbers {
        add_batch(table, number).await;
    }
}

#[tokio::test]
async fn log_checkpoints_are_due_by_distance_whoever_commits() {
    let fixture = Fixture::new().await;
    let mut ingest = with_batches(&fixture, 0)
        .await
        .with_housekeeping(Housekeeping { log_checkpoint_every: 10, ..Housekeeping::default() });
    // A commit of maintenance stands on each tenth version.
    for number in 0..40 {
        let version = ingest.delta_table().version().unwrap();
        if version % 10 == 9 {
            compact(&fixture.lake).await;
            ingest.reload().await.unwrap();
        }
        add_batch(&mut ingest, number).await;
    }
    let found = checkpoints(&fixture);
    assert!(found.len() >= 3, "{found:?}");
    assert!(found.windows(2).all(|pair| pair[1] - pair[0] >= 10 && pair[1] - pair[0] <= 11), "{found:?}");
    // A worker that opens the table anew counts from the one that the log names.
    let mut other =
        fixture.open().await.with_housekeeping(Housekeeping { log_checkpoint_every: 10, ..Housekeeping::default() });
    add_batch(&mut other, 40).await;
    assert_eq!(checkpoints(&fixture).len(), found.len());
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn maintenance_writes_log_checkpoints_too() {
    let fixture = Fixture::in_memory().await;
    with_batches(&fixture, 1).await;
    let mut table = maintained(&fixture.lake).await;
    for number in 1..=100 {
        let task = table.begin(TaskKind::Floor { readable_from: number.min(2), purged_to: 0 }).await.unwrap();
        assert!(matches!(table.commit(&task).await.unwrap(), TaskOutcome::Committed { .. }));
    }
    let hint = Path::from("_delta_log/_last_checkpoint");
    let store = table.delta_table().object_store();
    let hint = store.get(&hint).await.unwrap().bytes().await.unwrap();
    let hint: serde_json::Value = serde_json::from_slice(&hint).unwrap();
    assert_eq!(hint["version"], 100);
}

#[tokio::test]
async fn a_torn_log_checkpoint_is_not_relied_on() {
    let fixture = Fixture::new().await;
    let mut ingest = with_batches(&fixture, 0)
        .await
        .with_housekeeping(Housekeeping { log_checkpoint_every: 5, ..Housekeeping::default() });
    commits(&mut ingest, 0..5).await;
    let torn = log_folder(&fixture).join(format!("{:020}.checkpoint.parquet", 5));
    let whole = std::fs::read(&torn).unwrap();
    std::fs::write(&torn, &whole[..whole.len() / 2]).unwrap();
    let mut ingest = ingest.with_housekeeping(eager(1_000));
    commits(&mut ingest, 5..7).await;
    assert_eq!(log_files(&fixture)["json"].len(), 9, "nothing of the log is deleted");
    // Nor on one that is whole and has fewer files than the table had.
    let fewer = Fixture::new().await;
    let mut table = with_batches(&fewer, 0)
        .await
        .with_housekeeping(Housekeeping { log_checkpoint_every: 3, ..Housekeeping::default() });
    commits(&mut table, 0..3).await;
    let other = std::fs::read(log_folder(&fewer).join(format!("{:020}.checkpoint.parquet", 3))).unwrap();
    std::fs::write(&torn, other).unwrap();
    commits(&mut ingest, 7..8).await;
    assert_eq!(log_files(&fixture)["json"].len(), 10, "nothing of the log is deleted");
    std::fs::write(&torn, whole).unwrap();
    commits(&mut ingest, 8..9).await;
    assert_eq!(log_files(&fixture)["json"].first(), Some(&5));
    assert_eq!(fixture.sequences().await.len(), 18);
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn thinned_log_checkpoints_keep_every_version_readable() {
    let fixture = Fixture::new().await;
    let mut ingest = with_batches(&fixture, 0)
        .await
        .with_housekeeping(Housekeeping { log_checkpoint_every: 3, ..Housekeeping::default() });
    commits(&mut ingest, 0..30).await;
    let before = checkpoints(&fixture);
    assert_eq!(before, [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]);
    // Two days ago, four in an hour.
    for version in 0..=31 {
        let by = 2 * DAY - Duration::from_secs(version * 300);
        for kind in ["json", "checkpoint.parquet"] {
            let path = log_folder(&fixture).join(format!("{version:020}.{kind}"));
            if path.exists() {
                age(&path, by);
            }
        }
    }
    let mut ingest =
        ingest.with_housekeeping(Housekeeping { every: 1, log_checkpoint_every: 1_000, ..Housekeeping::default() });
    commits(&mut ingest, 30..31).await;
    let after = checkpoints(&fixture);
    assert!(after.len() < 7 && after.first() == Some(&3) && after.ends_with(&[27, 30]), "{after:?}");
    assert_eq!(log_files(&fixture)["json"].len(), 33);
    for version in 0..=32 {
        let mut table = fixture.lake.table(STREAM.table()).await.unwrap();
        table.load_version(version).await.unwrap();
        let files = table.snapshot().unwrap().log_data().num_files();
        assert_eq!(files, usize::try_from(version.saturating_sub(1)).unwrap(), "{version}");
    }
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn a_worker_clears_only_its_own_logs() {
    let fixture = Fixture::new().await;
    let ingest = with_batches(&fixture, 0).await;
    let mut others = ingest.with_housekeeping(eager(3)).with_housekeeper(Housekeeper::new(|_| false));
    commits(&mut others, 0..8).await;
    assert_eq!(log_files(&fixture)["json"].len(), 10, "it is another's");
    commits(&mut others, 8..9).await;
    assert_eq!(log_files(&fixture)["json"].first(), Some(&0), "and again");
    commits(&mut others, 9..10).await;
    assert!(log_files(&fixture)["json"].first() > Some(&0), "each tenth round is its own: the other may not commit");
    let mut own = others.with_housekeeper(Housekeeper::new(|table| table == "transactions"));
    commits(&mut own, 10..14).await;
    let left = log_files(&fixture);
    assert_eq!(left["json"].first(), left["checkpoint.parquet"].last());
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn new_tables_name_files_that_left_for_two_days() {
    let fixture = Fixture::new().await;
    for name in ["user_events", "transactions", REJECTED_EVENTS] {
        let table = fixture.lake.table(name).await.unwrap();
        let properties = table.snapshot().unwrap().metadata().configuration().clone();
        assert_eq!(properties["delta.deletedFileRetentionDuration"], "interval 2 days");
    }
}
