use std::collections::BTreeMap;

use bluelake_schemas::{EVENT_PARTITIONS, Millis, Stream};
use uuid::Uuid;

use super::*;
use crate::{
    commit::log::version::LoggedRemoval,
    maintenance::{
        record::{RECORD_FORMAT, Standing, TaskCounts},
        record_chain::MAINTENANCE,
    },
};

const BOUNDS: StepBounds = StepBounds { rows: 100, bytes: 1_000_000 };

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn path(name: &str, day: &str) -> String {
    format!("event_type=donation/event_date={day}/{name}.parquet")
}

fn file(name: &str, day: &str, rows: u64) -> LoggedFile {
    let values =
        EVENT_PARTITIONS.map(str::to_owned).into_iter().zip([Some("donation".to_owned()), Some(day.to_owned())]);
    LoggedFile {
        path: path(name, day),
        size: rows,
        rows: Some(rows),
        partition_values: values.collect(),
        modified_at: Millis::new(0),
        statistics: None,
        has_deletions: false,
    }
}

/// A version that is of ingest, unless `app_id` says otherwise.
fn version(number: u64, app_id: &str, added: Vec<LoggedFile>, removed: &[String]) -> Seen {
    let removal = |path: &String| LoggedRemoval { path: path.clone(), size: None };
    let transactions = if app_id.is_empty() { BTreeMap::new() } else { [(app_id.to_owned(), number)].into() };
    let version = LogVersion {
        number,
        written_at: Millis::new(i64::try_from(number).unwrap()),
        added,
        removed: removed.iter().map(removal).collect(),
        quiet: 0,
        transactions,
        changes_table: false,
        operation: None,
        engine: None,
        kind: None,
    };
    Seen { version, record: None, touched: None }
}

fn batch(number: u64, name: &str, day: &str, rows: u64) -> Seen {
    version(number, "bluelake/transaction-events", vec![file(name, day, rows)], &[])
}

fn task(number: u64, kind: TaskKind, expired: Option<&str>, added: Vec<LoggedFile>, removed: &[String]) -> Seen {
    let record = MaintenanceRecord {
        format: RECORD_FORMAT,
        digest: String::new(),
        number,
        previous: None,
        task: Uuid::from_u128(number.into()),
        kind,
        worker: "w".to_owned(),
        bluelake_version: "0".to_owned(),
        planned_on: number,
        began_at: Millis::new(0),
        erasure_epochs: BTreeMap::from([(Stream::TransactionEvents, 0)]),
        removed: BTreeMap::new(),
        added: Vec::new(),
        rows: BTreeMap::new(),
        content: None,
        counts: TaskCounts::default(),
        standing: Standing { expired_before: expired.map(day), ..Standing::default() },
    };
    Seen { record: Some(record), ..version(number, MAINTENANCE, added, removed) }
}

fn planned(seen: &[Seen]) -> Vec<FeedStep> {
    plan(seen, 10, EVENT_PARTITIONS, None, BOUNDS).unwrap()
}

/// Each step as its ends and the names of the files that came.
fn outline(steps: &[FeedStep]) -> Vec<(u64, u64, Vec<&str>)> {
    steps.iter().map(|step| (step.from, step.to, names(&step.change))).collect()
}

fn names(change: &TableChange) -> Vec<&str> {
    match change {
        TableChange::Append(files) | TableChange::Changed { files, .. } => {
            files.iter().map(|file| file.path.rsplit('/').next().unwrap().trim_end_matches(".parquet")).collect()
        }
        _ => Vec::new(),
    }
}

const DAY: &str = "2026-01-05";

fn partition(day: &str) -> Extent {
    Extent::Partitions([["donation".to_owned(), day.to_owned()]].into())
}

#[test]
fn appends_in_a_row_are_one_step_within_the_bounds() {
    let seen = [batch(11, "a", DAY, 60), batch(12, "b", DAY, 40), batch(13, "c", DAY, 1), batch(14, "d", DAY, 500)];
    let steps = planned(&seen);
    assert_eq!(outline(&steps), [(10, 12, vec!["a", "b"]), (12, 13, vec!["c"]), (13, 14, vec!["d"])]);
    assert_eq!(steps[0].written_at, Millis::new(12));
}

#[test]
fn a_change_of_no_row_moves_the_version_only() {
    let compaction = task(12, TaskKind::Compact, None, vec![file("ab", DAY, 9)], &[path("a", DAY)]);
    let floor = task(13, TaskKind::Floor { readable_from: 2, purged_to: 1 }, None, Vec::new(), &[]);
    let document = version(14, "bluelake/transaction-events", Vec::new(), &[]);
    let alone = plan(&[compaction.clone(), floor.clone()], 11, EVENT_PARTITIONS, None, BOUNDS).unwrap();
    let expected = FeedStep { from: 11, to: 13, written_at: Millis::new(13), change: TableChange::Same };
    assert_eq!(alone, [expected]);
    let around = planned(&[batch(11, "a", DAY, 1), compaction, floor, document, batch(15, "b", DAY, 1)]);
    assert_eq!(outline(&around), [(10, 15, vec!["a", "b"])], "appends are joined across it");
}

