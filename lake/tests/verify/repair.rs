//! A repair mends what follows from the rest of the lake, and says what to do about everything else.

use bluelake_lake::{Housekeeping, RepairReport, repair};

use super::{partitions::days, *};

async fn repaired(fixture: &Fixture, dry_run: bool) -> RepairReport {
    repair(&fixture.lake, &VerifyOptions::default(), dry_run).await.unwrap()
}

fn mends(report: &RepairReport) -> Vec<(&str, &str)> {
    report.mends.iter().map(|mend| (mend.table, mend.what.as_str())).collect()
}

/// Every file of the lake with its bytes.
fn everything(fixture: &Fixture) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![fixture.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.clone(), std::fs::read(path).unwrap());
            }
        }
    }
    found
}

/// Fails the test unless a dry run says the same and changes nothing, and the repair leaves a lake that is whole.
async fn expect_mended(fixture: &Fixture, table: &str, words: &str) {
    let before = everything(fixture);
    let planned = repaired(fixture, true).await;
    assert_eq!(everything(fixture), before, "a dry run changes nothing");
    let done = repaired(fixture, false).await;
    assert_eq!(mends(&done), mends(&planned));
    assert!(mends(&done).iter().any(|(of, what)| *of == table && what.contains(words)), "{:?}", mends(&done));
    assert_eq!(done.remaining, []);
    let report = report(fixture).await;
    assert_eq!((failed(&report), unchecked(&report)), (vec![], vec![]), "{:#?}", report.checks);
    assert!(report.checks.iter().all(|check| check.note.is_none()), "{:#?}", report.checks);
    let again = repaired(fixture, false).await;
    assert_eq!((mends(&again), again.is_whole()), (vec![], true), "nothing is left to be mended");
}

/// A table of 23 versions with a log checkpoint.
async fn long() -> Fixture {
    let fixture = Fixture::new().await;
    let housekeeping = Housekeeping { log_checkpoint_every: 20, ..Housekeeping::default() };
    let mut table = fixture.open().await.with_housekeeping(housekeeping);
    pin(&mut table, SHARD).await;
    for sequence in 1..=22 {
        let start = if sequence == 1 { Position::TrimHorizon } else { after(sequence - 1) };
        let rows = batch(&table, SHARD, start, sequence..=sequence, 0).await;
        commit(&mut table, &rows).await;
    }
    assert!(checkpoint_path(&fixture, 20).exists());
    fixture
}

fn checkpoint_path(fixture: &Fixture, version: u64) -> PathBuf {
    folder(fixture).join(format!("_delta_log/{version:020}.checkpoint.parquet"))
}

fn hint_path(fixture: &Fixture) -> PathBuf {
    folder(fixture).join("_delta_log/_last_checkpoint")
}

#[tokio::test]
async fn a_good_lake_is_left_alone() {
    let (fixture, _) = good().await;
    let before = everything(&fixture);
    let report = repaired(&fixture, false).await;
    assert_eq!((mends(&report), report.is_whole()), (vec![], true));
    assert_eq!(everything(&fixture), before);
}

#[tokio::test]
async fn rejected_events_that_is_behind_is_brought_up() {
    let (fixture, _) = good().await;
    std::fs::remove_file(log_path(&fixture, "rejected_events", 2)).unwrap();
    expect_mended(&fixture, "rejected_events", "brought to document 3").await;
    assert_eq!(fixture.rejected_rows().await, 3);
}

#[tokio::test]
async fn a_hint_that_cannot_be_used_is_made_anew() {
    let hints: [(Option<&str>, &str); 3] = [
        (Some("{\"vers"), "the hint to its newest log checkpoint could not be used"),
        (Some("{\"version\":19,\"size\":3}"), "the hint to its newest log checkpoint could not be used"),
        (None, "nothing named its newest log checkpoint"),
    ];
    for (hint, words) in hints {
        let fixture = long().await;
        match hint {
            Some(hint) => std::fs::write(hint_path(&fixture), hint).unwrap(),
            None => std::fs::remove_file(hint_path(&fixture)).unwrap(),
        }
        expect_mended(&fixture, "transactions", words).await;
        assert!(checkpoint_path(&fixture, 23).exists());
        assert_eq!(fixture.sequences().await.len(), 22);
    }
}

#[tokio::test]
async fn a_damaged_log_checkpoint_is_made_anew() {
    let fixture = long().await;
    let bytes = std::fs::read(checkpoint_path(&fixture, 20)).unwrap();
    std::fs::write(checkpoint_path(&fixture, 20), &bytes[..bytes.len() / 2]).unwrap();
    assert!(fixture.lake.table("transactions").await.is_err(), "nobody can open the table");
    expect_mended(&fixture, "transactions", "log checkpoint 20 was damaged").await;
    assert!(checkpoint_path(&fixture, 23).exists() && !checkpoint_path(&fixture, 20).exists());
    assert_eq!(fixture.sequences().await.len(), 22);
}

#[tokio::test]
async fn a_damaged_log_checkpoint_without_its_entries_is_left() {
    let fixture = long().await;
    let bytes = std::fs::read(checkpoint_path(&fixture, 20)).unwrap();
    std::fs::write(checkpoint_path(&fixture, 20), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::remove_file(log_path(&fixture, "transactions", 4)).unwrap();
    let before = everything(&fixture);
    let report = repaired(&fixture, false).await;
    assert_eq!((mends(&report), everything(&fixture) == before), (vec![], true));
    let left = &report.remaining[0];
    assert!(left.found.contains("log checkpoint 20 is damaged"), "{left:?}");
    assert!(left.advice.contains("restore it"), "{left:?}");
}

#[tokio::test]
async fn a_commit_of_another_program_is_left_to_a_person() {
    let (fixture, _) = good().await;
    add_copy(&fixture, "transactions", 2);
    let before = everything(&fixture);
    let report = repaired(&fixture, false).await;
    assert_eq!((mends(&report), everything(&fixture) == before), (vec![], true));
    let faults: Vec<&str> = report.remaining.iter().map(|left| left.fault).collect();
    assert_eq!(faults, ["rows", "batches", "uniqueness", "foreign commit"]);
    let foreign = report.remaining.last().unwrap();
    assert!(foreign.found.contains("version 4 changed 1 files") && foreign.advice.contains("lake undo"), "{foreign:?}");
}

#[tokio::test]
async fn a_table_that_is_not_trusted_is_not_written_to() {
    let (fixture, _) = good().await;
    std::fs::remove_file(log_path(&fixture, "rejected_events", 2)).unwrap();
    add_copy(&fixture, "transactions", 2);
    let before = everything(&fixture);
    let report = repaired(&fixture, false).await;
    assert_eq!((mends(&report), report.is_whole()), (vec![], false));
    assert_eq!(everything(&fixture), before);
}

#[tokio::test]
async fn what_is_remembered_of_other_files_is_forgotten() {
    let (fixture, mut table) = days(2, 5).await;
    let options = VerifyOptions { remember: true, ..VerifyOptions::default() };
    report_with(&fixture, &options).await;
    partitions::of_day(&mut table, 10, 11..=12, 0).await;
    report_with(&fixture, &options).await;
    let remembered =
        || everything(&fixture).into_keys().filter(|path| path.to_str().unwrap().contains("_verify")).count();
    assert_eq!(remembered(), 3);
    expect_mended(
        &fixture,
        "transactions",
        "1 remembered results were of other files, another contract or another window than those of now",
    )
    .await;
    assert_eq!(remembered(), 2);
    assert_eq!(report(&fixture).await.partitions.from_memory, 2);
}
