//! Expiry: whole days leave, counted in the version in which they leave, wherever it is killed and whoever else writes.

use bluelake_care::{CareError, Expiry, ExpiryOptions, expire};
use bluelake_lake::{REJECTED_EVENTS, RowsLeft, follow_rejected};
use chrono::NaiveDate;

use super::*;
use crate::{
    fixture::{RowShape, batch_of},
    maintenance::faults::PUTS,
    stores::Fault,
};

/// 2026-01-01, the first day of the rows.
const FIRST: i32 = 20_454;

fn day(number: i32) -> NaiveDate {
    let days = chrono::Days::new(u64::try_from(FIRST + number).unwrap());
    NaiveDate::default().checked_add_days(days).unwrap()
}

fn options(before: i32) -> ExpiryOptions {
    ExpiryOptions {
        before: day(before),
        accept_changed_balances: true,
        dry_run: false,
        files_per_commit: 10,
        worker: "care".to_owned(),
    }
}

/// Commits a batch of two rows of one day.
async fn add_day(table: &mut StreamTable, number: u32, event_day: i32) {
    let first = number * 2 + 1;
    let start = if number == 0 { Position::TrimHorizon } else { after(first - 1) };
    let shape = RowShape { event_date: FIRST + event_day, happened: event_day.into(), ..RowShape::default() };
    let rows = batch_of(table, (SHARD, start), first..=first + 1, 0, shape).await;
    let outcome = table.commit(&rows).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
}

/// A lake with two rows of each of so many days.
async fn with_days(fixture: &Fixture, days: u32) -> StreamTable {
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    for number in 0..days {
        add_day(&mut table, number, i32::try_from(number).unwrap()).await;
    }
    table
}

async fn expire_days(lake: &Lake, options: &ExpiryOptions) -> Result<Expiry, CareError> {
    expire(lake, STREAM.table(), options, &|_| {}).await
}

/// Days of which rows are left.
async fn days_left(lake: &Lake) -> Vec<String> {
    let folders = active(&maintained(lake).await).into_iter();
    let days = folders.map(|file| file.path.split("event_date=").nth(1).unwrap()[..10].to_owned());
    let mut days: Vec<String> = days.collect();
    days.sort();
    days
}

#[tokio::test]
async fn whole_days_leave_in_one_version() {
    let fixture = Fixture::new().await;
    let mut ingest = with_days(&fixture, 4).await;
    let planned = expire_days(&fixture.lake, &ExpiryOptions { dry_run: true, ..options(3) }).await.unwrap();
    assert_eq!((planned.gone.rows, planned.commits, days_left(&fixture.lake).await.len()), (6, 1, 4), "a dry run");
    let done = expire_days(&fixture.lake, &options(3)).await.unwrap();
    assert_eq!((done.gone.files, done.gone.rows, done.commits), (3, 6, 1));
    assert_eq!(done.partitions, planned.partitions);
    assert_eq!((done.partitions.len(), done.expired_before), (3, Some(day(3))));
    let actions = log(&fixture.lake, STREAM.table(), done.version.unwrap()).await.unwrap();
    let of = |kind: &str| actions.iter().filter(|action| action[kind].is_object()).count();
    assert_eq!((of("remove"), of("add"), of("txn")), (3, 0, 2), "record and document in the same version");
    assert!(actions.iter().all(|action| action["remove"]["dataChange"] != false), "who follows changes sees it");
    ingest.reload().await.unwrap();
    let tally = ingest.document().unwrap().tally;
    assert_eq!((tally.expired, tally.expired_before, ingest.expired_before()), (6, Some(day(3)), Some(day(3))));
    assert_eq!(days_left(&fixture.lake).await, ["2026-01-04"]);
    assert_eq!(check_versions(&fixture.lake).await, 1);
    expect_sound(&fixture.lake).await;
    let again = expire_days(&fixture.lake, &options(3)).await.unwrap();
    assert_eq!((again.commits, again.expired_before), (0, Some(day(3))), "there is nothing left of it");
}

