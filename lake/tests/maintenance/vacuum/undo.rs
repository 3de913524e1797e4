//! Undo and vacuum are ordered by the floor: what an undo puts back is there.

use bluelake_care::{CareError, UndoPlan, plan_undo};

use super::*;

/// A compacted table, and the undo of that as it is planned.
async fn planned_undo(batches: u32) -> (Fixture, u64, UndoPlan) {
    let fixture = Fixture::new().await;
    with_batches(&fixture, batches).await;
    let version = compact(&fixture.lake).await;
    let plan = plan_undo(&fixture.lake, STREAM.table(), version, "undo").await.unwrap();
    (fixture, version, plan)
}

fn expect_whole(fixture: &Fixture, table: &MaintainedTable) {
    let missing: Vec<_> = in_table(table).difference(&stored(fixture, STREAM.table())).cloned().collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn an_undo_below_the_floor_is_lost() {
    let (fixture, version, late) = planned_undo(3).await;
    run(&fixture.lake, &at_once()).await;
    let lost = late.commit().await.expect_err("must be lost").to_string();
    assert_eq!(
        lost,
        format!("version {version} of 'transactions' cannot be undone: versions before 5 can no longer be read")
    );
    expect_clean(&fixture, 6).await;
}

#[tokio::test]
async fn what_an_undo_put_back_stays() {
    let (fixture, _, undo) = planned_undo(3).await;
    assert_eq!(undo.commit().await.unwrap().1, 2);
    // The files that the compaction took out are in the table again, what it wrote is not.
    let done = run(&fixture.lake, &at_once()).await;
    assert_eq!((done.retired.len(), done.purged_to), (1, 2));
    expect_clean(&fixture, 6).await;
}

#[tokio::test]
async fn what_an_undo_put_back_stays_for_older_versions() {
    let (fixture, version, undo) = planned_undo(3).await;
    assert_eq!(undo.commit().await.unwrap().1, 2);
    compact(&fixture.lake).await;
    // The first compaction is old; the undo and the second one are not.
    age_log(&fixture, 0..=version, 2 * DAY);
    run(&fixture.lake, &VacuumOptions { time_travel: DAY, ..at_once() }).await;
    let mut older = fixture.lake.table(STREAM.table()).await.unwrap();
    older.load_version(version + 1).await.unwrap();
    let files: Vec<_> = older.snapshot().unwrap().log_data().iter().map(|file| file.path().into_owned()).collect();
    assert_eq!(files.len(), 3);
    let kept = stored(&fixture, STREAM.table());
    assert!(files.iter().all(|path| kept.contains(path)), "{files:?} {kept:?}");
    expect_sound(&fixture.lake).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_of_undo_and_vacuum_decides() {
    let mut undone = 0;
    for _ in 0..40 {
        let (fixture, _, undo) = planned_undo(2).await;
        let (lake, options) = (fixture.lake.clone(), at_once());
        let vacuum = tokio::spawn(async move { try_run(&lake, &options).await });
        let outcome = undo.commit().await;
        vacuum.await.unwrap().unwrap();
        assert!(matches!(outcome, Ok(_) | Err(CareError::Undo { .. })), "{outcome:?}");
        undone += usize::from(outcome.is_ok());
        let table = maintained(&fixture.lake).await;
        expect_whole(&fixture, &table);
        assert_eq!(fixture.sequences().await.len(), 4);
    }
    assert!(undone > 0, "the undo was never the first");
}
