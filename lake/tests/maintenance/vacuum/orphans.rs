//! Files that nothing refers to, and listings that leave out some.

use uuid::{NoContext, Timestamp};

use super::*;

const FOLDER: &str = "event_type=donation/event_date=2026-01-01";

fn by_now(orphans: OrphanSearch) -> VacuumOptions {
    VacuumOptions { orphans, time_travel: DAY, ..at_once() }
}

/// A name that a batch of so long ago gave.
fn name_of(ago: Duration) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let began = now - ago;
    let id = Uuid::new_v7(Timestamp::from_unix(NoContext, began.as_secs(), began.subsec_nanos()));
    format!("{FOLDER}/{id}-00000.parquet")
}

/// Puts a file of this age into the table's folder, and gives its name.
fn put(fixture: &Fixture, name: String, written: Duration) -> String {
    let path = fixture.folder.path().join("transactions").join(&name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "12345").unwrap();
    age(&path, written);
    name
}

fn paths(done: &Vacuumed) -> Vec<&str> {
    done.orphans.iter().flatten().map(|file| file.path.as_str()).collect()
}

#[tokio::test]
async fn what_nothing_refers_to_goes_at_its_age() {
    let fixture = Fixture::new().await;
    compacted_twice(&fixture).await;
    let known = stored(&fixture, STREAM.table());
    let orphan = put(&fixture, name_of(8 * DAY), 8 * DAY);
    let merged = put(&fixture, name_of(8 * DAY).replace("00000", "00001-closed-full"), 8 * DAY);
    let young = [
        put(&fixture, name_of(8 * DAY), 6 * DAY),
        put(&fixture, name_of(6 * DAY), 8 * DAY),
        put(&fixture, format!("{FOLDER}/part-00000-of-another-program.parquet"), 90 * DAY),
        put(&fixture, format!("{FOLDER}/{}-00000.parquet", Uuid::new_v4()), 90 * DAY),
    ];
    let told = run(&fixture.lake, &VacuumOptions { dry_run: true, ..by_now(OrphanSearch::Now) }).await;
    assert_eq!((paths(&told).len(), told.orphans_deleted), (2, false));
    assert_eq!(stored(&fixture, STREAM.table()).len(), known.len() + 6);
    let done = run(&fixture.lake, &by_now(OrphanSearch::Now)).await;
    assert_eq!(BTreeSet::from_iter(paths(&done)), BTreeSet::from([orphan.as_str(), merged.as_str()]));
    assert_eq!((done.orphans_deleted, done.orphans.unwrap()[0].size), (true, 5));
    let left = stored(&fixture, STREAM.table());
    assert_eq!(left, known.into_iter().chain(young).collect());
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn the_first_search_reports_and_others_come_weekly() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 1).await;
    let orphan = put(&fixture, name_of(8 * DAY), 8 * DAY);
    let first = run(&fixture.lake, &by_now(OrphanSearch::WhenDue)).await;
    assert_eq!((paths(&first), first.orphans_deleted), (vec![orphan.as_str()], false));
    let soon = run(&fixture.lake, &by_now(OrphanSearch::WhenDue)).await;
    assert_eq!(soon.orphans, None, "a week has not passed");
    assert!(stored(&fixture, STREAM.table()).contains(&orphan));
    age(&fixture.folder.path().join("transactions/_maintenance/orphans-listed"), 7 * DAY + Duration::from_secs(1));
    let due = run(&fixture.lake, &by_now(OrphanSearch::WhenDue)).await;
    assert_eq!((paths(&due), due.orphans_deleted), (vec![orphan.as_str()], true));
    assert!(!stored(&fixture, STREAM.table()).contains(&orphan));
    assert_eq!(run(&fixture.lake, &by_now(OrphanSearch::WhenDue)).await.orphans, None);
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn promised_or_recorded_files_are_no_orphans() {
    let fixture = Fixture::new().await;
    compacted_twice(&fixture).await;
    let mut table = maintained(&fixture.lake).await;
    // A task that was killed after its record, and one whose batch was never committed.
    let task = compaction(&table).await;
    let lake = fixture.faulty("transactions/_delta_log/0000", Fault::HangBefore, 1);
    let mut killed = maintained(&lake).await;
    let hangs = tokio::time::timeout(Duration::from_millis(300), killed.commit(&task)).await;
    assert!(hangs.is_err());
    let batch = batch(&fixture.open().await, SHARD, after(12), 13..=14, 0).await;
    let all = VacuumOptions { orphan_age: Duration::ZERO, ..by_now(OrphanSearch::Now) };
    let done = run(&fixture.lake, &all).await;
    assert_eq!(paths(&done), [batch.files[0].path.as_str()], "what a record names stays");
    table.reload().await.unwrap();
    expect_committed(&table.commit(&task).await.unwrap(), 4);
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn a_batch_awaiting_its_commit_is_no_orphan() {
    let fixture = Fixture::new().await;
    let mut ingest = with_batches(&fixture, 1).await;
    let mut waiting = batch(&ingest, SHARD, after(2), 3..=4, 0).await;
    let old = Duration::from_secs(59 * 60);
    for file in &mut waiting.files {
        file.modified_at = file.modified_at.earlier(old);
        age(&fixture.folder.path().join("transactions").join(&file.path), old);
    }
    let done = run(&fixture.lake, &VacuumOptions { orphan_age: DAY, ..by_now(OrphanSearch::Now) }).await;
    assert_eq!(paths(&done), [""; 0]);
    assert!(matches!(ingest.commit(&waiting).await.unwrap(), CommitOutcome::Committed { .. }));
    expect_clean(&fixture, 4).await;
}

/// Leaves names out of listings.
struct Partial(Box<dyn Fn(&str) -> bool + Send + Sync>);

impl Concern for Partial {
    fn listed(&self, object: object_store::ObjectMeta) -> Option<object_store::ObjectMeta> {
        let is_told = (self.0)(object.location.as_ref());
        is_told.then_some(object)
    }
}

#[tokio::test]
async fn an_incomplete_listing_deletes_no_table_file() {
    let fixture = Fixture::new().await;
    compacted_twice(&fixture).await;
    let orphans = [put(&fixture, name_of(8 * DAY), 8 * DAY), put(&fixture, name_of(8 * DAY), 8 * DAY)];
    let kept = orphans[0].clone();
    let lake = fixture.over(|inner| with_concern(inner, Partial(Box::new(move |path| !path.ends_with(&kept)))));
    let options = VacuumOptions { time_travel: Duration::ZERO, ..by_now(OrphanSearch::Now) };
    assert_eq!(paths(&run(&lake, &options).await), [orphans[1].as_str()]);
    std::fs::remove_file(fixture.folder.path().join("transactions").join(&orphans[0])).unwrap();
    expect_clean(&fixture, 12).await;
}

#[tokio::test]
async fn a_stale_listing_of_the_log_is_refused() {
    // The newest versions, one in the middle, and all records.
    for missing in [&[8_u64, 9][..], &[9], &[6], &[2]] {
        let fixture = Fixture::new().await;
        compacted_twice(&fixture).await;
        let orphan = put(&fixture, name_of(8 * DAY), 8 * DAY);
        let before = stored(&fixture, STREAM.table());
        let names: Vec<String> = missing.iter().map(|version| format!("_delta_log/{version:020}.json")).collect();
        let told = move |path: &str| !names.iter().any(|name| path.ends_with(name));
        let lake = fixture.over(|inner| with_concern(inner, Partial(Box::new(told))));
        let options = VacuumOptions { time_travel: Duration::ZERO, ..by_now(OrphanSearch::Now) };
        let error = try_run(&lake, &options).await.expect_err("must be refused");
        let now = stored(&fixture, STREAM.table());
        assert_eq!(now, before, "{missing:?}: {}", bluelake_lake::causes(&error));
        assert!(now.contains(&orphan));
    }
}

#[tokio::test]
async fn leftovers_of_puts_go_with_the_orphans() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 1).await;
    let root = fixture.folder.path().join("transactions");
    let leftover = |name: &str, old: Duration| {
        let path = root.join(name);
        std::fs::write(&path, "123").unwrap();
        age(&path, old);
        path
    };
    let old = leftover("_delta_log/00000000000000000009.json#12", 8 * DAY);
    let young = leftover("_delta_log/00000000000000000009.json#13", 6 * DAY);
    let other = leftover("notes", 90 * DAY);
    let done = run(&fixture.lake, &by_now(OrphanSearch::WhenDue)).await;
    assert_eq!((done.leftovers.len(), old.exists()), (1, true), "the first search only tells");
    let done = run(&fixture.lake, &by_now(OrphanSearch::Now)).await;
    assert_eq!(
        (done.leftovers[0].path.as_str(), done.leftovers[0].size),
        ("_delta_log/00000000000000000009.json#12", 3)
    );
    assert_eq!((old.exists(), young.exists(), other.exists()), (false, true, true));
}
