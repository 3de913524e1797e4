//! Faults of the process and its machine: stops in the middle of a commit, many workers at once, a full disk, signals,
//! another version, and malformed input.

use std::time::{Duration, Instant};

use crate::landing::lake_verify::assert_lake_verifies;
use crate::support::command::Machine;
use crate::support::lake_files::{compact, newest_document, parquet_files};
use crate::support::oracle::Workload;
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS};
use crate::support::stage::{ONCE, Stage};
use crate::support::worker::{PATIENCE, Worker};

/// Waits until files of the transaction events were uploaded: a commit is under way then.
async fn until_uploaded(stage: &Stage) {
    let started = Instant::now();
    while parquet_files(stage.folder(), "transactions").is_empty() {
        assert!(started.elapsed() < PATIENCE, "nothing was ever uploaded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A worker of the transaction events with a fault in its first commit of rows; the one before pins the shards.
async fn worker_with_fault(stage: &mut Stage, point: &str, fault: &str) -> Worker {
    stage.machine.set("FAILPOINTS", &format!("{point}=1*off->1*return({fault})->off"));
    let worker = stage.worker(&["--stream", TRANSACTION_EVENTS, "--worker-id", "faulty"]).await;
    stage.machine.unset("FAILPOINTS");
    worker
}

async fn stop_in_mid_commit(point: &str) {
    let mut stage = Stage::on_folder(1, 2).await;
    let zombie = worker_with_fault(&mut stage, point, "delay 5000").await;
    stage.put(900).await;
    until_uploaded(&stage).await;
    zombie.signal("STOP").await;
    // Another worker reads and commits the same records.
    stage.machine.succeed(&ONCE).await;
    zombie.signal("CONT").await;
    zombie.until("it is fenced", |metrics| metrics.all("bluelake_fenced_batches_total") > 0.0).await;
    assert_eq!(zombie.metrics().await.all("bluelake_events_received_total"), 0.0, "{point}");
    stage.put(600).await;
    zombie.until("it goes on", |metrics| metrics.all("bluelake_events_received_total") > 0.0).await;
    zombie.stop().await.expect_code(0).expect_message(&["fenced"]);
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stopped_in_mid_commit_is_fenced() {
    tokio::join!(stop_in_mid_commit("before_document"), stop_in_mid_commit("after_document"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_workers_at_once_all_get_through() {
    let mut stage = Stage::on_folder(2, 10).await;
    let mut workers = Vec::new();
    for number in 0..10 {
        let id = format!("worker-{number}");
        let arguments = ["--worker-id", &id, "--buffer-age", "1s", "--memory-budget", "128MiB"];
        workers.push(Worker::start(&stage.machine, &arguments).await);
    }
    for worker in &workers {
        worker.until_ready().await;
        let reading = |series: &String| series.starts_with("bluelake_shards{") && series.contains("state=\"reading\"");
        let what = "each has a shard of its own, and knows of all others";
        worker
            .until(what, |metrics| {
                let of_mine = metrics.0.iter().filter(|(series, _)| reading(series)).map(|(_, shards)| shards);
                (1.0..=2.0).contains(&of_mine.sum::<f64>()) && metrics.all("bluelake_workers_alive") == 20.0
            })
            .await;
    }
    for _ in 0..4 {
        stage.put(1_000).await;
    }
    let started = Instant::now();
    loop {
        let mut received = Vec::new();
        for worker in &workers {
            received.push(worker.metrics().await.all("bluelake_events_received_total") as u64);
        }
        if received.iter().sum::<u64>() >= stage.events() {
            assert!(received.iter().all(|events| *events > 0), "{received:?}");
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{received:?} of {}", stage.events());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for worker in &workers {
        worker.signal("TERM").await;
    }
    for worker in workers {
        worker.ended().await.expect_code(0);
    }
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_pauses_only_a_continuous_worker() {
    let Some(mut stage) = Stage::on_disk("16m").await else {
        eprintln!("DID NOT RUN: this process may not mount a small disk");
        return;
    };
    let worker = stage.worker(&[]).await;
    let ballast = stage.disk.as_ref().unwrap().fill();
    stage.put(900).await;
    worker.until("it tries again", |metrics| metrics.all("bluelake_retries_total") >= 3.0).await;
    stage.machine.run(&ONCE).await.expect_code(1).expect_message(&["cannot write", "No space left"]);
    assert_eq!(worker.metrics().await.all("bluelake_events_received_total"), 0.0);
    for table in ["transactions", "user_events", "rejected_events"] {
        let left = parquet_files(stage.folder(), table);
        assert!(left.is_empty(), "what could not be written was cleared away: {left:?}");
    }
    std::fs::remove_file(ballast).unwrap();
    worker.until_received(stage.events()).await;
    worker.stop().await.expect_code(0);
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_worker_in_order() {
    let mut stage = Stage::on_folder(1, 2).await;
    let idle = stage.worker(&[]).await;
    idle.until("it reads", |metrics| metrics.all("bluelake_answers_total") >= 3.0).await;
    let signalled = Instant::now();
    idle.stop().await.expect_code(0);
    assert!(signalled.elapsed() < Duration::from_secs(20), "{:?}", signalled.elapsed());

    stage.machine.set("FAILPOINTS", "before_document=1*return(delay 3000)->off");
    let committing = stage.worker(&["--stream", TRANSACTION_EVENTS]).await;
    stage.machine.unset("FAILPOINTS");
    stage.put(900).await;
    until_uploaded(&stage).await;
    committing.stop().await.expect_code(0);
    let landed = stage.machine.number(&stage.lake, "SELECT count(*) FROM transactions").await;
    assert!(landed > 0, "the commit that was under way happened");

    stage.machine.set("FAILPOINTS", "before_document=return(hang)");
    let hanging = stage.worker(&[]).await;
    stage.machine.unset("FAILPOINTS");
    stage.put(900).await;
    let waits = |metrics: &crate::support::worker::Metrics| metrics.all("bluelake_uncommitted_rows") > 0.0;
    hanging.until("it holds rows", waits).await;
    hanging.signal("TERM").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(hanging.get("/readyz").await.map(|(code, _)| code), Some(200), "it waits for its commit");
    hanging.signal("TERM").await;
    hanging.ended().await.expect_code(143);
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_a_newer_version_is_refused() {
    let mut stage = Stage::on_folder(1, 1).await;
    stage.put(600).await;
    stage.machine.succeed(&ONCE).await;
    let documents = stage.folder().join("transactions/_checkpoints").join(TRANSACTION_EVENTS);
    let number = newest_document(stage.folder(), "transactions", TRANSACTION_EVENTS)["number"].as_u64().unwrap();
    let path = documents.join(format!("{number:020}.json"));
    let before = std::fs::read_to_string(&path).unwrap();
    let newer = before.replacen("\"format\": ", "\"format\": 9", 1);
    assert_ne!(before, newer);
    std::fs::write(&path, newer).unwrap();
    stage.put(600).await;
    let files = parquet_files(stage.folder(), "transactions");
    stage.machine.run(&ONCE).await.expect_code(1).expect_message(&["format 9", "checkpoint document"]);
    stage.machine.run(&["status", "--offline"]).await.expect_code(3);
    assert_eq!(parquet_files(stage.folder(), "transactions"), files, "nothing was written");
    std::fs::write(&path, before).unwrap();
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_input_is_kept_and_sets_exit_code() {
    let bad = Workload { events: 12_000, seed: 77, bad_rate: 1.0, duplicate_rate: 0.0, days: 2 };
    let kinesis = Kinesis::with_streams(1, 4).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    bad.put(&machine).await;
    machine.run(&["ingest", "--once", "--init", "--fail-on-rejected"]).await.expect_code(3);
    assert_eq!(machine.number("./bluelake-data", "SELECT count(*) FROM rejected_events").await, bad.events as i64);
    bad.verify(&machine, "./bluelake-data", &machine.path("bluelake-data")).await;
    assert_lake_verifies(&machine, "./bluelake-data").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_without_committing_is_unhealthy_with_its_reason() {
    let mut stage = Stage::on_folder(1, 1).await;
    let worker = worker_with_fault(&mut stage, "before_document", "hang").await;
    stage.put(600).await;
    until_uploaded(&stage).await;
    let started = Instant::now();
    let reasons = loop {
        let (code, body) = worker.get("/healthz").await.unwrap();
        if code == 503 {
            break body;
        }
        assert!(started.elapsed() < PATIENCE, "never unhealthy");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let words = "transaction-events: reading but not committing";
    assert!(reasons.contains(words), "{reasons}");
    // The watchdog also logs it, at its next look.
    tokio::time::sleep(Duration::from_secs(6)).await;
    worker.signal("KILL").await;
    let killed = worker.ended().await;
    assert!(killed.code.is_none() && killed.stderr.contains("not committing"), "{killed:?}");
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_engines_rewrite_beside_ingest_loses_nothing() {
    let mut stage = Stage::on_folder(1, 2).await;
    let worker = stage.worker(&[]).await;
    let mut rewritten = 0;
    for _ in 0..8 {
        stage.put(500).await;
        // Commits go on meanwhile, one a second.
        tokio::time::sleep(Duration::from_millis(700)).await;
        rewritten += compact(stage.folder()).await;
    }
    worker.until_received(stage.events()).await;
    worker.stop().await.expect_code(0);
    assert!(rewritten > 20, "only {rewritten} files were rewritten");
    // Without `lake verify`: it rightly reports that no document names the files of others.
    stage.compare().await;
}
