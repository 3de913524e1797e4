//! Undo: what another program, a compaction or an expiry changed is changed back, and then all holds as before.

mod faults;
mod refusals;

use arrow::datatypes::Schema;
use bluelake_care::{CareError, plan_undo};
use bluelake_lake::{InputFile, REJECTED_EVENTS};
use bluelake_schemas::without_field_ids;
use chrono::NaiveDate;
use datafusion::prelude::{col, lit};
use deltalake::DeltaTable;

use super::*;
use crate::fixture::{RowShape, rows_of};

const TABLE: &str = "transactions";

fn day(number: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, number).unwrap()
}

/// The table as another program opens it.
async fn as_another_program(fixture: &Fixture, table: &str) -> DeltaTable {
    let url = url::Url::from_directory_path(fixture.folder.path().join(table)).unwrap();
    deltalake::open_table(url).await.unwrap()
}

/// Another program appends rows; gives the version.
async fn append_by_another(fixture: &Fixture, sequences: &[u32]) -> u64 {
    let schema = Schema::new(without_field_ids(&fixture.contract.stream(STREAM).table_schema()));
    let rows = rows_of(&schema.into(), SHARD, sequences, RowShape::default());
    as_another_program(fixture, TABLE).await.write([rows]).await.unwrap().version().unwrap()
}

/// Another program deletes a row; gives the version.
async fn delete_by_another(fixture: &Fixture, sequence: u32) -> u64 {
    let row = col("stream_sequence").eq(lit(sequence.to_string()));
    let (table, _) = as_another_program(fixture, TABLE).await.delete().with_predicate(row).await.unwrap();
    table.version().unwrap()
}

/// Another program compacts the table; gives the version.
async fn compact_by_another(fixture: &Fixture) -> u64 {
    let (table, _) = as_another_program(fixture, TABLE).await.optimize().await.unwrap();
    table.version().unwrap()
}

async fn undo(lake: &Lake, table: &str, version: u64) -> Result<(u64, u64), CareError> {
    plan_undo(lake, table, version, "undo").await?.commit().await
}

/// Undoes, and gives the version that did it.
async fn undone(fixture: &Fixture, version: u64) -> u64 {
    undo(&fixture.lake, TABLE, version).await.unwrap().0
}

async fn refused(fixture: &Fixture, version: u64) -> String {
    undo(&fixture.lake, TABLE, version).await.expect_err("must be refused").to_string()
}

/// Expires these files, by their number in the order of paths; gives the version.
async fn expire(fixture: &Fixture, before: NaiveDate, files: &[usize]) -> u64 {
    let mut table = maintained(&fixture.lake).await;
    let all = active(&table);
    let inputs: Vec<InputFile> = files.iter().map(|file| all[*file].clone()).collect();
    let rows: Vec<usize> = (0..10).collect();
    let task = rewrite(&table, TaskKind::Expire { before }, inputs, &rows).await;
    let TaskOutcome::Committed { version, .. } = table.commit(&task).await.unwrap() else { panic!("lost") };
    version
}

/// Every file of the table, with all that the log says of it.
async fn logged(fixture: &Fixture) -> Vec<bluelake_lake::LoggedFile> {
    let table = MaintainedTable::open_for_undo(&fixture.lake, TABLE, "look").await.unwrap();
    table.logged_files().unwrap().into_values().collect()
}

/// A batch lands, and all of the lake holds.
async fn expect_ingest_goes_on(fixture: &Fixture, number: u32) {
    let mut ingest = fixture.open().await;
    add_batch(&mut ingest, number).await;
    assert_eq!(fixture.sequences().await.len(), usize::try_from(number + 1).unwrap() * 2);
    expect_sound(&fixture.lake).await;
}

/// The flags by which a version says that it changes data, each once.
async fn data_changes(lake: &Lake, version: u64) -> Vec<bool> {
    let actions = log(lake, TABLE, version).await.unwrap();
    let flags = actions.iter().flat_map(|action| [&action["add"]["dataChange"], &action["remove"]["dataChange"]]);
    let mut flags: Vec<bool> = flags.filter_map(serde_json::Value::as_bool).collect();
    flags.dedup();
    flags
}

