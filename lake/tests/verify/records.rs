//! Verification of maintenance: our own changes always pass, foreign changes are reported.

use bluelake_lake::{
    ContentDigest, InputFile, MaintainedTable, MaintenanceRecord, REJECTED_EVENTS, TaskKind, TaskOutcome,
};
use uuid::Uuid;

use super::*;
use crate::maintenance::{
    faults::compact_by_another_hand,
    rewrite::{active, rewrite},
};

async fn maintained(fixture: &Fixture, table: &str) -> MaintainedTable {
    MaintainedTable::open(&fixture.lake, table, "care").await.unwrap()
}

/// Rewrites all files of a table, without the rows of these numbers.
async fn maintain(fixture: &Fixture, table: &str, kind: TaskKind, dropped: &[usize]) {
    let mut table = maintained(fixture, table).await;
    let files = active(&table);
    let task = rewrite(&table, kind, files, dropped).await;
    let outcome = table.commit(&task).await.unwrap();
    assert!(matches!(outcome, TaskOutcome::Committed { .. }), "{outcome:?}");
}

/// The good lake after a compaction of its events and the erasure of one row.
async fn maintained_lake() -> (Fixture, StreamTable) {
    let (fixture, mut table) = good().await;
    maintain(&fixture, "transactions", TaskKind::Compact, &[]).await;
    let rows = batch(&table, SHARD, after(8), 9..=10, 1).await;
    commit(&mut table, &rows).await;
    maintain(&fixture, "transactions", TaskKind::Erase { request: Uuid::nil() }, &[0]).await;
    maintain(&fixture, REJECTED_EVENTS, TaskKind::Compact, &[]).await;
    table.reload().await.unwrap();
    (fixture, table)
}

fn record_path(fixture: &Fixture, number: u64) -> PathBuf {
    folder(fixture).join(format!("_maintenance/{number:020}.json"))
}

/// Changes a record and gives it a valid digest.
fn forge_record(fixture: &Fixture, number: u64, change: impl Fn(&mut MaintenanceRecord)) {
    let bytes = std::fs::read(record_path(fixture, number)).unwrap();
    let mut record = MaintenanceRecord::read(&bytes, number).unwrap();
    change(&mut record);
    std::fs::write(record_path(fixture, number), record.seal().unwrap()).unwrap();
}

#[tokio::test]
async fn verify_leaves_nothing_unchecked_after_maintenance() {
    let (fixture, mut table) = maintained_lake().await;
    let report = report(&fixture).await;
    assert_eq!((failed(&report), unchecked(&report)), (vec![], vec![]), "{:#?}", report.checks);
    assert_eq!((report.files, report.rejected_files, report.rows), (1, 1, 9 + 4));
    let before = chrono::NaiveDate::from_ymd_opt(2026, 6, 1).unwrap();
    let rows: Vec<usize> = (0..9).collect();
    maintain(&fixture, "transactions", TaskKind::Expire { before }, &rows).await;
    table.reload().await.unwrap();
    let rows = batch(&table, SHARD, after(10), 11..=11, 0).await;
    commit(&mut table, &rows).await;
    let tally = table.document().unwrap().tally;
    assert_eq!((tally.erased, tally.expired, tally.expired_before), (1, 9, Some(before)));
    let report = self::report(&fixture).await;
    assert_eq!((failed(&report), unchecked(&report)), (vec![], vec![]), "{:#?}", report.checks);
}

#[tokio::test]
async fn verify_passes_what_an_undo_brought_back() {
    let (fixture, _) = good().await;
    let mut table = maintained(&fixture, "transactions").await;
    let files = active(&table);
    let before = chrono::NaiveDate::from_ymd_opt(2026, 6, 1).unwrap();
    let expiry = rewrite(&table, TaskKind::Expire { before }, files[..1].to_vec(), &[0, 1, 2, 3, 4]).await;
    let dropped = expiry.rows.values().next().unwrap().before;
    let all: Vec<usize> = (0..usize::try_from(dropped).unwrap()).collect();
    let expiry = rewrite(&table, TaskKind::Expire { before }, files[..1].to_vec(), &all).await;
    let TaskOutcome::Committed { version, .. } = table.commit(&expiry).await.unwrap() else { panic!("lost") };
    let add = std::fs::read_to_string(log_path(&fixture, "transactions", 2)).unwrap()
        + &std::fs::read_to_string(log_path(&fixture, "transactions", 3)).unwrap();
    let adds = add.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let add = adds.map(|action| action["add"].clone()).find(|add| add["path"] == expiry.inputs[0].path).unwrap();
    let mut undo = table.begin(TaskKind::Undo { version, record: Some(1) }).await.unwrap();
    undo.outputs = vec![bluelake_lake::DataFile {
        path: expiry.inputs[0].path.clone(),
        partition_values: serde_json::from_value(add["partitionValues"].clone()).unwrap(),
        size: add["size"].as_u64().unwrap(),
        modified_at: bluelake_schemas::Millis::new(add["modificationTime"].as_i64().unwrap()),
        rows: expiry.inputs[0].rows,
        statistics: add["stats"].as_str().unwrap().to_owned(),
    }];
    undo.rows = [(STREAM, bluelake_lake::RowChange { before: 0, after: expiry.inputs[0].rows })].into();
    let outcome = table.commit(&undo).await.unwrap();
    assert!(matches!(outcome, TaskOutcome::Committed { .. }), "{outcome:?}");
    assert_eq!(active(&table), files);
    let report = report(&fixture).await;
    assert_eq!((failed(&report), unchecked(&report)), (vec![], vec![]), "{:#?}", report.checks);
}

