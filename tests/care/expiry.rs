//! Old days leave a table: whole, counted, never to come back; and results say since when they count.

use chrono::{TimeDelta, Utc};
use serde_json::Value;

use crate::landing::lake_verify::assert_lake_verifies;
use crate::supplements::replay::replay;
use crate::support::command::Machine;
use crate::support::oracle::Workload;
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS, USER_EVENTS};

const LAKE: &str = "./bluelake-data";
/// Ends with 2026-10-31.
const WORKLOAD: Workload = Workload { events: 2_000, seed: 77, bad_rate: 0.03, duplicate_rate: 0.03, days: 8 };
const FIRST: &str = "2026-10-28";
const EXPIRE: [&str; 8] =
    ["lake", "expire", "--table", "transactions", "--before", FIRST, "--accept-changed-balances", "--json"];
/// Steps at which an expiry is killed.
const STEPS: [&str; 6] = [
    "before_record",
    "after_record",
    "before_maintenance_document",
    "after_maintenance_document",
    "before_maintenance_commit",
    "after_maintenance_commit",
];

/// A lake with all of the workload.
async fn landed() -> (Kinesis, Machine) {
    let kinesis = Kinesis::with_streams(1, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    WORKLOAD.put(&machine).await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    (kinesis, machine)
}

async fn count(machine: &Machine, condition: &str) -> i64 {
    machine.number(LAKE, &format!("SELECT count(*) FROM transactions WHERE {condition}")).await
}

/// What the table should hold, by its document.
async fn totals(machine: &Machine) -> Value {
    let status = machine.run(&["status", "--offline", "--json"]).await.json();
    let streams = status["streams"].as_array().unwrap().iter();
    let of = |stream: &Value| serde_json::json!({"totals": stream["totals"], "expired": stream["expired"]});
    streams.map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn old_days_leave_and_results_say_since_when() {
    let (_kinesis, machine) = landed().await;
    let old = count(&machine, &format!("event_date < DATE '{FIRST}'")).await;
    let kept = machine.rows(LAKE, &format!("transactions WHERE event_date >= DATE '{FIRST}'")).await;
    let users = machine.rows(LAKE, "user_events").await;
    let donations = ["report", "run", "donations", "--from", FIRST, "--format", "csv"];
    let gifts = machine.succeed(&donations).await;
    let owed = ["report", "run", "points_liability", "--format", "csv"];
    let whole = machine.succeed(&owed).await;
    assert!(old > 0 && !kept.is_empty());

    let planned = machine.run(&[&EXPIRE[..], &["--dry-run"]].concat()).await.expect_code(0).json();
    assert_eq!((planned["rows"].as_i64(), planned["commits"].as_i64()), (Some(old), Some(1)));
    assert_eq!(count(&machine, "true").await, old + i64::try_from(kept.len()).unwrap(), "a dry run changes nothing");
    let done = machine.run(&EXPIRE).await.expect_code(0).json();
    assert_eq!((&done["rows"], &done["partitions"]), (&planned["rows"], &planned["partitions"]));
    assert_eq!(done["expired_before"], FIRST);
    assert_eq!(machine.rows(LAKE, "transactions").await, kept);
    assert_eq!(machine.rows(LAKE, "user_events").await, users);
    assert_lake_verifies(&machine, LAKE).await;
    machine.run(&["report", "reconcile"]).await.expect_code(0);

    let words = format!("since {FIRST}");
    let liability = machine.succeed(&["report", "run", "points_liability"]).await;
    assert!(liability.contains(&words) && liability.contains("transactions of days before"), "{liability}");
    let liability = machine.run(&["report", "run", "points_liability", "--json"]).await.expect_code(0).json();
    assert_eq!(liability["provenance"]["since"]["first_day"], FIRST);
    assert_eq!(liability["rows"][0]["period"], FIRST);
    for report in
        [&["report", "run", "points_liability", "--format", "csv"][..], &["sql", "SELECT 1 FROM points_ledger"]]
    {
        machine.run(report).await.expect_code(0).expect_message(&[&words]);
    }
    // Whole days that are left are as they were, and nothing is to be said of them.
    let again = machine.run(&donations).await.expect_code(0);
    assert_eq!((again.stdout.as_str(), again.stderr.contains("since")), (gifts.as_str(), false));
    for (flag, day) in [("--from", "2026-10-27"), ("--to", "2026-10-27")] {
        let refused = machine.run(&["report", "run", "donations", flag, day]).await.expect_code(2);
        refused.expect_message(&[day, FIRST, "expired"]);
    }
    let formats = "csv,xlsx,html,md,json,parquet";
    let export = ["report", "run", "breakage", "--format", formats, "--destination", "./exports", "--json"];
    let export = machine.run(&export).await.expect_code(0).json();
    assert_eq!(export["manifest"]["provenance"]["since"]["first_day"], FIRST, "{export}");
    // As of the version before, all of it is there.
    let before = format!("transactions@{}", done["version"].as_u64().unwrap() - 1);
    let before = machine.run(&[&owed[..], &["--as-of", &before]].concat()).await.expect_code(0);
    assert_eq!((before.stdout.as_str(), before.stderr.contains("since")), (whole.as_str(), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_the_expired_time_changes_nothing() {
    let (_kinesis, machine) = landed().await;
    machine.succeed(&EXPIRE).await;
    let tables = ["user_events", "transactions", "rejected_events"];
    let mut before = vec![totals(&machine).await];
    for table in tables {
        before.push(machine.rows(LAKE, table).await.into());
    }
    for stream in [USER_EVENTS, TRANSACTION_EVENTS] {
        let replayed = replay(&machine, stream, Utc::now() - TimeDelta::hours(1), Utc::now()).await;
        assert_eq!(
            (&replayed["stored"], &replayed["rejected"], &replayed["commits"]),
            (&0.into(), &0.into(), &0.into())
        );
        assert!(replayed["present"].as_i64().unwrap() > 0, "{replayed}");
    }
    let mut after = vec![totals(&machine).await];
    for table in tables {
        after.push(machine.rows(LAKE, table).await.into());
    }
    assert_eq!(after, before);
    assert_lake_verifies(&machine, LAKE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_brings_no_expired_row_back() {
    let (_kinesis, machine) = landed().await;
    machine.succeed(&EXPIRE).await;
    let before = machine.rows(LAKE, "transactions").await;
    let events = WORKLOAD.events();
    let transactions = events.iter().filter(|event| event.stream.name() == TRANSACTION_EVENTS);
    let bytes: Vec<u8> = transactions.flat_map(|event| event.bytes.iter().copied().chain([b'\n'])).collect();
    std::fs::create_dir(machine.path("archive")).unwrap();
    std::fs::write(machine.path("archive/a.ndjson"), bytes).unwrap();
    let backfill = ["backfill", "./archive", "--stream", TRANSACTION_EVENTS, "--ahead-of-ingest", "--json"];
    let done = machine.run(&backfill).await.expect_code(0).json();
    assert!(done.to_string().contains("\"stored\":0"), "{done}");
    assert_eq!(machine.rows(LAKE, "transactions").await, before);
    assert_lake_verifies(&machine, LAKE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_that_is_killed_takes_all_of_its_days_or_none() {
    let (_kinesis, mut machine) = landed().await;
    let days: Vec<String> = (25..=30).map(|day| format!("2026-10-{day}")).collect();
    for (step, day) in STEPS.into_iter().zip(&days) {
        let is_old = format!("event_date < DATE '{day}'");
        let expire = ["lake", "expire", "--table", "transactions", "--before", day, "--accept-changed-balances"];
        let whole = count(&machine, "true").await;
        let old = count(&machine, &is_old).await;
        assert!(old > 0, "{day}");
        machine.set("FAILPOINTS", &format!("{step}=return(abort)"));
        let killed = machine.run(&expire).await;
        machine.unset("FAILPOINTS");
        assert!(killed.code.is_none(), "{step} was not reached: {killed:?}");
        assert_lake_verifies(&machine, LAKE).await;
        let left = count(&machine, "true").await;
        assert_eq!(left, if step == "after_maintenance_commit" { whole - old } else { whole }, "{step}");
        machine.succeed(&expire).await;
        assert_eq!(count(&machine, "true").await, whole - old, "{step}");
        assert_lake_verifies(&machine, LAKE).await;
    }
    machine.succeed(&["ingest", "--once"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_expiries_at_once_take_each_row_once() {
    let (_kinesis, machine) = landed().await;
    let kept = count(&machine, &format!("event_date >= DATE '{FIRST}'")).await;
    let (first, second) = tokio::join!(machine.run(&EXPIRE), machine.run(&EXPIRE));
    let rows = |finished: &crate::support::command::Finished| finished.json()["rows"].as_i64().unwrap();
    let old = rows(&first.expect_code(0)) + rows(&second.expect_code(0));
    assert_eq!(count(&machine, "true").await, kept);
    let expired: i64 =
        totals(&machine).await.as_array().unwrap().iter().map(|it| it["expired"].as_i64().unwrap()).sum();
    assert_eq!(expired, old);
    assert_lake_verifies(&machine, LAKE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_expire_is_told_with_the_reason() {
    let (_kinesis, machine) = landed().await;
    let before = machine.rows(LAKE, "transactions").await;
    let expire = |more: &[&'static str]| [&["lake", "expire", "--table"][..], more].concat();
    for (arguments, words) in [
        (expire(&["user_events", "--before", FIRST]), "last value of each field"),
        (expire(&["user_events"]), "never expire"),
        (expire(&["transactions", "--before", FIRST]), "--accept-changed-balances"),
        (expire(&["transactions", "--accept-changed-balances"]), "retention.transactions"),
        (expire(&["transactions", "--before", "2999-01-01", "--accept-changed-balances"]), "by the store's clock"),
        (expire(&["rejected_events", "--keep", "36h"]), "whole days"),
        (expire(&["rejected_events", "--keep", "never"]), "30d"),
        (expire(&["rejected_events", "--keep", "3d", "--before", FIRST]), "cannot be used with"),
        (expire(&["users", "--before", FIRST]), "rejected_events"),
    ] {
        machine.run(&arguments).await.expect_code(2).expect_message(&[words]);
    }
    // Rejected events arrived today: none is older than the 30 days that the setting keeps.
    let done = machine.run(&["lake", "expire", "--table", "rejected_events", "--json"]).await.expect_code(0).json();
    assert_eq!((&done["files"], &done["commits"]), (&0.into(), &0.into()));
    assert_eq!(machine.rows(LAKE, "transactions").await, before);
    assert_lake_verifies(&machine, LAKE).await;
}
