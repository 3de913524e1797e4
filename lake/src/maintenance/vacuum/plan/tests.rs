use proptest::prelude::*;

use super::*;
use crate::maintenance::{
    record::{RowChange, TaskKind},
    successor,
    task::{
        Task,
        tests::{STREAM, input, output, task},
    },
};

fn log(times: &[i64]) -> LogFiles {
    let commits = (0..).zip(times).map(|(version, at)| (version, Millis::new(*at))).collect();
    LogFiles { commits, ..LogFiles::default() }
}

#[test]
fn a_version_stays_until_the_next_one_is_old() {
    let times = log(&[10, 20, 30, 40]);
    for (cutoff, expected) in [(45, Some(3)), (40, Some(3)), (39, Some(2)), (20, Some(1)), (10, Some(0)), (9, None)] {
        assert_eq!(oldest_promised(&times, Millis::new(cutoff), 3), expected, "{cutoff}");
    }
    assert_eq!(oldest_promised(&log(&[]), Millis::new(5), 0), None);
    // What came after the table was loaded is not looked at.
    assert_eq!(oldest_promised(&times, Millis::new(45), 1), Some(1));
}

#[test]
fn times_that_go_back_promise_more() {
    // A restored object, or a store whose clock jumped.
    assert_eq!(oldest_promised(&log(&[10, 90, 30, 40]), Millis::new(50), 3), Some(0));
    let mut cleared = log(&[10, 20, 30, 40]);
    cleared.commits.retain(|version, _| *version >= 2);
    assert_eq!(oldest_promised(&cleared, Millis::new(25), 3), None, "version 1 is not there any more");
}

#[test]
fn a_slow_target_holds_versions_for_a_while() {
    let times = log(&[10, 20, 30, 40, 50]);
    let oldest =
        |slowest, hold| Cutoff { time_travel: Millis::new(45), slowest, hold: Millis::new(hold) }.oldest(&times, 4);
    assert_eq!(oldest(None, 5), Some(3));
    assert_eq!(oldest(Some(4), 15), Some(3), "one that is up to date holds nothing");
    assert_eq!(oldest(Some(1), 15), Some(1));
    assert_eq!(oldest(Some(0), 25), Some(1), "it lets go of what is older than the hold");
    assert_eq!(oldest(Some(0), 49), Some(3), "and a short hold takes nothing away from time travel");
    assert_eq!(oldest(Some(0), 5), Some(0), "all of the log is younger than the hold");
    let cleared = LogFiles { commits: times.commits.clone().split_off(&1), ..LogFiles::default() };
    let oldest = Cutoff { time_travel: Millis::new(45), slowest: Some(0), hold: Millis::new(5) }.oldest(&cleared, 4);
    assert_eq!(oldest, None, "what the target holds is not there any more");
}

/// A record that takes out the files of these names and puts in one of `id`.
fn record(previous: Option<&MaintenanceRecord>, names: &[&str], id: u128) -> MaintenanceRecord {
    let id = Uuid::from_u128(id);
    let inputs: Vec<_> = names.iter().map(|name| input(name, 1)).collect();
    let rows = u64::try_from(inputs.len()).unwrap();
    let change = RowChange { before: rows, after: rows };
    let compact = Task {
        id,
        inputs,
        outputs: vec![output(id, rows)],
        rows: BTreeMap::from([(STREAM, change)]),
        ..task(TaskKind::Compact, rows)
    };
    successor::record(previous, &compact, "w").unwrap()
}

fn path(name: &str) -> String {
    input(name, 1).path
}

fn version(number: u64, removed: &[&str], record: Option<u64>) -> VersionOutline {
    VersionOutline {
        number,
        removed: removed.iter().map(|name| (path(name), 5)).collect(),
        added: 1,
        numbers: record.map(|record| (MAINTENANCE.to_owned(), record)).into_iter().collect(),
    }
}

#[test]
fn what_left_below_the_floor_is_retired() {
    let first = record(None, &["a", "b"], 1);
    let second = record(Some(&first), &["c"], 2);
    let past = Past {
        records: vec![second, first],
        // Another program took d out.
        below: vec![version(4, &["a", "b"], Some(1)), version(5, &["d"], None)],
        above: vec![version(6, &[], None), version(7, &["c"], Some(2))],
        ..Past::default()
    };
    assert_eq!((past.purges_to(), past.newest()), (1, 2));
    assert_eq!(past.retired().into_keys().collect::<Vec<_>>(), [path("a"), path("b"), path("d")]);
    let cleared = Past { below: Vec::new(), ..past };
    assert_eq!(cleared.retired().into_keys().collect::<Vec<_>>(), [path("a"), path("b")], "by the records alone");
}

#[test]
fn restored_files_stay_for_their_versions() {
    let first = record(None, &["a", "b"], 1);
    let past = Past {
        records: vec![first],
        below: vec![version(4, &["a", "b"], Some(1))],
        // Put back by an undo, and taken out once more.
        above: vec![version(6, &["a"], None)],
        ..Past::default()
    };
    assert_eq!(past.retired().into_keys().collect::<Vec<_>>(), [path("b")]);
    assert_eq!(without(past.retired(), &BTreeSet::from([path("b")])), BTreeMap::new());
}