#[tokio::test]
async fn a_foreign_append_is_undone() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let before = logged(&fixture).await;
    let version = append_by_another(&fixture, &[90, 91, 92]).await;
    let ingest = fixture.try_open(&fixture.lake).await.expect_err("must be refused").to_string();
    assert!(ingest.contains("it holds 7 rows") && ingest.contains("`bluelake lake undo`"), "{ingest}");
    assert!(MaintainedTable::open(&fixture.lake, TABLE, "care").await.is_err(), "all else is refused");
    let undo = undone(&fixture, version).await;
    assert_eq!(logged(&fixture).await, before);
    assert_eq!(data_changes(&fixture.lake, undo).await, [true]);
    expect_ingest_goes_on(&fixture, 2).await;
}

#[tokio::test]
async fn a_foreign_delete_is_undone() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let before = logged(&fixture).await;
    let version = delete_by_another(&fixture, 3).await;
    assert_eq!(fixture.sequences().await, ["1", "2", "4"]);
    assert!(fixture.try_open(&fixture.lake).await.is_err());
    undone(&fixture, version).await;
    assert_eq!(logged(&fixture).await, before, "also the statistics");
    expect_ingest_goes_on(&fixture, 2).await;
}

#[tokio::test]
async fn a_foreign_delete_that_calls_itself_quiet_is_undone() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let before = logged(&fixture).await;
    let version = delete_by_another(&fixture, 3).await;
    let log = fixture.folder.path().join("transactions/_delta_log").join(format!("{version:020}.json"));
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replace("\"dataChange\":true", "\"dataChange\":false")).unwrap();
    let undo = undone(&fixture, version).await;
    assert_eq!(data_changes(&fixture.lake, version).await, [false]);
    assert_eq!(data_changes(&fixture.lake, undo).await, [true]);
    assert_eq!(logged(&fixture).await, before);
    expect_ingest_goes_on(&fixture, 2).await;
}

#[tokio::test]
async fn a_foreign_compaction_is_undone_without_data_changes() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 3).await;
    let before = logged(&fixture).await;
    let version = compact_by_another(&fixture).await;
    assert_eq!(logged(&fixture).await.len(), 1);
    let undo = undone(&fixture, version).await;
    assert_eq!(logged(&fixture).await, before);
    assert_eq!(data_changes(&fixture.lake, undo).await, [false]);
    assert_eq!(check_versions(&fixture.lake).await, 1);
    expect_ingest_goes_on(&fixture, 3).await;
}

#[tokio::test]
async fn a_compaction_is_undone_without_a_change_of_data() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 3).await;
    let before = logged(&fixture).await;
    let mut table = maintained(&fixture.lake).await;
    let task = compaction(&table).await;
    let version = expect_committed(&table.commit(&task).await.unwrap(), 1);
    let mut ingest = fixture.open().await;
    add_batch(&mut ingest, 3).await;
    let undo = undone(&fixture, version).await;
    assert_eq!(data_changes(&fixture.lake, undo).await, [false]);
    let after = logged(&fixture).await;
    assert_eq!(after.iter().filter(|file| before.contains(file)).count(), 3);
    assert_eq!(after.len(), 4, "the batch that came meanwhile stays");
    assert!(refused(&fixture, version).await.contains("record 2 has undone it already"));
    assert!(refused(&fixture, undo).await.contains("it is an undo itself"));
    assert_eq!(check_versions(&fixture.lake).await, 2);
    expect_ingest_goes_on(&fixture, 4).await;
}

#[tokio::test]
async fn what_was_written_on_top_is_undone_first() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let before = logged(&fixture).await;
    let foreign = compact_by_another(&fixture).await;
    let mut table = maintained(&fixture.lake).await;
    let task = compaction(&table).await;
    let ours = expect_committed(&table.commit(&task).await.unwrap(), 1);
    let words = format!("version {ours} took out");
    let against = refused(&fixture, foreign).await;
    assert!(against.contains(&words) && against.contains("undo that first"), "{against}");
    undone(&fixture, ours).await;
    undone(&fixture, foreign).await;
    assert_eq!(logged(&fixture).await, before);
    expect_ingest_goes_on(&fixture, 2).await;
}

