//! A test of the tests: known bugs of systems like this one are brought back one at a time, and a test must see each. A
//! bug is a patch of `tests/known-bugs/`; `.ci/known-bugs` applies it to a copy of the program, and names it in
//! `BLUELAKE_KNOWN_BUG`. Without the variable the same scenario must not see a bug.
//!
//! | bug | seen here by | seen in the simulation as |
//! | --- | --- | --- |
//! | `skip_the_fence` | `lake verify`: positions, uniqueness | a range that starts where the table does not stand |
//! | `compare_as_text` | – (Kinesis' numbers have one length today) | records called complete that were skipped |
//! | `position_before_rows` | the self-check after a crash | a position that moved without its events |
//! | `delete_files_on_unknown_outcome` | `lake verify`: files | a file that is missing |
//! | `forget_all_rejected` | the oracle: rejected 0 times | a run that never rests |
//! | `resume_at` | `lake verify`: uniqueness | an event with two fates |
//! | `children_at_latest` | the oracle: stored 0 times | records called complete that were skipped |
//! | `renew_from_commit` | the buffer refuses a chunk that does not follow | the same, or a shard that stands still |
//! | `follow_without_order` | `lake verify`: rejected | `rejected_events` never has all files |
//! | `drop_the_extras` | the oracle: the payload differs | – (its events have no fields) |
//! | `children_before_parents` | `lake verify`: lineage | a child pinned before its parents ended |
//! | `tip_of_a_closed_shard` | the oracle: stored 0 times | records called complete that were not |

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bluelake_fault_proxy::{Proxy, When, Which};
use futures::FutureExt as _;
use serde_json::{Value, json};

use crate::shards::fleet::until;
use crate::support::command::{Machine, wait};
use crate::support::lake_files::parquet_files;
use crate::support::oracle::{Workload, verify, verify_payload};
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS, USER_EVENTS};
use crate::support::stage::{EndSignal, end_closed_shards_by};
use crate::support::worker::Worker;

const INGEST: [&str; 3] = ["ingest", "--once", "--init"];
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than the unit of the test server's arrival times.
const ARRIVAL_UNIT: Duration = Duration::from_millis(1_500);

fn portion(number: u64) -> Workload {
    Workload { events: 400, seed: 900 + number, bad_rate: 0.05, duplicate_rate: 0.0, days: 1 }
}

/// Runs the scenario. In a program with the bug, `is_seen` must find it in the scenario's output; in one without it,
/// the output must be empty.
async fn expect<F: Future<Output = Vec<String>>>(
    bug: &str,
    scenario: impl Fn(Machine, Arc<Kinesis>) -> F,
    is_seen: impl Fn(&[String]) -> bool,
) {
    let present = std::env::var("BLUELAKE_KNOWN_BUG").unwrap_or_default();
    if !present.is_empty() && present != bug {
        return;
    }
    let kinesis = Arc::new(Kinesis::with_streams(1, 1).await);
    let seen = scenario(Machine::new().with_kinesis(&kinesis), Arc::clone(&kinesis)).await;
    eprintln!("{bug}: {seen:?}");
    if present == bug {
        assert!(is_seen(&seen), "{bug} was not seen: {seen:?}");
    } else {
        assert_eq!(seen, Vec::<String>::new(), "without {bug} nothing is to be seen");
    }
}

fn first_says(words: &str) -> impl Fn(&[String]) -> bool {
    move |seen| seen.first().is_some_and(|first| first.contains(words))
}

fn checks_fail(names: &[&str]) -> impl Fn(&[String]) -> bool {
    move |seen| names.iter().all(|name| seen.iter().any(|check| check == name))
}

/// The checks of `lake verify` that fail.
async fn failed_checks(machine: &Machine) -> Vec<String> {
    let finished = machine.run(&["lake", "verify", "--json"]).await;
    let report = finished.json();
    let checks = report["streams"].as_array().unwrap().iter().flat_map(|stream| stream["checks"].as_array().unwrap());
    let failed = checks.filter(|check| check["outcome"] == "failed").map(|check| check["name"].as_str().unwrap());
    let failed: Vec<String> = failed.map(ToOwned::to_owned).collect();
    assert_eq!(finished.code, Some(if failed.is_empty() { 0 } else { 3 }), "{}", finished.stderr);
    failed
}

