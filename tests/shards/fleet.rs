//! Several workers on one lake: they share the shards, take over from the dead, and hand over in order.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::Child;

use crate::support::command::{Machine, wait};
use crate::support::oracle::{Workload, verify};
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS};

/// Events that are put at a time, so that they flow while shards and workers change.
fn portion(number: u64, events: u64) -> Workload {
    Workload { events, seed: 500 + number, bad_rate: 0.01, duplicate_rate: 0.02, days: 2 }
}

fn start(machine: &Machine, id: &str) -> Child {
    machine.start(&["ingest", "--worker-id", id, "--buffer-age", "1s", "--json"])
}

/// The shards of a stream that a worker holds by its heartbeat; `None` without one.
fn held(machine: &Machine, worker: &str, stream: &str) -> Option<BTreeSet<String>> {
    let bytes = std::fs::read(machine.path(&format!("bluelake-data/_workers/{worker}.json"))).ok()?;
    let heartbeat: Value = serde_json::from_slice(&bytes).ok()?;
    let shards = heartbeat["holds"][stream].as_array().cloned().unwrap_or_default();
    Some(shards.iter().map(|shard| shard.as_str().unwrap().to_owned()).collect())
}

pub(crate) async fn until(what: &str, within: Duration, mut reached: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < within, "{what}: not within {within:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    started.elapsed()
}

async fn terminate(worker: Child) -> Value {
    let process = worker.id().unwrap().to_string();
    let sent = tokio::process::Command::new("kill").args(["-TERM", &process]).status().await.unwrap();
    assert!(sent.success());
    wait(worker).await.expect_code(0).json()
}

fn received(result: &Value) -> u64 {
    result["streams"].as_array().unwrap().iter().map(|stream| stream["received"].as_u64().unwrap()).sum()
}

