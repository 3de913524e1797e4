//! `bluelake deliver` beside everything that writes to a lake at the same time, and onto a full disk; a test says so when
//! its server is not there.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::time::Duration;

use bluelake_schemas::Stream;
use chrono::{TimeDelta, Utc};
use tokio::process::Child;

use crate::commands::deliver::{finance, finder, settings};
use crate::supplements::backfill::{lines, make_older};
use crate::supplements::replay::replay;
use crate::support::command::{Machine, terminate};
use crate::support::oracle::Workload;
use crate::support::postgres::{PASSWORD, Server, value};
use crate::support::redshift::DataApi;
use crate::support::search;
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS, USER_EVENTS};
use crate::support::stage::Disk;
use crate::support::worker::{PATIENCE, Worker};

const LAKE: &str = "bluelake-data";
/// Of the days that end with October.
const LIVE: Workload = Workload { events: 1_500, seed: 501, bad_rate: 0.02, duplicate_rate: 0.0, days: 3 };
/// Of earlier days too: late events, when they come after [`LIVE`].
const LATE: Workload = Workload { events: 1_500, seed: 502, days: 9, ..LIVE };
/// What an archive holds and no stream.
const ARCHIVED: Workload = Workload { events: 1_500, seed: 503, days: 20, ..LIVE };
const NAMES: [&str; 3] = ["warehouse", "finance", "finder"];
const TABLES: [&str; 3] = ["user_events", "transactions", "rejected_events"];

/// All three targets.
fn targets(server: &Server, search: &search::Server) -> String {
    let tables = format!("tables = {TABLES:?}");
    [settings(server, &tables), finance(&format!("commit_interval = \"1s\"\n{tables}")), finder(&search.endpoint(), "")]
        .concat()
}

/// Writes the transactions of [`ARCHIVED`] as objects of an hour ago.
fn write_archive(machine: &Machine) {
    let folder = machine.path("archive");
    std::fs::create_dir(&folder).unwrap();
    let events = ARCHIVED.events();
    let transactions: Vec<_> = events.iter().filter(|event| event.stream == Stream::TransactionEvents).collect();
    for (number, part) in transactions.chunks(transactions.len().div_ceil(4)).enumerate() {
        std::fs::write(folder.join(format!("{number}.ndjson")), lines(part.iter().copied())).unwrap();
    }
    make_older(&folder);
}

