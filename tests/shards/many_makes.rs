//! Kinesis servers of other makes beside the embedded one. Each has its own way to signal the end of a closed shard,
//! and its own form of ListShards, arrival times and fan-out.
//!
//! `.ci/run` installs them (npm); without them, their tests say that they did not run.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::support::command::{Machine, wait};
use crate::support::oracle::{Workload, verify};
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS, listen};

const ONCE: [&str; 3] = ["ingest", "--once", "--init"];
const POLLING: [&str; 0] = [];
const FAN_OUT: [&str; 1] = ["--fan-out"];
const PATIENCE: Duration = Duration::from_secs(120);

/// Who made a server.
#[derive(Clone, Copy, Debug)]
enum Make {
    Embedded,
    Kinesalite,
    KinesisLocal,
}

/// Where the servers are installed: a folder with `node_modules`.
fn installed() -> PathBuf {
    let home = || PathBuf::from(std::env::var("HOME").unwrap_or_default()).join(".cache/bluelake/servers");
    std::env::var_os("BLUELAKE_TEST_SERVERS").map_or_else(home, PathBuf::from).join("node_modules")
}

impl Make {
    /// A server of this make, without streams; `None`, with a message, if it is not installed.
    async fn start(self) -> Option<Kinesis> {
        let (folder, arguments) = match self {
            Self::Embedded => return Some(Kinesis::empty().await),
            Self::Kinesalite => ("kinesalite", &["cli.js", "--shardLimit", "100", "--port"][..]),
            Self::KinesisLocal => ("kinesis-local", &["main.js"][..]),
        };
        let folder = installed().join(folder);
        if !folder.is_dir() {
            eprintln!("DID NOT RUN: {self:?} is not installed in {}", folder.display());
            return None;
        }
        let (address, other) = (listen().await.1, listen().await.1);
        let port = address.port().to_string();
        let mut command = Command::new("node");
        command.current_dir(&folder).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match self {
            Self::Kinesalite => command.arg(&port),
            _ => {
                command.envs([("KINESIS_MOCK_PLAIN_PORT", &port), ("KINESIS_MOCK_TLS_PORT", &other.port().to_string())])
            }
        };
        let child = command.kill_on_drop(true).spawn();
        let Ok(child) = child else {
            eprintln!("DID NOT RUN: node cannot be started");
            return None;
        };
        let started = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            assert!(started.elapsed() < PATIENCE, "{self:?} does not listen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(Kinesis::at(address, child))
    }
}

/// Events put at a time.
fn portion(number: u64) -> Workload {
    Workload { events: 1_000, seed: 7_000 + number, bad_rate: 0.02, duplicate_rate: 0.02, days: 2 }
}

/// The answer of `status` about the transactions, and its number of events of both streams in the lake.
struct Said {
    status: Value,
    received: u64,
}

impl Said {
    async fn now(machine: &Machine) -> Self {
        let finished = machine.run(&["status", "--max-lag", "1ms", "--json"]).await;
        let report = finished.json();
        let streams = report["streams"].as_array().unwrap();
        assert!(streams.iter().all(|stream| stream["kinesis_error"].is_null()), "{report}");
        let received = streams.iter().map(|stream| stream["totals"]["received"].as_u64().unwrap()).sum();
        let lags = streams.iter().any(|stream| stream["lag_seconds"].as_f64().unwrap() > 0.0);
        assert_eq!(finished.code, Some(if lags { 3 } else { 0 }), "{report}");
        let status = streams.iter().find(|stream| stream["stream"] == TRANSACTION_EVENTS).unwrap().clone();
        Self { status, received }
    }

    fn lag(&self) -> f64 {
        self.status["lag_seconds"].as_f64().unwrap()
    }

    /// Rows of the transactions that arrived before "complete to".
    async fn rows_called_complete(&self, machine: &Machine) -> i64 {
        let Some(complete_to) = self.status["complete_to"].as_str() else { return 0 };
        let sql = format!("SELECT count(*) FROM transactions WHERE arrived_at < '{complete_to}'");
        machine.number("./bluelake-data", &sql).await
    }

    /// Checks that no record is unread, and the stream complete up to now.
    fn expect_all_read(&self, put: u64) {
        assert_eq!((self.received, self.lag()), (put, 0.0), "{:#}", self.status);
    }

    /// Checks that unread records count as lag and not as complete.
    fn expect_unread(&self, put: u64) {
        assert!(self.received < put && self.lag() > 0.0, "{} of {put}: {:#}", self.received, self.status);
        assert!(self.status["headroom_seconds"].as_f64().unwrap() < self.status["retention_seconds"].as_f64().unwrap());
    }
}

/// Shards that are idle before a split and before a merge, read by a run to the tip after each.
async fn idle_shards(make: Make, reading: &[&str]) {
    let Some(kinesis) = make.start().await else { return };
    let kinesis = kinesis.and_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let ingest = [&ONCE, reading].concat();
    portion(0).put(&machine).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    kinesis.split(TRANSACTION_EVENTS).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    portion(1).put(&machine).await;
    machine.succeed(&["lake", "init"]).await;
    Said::now(&machine).await.expect_unread(2_000);
    machine.succeed(&ingest).await;
    Said::now(&machine).await.expect_all_read(2_000);
    kinesis.merge_highest(TRANSACTION_EVENTS).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    portion(2).put(&machine).await;
    let before = Said::now(&machine).await;
    before.expect_unread(3_000);
    let called_complete = before.rows_called_complete(&machine).await;
    machine.succeed(&ingest).await;
    assert_eq!(before.rows_called_complete(&machine).await, called_complete, "{:#}", before.status);
    Said::now(&machine).await.expect_all_read(3_000);
    let put = [portion(0), portion(1), portion(2)];
    verify(&put, &machine, "./bluelake-data", &machine.path("bluelake-data")).await;
}

fn worker(machine: &Machine, number: usize, more: &[&str]) -> Child {
    let id = format!("w{number}");
    machine.start(&[&["ingest", "--worker-id", &id, "--buffer-age", "1s"], more].concat())
}

async fn terminate(workers: Vec<Child>) {
    for worker in workers {
        let process = worker.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &process]).status().await.unwrap().success());
        wait(worker).await.expect_code(0);
    }
}

