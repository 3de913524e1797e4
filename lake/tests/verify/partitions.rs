//! Rows are judged partition by partition, and what two partitions share is found all the same.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use object_store::{GetOptions, GetResult, ObjectStore, Result, path::Path};

use super::*;
use crate::stores::{Concern, with_concern};

/// Counts the bytes that are read of each data file.
#[derive(Clone, Default)]
pub(super) struct Reads(Arc<Mutex<BTreeMap<String, u64>>>);

#[async_trait]
impl Concern for Reads {
    async fn get(&self, store: &dyn ObjectStore, location: &Path, options: GetOptions) -> Result<GetResult> {
        let found = store.get_opts(location, options).await?;
        if location.as_ref().ends_with(".parquet") && !location.as_ref().contains("_delta_log") {
            let bytes = found.range.end - found.range.start;
            *self.0.lock().unwrap().entry(location.to_string()).or_default() += bytes;
        }
        Ok(found)
    }
}

impl Reads {
    /// Verifies the lake, and gives what was found with the bytes read of each data file.
    pub(super) async fn of(fixture: &Fixture, options: &VerifyOptions) -> (StreamReport, BTreeMap<String, u64>) {
        let reads = Self::default();
        let counting = reads.clone();
        let lake = fixture.over(|inner| with_concern(inner, counting));
        let report = verify(&lake, options).await.unwrap();
        let stream = report.streams.into_iter().find(|stream| stream.stream == STREAM.name()).unwrap();
        let read = reads.0.lock().unwrap().clone();
        (stream, read)
    }
}

pub(super) fn passes(rows_per_pass: u64) -> VerifyOptions {
    VerifyOptions { rows_per_pass, ..VerifyOptions::default() }
}

/// Commits rows of one day.
pub(super) async fn of_day(table: &mut StreamTable, from: u32, rows: RangeInclusive<u32>, day: i32) {
    let start = if from == 0 { Position::TrimHorizon } else { after(from) };
    let rows = batch_of(
        table,
        (SHARD, start),
        rows,
        0,
        RowShape { event_date: 20_454 + day, happened: day.into(), ..RowShape::default() },
    )
    .await;
    commit(table, &rows).await;
}

/// So many days of so many rows.
pub(super) async fn days(days: u32, rows: u32) -> (Fixture, StreamTable) {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    for day in 0..days {
        let (from, to) = (day * rows, (day + 1) * rows);
        of_day(&mut table, from, from + 1..=to, i32::try_from(day).unwrap()).await;
    }
    (fixture, table)
}

#[tokio::test]
async fn each_file_of_many_partitions_is_read_once() {
    let (fixture, _) = days(100, 10_000).await;
    let (report, read) = Reads::of(&fixture, &passes(20_000)).await;
    assert_eq!((failed(&report), unchecked(&report), report.rows), (vec![], vec![], 1_000_000));
    assert_eq!((report.partitions.read, report.files_read, read.len()), (100, 1_000, 1_000));
    for (path, bytes) in read {
        // The footer is read for itself.
        let size = std::fs::metadata(std::path::Path::new("/").join(&path)).unwrap().len();
        assert!(bytes <= size + (64 << 10), "{path} of {size} bytes: {bytes} were read");
    }
}

#[tokio::test]
async fn a_position_in_two_partitions_is_found() {
    let (fixture, mut table) = days(4, 5).await;
    let shape = RowShape { event_date: 20_454 + 7, happened: 7, ..RowShape::default() };
    let mut again = batch_of(&table, (SHARD, after(20)), 3..=4, 0, shape).await;
    again.shards[0].to_inclusive = after(21);
    commit(&mut table, &again).await;
    for rows_per_pass in [1_000, 7, 5, 3, 1] {
        let (report, read) = Reads::of(&fixture, &passes(rows_per_pass)).await;
        expect_alone(&report, "uniqueness", "shard shardId-0 sequence 3 sub-sequence 0 in row");
        let CheckOutcome::Failed(found) = &check(&report, "uniqueness").outcome else { unreachable!() };
        assert_eq!(found.found, 2, "{rows_per_pass} rows a pass: {found:?}");
        assert_eq!((report.rows, report.files_read, read.len()), (22, 5, 5), "what is read again counts once");
    }
}

#[tokio::test]
async fn a_position_in_both_tables_is_found() {
    let (fixture, mut table) = good().await;
    // The last event of the first batch has two rejected events beside it, its sub-sequence numbers 1 and 2.
    let shape = RowShape { event_date: 20_454 + 1, happened: 1, sub_sequence: 2, id_offset: 1, ..RowShape::default() };
    let mut rows = batch_of(&table, (SHARD, after(8)), 5..=5, 0, shape).await;
    rows.shards[0].to_inclusive = after(9);
    commit(&mut table, &rows).await;
    let options = VerifyOptions { window: std::time::Duration::ZERO, ..passes(2) };
    let report = report_with(&fixture, &options).await;
    expect_alone(&report, "uniqueness", "sequence 5 sub-sequence 2");
    expect_example(&report, "uniqueness", "rejected_events/");
}

#[tokio::test]
async fn an_id_in_two_partitions_is_found() {
    let (fixture, mut table) = days(3, 4).await;
    let shape = RowShape { id_offset: 12, arrived: 60, event_date: 20_454 + 2, happened: 2, ..RowShape::default() };
    let rows = batch_of(&table, (SHARD, after(12)), 13..=14, 0, shape).await;
    commit(&mut table, &rows).await;
    for rows_per_pass in [1_000, 4, 1] {
        let report = report_with(&fixture, &passes(rows_per_pass)).await;
        expect_alone(&report, "window", "again after 60000000 µs");
        let CheckOutcome::Failed(found) = &check(&report, "window").outcome else { unreachable!() };
        assert_eq!((found.found, report.warnings.found), (2, 0), "{rows_per_pass} rows a pass");
        let shorter = VerifyOptions { window: std::time::Duration::from_secs(59), ..passes(rows_per_pass) };
        let report = report_with(&fixture, &shorter).await;
        assert_eq!((failed(&report), report.warnings.found), (vec![], 2), "{:#?}", report.checks);
    }
}

#[tokio::test]
async fn a_file_that_stands_in_two_partitions_is_found() {
    let (fixture, _) = days(3, 5).await;
    // Another program puts a day's file under another day, too, and says so in the log.
    let original = data_file(&fixture, "transactions", 2);
    let folder = original.parent().unwrap().with_file_name("event_date=2026-02-01");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(&original, folder.join(original.file_name().unwrap())).unwrap();
    let log = std::fs::read_to_string(log_path(&fixture, "transactions", 2)).unwrap();
    let add = log.lines().find(|line| line.contains("\"add\"")).unwrap().replace("2026-01-01", "2026-02-01");
    std::fs::write(log_path(&fixture, "transactions", 5), add).unwrap();
    let report = report_with(&fixture, &passes(5)).await;
    assert_eq!(failed(&report), ["rows", "batches", "uniqueness", "partitions"], "{:#?}", report.checks);
    let CheckOutcome::Failed(found) = &check(&report, "uniqueness").outcome else { unreachable!() };
    assert_eq!(found.found, 5);
}