#[test]
fn columns_are_a_step_of_their_own() {
    let mut columns = version(12, "", Vec::new(), &[]);
    columns.version.changes_table = true;
    let steps = planned(&[batch(11, "a", DAY, 1), columns, batch(13, "b", DAY, 1)]);
    assert_eq!(outline(&steps), [(10, 11, vec!["a"]), (11, 12, vec![]), (12, 13, vec!["b"])]);
    assert_eq!(steps[1].change, TableChange::Columns);
}

#[test]
fn what_expired_leaves_and_what_comes_late_is_not_seen() {
    let expire = |number| task(number, TaskKind::Expire { before: day(DAY) }, Some(DAY), Vec::new(), &[]);
    let seen = [expire(11), batch(12, "late", "2026-01-04", 1), batch(13, "new", DAY, 1), expire(14)];
    let steps = planned(&seen);
    assert_eq!(steps[0].change, TableChange::Expired(day(DAY)));
    assert_eq!(outline(&steps[1..]), [(11, 14, vec!["new"])], "the second expiry takes only what came late");
    // What expired before the first of these versions is known, too.
    let late = plan(&seen[1..2], 11, EVENT_PARTITIONS, Some(day(DAY)), BOUNDS).unwrap();
    assert_eq!(outline(&late), [(11, 12, vec![])]);
}

#[test]
fn an_undone_expiry_loads_its_days_anew() {
    let undo = TaskKind::Undo { version: 12, record: Some(2) };
    let undo = task(13, undo, Some("2026-01-02"), vec![file("a", "2026-01-03", 5)], &[]);
    let expire = task(12, TaskKind::Expire { before: day(DAY) }, Some(DAY), Vec::new(), &[]);
    let steps = plan(&[expire, undo], 11, EVENT_PARTITIONS, Some(day("2026-01-02")), BOUNDS).unwrap();
    let days = Extent::Days { from: Some(day("2026-01-02")), before: day(DAY) };
    assert_eq!(steps[1].change, TableChange::Replaced(days.clone()));
    let holds = |day: &str| days.holds(&["donation".to_owned(), day.to_owned()]);
    assert_eq!(["2026-01-01", "2026-01-02", "2026-01-04", DAY].map(holds), [false, true, true, false]);
}

#[test]
fn an_erasure_goes_by_position_or_else_by_partition() {
    let erase = TaskKind::Erase { request: Uuid::nil() };
    let erase = task(11, erase, None, vec![file("b", DAY, 4)], &[path("a", DAY)]);
    assert_eq!(planned(std::slice::from_ref(&erase))[0].change, TableChange::Replaced(partition(DAY)));
    let listed = Seen { touched: Some("list".to_owned()), ..erase };
    let TableChange::Changed { touched, files } = &planned(&[listed])[0].change else { unreachable!() };
    assert_eq!((touched.as_str(), files.len()), ("list", 1));
}

#[test]
fn whatever_else_takes_files_out_loads_the_partitions_anew() {
    let repair = TaskKind::Repair { batch: Uuid::nil() };
    let undo = TaskKind::Undo { version: 3, record: None };
    for seen in [
        task(11, repair, None, Vec::new(), &[path("a", DAY)]),
        task(11, undo, None, vec![file("a", DAY, 1)], &[path("b", DAY)]),
        version(11, "bluelake/transaction-events", vec![file("a", DAY, 1)], &[path("b", DAY)]),
    ] {
        assert_eq!(planned(&[seen])[0].change, TableChange::Replaced(partition(DAY)));
    }
    let nowhere = version(11, "bluelake/transaction-events", Vec::new(), &["a.parquet".to_owned()]);
    let unknown = Obstacle::Unknown { version: 11, path: "a.parquet".to_owned() };
    assert_eq!(plan(&[nowhere], 10, EVENT_PARTITIONS, None, BOUNDS), Err(unknown));
}

#[test]
fn a_change_of_another_program_is_refused_unless_it_is_undone() {
    let foreign = version(12, "", vec![file("x", DAY, 1)], &[path("a", DAY)]);
    let before = batch(11, "a", DAY, 1);
    let both = [before.clone(), foreign.clone()];
    assert_eq!(plan(&both, 10, EVENT_PARTITIONS, None, BOUNDS), Err(Obstacle::Foreign(12)));
    let mut quiet = foreign.clone();
    quiet.version.quiet = 2;
    assert_eq!(outline(&planned(&[before.clone(), quiet])), [(10, 12, vec!["a"])]);
    let undo = TaskKind::Undo { version: 12, record: None };
    let undo = task(13, undo, None, vec![file("a", DAY, 1)], &[path("x", DAY)]);
    let steps = planned(&[before, foreign, undo]);
    assert_eq!(outline(&steps), [(10, 12, vec!["a"]), (12, 13, vec![])]);
    assert_eq!(steps[1].change, TableChange::Replaced(partition(DAY)));
}

#[test]
fn an_undone_compaction_moves_the_version_only() {
    let undo = TaskKind::Undo { version: 12, record: Some(2) };
    let mut undo = task(13, undo, None, vec![file("a", DAY, 1)], &[path("x", DAY)]);
    undo.version.quiet = 2;
    assert_eq!(planned(&[undo])[0].change, TableChange::Same);
}

#[test]
fn rows_that_the_log_hides_are_refused() {
    let mut seen = batch(11, "a", DAY, 1);
    seen.version.added[0].has_deletions = true;
    assert_eq!(plan(&[seen], 10, EVENT_PARTITIONS, None, BOUNDS), Err(Obstacle::Foreign(11)));
}