#[tokio::test]
async fn an_undone_expiry_brings_its_rows_and_days_back() {
    for second_first in [true, false] {
        let fixture = Fixture::new().await;
        with_batches(&fixture, 4).await;
        let before = logged(&fixture).await;
        let (one, two) = (expire(&fixture, day(3), &[0]).await, expire(&fixture, day(5), &[0, 1]).await);
        let state = async || {
            let tally = fixture.open().await.document().unwrap().tally;
            let record = maintained(&fixture.lake).await.record().unwrap().clone();
            assert_eq!(record.standing.expired_before, tally.expired_before);
            assert_eq!(record.counts.rows_left[&STREAM].expired, tally.expired);
            (tally.expired, tally.expired_before)
        };
        assert_eq!(state().await, (6, Some(day(5))));
        if second_first {
            undone(&fixture, two).await;
            assert_eq!(state().await, (2, Some(day(3))));
            expect_sound(&fixture.lake).await;
            undone(&fixture, one).await;
        } else {
            undone(&fixture, one).await;
            assert_eq!(state().await, (4, Some(day(5))), "the later one holds");
            expect_sound(&fixture.lake).await;
            undone(&fixture, two).await;
        }
        assert_eq!(state().await, (0, None));
        assert_eq!(logged(&fixture).await, before);
        assert_eq!(check_versions(&fixture.lake).await, 4);
        assert!(refused(&fixture, one).await.contains("has undone it already"));
        expect_ingest_goes_on(&fixture, 4).await;
    }
}

#[tokio::test]
async fn an_expiry_is_undone_once_also_after_the_next() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let first = expire(&fixture, day(3), &[0]).await;
    undone(&fixture, first).await;
    let again = expire(&fixture, day(3), &[0]).await;
    assert!(refused(&fixture, first).await.contains("record 2 has undone it already"));
    undone(&fixture, again).await;
    assert_eq!(check_versions(&fixture.lake).await, 4);
    expect_ingest_goes_on(&fixture, 2).await;
}

#[tokio::test]
async fn two_foreign_changes_are_undone_one_by_one() {
    for newest_first in [true, false] {
        let fixture = Fixture::new().await;
        with_batches(&fixture, 2).await;
        let one = append_by_another(&fixture, &[90, 91, 92]).await;
        let two = delete_by_another(&fixture, 2).await;
        let (first, second) = if newest_first { (two, one) } else { (one, two) };
        let plan = plan_undo(&fixture.lake, TABLE, first, "undo").await.unwrap();
        assert_eq!(plan.summary.standing, [second]);
        plan.commit().await.unwrap();
        assert!(fixture.try_open(&fixture.lake).await.is_err(), "the other one still stands");
        let report = verify(&fixture.lake, &VerifyOptions::default()).await.unwrap();
        assert!(!report.holds);
        let plan = plan_undo(&fixture.lake, TABLE, second, "undo").await.unwrap();
        assert!(plan.summary.standing.is_empty());
        plan.commit().await.unwrap();
        expect_ingest_goes_on(&fixture, 2).await;
    }
}

#[tokio::test]
async fn a_foreign_file_that_nobody_counted_is_undone() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let log = fixture.folder.path().join("transactions/_delta_log");
    let text = std::fs::read_to_string(log.join(format!("{:020}.json", 3))).unwrap();
    let mut add: serde_json::Value = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .find(|it: &serde_json::Value| it["add"].is_object())
        .unwrap();
    let path = add["add"]["path"].as_str().unwrap().to_owned();
    let other = path.replace(path.rsplit('/').next().unwrap(), "of-another-program.parquet");
    let data = fixture.folder.path().join("transactions");
    std::fs::copy(data.join(&path), data.join(&other)).unwrap();
    add["add"]["path"] = other.into();
    add["add"]["stats"] = serde_json::Value::Null;
    std::fs::write(log.join(format!("{:020}.json", 4)), add.to_string()).unwrap();
    let ingest = fixture.try_open(&fixture.lake).await.expect_err("must be refused").to_string();
    assert!(ingest.contains("cannot be counted") && ingest.contains("`bluelake lake undo`"), "{ingest}");
    let plan = plan_undo(&fixture.lake, TABLE, 4, "undo").await.unwrap();
    assert_eq!((plan.summary.removes.files, plan.summary.removes.rows), (1, 2));
    plan.commit().await.unwrap();
    expect_ingest_goes_on(&fixture, 2).await;
}

