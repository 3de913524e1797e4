//! The start of a worker: it can be stopped at once, reports that it is not ready, and several can start at the same
//! time.

use std::time::{Duration, Instant};

use bluelake_fault_proxy::{Action, Gate, When, Which};
use hyper::Method;

use crate::landing::lake_verify::assert_lake_verifies;
use crate::support::command::{Finished, Machine, wait};
use crate::support::oracle::Workload;
use crate::support::servers::{Kinesis, S3};
use crate::support::stage::{ONCE, Stage};
use crate::support::worker::Worker;

/// Far less than the minute and more of the calls that are held back.
const AT_ONCE: Duration = Duration::from_secs(10);
const TOGETHER: usize = 6;

fn gets(part: &'static str) -> When {
    When::any().method(Method::GET).path_contains(part)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_starting_worker_is_unready_and_stoppable() {
    let mut stage = Stage::on_bucket(1, 2).await;
    stage.put(900).await;
    stage.machine.succeed(&ONCE).await;
    for held_back in ["-00000.parquet", "/_checkpoints/", "/_delta_log/"] {
        let gate = Gate::closed();
        let rule = stage.store().on(gets(held_back), Which::Every, Action::Hold(gate.clone()));
        let worker = Worker::start(&stage.machine, &[]).await;
        let started = Instant::now();
        while rule.taken() == 0 {
            assert!(started.elapsed() < Duration::from_secs(60), "{held_back} was never read");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(worker.get("/readyz").await.map(|(code, _)| code), Some(503), "{held_back}");
        assert_eq!(worker.get("/healthz").await.map(|(code, _)| code), Some(200), "{held_back}");
        let signalled = Instant::now();
        worker.signal("TERM").await;
        worker.ended().await.expect_code(0);
        assert!(signalled.elapsed() < AT_ONCE, "{held_back}: {:?}", signalled.elapsed());
        gate.open();
        rule.remove();
    }
    let worker = Worker::start(&stage.machine, &[]).await;
    worker.until_ready().await;
    worker.stop().await.expect_code(0);
    stage.verify().await;
}

/// Runs one command several times at once, to its end.
async fn together(machine: &Machine, arguments: &[&str]) -> Vec<Finished> {
    let children: Vec<_> = (0..TOGETHER).map(|_| machine.start(arguments)).collect();
    let mut finished = Vec::new();
    for child in children {
        finished.push(wait(child).await);
    }
    finished
}

fn all_succeed(finished: Vec<Finished>) {
    for command in finished {
        let command = command.expect_code(0);
        assert!(!command.stderr.contains("ERROR"), "a race that is resolved is no error:\n{}", command.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_that_make_one_lake_all_succeed() {
    let s3 = S3::start().await;
    for (number, lake) in
        ["./bluelake-data", "s3://made-at-once/lake", "s3://made-at-once/another"].into_iter().enumerate()
    {
        let machine = Machine::new().with_s3(&s3).with("BLUELAKE_LAKE", lake);
        all_succeed(together(&machine, &["lake", "init"]).await);
        let made = machine.number(lake, "SELECT count(*) FROM transactions").await;
        assert_eq!(made, 0, "lake {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_that_ingest_into_a_new_lake_succeed() {
    const WORKLOAD: Workload = Workload { events: 3_000, seed: 83, bad_rate: 0.02, duplicate_rate: 0.02, days: 2 };
    let kinesis = Kinesis::with_streams(2, 3).await;
    let s3 = S3::start().await;
    let lake = "s3://raced/lake";
    let machine = Machine::new().with_kinesis(&kinesis).with_s3(&s3).with("BLUELAKE_LAKE", lake);
    WORKLOAD.put(&machine).await;
    all_succeed(together(&machine, &["ingest", "--once", "--init"]).await);
    WORKLOAD.verify(&machine, lake, &s3.bucket("raced").join("lake")).await;
    assert_lake_verifies(&machine, lake).await;
}
