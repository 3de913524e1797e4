//! Vacuum: what left the table goes, what a promised version has stays, wherever it is killed and whoever else works.

mod clocks;
mod cut_off;
mod documents;
mod log;
mod orphans;
mod reading;
mod undo;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bluelake_lake::{LakeError, OrphanSearch, REJECTED_EVENTS, VacuumOptions, Vacuumed, vacuum};

use super::{faults::compact_by_another_hand, *};
use crate::stores::{Concern, Fault, take_one, with_concern};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Everything that left the table is old at once.
fn at_once() -> VacuumOptions {
    VacuumOptions {
        time_travel: Duration::ZERO,
        hold: 7 * DAY,
        orphan_age: 7 * DAY,
        orphans: OrphanSearch::WhenDue,
        dry_run: false,
        worker: "care".to_owned(),
    }
}

async fn run(lake: &Lake, options: &VacuumOptions) -> Vacuumed {
    try_run(lake, options).await.unwrap()
}

async fn try_run(lake: &Lake, options: &VacuumOptions) -> std::result::Result<Vacuumed, LakeError> {
    vacuum(lake, STREAM.table(), options, &|_| ()).await
}

/// The data files below a table's folder.
fn stored(fixture: &Fixture, table: &str) -> BTreeSet<String> {
    let root = fixture.folder.path().join(table);
    let (mut found, mut folders) = (BTreeSet::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !name.starts_with('_') {
                folders.push(path);
            } else if path.is_file() {
                found.insert(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

fn in_table(table: &MaintainedTable) -> BTreeSet<String> {
    active(table).into_iter().map(|file| file.path).collect()
}

/// Commits a compaction of all files, and gives its version.
async fn compact(lake: &Lake) -> u64 {
    let mut table = maintained(lake).await;
    let task = compaction(&table).await;
    let outcome = table.commit(&task).await.unwrap();
    let TaskOutcome::Committed { version, .. } = outcome else { panic!("{outcome:?}") };
    version
}

/// Two compactions, each of some batches: the second took out what the first had put in.
async fn compacted_twice(fixture: &Fixture) -> StreamTable {
    let mut ingest = with_batches(fixture, 3).await;
    compact(&fixture.lake).await;
    add_batch(&mut ingest, 3).await;
    add_batch(&mut ingest, 4).await;
    compact(&fixture.lake).await;
    add_batch(&mut ingest, 5).await;
    ingest
}

/// Checks that the folder holds what the table consists of, and that the table is whole.
async fn expect_clean(fixture: &Fixture, rows: usize) {
    assert_eq!(stored(fixture, STREAM.table()), in_table(&maintained(&fixture.lake).await));
    assert_eq!(fixture.sequences().await.len(), rows);
    check_versions(&fixture.lake).await;
    expect_sound(&fixture.lake).await;
}

fn floor(table: &MaintainedTable) -> (u64, u64) {
    let standing = &table.record().unwrap().standing;
    (standing.readable_from, standing.purged_to)
}

#[tokio::test]
async fn files_that_left_the_table_go() {
    let fixture = Fixture::new().await;
    let mut ingest = compacted_twice(&fixture).await;
    let before = stored(&fixture, STREAM.table());
    let planned = run(&fixture.lake, &VacuumOptions { dry_run: true, ..at_once() }).await;
    assert_eq!(stored(&fixture, STREAM.table()), before, "a dry run deletes nothing");
    assert_eq!(maintained(&fixture.lake).await.record().unwrap().number, 2, "and commits nothing");
    let done = run(&fixture.lake, &at_once()).await;
    assert_eq!((done.retired.len(), &done.retired), (6, &planned.retired));
    assert!(done.retired.iter().all(|file| file.size > 0));
    let newest = u64::try_from(9).unwrap();
    assert_eq!((done.readable_from, done.purged_to, planned.readable_from), (newest, 2, newest));
    assert_eq!(floor(&maintained(&fixture.lake).await), (newest, 2));
    expect_clean(&fixture, 12).await;
    let again = run(&fixture.lake, &at_once()).await;
    assert!(again.retired.is_empty());
    let idle = maintained(&fixture.lake).await.record().unwrap().number;
    assert_eq!(idle, 4, "a vacuum that deletes nothing commits nothing");
    add_batch(&mut ingest, 6).await;
    compact(&fixture.lake).await;
    let next = run(&fixture.lake, &at_once()).await;
    assert_eq!((next.retired.len(), next.purged_to), (3, 5), "those of the last compaction alone");
    expect_clean(&fixture, 14).await;
}

#[tokio::test]
async fn files_of_versions_that_are_promised_stay() {
    let fixture = Fixture::new().await;
    compacted_twice(&fixture).await;
    let before = stored(&fixture, STREAM.table());
    let done = run(&fixture.lake, &VacuumOptions { time_travel: DAY, ..at_once() }).await;
    assert_eq!((done.retired.len(), done.readable_from, done.purged_to), (0, 0, 0));
    assert_eq!(stored(&fixture, STREAM.table()), before);
    // Up to the first compaction all is two days old.
    age_log(&fixture, 0..=5, 2 * DAY);
    let done = run(&fixture.lake, &VacuumOptions { time_travel: DAY, ..at_once() }).await;
    assert_eq!((done.retired.len(), done.readable_from, done.purged_to), (3, 5, 1));
    for version in 5..=9 {
        let mut table = fixture.lake.table(STREAM.table()).await.unwrap();
        table.load_version(version).await.unwrap();
        for file in table.snapshot().unwrap().log_data().iter() {
            assert!(fixture.folder.path().join("transactions").join(file.path().as_ref()).exists(), "{version}");
        }
    }
    expect_sound(&fixture.lake).await;
}

/// Makes versions of the log so much older.
fn age_log(fixture: &Fixture, versions: std::ops::RangeInclusive<u64>, by: Duration) {
    for version in versions {
        age(&fixture.folder.path().join(format!("transactions/_delta_log/{version:020}.json")), by);
    }
}

fn age(path: &PathBuf, by: Duration) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::now() - by).unwrap();
}

/// Hangs before a put or a delete, once so many have passed.
struct Killed {
    left: AtomicUsize,
}

impl Killed {
    async fn pass(&self) {
        if !take_one(&self.left) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Concern for Killed {
    async fn put(
        &self,
        store: &dyn object_store::ObjectStore,
        location: &Path,
        payload: object_store::PutPayload,
        options: object_store::PutOptions,
    ) -> object_store::Result<object_store::PutResult> {
        if ["_maintenance", "_delta_log"].iter().any(|folder| location.as_ref().contains(folder)) {
            self.pass().await;
            let put = store.put_opts(location, payload, options).await;
            self.pass().await;
            return put;
        }
        store.put_opts(location, payload, options).await
    }

    async fn before_delete(&self, location: Path) -> object_store::Result<Path> {
        if location.as_ref().ends_with(".parquet") {
            self.pass().await;
        }
        Ok(location)
    }
}

#[tokio::test]
async fn the_next_vacuum_finishes_one_killed_anywhere() {
    // Two puts of each floor, before and after each; six files; the marker of the search for orphans.
    let mut killed = 0;
    for steps in 0.. {
        let fixture = Fixture::new().await;
        compacted_twice(&fixture).await;
        let lake = fixture.over(|inner| with_concern(inner, Killed { left: AtomicUsize::new(steps) }));
        let options = at_once();
        let ended = tokio::time::timeout(Duration::from_millis(300), run(&lake, &options)).await.is_ok();
        expect_sound(&fixture.lake).await;
        assert_eq!(fixture.sequences().await.len(), 12, "{steps}");
        let read = fixture.lake.read(&bluelake_lake::AsOf::Versions([("transactions".to_owned(), 3)].into())).await;
        let is_readable = stored(&fixture, STREAM.table()).len() == 8;
        assert!(is_readable || read.is_err(), "{steps}: files are gone and nobody is told");
        run(&fixture.lake, &options).await;
        expect_clean(&fixture, 12).await;
        assert!(floor(&maintained(&fixture.lake).await).1 >= 2, "{steps}: it is purged");
        if ended {
            break;
        }
        killed += 1;
    }
    assert_eq!(killed, 4 * 2 + 6 + 2);
}

#[tokio::test]
async fn a_lost_answer_changes_nothing_for_a_vacuum() {
    for pattern in ["transactions/_maintenance/0", "transactions/_delta_log/0000"] {
        for fault in [Fault::LoseAnswer, Fault::SayAlreadyExists, Fault::Fail] {
            for times in [1, 3] {
                let fixture = Fixture::new().await;
                compacted_twice(&fixture).await;
                let done = try_run(&fixture.faulty(pattern, fault, times), &at_once()).await;
                let done =
                    done.unwrap_or_else(|error| panic!("{pattern} {fault:?}: {}", bluelake_lake::causes(&error)));
                assert_eq!((done.retired.len(), done.purged_to), (6, 2), "{pattern} {fault:?}");
                expect_clean(&fixture, 12).await;
            }
        }
    }
}

#[tokio::test]
async fn a_failed_delete_is_reported_and_repeated() {
    struct Refusing;
    #[async_trait]
    impl Concern for Refusing {
        async fn before_delete(&self, location: Path) -> object_store::Result<Path> {
            let is_data = location.as_ref().ends_with(".parquet");
            let denied = || object_store::Error::PermissionDenied { path: "x".to_owned(), source: "no".into() };
            if is_data { Err(denied()) } else { Ok(location) }
        }
    }
    let fixture = Fixture::new().await;
    compacted_twice(&fixture).await;
    let error = try_run(&fixture.over(|inner| with_concern(inner, Refusing)), &at_once()).await.unwrap_err();
    assert!(error.to_string().contains("cannot delete files of 'transactions': access denied"), "{error}");
    assert_eq!(floor(&maintained(&fixture.lake).await).1, 0, "nothing is purged");
    run(&fixture.lake, &at_once()).await;
    expect_clean(&fixture, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_vacuums_at_once_do_no_harm() {
    for round in 0..10 {
        let fixture = Fixture::new().await;
        compacted_twice(&fixture).await;
        age_log(&fixture, 0..=5, 2 * DAY);
        // One of them keeps more.
        let other = VacuumOptions { time_travel: if round % 2 == 0 { DAY } else { Duration::ZERO }, ..at_once() };
        let options = at_once();
        let (one, two) = tokio::join!(try_run(&fixture.lake, &options), try_run(&fixture.lake, &other));
        assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
        run(&fixture.lake, &options).await;
        expect_clean(&fixture, 12).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_vacuum_beside_others_removes_nothing_needed() {
    let fixture = Arc::new(Fixture::new().await);
    let mut ingest = with_batches(&fixture, 2).await;
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let worker = tokio::spawn(async move {
        for number in 2..30 {
            add_batch(&mut ingest, number).await;
        }
    });
    let deleted = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (lake, is_over, sum) = (fixture.lake.clone(), over.clone(), deleted.clone());
    let vacuums = tokio::spawn(async move {
        while !is_over.load(Ordering::SeqCst) {
            // Longer than any of the reads below.
            let options = VacuumOptions { time_travel: Duration::from_secs(2), ..at_once() };
            sum.fetch_add(try_run(&lake, &options).await.unwrap().retired.len(), Ordering::SeqCst);
        }
    });
    let (reader, is_over) = (fixture.clone(), over.clone());
    let reads = tokio::spawn(async move {
        let mut least = 0;
        while !is_over.load(Ordering::SeqCst) {
            let rows = reader.sequences().await.len();
            assert!(rows >= least, "{rows} after {least}");
            least = rows;
        }
    });
    let begun = std::time::Instant::now();
    let too_few = || deleted.load(Ordering::SeqCst) <= 10 && begun.elapsed() < Duration::from_secs(120);
    while !worker.is_finished() || too_few() {
        let mut table = maintained(&fixture.lake).await;
        let task = compaction(&table).await;
        table.commit(&task).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    worker.await.unwrap();
    over.store(true, Ordering::SeqCst);
    vacuums.await.unwrap();
    reads.await.unwrap();
    assert!(deleted.load(Ordering::SeqCst) > 10, "{deleted:?}");
    run(&fixture.lake, &at_once()).await;
    expect_clean(&fixture, 60).await;
}

#[tokio::test]
async fn files_that_another_program_took_out_go() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let before = stored(&fixture, STREAM.table());
    compact_by_another_hand(fixture.folder.path(), 4);
    let done = run(&fixture.lake, &VacuumOptions { time_travel: DAY, ..at_once() }).await;
    assert!(done.retired.is_empty());
    let done = run(&fixture.lake, &at_once()).await;
    let [gone] = done.retired.as_slice() else { panic!("{done:?}") };
    assert!(before.contains(&gone.path));
    assert_eq!(stored(&fixture, STREAM.table()), in_table(&maintained(&fixture.lake).await));
    assert_eq!(fixture.sequences().await.len(), 4);
    // Another one, after a floor that is purged.
    let version = maintained(&fixture.lake).await.delta_table().version().unwrap();
    assert_eq!(version, 5, "no record is purged, so there is no second floor");
    assert!(run(&fixture.lake, &at_once()).await.retired.len() <= 1);
}

#[tokio::test]
async fn what_rejected_events_does_not_have_yet_stays() {
    let fixture = Fixture::new().await;
    let lake = fixture.faulty("rejected_events/_delta_log/0000", Fault::Fail, usize::MAX);
    let mut ingest = fixture.try_open(&lake).await.unwrap();
    pin(&mut ingest, SHARD).await;
    for number in 1..=3 {
        let start = if number == 1 { Position::TrimHorizon } else { after(number - 1) };
        let rows = batch(&ingest, SHARD, start, number..=number, 2).await;
        ingest.commit(&rows).await.unwrap();
    }
    assert_eq!(fixture.rejected_rows().await, 0, "it is behind");
    let before = stored(&fixture, REJECTED_EVENTS);
    assert_eq!(before.len(), 3);
    let options = VacuumOptions { orphan_age: Duration::ZERO, orphans: OrphanSearch::Now, ..at_once() };
    let done = vacuum(&fixture.lake, REJECTED_EVENTS, &options, &|_| ()).await.unwrap();
    assert_eq!((done.retired.len(), done.orphans), (0, Some(Vec::new())));
    assert_eq!(stored(&fixture, REJECTED_EVENTS), before);
    fixture.open().await;
    assert_eq!(fixture.rejected_rows().await, 6);
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn rejected_events_are_vacuumed_like_the_others() {
    let fixture = Fixture::new().await;
    let mut ingest = fixture.open().await;
    pin(&mut ingest, SHARD).await;
    for number in 1..=3 {
        let start = if number == 1 { Position::TrimHorizon } else { after(number - 1) };
        let rows = batch(&ingest, SHARD, start, number..=number, 2).await;
        ingest.commit(&rows).await.unwrap();
    }
    let mut table = MaintainedTable::open(&fixture.lake, REJECTED_EVENTS, "care").await.unwrap();
    let task = compaction(&table).await;
    expect_committed(&table.commit(&task).await.unwrap(), 1);
    let options = VacuumOptions { orphan_age: Duration::ZERO, orphans: OrphanSearch::Now, ..at_once() };
    let done = vacuum(&fixture.lake, REJECTED_EVENTS, &options, &|_| ()).await.unwrap();
    assert_eq!((done.retired.len(), done.purged_to), (3, 1));
    assert_eq!((stored(&fixture, REJECTED_EVENTS).len(), fixture.rejected_rows().await), (1, 6));
    expect_sound(&fixture.lake).await;
}
