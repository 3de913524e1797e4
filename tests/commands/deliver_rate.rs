//! What a first load and a lag of the Redshift target take over the test Data API. A measurement: it runs when it is asked for
//! (`-- --ignored rate --nocapture`), prints, and asserts nothing of time.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use crate::commands::deliver::finance;
use crate::support::command::{Machine, terminate};
use crate::support::oracle::Workload;
use crate::support::postgres::{PASSWORD, Server, value};
use crate::support::redshift::DataApi;
use crate::support::servers::Kinesis;
use crate::support::worker::{PATIENCE, Worker};

const EVENTS: &str = "50000";
const ROUNDS: usize = 10;
const ONE: Workload = Workload { events: 1, seed: 900, bad_rate: 0.0, duplicate_rate: 0.0, days: 1 };

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn the_rate_of_redshift_is_printed() {
    let Some(server) = Server::start().await else { return };
    let client = server.client().await;
    let api = DataApi::over(server.port, PASSWORD, &client).await;
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis).with("PGPASSWORD", PASSWORD);
    let machine =
        machine.with("AWS_ENDPOINT_URL_REDSHIFT_DATA", &api.endpoint).with("AWS_ENDPOINT_URL_S3", &api.s3.endpoint);
    machine.succeed(&["lake", "init"]).await;
    let stream = "transaction-events";
    machine.succeed(&["generate", "--events", EVENTS, "--to", "archive.ndjson", "--stream", stream]).await;
    machine.succeed(&["backfill", "archive.ndjson", "--stream", stream, "--ahead-of-ingest"]).await;
    machine.write("bluelake.toml", &finance("commit_interval = \"1s\"\ntables = [\"transactions\", \"user_events\"]"));
    let began = Instant::now();
    machine.run(&["deliver", "finance", "--once"]).await.expect_code(0);
    let seconds = began.elapsed().as_secs_f64();
    let count = "SELECT (SELECT count(*) FROM bluelake.transactions) + (SELECT count(*) FROM bluelake.user_events)";
    let mut held: u64 = value(&client, count).await.parse().unwrap();
    println!("first load: {held} rows in {seconds:.1} s, {:.0} rows/s", held as f64 / seconds);

    let worker = Worker::start(&machine, &["--buffer-age", "1s"]).await;
    worker.until_ready().await;
    let follow = machine.start(&["deliver", "finance"]);
    let mut lags = Vec::new();
    for round in 0..ROUNDS {
        Workload { seed: ONE.seed + round as u64, ..ONE }.put(&machine).await;
        let put = Instant::now();
        while value(&client, count).await.parse::<u64>().unwrap() == held {
            assert!(put.elapsed() < PATIENCE, "it did not arrive");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        held += 1;
        lags.push(put.elapsed());
    }
    terminate(follow).await.expect_code(0);
    worker.stop().await.expect_code(0);
    lags.sort_unstable();
    println!("from put to target, with the commit: median {:?}, most {:?}", lags[ROUNDS / 2], lags[ROUNDS - 1]);
}
