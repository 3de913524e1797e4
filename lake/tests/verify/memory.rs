//! What was read and found right is remembered, for exactly its files and as it was read; whatever differs is read again.

use std::time::Duration;

use super::{
    partitions::{Reads, days, of_day},
    *,
};
use crate::stores::Fault;

fn remembering() -> VerifyOptions {
    VerifyOptions { remember: true, ..VerifyOptions::default() }
}

/// Partitions read, taken from memory, and remembered.
fn counts(report: &StreamReport) -> [usize; 3] {
    let partitions = &report.partitions;
    [partitions.read, partitions.from_memory, partitions.remembered]
}

#[track_caller]
fn expect_sound(report: &StreamReport) {
    assert_eq!((failed(report), unchecked(report)), (vec![], vec![]), "{:#?}", report.checks);
    assert_eq!(report.partitions.memory_faults.found, 0, "{:?}", report.partitions.memory_faults);
}

fn remembered_files(fixture: &Fixture) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![fixture.folder.path().join("_verify")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn nothing_is_written_unless_it_is_wanted() {
    let (fixture, _) = days(3, 5).await;
    let report = report(&fixture).await;
    assert_eq!((counts(&report), remembered_files(&fixture).len()), ([3, 0, 0], 0));
}

#[tokio::test]
async fn what_is_remembered_is_not_read_again() {
    let (fixture, mut table) = days(3, 5).await;
    let first = report_with(&fixture, &remembering()).await;
    expect_sound(&first);
    assert_eq!((counts(&first), remembered_files(&fixture).len()), ([3, 0, 3], 3));

    let (second, read) = Reads::of(&fixture, &VerifyOptions::default()).await;
    expect_sound(&second);
    assert_eq!((counts(&second), read.len()), ([0, 3, 0], 0));
    assert_eq!((second.rows, second.partitions.rows_from_memory), (0, 15));

    of_day(&mut table, 15, 16..=17, 1).await;
    of_day(&mut table, 17, 18..=18, 8).await;
    let (third, read) = Reads::of(&fixture, &remembering()).await;
    expect_sound(&third);
    assert_eq!((counts(&third), read.len()), ([2, 2, 2], 3), "two days changed, of which one has two files");
    assert_eq!(counts(&report(&fixture).await), [0, 4, 0]);
}

#[tokio::test]
async fn a_result_holds_for_how_it_was_read() {
    let (fixture, _) = days(3, 5).await;
    report_with(&fixture, &remembering()).await;
    let other = |change: fn(&mut VerifyOptions)| {
        let mut options = VerifyOptions::default();
        change(&mut options);
        options
    };
    for (options, expected, case) in [
        (other(|options| options.window = Duration::from_secs(60)), [3, 0, 0], "another window"),
        (other(|options| options.contract_version = 7), [3, 0, 0], "another contract"),
        (other(|options| options.deep = true), [3, 0, 0], "every column"),
        (other(|options| options.full = true), [3, 0, 0], "everything"),
        (other(|options| options.sample = Some(1.0)), [3, 0, 0], "a sample"),
        (other(|options| options.rows_per_pass = 2), [0, 3, 0], "less memory"),
    ] {
        let report = report_with(&fixture, &options).await;
        expect_sound(&report);
        assert_eq!(counts(&report), expected, "{case}");
    }
    let deep = VerifyOptions { deep: true, ..remembering() };
    assert_eq!(counts(&report_with(&fixture, &deep).await), [3, 0, 3]);
    std::fs::remove_dir_all(fixture.folder.path().join("_verify")).unwrap();
    report_with(&fixture, &deep).await;
    assert_eq!(counts(&report(&fixture).await), [0, 3, 0], "who read every column read those that count");
}

#[tokio::test]
async fn what_a_new_partition_repeats_of_a_remembered_one_is_found() {
    let (fixture, mut table) = days(3, 5).await;
    report_with(&fixture, &remembering()).await;
    let shape = RowShape { event_date: 20_454 + 9, happened: 9, ..RowShape::default() };
    let mut again = batch_of(&table, (SHARD, after(15)), 3..=4, 0, shape).await;
    again.shards[0].to_inclusive = after(16);
    commit(&mut table, &again).await;
    for _ in 0..2 {
        let report = report_with(&fixture, &remembering()).await;
        expect_alone(&report, "uniqueness", "shard shardId-0 sequence 3 sub-sequence 0");
        let CheckOutcome::Failed(found) = &check(&report, "uniqueness").outcome else { unreachable!() };
        assert_eq!(found.found, 2);
    }
    let shape = RowShape { id_offset: 16, arrived: 60, event_date: 20_454 + 5, happened: 5, ..RowShape::default() };
    let rows = batch_of(&table, (SHARD, after(16)), 17..=17, 0, shape).await;
    commit(&mut table, &rows).await;
    let report = report_with(&fixture, &remembering()).await;
    assert_eq!(failed(&report), ["uniqueness", "window"], "{:#?}", report.checks);
}

#[tokio::test]
async fn a_partition_at_fault_is_not_remembered() {
    let (fixture, mut table) = days(3, 5).await;
    let mut again = batch(&table, SHARD, after(15), 1..=2, 0).await;
    again.shards[0].to_inclusive = after(16);
    commit(&mut table, &again).await;
    for _ in 0..2 {
        let report = report_with(&fixture, &remembering()).await;
        expect_alone(&report, "uniqueness", "in row");
        assert_eq!(counts(&report)[0] + counts(&report)[1], 3);
        assert_eq!(remembered_files(&fixture).len(), 2);
    }
}

#[tokio::test]
async fn repeats_beyond_the_window_are_warned_of_from_memory() {
    let (fixture, mut table) = days(2, 5).await;
    let shape = RowShape { id_offset: 10, arrived: 7_200, ..RowShape::default() };
    let rows = batch_of(&table, (SHARD, after(10)), 11..=12, 0, shape).await;
    commit(&mut table, &rows).await;
    let first = report_with(&fixture, &remembering()).await;
    let second = report(&fixture).await;
    assert_eq!((counts(&first), counts(&second)), ([2, 0, 2], [0, 2, 0]));
    assert_eq!((first.warnings.found, &second.warnings), (2, &first.warnings));
}

#[tokio::test]
async fn a_file_that_was_written_anew_is_read() {
    let (fixture, _) = days(2, 5).await;
    report_with(&fixture, &remembering()).await;
    let path = data_file(&fixture, "transactions", 2);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[8..middle].fill(b'x');
    std::fs::write(&path, bytes).unwrap();
    let report = report(&fixture).await;
    assert_eq!((failed(&report), counts(&report)), (vec!["files"], [1, 1, 0]), "{:#?}", report.checks);
}

#[tokio::test]
async fn a_damaged_result_is_told_and_made_anew() {
    let (fixture, _) = days(2, 5).await;
    report_with(&fixture, &remembering()).await;
    let damaged = remembered_files(&fixture).remove(0);
    std::fs::write(&damaged, b"{}\n").unwrap();
    let report = report(&fixture).await;
    assert_eq!((failed(&report), counts(&report)), (vec![], [1, 1, 0]));
    assert!(report.partitions.memory_faults.examples[0].contains("is damaged"), "{:?}", report.partitions);
    assert_eq!(counts(&report_with(&fixture, &remembering()).await), [1, 1, 1]);
    let report = self::report(&fixture).await;
    expect_sound(&report);
    assert_eq!(counts(&report), [0, 2, 0]);
}

#[tokio::test]
async fn a_store_that_refuses_to_remember_is_told() {
    let (fixture, _) = days(3, 5).await;
    let lake = fixture.faulty("_verify", Fault::Fail, usize::MAX);
    let report = verify(&lake, &remembering()).await.unwrap();
    assert!(report.holds);
    let stream = report.streams.into_iter().find(|stream| stream.stream == STREAM.name()).unwrap();
    assert_eq!((counts(&stream), stream.partitions.memory_faults.found), ([3, 0, 0], 1), "{:?}", stream.partitions);
    assert!(stream.partitions.memory_faults.examples[0].contains("not remembered"), "{:?}", stream.partitions);
}

#[tokio::test]
async fn what_is_remembered_and_found_wrong_is_forgotten() {
    let (fixture, _) = days(2, 5).await;
    report_with(&fixture, &remembering()).await;
    // The documents go back behind what the rows reach.
    for version in 3..=3 {
        std::fs::remove_file(log_path(&fixture, "transactions", version)).unwrap();
    }
    let reached = report(&fixture).await;
    expect_sound(&reached);
    assert_eq!(counts(&reached), [0, 1, 0], "the day that is left stands as it was");
    let mut forged = document(&fixture, 2);
    forged.shards.get_mut(SHARD).unwrap().position = after(4);
    forged.commit.ranges[0].to_inclusive = after(4);
    forge(&fixture, &mut [forged]);
    let report = report_with(&fixture, &remembering()).await;
    assert!(failed(&report).contains(&"reach"), "{:#?}", report.checks);
    assert_eq!((counts(&report), remembered_files(&fixture).len()), ([1, 0, 0], 1));
}