/// Splits and merges while events flow, read by workers that go on.
async fn busy_shards(make: Make, reading: &[&str], workers: usize) {
    let Some(kinesis) = make.start().await else { return };
    let kinesis = kinesis.and_streams(1, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    machine.succeed(&["lake", "init"]).await;
    let workers = (0..workers).map(|number| worker(&machine, number, reading)).collect();
    let (mut put, mut moments) = (Vec::new(), Vec::new());
    for number in 0..4 {
        portion(number).put(&machine).await;
        put.push(portion(number));
        match number {
            0 => kinesis.split_lowest(TRANSACTION_EVENTS).await,
            1 => kinesis.merge_highest(TRANSACTION_EVENTS).await,
            // The shards have been idle for a while.
            2 => {
                tokio::time::sleep(Duration::from_secs(6)).await;
                kinesis.split_lowest(TRANSACTION_EVENTS).await;
            }
            _ => {}
        }
        let said = Said::now(&machine).await;
        let called_complete = said.rows_called_complete(&machine).await;
        moments.push((said, called_complete));
    }
    let started = Instant::now();
    loop {
        let said = Said::now(&machine).await;
        if said.received == 4_000 && said.lag() == 0.0 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{} of 4,000 were read: {:#}", said.received, said.status);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    terminate(workers).await;
    for (said, called_complete) in moments {
        let rows = said.rows_called_complete(&machine).await;
        assert_eq!(rows, called_complete, "came later than what was called complete: {:#}", said.status);
    }
    verify(&put, &machine, "./bluelake-data", &machine.path("bluelake-data")).await;
}

/// Five runs to the tip that share the shards, started at once on an empty lake.
async fn five_runs_at_once(make: Make, reading: &[&str]) {
    let Some(kinesis) = make.start().await else { return };
    let kinesis = kinesis.and_streams(1, 3).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    machine.succeed(&["lake", "init"]).await;
    let mut put = Vec::new();
    for round in 0..3 {
        portion(round).put(&machine).await;
        put.push(portion(round));
        if round == 1 {
            kinesis.split_lowest(TRANSACTION_EVENTS).await;
        }
        let once = [&["--once"], reading].concat();
        let runs: Vec<Child> = (0..5).map(|number| worker(&machine, number, &once)).collect();
        for run in runs {
            wait(run).await.expect_code(0);
            Said::now(&machine).await.expect_all_read(1_000 * (round + 1));
        }
    }
    verify(&put, &machine, "./bluelake-data", &machine.path("bluelake-data")).await;
}

macro_rules! on_every_make {
    ($($name:ident: $scenario:ident($make:ident $(, $argument:expr)*);)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            $scenario(Make::$make $(, $argument)*).await;
        }
    )*};
}

on_every_make! {
    idle_shards_are_left_for_their_children_on_the_embedded_server: idle_shards(Embedded, &POLLING);
    idle_shards_are_left_for_their_children_on_kinesalite: idle_shards(Kinesalite, &POLLING);
    idle_shards_are_left_for_their_children_on_kinesis_local: idle_shards(KinesisLocal, &POLLING);
    idle_shards_are_left_by_fan_out_on_the_embedded_server: idle_shards(Embedded, &FAN_OUT);
    idle_shards_are_left_by_fan_out_on_kinesalite: idle_shards(Kinesalite, &FAN_OUT);
    idle_shards_are_left_by_fan_out_on_kinesis_local: idle_shards(KinesisLocal, &FAN_OUT);
    one_worker_follows_busy_shards_on_the_embedded_server: busy_shards(Embedded, &POLLING, 1);
    one_worker_follows_busy_shards_on_kinesalite: busy_shards(Kinesalite, &POLLING, 1);
    one_worker_follows_busy_shards_on_kinesis_local: busy_shards(KinesisLocal, &POLLING, 1);
    one_worker_follows_busy_shards_by_fan_out_on_the_embedded_server: busy_shards(Embedded, &FAN_OUT, 1);
    one_worker_follows_busy_shards_by_fan_out_on_kinesis_local: busy_shards(KinesisLocal, &FAN_OUT, 1);
    five_workers_follow_busy_shards_on_the_embedded_server: busy_shards(Embedded, &POLLING, 5);
    five_workers_follow_busy_shards_on_kinesalite: busy_shards(Kinesalite, &POLLING, 5);
    five_workers_follow_busy_shards_on_kinesis_local: busy_shards(KinesisLocal, &POLLING, 5);
    five_workers_follow_busy_shards_by_fan_out_on_kinesis_local: busy_shards(KinesisLocal, &FAN_OUT, 5);
    five_runs_at_once_read_everything_on_the_embedded_server: five_runs_at_once(Embedded, &POLLING);
    five_runs_at_once_read_everything_on_kinesalite: five_runs_at_once(Kinesalite, &POLLING);
    five_runs_at_once_read_everything_on_kinesis_local: five_runs_at_once(KinesisLocal, &POLLING);
    five_runs_at_once_read_everything_by_fan_out_on_kinesis_local: five_runs_at_once(KinesisLocal, &FAN_OUT);
}
