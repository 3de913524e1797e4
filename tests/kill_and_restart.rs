//! kill -9 at random moments, restarted until done: every event once.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::command::Machine;
use crate::oracle::Workload;
use crate::servers::{Kinesis, S3};

const KILLS: u32 = 20;
const WORKLOAD: Workload = Workload { events: 30_000, seed: 13, bad_rate: 0.01, duplicate_rate: 0.01 };

/// Another seed may be given to look for trouble at other moments.
fn seed() -> u64 {
    std::env::var("KILL_SEED").map_or_else(|_| rand::random(), |text| text.parse().unwrap())
}

/// Kills an ingest again and again, then lets it finish. Small buffers, so that every run has many commits to die in.
async fn kill_and_finish(machine: &Machine, lake: &str, longest: Duration) {
    let seed = seed();
    eprintln!("KILL_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let ingest = ["--lake", lake, "ingest", "--once", "--init", "--buffer-size", "512KiB"];
    let mut killed = 0;
    for _ in 0..KILLS {
        // Squared: more of the kills early, where a run opens tables, pins shards and rebuilds its windows.
        let share: f64 = random.random();
        let finished = machine.kill_after(&ingest, longest.mul_f64(share * share)).await;
        match finished.code {
            None => killed += 1,
            Some(code) => assert_eq!(code, 0, "{}", finished.stderr),
        }
    }
    eprintln!("killed {killed} of {KILLS} runs");
    assert!(killed > 0, "no run lived long enough to be killed");
    machine.succeed(&ingest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_on_a_folder_lose_and_double_nothing() {
    let kinesis = Kinesis::with_streams(2, 4).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    WORKLOAD.put(&machine).await;
    kill_and_finish(&machine, "./lake", Duration::from_millis(2_500)).await;
    WORKLOAD.verify(&machine, "./lake", machine.path("lake")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_on_a_bucket_lose_and_double_nothing() {
    let kinesis = Kinesis::with_streams(1, 2).await;
    let s3 = S3::start().await;
    let machine = Machine::new().with_kinesis(&kinesis).with_s3(&s3);
    let workload = Workload { events: 10_000, seed: 14, ..WORKLOAD };
    workload.put(&machine).await;
    kill_and_finish(&machine, "s3://killed/lake", Duration::from_millis(2_500)).await;
    workload.verify(&machine, "s3://killed/lake", s3.bucket("killed").join("lake")).await;
}
