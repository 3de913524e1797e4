//! Metrics, health, status and logs from outside, while events flow.

use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::support::command::Machine;
use crate::support::lake_files::control_totals;
use crate::support::oracle::{Workload, verify};
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS, USER_EVENTS};
use crate::support::worker::{STREAMS, Worker};

const WORKLOAD: Workload = Workload { events: 6_000, seed: 31, bad_rate: 0.03, duplicate_rate: 0.02, days: 3 };

async fn status(machine: &Machine, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut all = vec!["status", "--json"];
    all.extend(arguments);
    let finished = machine.run(&all).await;
    let code = finished.code;
    (code, finished.json())
}

fn stream<'a>(status: &'a Value, name: &str) -> &'a Value {
    status["streams"].as_array().unwrap().iter().find(|stream| stream["stream"] == name).unwrap()
}

fn states(status: &Value, name: &str) -> Vec<String> {
    let shards = stream(status, name)["shards"].as_array().unwrap();
    shards.iter().map(|shard| shard["state"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_agree_with_the_lake_despite_silent_clients() {
    let kinesis = Kinesis::with_streams(1, 3).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let worker = Worker::start(&machine, &["--init", "--buffer-age", "1s"]).await;
    worker.until_ready().await;
    // More clients than places: some say nothing, some ask and never read.
    let mut idle = Vec::new();
    for number in 0..60 {
        let mut client = TcpStream::connect(&worker.address).await.unwrap();
        if number % 2 == 0 {
            client.write_all(b"GET /metrics HTTP/1.1\r\nHost: worker\r\n\r\n").await.unwrap();
        }
        idle.push(client);
    }
    WORKLOAD.put(&machine).await;
    let metrics = worker.until_received(WORKLOAD.events).await;
    let (code, health) = worker.get("/healthz").await.unwrap();
    assert_eq!((code, health.contains("\"healthy\"")), (200, true), "{health}");
    for (stream, table) in STREAMS {
        assert_eq!(metrics.totals(stream), control_totals(&machine.path("bluelake-data"), table, stream));
        assert_eq!(metrics.value("bluelake_events_read_total", stream), metrics.totals(stream).received as f64);
        assert_eq!(metrics.value("bluelake_worker_running", stream), 1.0);
        assert_eq!(metrics.value("bluelake_gaps_open", stream), 0.0);
        assert!(metrics.value("bluelake_commits_total", stream) >= 2.0, "the pins and at least one batch");
        assert!(metrics.value("bluelake_flush_duration_seconds_count", stream) >= 1.0);
        assert!(metrics.value("bluelake_lag_seconds", stream) < 60.0);
        assert!(metrics.value("bluelake_retention_headroom_seconds", stream) > 23.0 * 3_600.0);
        assert!(metrics.value("bluelake_last_commit_timestamp_seconds", stream) > 1.7e9);
    }
    let shards = metrics.0.keys().filter(|series| series.starts_with("bluelake_shard_lag_seconds{")).count();
    assert_eq!(shards, 4);
    worker.stop().await.expect_code(0);
    drop(idle);
    WORKLOAD.verify(&machine, "./bluelake-data", &machine.path("bluelake-data")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_reports_progress_before_during_and_after() {
    let kinesis = Kinesis::with_streams(1, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    machine.run(&["status"]).await.expect_code(1).expect_message(&["./bluelake-data", "lake init"]);
    machine.succeed(&["lake", "init"]).await;
    WORKLOAD.put(&machine).await;

    let (code, before) = status(&machine, &[]).await;
    assert_eq!((code, before["ok"].as_bool()), (Some(0), Some(true)), "{before:#}");
    assert_eq!(states(&before, TRANSACTION_EVENTS), ["waiting", "waiting"]);
    assert!(stream(&before, TRANSACTION_EVENTS)["complete_to"].is_null(), "nothing has landed");

    machine.succeed(&["ingest", "--once"]).await;
    let (code, after) = status(&machine, &["--max-lag", "1s"]).await;
    assert_eq!(code, Some(0), "{after:#}");
    assert_eq!(states(&after, TRANSACTION_EVENTS), ["drained", "drained"]);
    for (name, table) in STREAMS {
        let found = stream(&after, name);
        let expected = control_totals(&machine.path("bluelake-data"), table, name);
        for (count, value) in [("received", expected.received), ("stored", expected.stored)] {
            assert_eq!(found["totals"][count], value, "{found:#}");
        }
        assert_eq!(found["headroom_seconds"], 24.0 * 3_600.0);
        // All shards were seen at their tips a moment ago.
        let complete: chrono::DateTime<chrono::Utc> = found["complete_to"].as_str().unwrap().parse().unwrap();
        let age = chrono::Utc::now() - complete;
        assert!(age < chrono::TimeDelta::minutes(2), "{age}");
    }

    // Records stay unread: the lag grows, and a limit makes it a problem.
    kinesis.put(TRANSACTION_EVENTS, "key", b"not json").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (code, behind) = status(&machine, &["--max-lag", "1s"]).await;
    assert_eq!(code, Some(3), "{behind:#}");
    assert!(behind["problems"][0].as_str().unwrap().contains("lags"), "{behind:#}");
    let mut found = states(&behind, TRANSACTION_EVENTS);
    found.sort();
    assert_eq!(found, ["drained", "reading"]);
    assert!(stream(&behind, TRANSACTION_EVENTS)["lag_seconds"].as_f64().unwrap() >= 3.0);
    assert_eq!(status(&machine, &["--max-lag", "1h"]).await.0, Some(0));
    assert_eq!(status(&machine, &["--min-headroom", "24h"]).await.0, Some(3), "less than all of it is left");

    let text = machine.succeed(&["status"]).await;
    assert!(text.contains("shardId-000000000001") && text.contains("No problems"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_beside_a_worker_follows_a_split() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let worker = Worker::start(&machine, &["--init", "--buffer-age", "1s"]).await;
    worker.until_ready().await;
    WORKLOAD.put(&machine).await;
    kinesis.split(TRANSACTION_EVENTS).await;
    let more = Workload { seed: 32, ..WORKLOAD };
    more.put(&machine).await;
    worker.until_received(WORKLOAD.events + more.events).await;
    let (code, during) = status(&machine, &[]).await;
    assert_eq!(code, Some(0), "{during:#}");
    let found = states(&during, TRANSACTION_EVENTS);
    assert_eq!(found[0], "ended", "{during:#}");
    assert!(found.len() == 3 && !found.contains(&"waiting".to_owned()), "{found:?}");
    worker.stop().await.expect_code(0);
    verify(&[WORKLOAD, more], &machine, "./bluelake-data", &machine.path("bluelake-data")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_names_faults_of_lake_and_kinesis() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    WORKLOAD.put(&machine).await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    let (code, offline) = status(&machine, &["--offline", "--stream", USER_EVENTS]).await;
    assert_eq!((code, offline["streams"].as_array().unwrap().len()), (Some(0), 1), "{offline:#}");
    assert!(stream(&offline, USER_EVENTS)["complete_to"].is_string());

    let gone = machine.with("AWS_ENDPOINT_URL_KINESIS", "http://127.0.0.1:9").with("AWS_MAX_ATTEMPTS", "1");
    let (code, unanswered) = status(&gone, &[]).await;
    assert_eq!(code, Some(3));
    assert!(unanswered["problems"][0].as_str().unwrap().contains("Kinesis cannot be asked"), "{unanswered:#}");

    let documents = gone.path("bluelake-data/transactions/_checkpoints").join(TRANSACTION_EVENTS);
    for entry in std::fs::read_dir(documents).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("\"received\": ", "\"received\": 1", 1)).unwrap();
    }
    let (code, altered) = status(&gone, &["--offline"]).await;
    assert_eq!(code, Some(3));
    assert!(altered["problems"][0].as_str().unwrap().contains("digest"), "{altered:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_json_lines_without_event_values() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let canary = "canary-7f3a@example.org";
    kinesis.put(USER_EVENTS, "key", format!("{{\"email\":\"{canary}\",\"event_id\":7}}").as_bytes()).await;
    kinesis.put(USER_EVENTS, "key", format!("{canary} is not json").as_bytes()).await;
    let filter = "info,bluelake=trace,bluelake_ingest=trace,bluelake_lake=trace,bluelake_transform=trace";
    let log = ["--log-format", "json", "--log-level", filter, "ingest", "--once", "--init"];
    let finished = machine.run(&log).await.expect_code(0);
    let lines: Vec<Value> = finished.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()));
    let committed = lines.iter().find(|line| line["message"] == "committed" && line["rejected"] == 2);
    assert!(committed.is_some_and(|line| line["stream"] == USER_EVENTS), "{}", finished.stderr);
    assert!(!finished.stderr.contains(canary));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_named() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let finished = machine.run(&["ingest", "--once", "--init", "--listen", &address]).await;
    finished.expect_code(1).expect_message(&["cannot listen", &address]);
}