#[test]
fn what_rejected_events_does_not_have_yet_stays() {
    let past =
        Past { below: vec![version(4, &["a", "b"], None)], coming: HashSet::from([path("a")]), ..Past::default() };
    assert_eq!(past.retired().into_keys().collect::<Vec<_>>(), [path("b")]);
    assert!(past.names().contains(&path("a")));
}

#[test]
fn nothing_is_purged_that_is_not_known() {
    let third = record(Some(&record(Some(&record(None, &["a"], 1)), &["b"], 2)), &["c"], 3);
    let past = |above: &[Option<u64>], purged_to| Past {
        records: vec![third.clone()],
        purged_to,
        above: (6..).zip(above).map(|(number, record)| version(number, &[], *record)).collect(),
        ..Past::default()
    };
    assert_eq!(past(&[], 2).purges_to(), 3, "all versions are below the floor");
    assert_eq!(past(&[None, Some(3)], 2).purges_to(), 2);
    // A record that the chain does not have: nothing more is purged.
    assert_eq!(past(&[Some(9)], 2).purges_to(), 2);
}

#[test]
fn only_paths_that_mean_one_object_are_deleted() {
    for (path, expected) in [
        ("event_type=a/event_date=2026-01-01/x.parquet", true),
        ("part-0000-1f.c000.snappy.parquet", true),
        ("event_type=a%20b/x.parquet", false),
        ("event_type=a b/x.parquet", false),
        ("s3://other/x.parquet", false),
        ("/x.parquet", false),
        ("event_type=a//x.parquet", false),
        ("../x.parquet", false),
        ("_delta_log/00000000000000000001.json", false),
        ("_checkpoints/transaction-events/00000000000000000001.json", false),
        ("", false),
    ] {
        assert_eq!(is_plain(path), expected, "{path}");
    }
}

#[test]
fn an_orphan_has_our_name_and_is_old() {
    let id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 1_000, 0));
    let folder = "event_type=a/event_date=2026-01-01";
    let ours = format!("{folder}/{id}-00003.parquet");
    assert_eq!(began_at(&ours), Some(Millis::new(1_000_000)));
    assert_eq!(began_at(&format!("{folder}/{id}-00003-closed-full.parquet")), Some(Millis::new(1_000_000)));
    assert!(is_old(&ours, Millis::new(1_500_000), Millis::new(2_000_000)));
    assert!(!is_old(&ours, Millis::new(2_000_000), Millis::new(2_000_000)), "the store wrote it just now");
    assert!(!is_old(&ours, Millis::new(0), Millis::new(1_000_000)), "its batch began just now");
    for other in [
        format!("{folder}/{id}.parquet"),
        format!("{folder}/{id}-.parquet"),
        format!("{folder}/{id}-1.json"),
        format!("{folder}/{id}-1-c000.parquet"),
        format!("{folder}/{id}-1.parquet#3"),
        format!("{folder}/{}-1.parquet", Uuid::new_v4()),
        format!("{folder}/part-00000-{id}-c000.parquet"),
        format!("_checkpoints/x=y/{id}-1.parquet"),
        format!("elsewhere/{id}-1.parquet"),
        format!("{id}-1.parquet"),
        format!("{folder}/ä{id}-1.parquet"),
    ] {
        assert_eq!(began_at(&other), None, "{other}");
    }
}

proptest! {
    /// Whatever leaves and comes back: no file goes that a version from the floor on has.
    #[test]
    fn no_promised_version_loses_a_file(
        steps in proptest::collection::vec(0_usize..6, 1..40),
        floor in 0_usize..40,
        recorded in proptest::collection::vec(any::<bool>(), 40),
    ) {
        const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
        let floor = floor.min(steps.len() - 1);
        let mut active: BTreeSet<String> = NAMES.iter().map(|name| path(name)).collect();
        let (mut promised, mut records, mut versions) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (number, step) in steps.iter().enumerate() {
            let name = NAMES[*step];
            let mut removed = Vec::new();
            let mut number_of_record = None;
            if active.remove(&path(name)) {
                removed.push(name);
                if recorded[number] {
                    let id = u128::try_from(number).unwrap() + 1;
                    records.push(record(records.last(), &removed, id));
                    number_of_record = records.last().map(|record| record.number);
                }
            } else {
                active.insert(path(name));
            }
            versions.push(version(u64::try_from(number).unwrap(), &removed, number_of_record));
            if number >= floor {
                promised.extend(active.iter().cloned());
            }
        }
        let above = versions.split_off(floor + 1);
        records.reverse();
        let past = Past { records, below: versions, above, ..Past::default() };
        let retired = without(past.retired(), &active);
        prop_assert!(retired.keys().all(|path| !promised.contains(path)), "{retired:?}");
        // And what no promised version has goes.
        let gone = past.below.iter().flat_map(|version| version.removed.keys());
        for path in gone.filter(|path| !promised.contains(*path)) {
            prop_assert!(retired.contains_key(path), "{path}");
        }
    }
}