#[tokio::test]
async fn a_foreign_append_before_the_first_batch_is_undone() {
    let fixture = Fixture::new().await;
    let version = append_by_another(&fixture, &[90]).await;
    assert!(fixture.try_open(&fixture.lake).await.is_err());
    undone(&fixture, version).await;
    with_batches(&fixture, 1).await;
    assert_eq!(fixture.sequences().await, ["1", "2"]);
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn a_foreign_change_of_rejected_events_is_undone() {
    let fixture = Fixture::new().await;
    let mut ingest = fixture.open().await;
    pin(&mut ingest, SHARD).await;
    for number in 1..=2 {
        let start = if number == 1 { Position::TrimHorizon } else { after(number - 1) };
        let rows = batch(&ingest, SHARD, start, number..=number, 2).await;
        ingest.commit(&rows).await.unwrap();
    }
    let row = col("stream_sequence").eq(lit("1")).and(col("stream_sub_sequence").eq(lit(1_i32)));
    let table = as_another_program(&fixture, REJECTED_EVENTS).await;
    let (table, _) = table.delete().with_predicate(row).await.unwrap();
    let version = table.version().unwrap();
    assert_eq!(fixture.rejected_rows().await, 3);
    assert!(MaintainedTable::open(&fixture.lake, REJECTED_EVENTS, "care").await.is_err());
    undo(&fixture.lake, REJECTED_EVENTS, version).await.unwrap();
    assert_eq!(fixture.rejected_rows().await, 4);
    let mut table = MaintainedTable::open(&fixture.lake, REJECTED_EVENTS, "care").await.unwrap();
    let task = compaction(&table).await;
    expect_committed(&table.commit(&task).await.unwrap(), 2);
    expect_sound(&fixture.lake).await;
    let batch = undo(&fixture.lake, REJECTED_EVENTS, 1).await.expect_err("must be refused").to_string();
    assert!(batch.contains("documents name"), "{batch}");
}

#[tokio::test]
async fn an_undo_reads_what_a_log_checkpoint_kept() {
    let fixture = Fixture::new().await;
    let housekeeping = Housekeeping { log_checkpoint_every: 20, ..Housekeeping::default() };
    let mut ingest = with_kept_batches(&fixture, 22, housekeeping).await;
    let before = logged(&fixture).await;
    let log = fixture.folder.path().join("transactions/_delta_log");
    assert!(log.join(format!("{:020}.checkpoint.parquet", 20)).exists());
    for version in 0..20 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    ingest.reload().await.unwrap();
    let version = delete_by_another(&fixture, 3).await;
    undone(&fixture, version).await;
    assert_eq!(logged(&fixture).await, before);
    let gone = refused(&fixture, 12).await;
    assert!(gone.contains("there is no version 12") && gone.contains("from version 20"), "{gone}");
    expect_ingest_goes_on(&fixture, 22).await;
}

#[tokio::test]
async fn undos_and_compactions_go_on_beside_ingest() {
    let fixture = Fixture::in_memory().await;
    let mut ingest = with_batches(&fixture, 1).await;
    let worker = tokio::spawn(async move {
        for number in 1..25 {
            add_batch(&mut ingest, number).await;
        }
    });
    let mut undos = 0;
    while !worker.is_finished() || undos < 5 {
        let mut table = maintained(&fixture.lake).await;
        let task = compaction(&table).await;
        let TaskOutcome::Committed { version, .. } = table.commit(&task).await.unwrap() else { continue };
        undo(&fixture.lake, TABLE, version).await.unwrap();
        undos += 1;
    }
    worker.await.unwrap();
    assert_eq!(check_versions(&fixture.lake).await, undos * 2);
    assert_eq!(active(&maintained(&fixture.lake).await).len(), 25);
    expect_sound(&fixture.lake).await;
}