#[tokio::test]
async fn what_comes_late_leaves_with_the_next_run() {
    let fixture = Fixture::new().await;
    let mut ingest = with_days(&fixture, 3).await;
    expire_days(&fixture.lake, &options(2)).await.unwrap();
    add_day(&mut ingest, 3, 0).await;
    assert_eq!(days_left(&fixture.lake).await, ["2026-01-01", "2026-01-03"]);
    expect_sound(&fixture.lake).await;
    // Nobody counts it meanwhile.
    let reading = fixture.lake.read(&bluelake_lake::AsOf::Newest).await.unwrap();
    let table = reading.tables.iter().find(|table| table.name == STREAM.table()).unwrap();
    let stream = reading.streams.iter().find(|reading| reading.stream == STREAM).unwrap();
    assert_eq!((table.rows, stream.expected_rows, table.expired_before), (Some(2), Some(2), Some(day(2))));
    let done = expire_days(&fixture.lake, &options(2)).await.unwrap();
    assert_eq!((done.gone.rows, done.commits), (2, 1));
    ingest.reload().await.unwrap();
    assert_eq!(ingest.document().unwrap().tally.expired, 6);
    assert_eq!(check_versions(&fixture.lake).await, 2);
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn rows_of_expired_days_are_not_read() {
    let fixture = Fixture::new().await;
    let mut ingest = with_days(&fixture, 3).await;
    expire_days(&fixture.lake, &options(2)).await.unwrap();
    add_day(&mut ingest, 3, 1).await;
    let reading = fixture.lake.read(&bluelake_lake::AsOf::Newest).await.unwrap();
    let table = reading.tables.into_iter().find(|table| table.name == STREAM.table()).unwrap();
    let context = datafusion::prelude::SessionContext::new();
    context.register_table("t", table.provider).unwrap();
    for (sql, expected) in [
        ("SELECT * FROM t", 2),
        ("SELECT event_id FROM t", 2),
        ("SELECT event_date FROM t WHERE event_date < DATE '2026-01-03'", 0),
        ("SELECT stream_sequence FROM t WHERE event_type = 'donation' LIMIT 3", 2),
    ] {
        let rows = context.sql(sql).await.unwrap().count().await.unwrap();
        assert_eq!(rows, expected, "{sql}");
    }
    // As it was before, all of it is there.
    let before = bluelake_lake::AsOf::Versions([(STREAM.table().to_owned(), 4)].into());
    let reading = fixture.lake.read(&before).await.unwrap();
    let table = reading.tables.iter().find(|table| table.name == STREAM.table()).unwrap();
    assert_eq!((table.rows, table.expired_before), (Some(6), None));
}

#[tokio::test]
async fn several_commits_say_no_more_than_they_do() {
    let fixture = Fixture::new().await;
    let mut ingest = with_days(&fixture, 6).await;
    let small = ExpiryOptions { files_per_commit: 2, ..options(5) };
    // It is killed between its first commit and its second.
    let lake = fixture.faulty("transactions/_maintenance/00000000000000000002", Fault::HangBefore, 1);
    let killed = tokio::time::timeout(Duration::from_millis(800), expire_days(&lake, &small)).await;
    assert!(killed.is_err());
    ingest.reload().await.unwrap();
    let tally = ingest.document().unwrap().tally;
    assert_eq!((tally.expired, tally.expired_before), (4, Some(day(2))), "as if fewer days had been asked for");
    expect_sound(&fixture.lake).await;
    let done = expire_days(&fixture.lake, &small).await.unwrap();
    assert_eq!((done.commits, done.gone.rows, done.expired_before), (2, 6, Some(day(5))));
    ingest.reload().await.unwrap();
    assert_eq!(ingest.document().unwrap().tally.expired, 10);
    assert_eq!(days_left(&fixture.lake).await, ["2026-01-06"]);
    assert_eq!(check_versions(&fixture.lake).await, 3);
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn a_lost_answer_leads_to_one_expiry() {
    for (pattern, fault) in PUTS
        .into_iter()
        .flat_map(|pattern| [Fault::LoseAnswer, Fault::SayAlreadyExists, Fault::Fail].map(|fault| (pattern, fault)))
    {
        let case = format!("{pattern} {fault:?}");
        let fixture = Fixture::new().await;
        with_days(&fixture, 3).await;
        let done = expire_days(&fixture.faulty(pattern, fault, 2), &options(2)).await.unwrap();
        assert_eq!((done.commits, done.gone.rows), (1, 4), "{case}");
        assert_eq!(check_versions(&fixture.lake).await, 1, "{case}");
        expect_sound(&fixture.lake).await;
    }
}

#[tokio::test]
async fn the_next_expiry_finishes_a_killed_one() {
    for (pattern, fault) in
        PUTS.into_iter().flat_map(|pattern| [Fault::HangBefore, Fault::HangAfter].map(|fault| (pattern, fault)))
    {
        let case = format!("{pattern} {fault:?}");
        let fixture = Fixture::new().await;
        with_days(&fixture, 3).await;
        let lake = fixture.faulty(pattern, fault, 1);
        let killed = tokio::time::timeout(Duration::from_millis(400), expire_days(&lake, &options(2))).await;
        assert!(killed.is_err(), "{case}");
        expect_sound(&fixture.lake).await;
        let happened = maintained(&fixture.lake).await.record().is_some();
        let done = expire_days(&fixture.lake, &options(2)).await.unwrap();
        assert_eq!(done.commits, usize::from(!happened), "{case}");
        assert_eq!(done.expired_before, Some(day(2)), "{case}");
        assert_eq!(days_left(&fixture.lake).await, ["2026-01-03"], "{case}");
        assert_eq!(check_versions(&fixture.lake).await, 1, "{case}");
        expect_sound(&fixture.lake).await;
    }
}

#[tokio::test]
async fn two_expiries_at_once_count_each_row_once() {
    for _ in 0..20 {
        let fixture = Fixture::in_memory().await;
        let mut ingest = with_days(&fixture, 4).await;
        let (left, right) = (options(2), options(3));
        let (one, two) = tokio::join!(expire_days(&fixture.lake, &left), expire_days(&fixture.lake, &right));
        let rows = one.unwrap().gone.rows + two.unwrap().gone.rows;
        ingest.reload().await.unwrap();
        let tally = ingest.document().unwrap().tally;
        assert_eq!((rows, tally.expired, tally.expired_before), (6, 6, Some(day(3))));
        assert_eq!(days_left(&fixture.lake).await, ["2026-01-04"]);
        check_versions(&fixture.lake).await;
        expect_sound(&fixture.lake).await;
    }
}

#[tokio::test]
async fn days_leave_beside_ingest_at_every_version() {
    let fixture = Fixture::in_memory().await;
    let mut ingest = with_days(&fixture, 1).await;
    let worker = tokio::spawn(async move {
        for number in 1..40 {
            add_day(&mut ingest, number, i32::try_from(number % 5).unwrap()).await;
        }
        ingest
    });
    while !worker.is_finished() {
        expire_days(&fixture.lake, &options(3)).await.unwrap();
    }
    let mut ingest = worker.await.unwrap();
    expire_days(&fixture.lake, &options(3)).await.unwrap();
    ingest.reload().await.unwrap();
    let document = ingest.document().unwrap();
    // Of five days three leave; of the 40 batches those of days 3 and 4 stay.
    assert_eq!((document.tally.expired, document.expected_rows()), (48, Some(32)));
    check_versions(&fixture.lake).await;
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn expiry_and_compaction_bring_no_rows_back() {
    let fixture = Fixture::new().await;
    let mut ingest = with_days(&fixture, 2).await;
    add_day(&mut ingest, 2, 0).await;
    let mut table = maintained(&fixture.lake).await;
    let files = active(&table).into_iter().filter(|file| file.path.contains("2026-01-01")).collect();
    let planned = rewrite(&table, TaskKind::Compact, files, &[]).await;
    expire_days(&fixture.lake, &options(1)).await.unwrap();
    let lost = table.commit(&planned).await.unwrap();
    assert!(matches!(lost, TaskOutcome::Lost(Lost::InputGone { .. })), "{lost:?}");
    assert_eq!(days_left(&fixture.lake).await, ["2026-01-02"]);
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn rejected_events_leave_by_their_arrival() {
    let fixture = Fixture::new().await;
    // The table is not brought up to date with what is committed.
    let behind = fixture.faulty("rejected_events/_delta_log", Fault::Fail, usize::MAX);
    let mut table = fixture.try_open(&behind).await.unwrap();
    pin(&mut table, SHARD).await;
    for number in 1..=3 {
        let start = if number == 1 { Position::TrimHorizon } else { after(number - 1) };
        let rows = batch(&table, SHARD, start, number..=number, 2).await;
        table.commit(&rows).await.unwrap();
    }
    assert_eq!(fixture.rejected_rows().await, 0, "it is behind");
    let done = expire(&fixture.lake, REJECTED_EVENTS, &options(1), &|_| {}).await.unwrap();
    assert_eq!((done.gone.rows, done.commits, done.expired_before), (6, 1, Some(day(1))));
    assert_eq!(fixture.rejected_rows().await, 0);
    let kept = MaintainedTable::open(&fixture.lake, REJECTED_EVENTS, "care").await.unwrap();
    assert_eq!(kept.record().unwrap().counts.rows_left[&STREAM], RowsLeft { expired: 6, ..RowsLeft::default() });
    follow_rejected(&fixture.lake).await.unwrap();
    assert_eq!(fixture.rejected_rows().await, 0, "they are not put in again");
    let reading = fixture.lake.read(&bluelake_lake::AsOf::Newest).await.unwrap();
    assert_eq!(reading.streams.iter().find(|reading| reading.stream == STREAM).unwrap().rejected_gone, 6);
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn what_may_not_expire_is_refused() {
    let fixture = Fixture::new().await;
    with_days(&fixture, 2).await;
    let refused = |name: &'static str, options: ExpiryOptions| {
        let lake = fixture.lake.clone();
        async move { expire(&lake, name, &options, &|_| {}).await.expect_err("must be refused").to_string() }
    };
    assert!(refused("user_events", options(1)).await.contains("last value of each field"));
    let balances = ExpiryOptions { accept_changed_balances: false, ..options(1) };
    assert!(refused("transactions", balances).await.contains("--accept-changed-balances"));
    let ahead = ExpiryOptions { before: NaiveDate::MAX, ..options(1) };
    assert!(refused("transactions", ahead).await.contains("by the store's clock"));
    assert_eq!(days_left(&fixture.lake).await.len(), 2);
    assert!(maintained(&fixture.lake).await.record().is_none());
}