#[tokio::test]
async fn verify_names_an_undo_that_is_none() {
    type Forgery = (fn(&mut MaintenanceRecord), &'static str, &'static str);
    let forgeries: [Forgery; 5] = [
        (|undo| undo.kind = TaskKind::Undo { version: 3, record: Some(1) }, "versions", "not the undo of version 3"),
        (|undo| undo.kind = TaskKind::Undo { version: 9, record: Some(1) }, "versions", "version 9 was not there"),
        (|undo| undo.kind = TaskKind::Undo { version: 4, record: None }, "versions", "not the undo of version 4"),
        (
            |undo| undo.kind = TaskKind::Undo { version: 4, record: Some(7) },
            "maintenance",
            "record 7, which it undoes, is not of the table",
        ),
        (
            |undo| undo.standing.expired_before = chrono::NaiveDate::from_ymd_opt(2026, 6, 1),
            "maintenance",
            "record 2: it says wrongly which days may be missing",
        ),
    ];
    for (forge, check, words) in forgeries {
        let (fixture, _) = good().await;
        maintain(&fixture, "transactions", TaskKind::Compact, &[]).await;
        bluelake_care::plan_undo(&fixture.lake, "transactions", 4, "undo").await.unwrap().commit().await.unwrap();
        let sound = report(&fixture).await;
        assert_eq!((failed(&sound), unchecked(&sound)), (vec![], vec![]), "{:#?}", sound.checks);
        forge_record(&fixture, 2, forge);
        let report = report(&fixture).await;
        assert!(failed(&report).contains(&check), "{words}: {:#?}", report.checks);
        expect_example(&report, check, words);
    }
}

#[tokio::test]
async fn verify_names_files_that_another_program_put_in() {
    let (fixture, mut table) = good().await;
    maintain(&fixture, "transactions", TaskKind::Compact, &[]).await;
    let rows = batch(&table, SHARD, after(8), 9..=9, 0).await;
    commit(&mut table, &rows).await;
    let log = std::fs::read_to_string(log_path(&fixture, "transactions", 5)).unwrap();
    let add = log.lines().find(|line| line.contains("\"add\"")).unwrap();
    let own = add.split("\"path\":\"").nth(1).unwrap().split('"').next().unwrap();
    let other = own.replace(own.rsplit('/').next().unwrap(), "of-another-program.parquet");
    std::fs::copy(folder(&fixture).join(own), folder(&fixture).join(&other)).unwrap();
    std::fs::write(log_path(&fixture, "transactions", 6), add.replace(own, &other)).unwrap();
    let found = report(&fixture).await;
    expect_example(&found, "versions", "version 6: another program put 1 files in");
    bluelake_care::plan_undo(&fixture.lake, "transactions", 6, "undo").await.unwrap().commit().await.unwrap();
    let found = report(&fixture).await;
    assert_eq!((failed(&found), unchecked(&found)), (vec![], vec![]), "{:#?}", found.checks);
}

#[tokio::test]
async fn verify_names_a_foreign_compaction() {
    let (fixture, _) = good().await;
    compact_by_another_hand(fixture.folder.path(), 4);
    let report = report(&fixture).await;
    expect_alone(&report, "batches", "part-00000-of-another-program.parquet: no document commits its batch");
}

#[tokio::test]
async fn verify_names_foreign_rewrites_of_maintained_files() {
    let (fixture, _) = good().await;
    maintain(&fixture, "transactions", TaskKind::Compact, &[]).await;
    let InputFile { path, .. } = active(&maintained(&fixture, "transactions").await).remove(0);
    let remove = format!("{{\"remove\":{{\"path\":\"{path}\",\"deletionTimestamp\":1,\"dataChange\":false}}}}");
    let other = path.replace(path.rsplit('/').next().unwrap(), "part-of-another-program.parquet");
    std::fs::copy(folder(&fixture).join(&path), folder(&fixture).join(&other)).unwrap();
    let log = std::fs::read_to_string(log_path(&fixture, "transactions", 4)).unwrap();
    let add = log.lines().find(|line| line.contains("\"add\"")).unwrap().replace(&path, &other);
    std::fs::write(log_path(&fixture, "transactions", 5), format!("{remove}\n{add}")).unwrap();
    let report = report(&fixture).await;
    assert_eq!(failed(&report), ["batches", "maintenance", "versions"], "{:#?}", report.checks);
    expect_example(&report, "batches", "part-of-another-program.parquet: no document commits its batch");
    expect_example(&report, "maintenance", "is not in the table as it put it there");
    expect_example(&report, "versions", "version 5: another program took 1 files out");
}