/// The findings of the oracle.
async fn oracle_says(oracle: impl Future<Output = ()>) -> Vec<String> {
    match AssertUnwindSafe(oracle).catch_unwind().await {
        Ok(()) => Vec::new(),
        Err(panic) => vec![panic.downcast_ref::<String>().cloned().unwrap_or_default()],
    }
}

async fn put(machine: &Machine, portions: &[u64]) -> Vec<Workload> {
    for number in portions {
        portion(*number).put(machine).await;
    }
    portions.iter().map(|number| portion(*number)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_fence_a_stale_worker_doubles_rows() {
    let scenario = |machine: Machine, _kinesis: Arc<Kinesis>| async move {
        machine.succeed(&["lake", "init"]).await;
        put(&machine, &[0]).await;
        // One worker reads and uploads, and rests before its commit; meanwhile the other does all the work.
        let machine = machine.with("FAILPOINTS", "after_upload=return(delay 12000)");
        let stale = machine.start(&INGEST);
        let machine = machine.without("FAILPOINTS");
        let lake = machine.path("bluelake-data");
        until("an upload", PATIENCE, || !parquet_files(&lake, "transactions").is_empty()).await;
        machine.succeed(&INGEST).await;
        let stale = wait(stale).await.expect_code(0);
        let failed = failed_checks(&machine).await;
        assert_eq!(stale.stderr.contains("fenced"), failed.is_empty(), "{}", stale.stderr);
        failed
    };
    expect("skip_the_fence", scenario, checks_fail(&["positions", "uniqueness"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_before_their_rows_are_refused() {
    let scenario = |machine: Machine, _kinesis: Arc<Kinesis>| async move {
        put(&machine, &[0]).await;
        let machine = machine.with("FAILPOINTS", "after_position=return(abort)");
        machine.run(&INGEST).await;
        let machine = machine.without("FAILPOINTS");
        let next = machine.run(&INGEST).await;
        if next.code == Some(0) { failed_checks(&machine).await } else { vec![next.stderr] }
    };
    expect("position_before_rows", scenario, first_says("it holds 0 rows by its log, its documents say")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_deleted_after_an_unknown_outcome_are_missed() {
    let scenario = |machine: Machine, _kinesis: Arc<Kinesis>| async move {
        put(&machine, &[0]).await;
        let machine = machine.with("FAILPOINTS", "after_delta_commit=return(err)");
        machine.succeed(&INGEST).await;
        failed_checks(&machine).await
    };
    expect("delete_files_on_unknown_outcome", scenario, checks_fail(&["files"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_batch_of_rejected_events_is_missed() {
    let scenario = |machine: Machine, _kinesis: Arc<Kinesis>| async move {
        let bad = Workload { events: 50, bad_rate: 1.0, ..portion(0) };
        bad.put(&machine).await;
        machine.run(&INGEST).await;
        oracle_says(verify(&[bad], &machine, "./bluelake-data", &machine.path("bluelake-data"))).await
    };
    expect("forget_all_rejected", scenario, first_says("is rejected 0 times")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resuming_at_the_position_doubles_its_record() {
    let scenario = |machine: Machine, _kinesis: Arc<Kinesis>| async move {
        for number in 0..3 {
            put(&machine, &[number]).await;
            machine.succeed(&INGEST).await;
        }
        failed_checks(&machine).await
    };
    expect("resume_at", scenario, checks_fail(&["uniqueness"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_started_at_the_tip_lose_records() {
    let scenario = |machine: Machine, kinesis: Arc<Kinesis>| async move {
        put(&machine, &[0]).await;
        machine.succeed(&INGEST).await;
        kinesis.split_lowest(TRANSACTION_EVENTS).await;
        put(&machine, &[1]).await;
        // The children are pinned in a run that dies before it has read them, and there are more records for the next
        // run. The server's arrival times are whole seconds.
        tokio::time::sleep(ARRIVAL_UNIT).await;
        machine.succeed(&["ingest", "--once", "--stream", USER_EVENTS]).await;
        let machine = machine.with("FAILPOINTS", "before_upload=return(abort)");
        machine.run(&["ingest", "--once", "--stream", TRANSACTION_EVENTS]).await;
        let machine = machine.without("FAILPOINTS");
        tokio::time::sleep(ARRIVAL_UNIT).await;
        let put = put(&machine, &[2]).await;
        machine.succeed(&INGEST).await;
        let put = [vec![portion(0), portion(1)], put].concat();
        oracle_says(verify(&put, &machine, "./bluelake-data", &machine.path("bluelake-data"))).await
    };
    expect("children_at_latest", scenario, first_says("is stored 0 times")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iterator_renewed_from_the_commit_is_refused() {
    let scenario = |machine: Machine, _kinesis: Arc<Kinesis>| async move {
        put(&machine, &[0]).await;
        let finished = machine.run(&INGEST).await;
        if finished.code == Some(0) { failed_checks(&machine).await } else { vec![finished.stderr] }
    };
    expect("renew_from_commit", scenario, first_says("the buffer ends at")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_following_without_order_lacks_rows() {
    let scenario = |machine: Machine, kinesis: Arc<Kinesis>| async move {
        // The parent's commit and those of its children are the last ones of that run.
        put(&machine, &[0]).await;
        kinesis.split_lowest(TRANSACTION_EVENTS).await;
        put(&machine, &[1]).await;
        let machine = machine.with("FAILPOINTS", "before_follow=return(err)");
        machine.run(&INGEST).await;
        let machine = machine.without("FAILPOINTS");
        machine.succeed(&INGEST).await;
        failed_checks(&machine).await
    };
    expect("follow_without_order", scenario, checks_fail(&["rejected"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn extras_that_are_dropped_are_missed() {
    let event = || {
        json!({
            "event_id": "00000000-0000-4000-8000-000000000001", "event_type": "user_created",
            "occurred_at": "2026-10-05T12:00:00Z", "user_id": "u-1", "user_kind": "merchant", "favourite_tune": "Blue",
        })
    };
    let scenario = |machine: Machine, kinesis: Arc<Kinesis>| async move {
        kinesis.put(USER_EVENTS, "key", event().to_string().as_bytes()).await;
        machine.succeed(&INGEST).await;
        let rows: Vec<Value> = machine.query("./bluelake-data", "SELECT * FROM user_events").await;
        oracle_says(async { verify_payload(&rows[0], &event()) }).await
    };
    expect("drop_the_extras", scenario, first_says("favourite_tune")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_read_before_their_parents_are_seen() {
    let scenario = |machine: Machine, kinesis: Arc<Kinesis>| async move {
        put(&machine, &[0]).await;
        kinesis.split_lowest(TRANSACTION_EVENTS).await;
        put(&machine, &[1]).await;
        machine.succeed(&INGEST).await;
        failed_checks(&machine).await
    };
    expect("children_before_parents", scenario, checks_fail(&["lineage"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_a_closed_shards_tip_starves_its_children() {
    let scenario = |machine: Machine, kinesis: Arc<Kinesis>| async move {
        let proxy = Proxy::start(&kinesis.endpoint).await.unwrap();
        proxy.on(When::any().operation("GetRecords"), Which::Every, end_closed_shards_by(EndSignal::Never));
        let machine = machine.with("AWS_ENDPOINT_URL_KINESIS", &proxy.endpoint());
        let first = put(&machine, &[0]).await;
        kinesis.split_lowest(TRANSACTION_EVENTS).await;
        let put = [first, put(&machine, &[1]).await].concat();
        let worker = Worker::start(&machine, &["--init", "--buffer-age", "1s"]).await;
        worker.until_ready().await;
        // Three answers a second apart end the parent; what is committed a second later is its children's.
        tokio::time::sleep(Duration::from_secs(15)).await;
        worker.stop().await.expect_code(0);
        oracle_says(verify(&put, &machine, "./bluelake-data", &machine.path("bluelake-data"))).await
    };
    expect("tip_of_a_closed_shard", scenario, first_says("is stored 0 times")).await;
}