fn fenced(result: &Value) -> u64 {
    result["streams"].as_array().unwrap().iter().map(|stream| stream["fenced"].as_u64().unwrap()).sum()
}

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_and_hand_over_shards() {
    let kinesis = Kinesis::with_streams(2, 4).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    machine.succeed(&["lake", "init"]).await;
    let first = start(&machine, "first");
    until("first takes all", PATIENCE, || {
        held(&machine, "first", TRANSACTION_EVENTS).is_some_and(|held| held.len() == 4)
    })
    .await;
    portion(0, 3_000).put(&machine).await;
    let second = start(&machine, "second");
    let shared = || {
        let (first, second) =
            (held(&machine, "first", TRANSACTION_EVENTS), held(&machine, "second", TRANSACTION_EVENTS));
        let (first, second) = (first.unwrap_or_default(), second.unwrap_or_default());
        first.len() == 2 && second.len() == 2 && first.is_disjoint(&second)
    };
    until("two each", PATIENCE, shared).await;
    portion(1, 3_000).put(&machine).await;
    let first = terminate(first).await;
    assert!(held(&machine, "first", TRANSACTION_EVENTS).is_none(), "who leaves takes the heartbeat away");
    until("second takes all", PATIENCE, || held(&machine, "second", TRANSACTION_EVENTS).unwrap().len() == 4).await;
    portion(2, 3_000).put(&machine).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let second = terminate(second).await;
    let rest = machine.run(&["ingest", "--once", "--json"]).await.expect_code(0).json();
    let all = received(&first) + received(&second) + received(&rest);
    assert_eq!((all, fenced(&first), fenced(&second)), (9_000, 0, 0), "nothing was read by both");
    let put = [portion(0, 3_000), portion(1, 3_000), portion(2, 3_000)];
    verify(&put, &machine, "./bluelake-data", &machine.path("bluelake-data")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_workers_shards_are_taken_over() {
    let kinesis = Kinesis::with_streams(1, 4).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    machine.succeed(&["lake", "init"]).await;
    let (mut first, second) = (start(&machine, "first"), start(&machine, "second"));
    let holds =
        |worker: &str, count: usize| held(&machine, worker, TRANSACTION_EVENTS).is_some_and(|held| held.len() == count);
    until("two each", PATIENCE, || holds("first", 2) && holds("second", 2)).await;
    portion(0, 2_000).put(&machine).await;
    first.kill().await.unwrap();
    let took = until("the takeover", Duration::from_secs(30), || holds("second", 4)).await;
    eprintln!("taken over after {took:?}");
    assert!(took >= Duration::from_secs(8), "a worker that lives must not be robbed so soon: {took:?}");
    portion(1, 2_000).put(&machine).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    terminate(second).await;
    machine.succeed(&["ingest", "--once"]).await;
    verify(&[portion(0, 2_000), portion(1, 2_000)], &machine, "./bluelake-data", &machine.path("bluelake-data")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_splits_and_merges_lose_and_double_nothing() {
    // The long form: BLUELAKE_SLOW_TESTS=1 puts 200,000 events, ten times over.
    let slow = std::env::var_os("BLUELAKE_SLOW_TESTS").is_some();
    for round in 0..if slow { 10 } else { 1 } {
        eprintln!("round {round}");
        kills_splits_and_merges(if slow { 20_000 } else { 1_200 }).await;
    }
}

async fn kills_splits_and_merges(events: u64) {
    const PORTIONS: u64 = 10;
    let kinesis = Kinesis::with_streams(2, 4).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    machine.succeed(&["lake", "init"]).await;
    let mut workers = [start(&machine, "worker-0"), start(&machine, "worker-1")];
    let mut put = Vec::new();
    for number in 0..PORTIONS {
        portion(number, events).put(&machine).await;
        put.push(portion(number, events));
        match number {
            2 => kinesis.split_lowest(TRANSACTION_EVENTS).await,
            5 => kinesis.merge_highest(TRANSACTION_EVENTS).await,
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let victim = usize::try_from(number % 2).unwrap();
        workers[victim].kill().await.unwrap();
        workers[victim] = start(&machine, &format!("worker-{victim}"));
    }
    // The last worker must be far enough to receive the signal.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for worker in workers {
        terminate(worker).await;
    }
    // It is committed last, so that the newest document is the one in force.
    put.push(portion(PORTIONS, events));
    portion(PORTIONS, events).put(&machine).await;
    machine.succeed(&["ingest", "--once"]).await;
    verify(&put, &machine, "./bluelake-data", &machine.path("bluelake-data")).await;
    machine.succeed(&["lake", "verify"]).await;
    let shards = machine.number("./bluelake-data", "SELECT count(DISTINCT stream_shard) FROM transactions").await;
    assert_eq!(shards, 7, "four at first, two by the split, one by the merge");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_takes_only_its_allowed_shards() {
    let kinesis = Kinesis::with_streams(1, 4).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    machine.succeed(&["lake", "init"]).await;
    let arguments = ["ingest", "--worker-id", "small", "--max-shards", "2", "--buffer-age", "1s", "--json"];
    let small = machine.start(&arguments);
    let count = |worker: &str| {
        ["user-events", TRANSACTION_EVENTS]
            .map(|stream| held(&machine, worker, stream).unwrap_or_default().len())
            .iter()
            .sum::<usize>()
    };
    until("two shards", PATIENCE, || count("small") == 2).await;
    let large = start(&machine, "large");
    until("the rest", PATIENCE, || count("large") == 3 && count("small") == 2).await;
    portion(0, 2_000).put(&machine).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    terminate(small).await;
    terminate(large).await;
    machine.succeed(&["ingest", "--once"]).await;
    verify(&[portion(0, 2_000)], &machine, "./bluelake-data", &machine.path("bluelake-data")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_that_lie_cost_work_but_no_rows() {
    let kinesis = Kinesis::with_streams(1, 3).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    machine.succeed(&["lake", "init"]).await;
    let workers = [start(&machine, "a"), start(&machine, "b")];
    // Workers never see each other: each believes itself alone, and reads every shard.
    let folder = machine.path("bluelake-data/_workers");
    for number in 0..4 {
        portion(number, 1_000).put(&machine).await;
        for _ in 0..10 {
            let _ = std::fs::remove_file(folder.join("a.json"));
            let _ = std::fs::remove_file(folder.join("b.json"));
            std::fs::write(folder.join("garbage.json"), b"{]").unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    for worker in workers {
        terminate(worker).await;
    }
    portion(4, 1_000).put(&machine).await;
    machine.succeed(&["ingest", "--once"]).await;
    let put: Vec<Workload> = (0..5).map(|number| portion(number, 1_000)).collect();
    verify(&put, &machine, "./bluelake-data", &machine.path("bluelake-data")).await;
}