#[tokio::test]
async fn verify_names_an_altered_and_a_missing_record() {
    let (fixture, _) = maintained_lake().await;
    let text = std::fs::read_to_string(record_path(&fixture, 1)).unwrap();
    std::fs::write(record_path(&fixture, 1), text.replace("\"worker\": \"care\"", "\"worker\": \"other\"")).unwrap();
    for words in ["its digest does not match", "it is missing"] {
        let report = report(&fixture).await;
        assert_eq!(failed(&report), ["maintenance"], "{:#?}", report.checks);
        expect_example(&report, "maintenance", words);
        assert_eq!(unchecked(&report), ["batches", "versions"]);
        let _ = std::fs::remove_file(record_path(&fixture, 1));
    }
}

#[tokio::test]
async fn verify_names_records_that_do_not_follow() {
    type Change = (fn(&mut MaintenanceRecord), &'static str);
    let changes: [Change; 5] = [
        (|record| record.content.as_mut().unwrap().after = ContentDigest::new(1), "content"),
        (|record| record.counts.bytes_removed += 1, "counts are not those before"),
        (|record| record.standing.readable_from = 1, "does not follow"),
        (|record| record.standing.purged_to = 7, "does not follow"),
        (|record| record.rows.get_mut(&STREAM).unwrap().before += 1, "other numbers of rows"),
    ];
    for (change, words) in changes {
        let (fixture, _) = good().await;
        maintain(&fixture, "transactions", TaskKind::Compact, &[]).await;
        forge_record(&fixture, 1, change);
        let report = report(&fixture).await;
        assert!(failed(&report).contains(&"maintenance"), "{words}: {:#?}", report.checks);
        expect_example(&report, "maintenance", words);
    }
}

#[tokio::test]
async fn verify_names_inputs_without_a_record() {
    let (fixture, _) = good().await;
    maintain(&fixture, "transactions", TaskKind::Compact, &[]).await;
    forge_record(&fixture, 1, |record| {
        for file in record.removed.values_mut().flatten() {
            file.rows = 4;
        }
    });
    let report = report(&fixture).await;
    assert_eq!((failed(&report), unchecked(&report)), (vec!["batches"], vec![]), "{:#?}", report.checks);
    expect_example(&report, "batches", "document 2: it counts 5 rows, the files of its batch hold 4");
}

#[tokio::test]
async fn verify_names_a_document_that_names_another_record() {
    let (fixture, _) = maintained_lake().await;
    let mut forged = document(&fixture, 5);
    forged.commit.maintenance.as_mut().unwrap().digest = "00".repeat(32);
    forge(&fixture, &mut [forged]);
    expect_alone(&report(&fixture).await, "maintenance", "document 5: record 2 is not the one that it names");
}

#[tokio::test]
async fn verify_holds_beside_ingest_and_maintenance() {
    let (fixture, mut table) = good().await;
    let worker = tokio::spawn(async move {
        for sequence in 9..=30 {
            let rows = batch(&table, SHARD, after(sequence - 1), sequence..=sequence, 1).await;
            commit(&mut table, &rows).await;
        }
    });
    let lake = fixture.lake.clone();
    let care = tokio::spawn(async move {
        let mut done = 0;
        for name in ["transactions", REJECTED_EVENTS].into_iter().cycle().take(16) {
            let mut table = MaintainedTable::open(&lake, name, "care").await.unwrap();
            let files = active(&table);
            let task = rewrite(&table, TaskKind::Compact, files, &[]).await;
            done += usize::from(matches!(table.commit(&task).await.unwrap(), TaskOutcome::Committed { .. }));
        }
        done
    });
    while !worker.is_finished() || !care.is_finished() {
        let report = report(&fixture).await;
        assert_eq!((failed(&report), unchecked(&report)), (vec![], vec![]), "{:#?}", report.checks);
    }
    worker.await.unwrap();
    assert!(care.await.unwrap() > 8);
    let report = report(&fixture).await;
    assert_eq!((failed(&report), unchecked(&report)), (vec![], vec![]), "{:#?}", report.checks);
    assert_eq!(report.rows, 30 + 25);
}
