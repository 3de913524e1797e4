//! A fault in each step of a commit: the process dies there, or the step fails although it may have happened.

use crate::support::command::Machine;
use crate::support::oracle::{Workload, verify};
use crate::support::servers::Kinesis;

/// The steps of a commit, in their order.
const STEPS: [&str; 6] =
    ["before_upload", "after_upload", "before_document", "after_document", "after_delta_commit", "after_follow"];

fn portion(number: u64) -> Workload {
    Workload { events: 900, seed: 700 + number, bad_rate: 0.03, duplicate_rate: 0.03, days: 2 }
}

const INGEST: [&str; 5] = ["ingest", "--once", "--init", "--buffer-size", "64KiB"];

#[tokio::test(flavor = "multi_thread")]
async fn dying_in_any_commit_step_loses_nothing() {
    let kinesis = Kinesis::with_streams(1, 2).await;
    let mut machine = Machine::new().with_kinesis(&kinesis);
    let mut put = Vec::new();
    for (number, step) in (0..).zip(STEPS) {
        // Some commits later it dies at the same step again: a pin has no files, and the first commit no predecessor.
        for passes in [0, 2] {
            let seed = number * 10 + passes;
            portion(seed).put(&machine).await;
            put.push(portion(seed));
            machine = machine.with("FAILPOINTS", &format!("{step}={passes}*off->return(abort)"));
            let killed = machine.run(&INGEST).await;
            assert_eq!(killed.code, None, "{step} was passed {passes} times and then not reached: {killed:?}");
            machine = machine.without("FAILPOINTS");
        }
        machine.succeed(&INGEST).await;
    }
    // It is committed last, so that the newest document is the one in force.
    put.push(portion(999));
    portion(999).put(&machine).await;
    machine.succeed(&INGEST).await;
    verify(&put, &machine, "./bluelake-data", &machine.path("bluelake-data")).await;
    machine.succeed(&["lake", "verify"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uncertain_step_is_settled_by_reading_back() {
    let kinesis = Kinesis::with_streams(1, 2).await;
    let mut machine = Machine::new().with_kinesis(&kinesis);
    machine.succeed(&["lake", "init"]).await;
    let mut put = Vec::new();
    for (number, step) in (100..).zip(STEPS) {
        portion(number).put(&machine).await;
        put.push(portion(number));
        // Twice in a row, and once more after a successful step.
        machine = machine.with("FAILPOINTS", &format!("{step}=2*return(err)->1*off->1*return(err)->off"));
        machine.succeed(&INGEST).await;
    }
    machine = machine.without("FAILPOINTS");
    put.push(portion(998));
    portion(998).put(&machine).await;
    machine.succeed(&INGEST).await;
    verify(&put, &machine, "./bluelake-data", &machine.path("bluelake-data")).await;
    machine.succeed(&["lake", "verify"]).await;
}
