//! kill -9 at random moments, and restarts until it is done: every event lands once.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::support::command::Machine;
use crate::support::oracle::{Workload, verify};
use crate::support::servers::{Kinesis, S3, TRANSACTION_EVENTS};

const KILLS: u64 = 20;

/// The events that are put before each run, so that every run has something to commit.
fn portion(number: u64) -> Workload {
    Workload { events: 1_500, seed: 100 + number, bad_rate: 0.02, duplicate_rate: 0.02, days: 2 }
}

/// Another seed may be given to kill at other moments.
fn seed() -> u64 {
    std::env::var("KILL_SEED").map_or_else(|_| rand::random(), |text| text.parse().unwrap())
}

/// Shards of the two streams: with many shards and a small buffer each read is committed at once, so a run has many
/// commits to die in.
const SHARDS: (i32, i32) = (3, 12);

/// Kills an ingest repeatedly, lets it finish, and compares the lake with all events that were put.
async fn kill_and_finish(machine: &Machine, lake: &str, folder: &Path) {
    let seed = seed();
    eprintln!("KILL_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let ingest = ["--lake", lake, "ingest", "--once", "--init", "--buffer-size", "16KiB"];
    let mut put = vec![portion(0)];
    portion(0).put(machine).await;
    machine.succeed(&["--lake", lake, "lake", "init"]).await;
    // One run is not killed, to learn the time of a run on this machine.
    let started = Instant::now();
    machine.succeed(&ingest).await;
    let mut longest = started.elapsed().mul_f64(1.1);
    let (mut killed, mut reached) = (0, BTreeSet::new());
    for number in 1..=KILLS {
        portion(number).put(machine).await;
        put.push(portion(number));
        let delay = longest.mul_f64(random.random());
        let finished = machine.kill_after(&ingest, delay.max(Duration::from_millis(1))).await;
        match finished.code {
            None => killed += 1,
            Some(code) => assert_eq!(code, 0, "{}", finished.stderr),
        }
        if !reached.insert(documents(folder)) {
            // With more events a run takes longer to its first commit.
            longest = longest.mul_f64(1.15);
        }
    }
    eprintln!("killed {killed} of {KILLS} runs, with these numbers of documents: {reached:?}");
    assert!(killed >= KILLS / 2, "too few runs lived long enough to be killed");
    assert!(reached.len() >= 4, "the kills did not come at different moments of the work");
    let started = Instant::now();
    machine.succeed(&ingest).await;
    eprintln!("the last run took {:?}", started.elapsed());
    verify(&put, machine, lake, folder).await;
}

/// The number of checkpoint documents, committed or not.
fn documents(lake: &Path) -> usize {
    let folder = lake.join("transactions/_checkpoints").join(TRANSACTION_EVENTS);
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_on_a_folder_lose_nothing() {
    let kinesis = Kinesis::with_streams(SHARDS.0, SHARDS.1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    kill_and_finish(&machine, "./bluelake-data", &machine.path("bluelake-data")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_on_a_bucket_lose_nothing() {
    let kinesis = Kinesis::with_streams(SHARDS.0, SHARDS.1).await;
    let s3 = S3::start().await;
    let machine = Machine::new().with_kinesis(&kinesis).with_s3(&s3);
    kill_and_finish(&machine, "s3://killed/lake", &s3.bucket("killed").join("lake")).await;
}