/// Deliveries that follow, killed and started anew whenever that is asked for.
struct Deliveries(Vec<(&'static str, Child)>);

impl Deliveries {
    fn start(machine: &Machine) -> Self {
        Self(NAMES.map(|name| (name, machine.start(&["deliver", name]))).into())
    }

    async fn kill(&mut self, machine: &Machine) {
        for (name, process) in &mut self.0 {
            assert!(process.try_wait().unwrap().is_none(), "the delivery to {name} ended by itself");
            process.kill().await.unwrap();
            *process = machine.start(&["deliver", *name]);
        }
    }

    async fn end(self) {
        for (_, process) in self.0 {
            terminate(process).await.expect_code(0);
        }
    }
}

async fn replay_both(machine: &Machine) {
    for stream in [USER_EVENTS, TRANSACTION_EVENTS] {
        replay(machine, stream, Utc::now() - TimeDelta::hours(1), Utc::now()).await;
    }
}

/// The archive is left alone until ingest is complete up to its time.
async fn backfill(machine: &Machine) {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        let done = machine.run(&["backfill", "./archive", "--stream", TRANSACTION_EVENTS, "--json"]).await;
        if done.code == Some(0) {
            assert!(done.json()["stored"].as_i64().unwrap() > 0, "{}", done.stdout);
            return;
        }
        let done = done.expect_code(3);
        assert!(std::time::Instant::now() < until, "{}", done.stdout);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_follow_a_lake_that_everything_writes_to() {
    let (Some(server), Some(finder)) = (Server::start().await, search::Server::start().await) else { return };
    let Some(finance) = Server::start().await else { return };
    let api = DataApi::over(finance.port, PASSWORD, &finance.client().await).await;
    let kinesis = Kinesis::with_streams(1, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis).with("PGPASSWORD", PASSWORD);
    let machine =
        machine.with("AWS_ENDPOINT_URL_REDSHIFT_DATA", &api.endpoint).with("AWS_ENDPOINT_URL_S3", &api.s3.endpoint);
    machine.succeed(&["lake", "init"]).await;
    machine.write("bluelake.toml", &targets(&server, &finder));
    let worker = Worker::start(&machine, &["--buffer-age", "1s"]).await;
    worker.until_ready().await;
    let mut deliveries = Deliveries::start(&machine);
    LIVE.put(&machine).await;
    worker.until_received(LIVE.events).await;
    deliveries.kill(&machine).await;
    write_archive(&machine);
    tokio::join!(LATE.put(&machine), backfill(&machine), replay_both(&machine));
    deliveries.kill(&machine).await;
    worker.until_received(LIVE.events + LATE.events).await;
    let compact = ["lake", "compact", "--full"];
    tokio::join!(replay_both(&machine), async { machine.run(&compact).await.expect_code(0) });
    deliveries.kill(&machine).await;
    worker.stop().await.expect_code(0);
    deliveries.end().await;

    for name in NAMES {
        machine.run(&["deliver", name, "--once"]).await.expect_code(0);
        machine.run(&["deliver", "verify", name]).await.expect_code(0);
    }
    let archived = "SELECT count(*) FROM transactions WHERE event_date < DATE '2026-10-20'";
    assert!(machine.number(LAKE, archived).await > 0);
    for client in [server.client().await, finance.client().await] {
        for table in TABLES {
            let lake = machine.number(LAKE, &format!("SELECT count(*) FROM {table}")).await;
            let held = value(&client, &format!("SELECT count(*) FROM bluelake.{table}")).await;
            assert_eq!(held, lake.to_string(), "{table}");
        }
        for question in ["sum(points) FROM {}donations", "count(*) FROM {}users", "sum(points) FROM {}redemptions"] {
            let question = format!("SELECT {question}");
            let lake = machine.number(LAKE, &question.replace("{}", "")).await;
            assert_eq!(value(&client, &question.replace("{}", "bluelake.")).await, lake.to_string(), "{question}");
        }
    }
    for table in ["user_events", "transactions"] {
        let lake = machine.number(LAKE, &format!("SELECT count(DISTINCT event_id) FROM {table}")).await;
        assert_eq!(finder.documents(table).await.len(), usize::try_from(lake).unwrap(), "{table}");
    }
    machine.succeed(&["lake", "verify"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_server_is_told_and_nothing_is_half_done() {
    let Some(server) = Server::start().await else { return };
    let kinesis = Kinesis::with_streams(1, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis).with("PGPASSWORD", PASSWORD);
    let Some(disk) = Disk::mount(server.data().with_file_name("small"), "24m") else {
        eprintln!("DID NOT RUN: this process may not mount a small disk");
        return;
    };
    let client = server.client().await;
    let owner = std::fs::metadata(server.data()).unwrap();
    chown(disk.folder(), Some(owner.uid()), Some(owner.gid())).unwrap();
    let place = disk.folder().display();
    client.batch_execute(&format!("CREATE TABLESPACE small LOCATION '{place}'")).await.unwrap();
    client.batch_execute("ALTER DATABASE postgres SET default_tablespace = small").await.unwrap();
    LIVE.put(&machine).await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    machine.write("bluelake.toml", &settings(&server, ""));
    machine.succeed(&["deliver", "warehouse", "--once"]).await;
    let held = value(&client, "SELECT count(*) FROM bluelake.transactions").await;
    let status = machine.succeed(&["deliver", "status", "--json"]).await;
    let ballast = disk.fill();
    LATE.put(&machine).await;
    machine.succeed(&["ingest", "--once"]).await;
    let full = machine.run(&["deliver", "warehouse", "--once"]).await.expect_code(1);
    full.expect_message(&["target 'warehouse'", "make room on the disk of the server"]);
    assert_eq!(value(&client, "SELECT count(*) FROM bluelake.transactions").await, held, "nothing is half done");
    let position = |status: &str| {
        let status: serde_json::Value = serde_json::from_str(status).unwrap();
        status
            .as_array()
            .unwrap()
            .iter()
            .map(|table| (table["table"].clone(), table["held"].clone()))
            .collect::<Vec<_>>()
    };
    let now = machine.run(&["deliver", "status", "--json"]).await.expect_code(0);
    assert_eq!(position(&now.stdout), position(&status));
    std::fs::remove_file(ballast).unwrap();
    machine.succeed(&["deliver", "warehouse", "--once"]).await;
    machine.run(&["deliver", "verify", "warehouse"]).await.expect_code(0);
    assert_ne!(value(&client, "SELECT count(*) FROM bluelake.transactions").await, held);
}
