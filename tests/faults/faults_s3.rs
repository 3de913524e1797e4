//! Faults of the object store, made by a proxy before it: answers lost, refused, late, short, slow or altered.

use std::time::Duration;

use bluelake_fault_proxy::{Action, Answer, Gate, When, Which};
use hyper::{Method, StatusCode};

use crate::support::stage::{BUCKET, ONCE, Stage};

fn puts(part: &'static str) -> When {
    When::any().method(Method::PUT).path_contains(part)
}

fn uploads() -> When {
    puts(".parquet")
}

fn documents() -> When {
    puts("/_checkpoints/")
}

/// Puts of the Delta log of one table.
fn commits(table: &'static str) -> When {
    puts("/_delta_log/").path_contains(table)
}

fn gets(part: &'static str) -> When {
    When::any().method(Method::GET).path_contains(part)
}

fn internal_error() -> Answer {
    Answer::s3_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "We encountered an internal error.")
}

fn slow_down() -> Answer {
    Answer::s3_error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate.")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_at_any_put_commits_once() {
    let mut stage = Stage::on_bucket(1, 2).await;
    let conflict = Answer::s3_error(StatusCode::CONFLICT, "ConditionalRequestConflict", "Try again.");
    for (fault, action) in [
        ("the connection ends before the answer", Action::LoseAnswer),
        // The store's own client tries again, and meets its own success.
        ("the answer says 500 although it landed", Action::ReplaceAnswer(internal_error())),
        ("the network delivers it twice", Action::Repeat),
        ("409: another conditional put is under way", Action::Answer(conflict)),
    ] {
        stage.put(900).await;
        let targets = [uploads(), documents(), commits("/transactions/"), commits("/rejected_events/")];
        let rules = targets.map(|when| stage.store().on(when, Which::First(2), action.clone()));
        stage.machine.succeed(&ONCE).await;
        for rule in &rules {
            assert!(rule.taken() > 0, "{fault}: {rules:?}");
            rule.remove();
        }
    }
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_original_after_its_retry_is_refused() {
    let mut stage = Stage::on_bucket(1, 1).await;
    let targets: [fn() -> When; 3] = [documents, || commits("/transactions/"), || commits("/rejected_events/")];
    for target in targets {
        stage.put(900).await;
        let gate = Gate::closed();
        let late = stage.store().on(target(), Which::Nth(1), Action::DeliverLate(gate.clone()));
        stage.machine.succeed(&ONCE).await;
        gate.open();
        late.until_forwarded(1).await;
        assert_eq!(late.forwarded(), [StatusCode::PRECONDITION_FAILED]);
        late.remove();
    }
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_original_before_its_retry_is_recognised() {
    let mut stage = Stage::on_bucket(1, 1).await;
    stage.machine.succeed(&ONCE).await;
    stage.put(900).await;
    let (original_may, retry_may) = (Gate::closed(), Gate::closed());
    let original =
        stage.store().on(commits("/transactions/"), Which::Nth(1), Action::DeliverLate(original_may.clone()));
    let retry = stage.store().on(commits("/transactions/"), Which::Nth(1), Action::Hold(retry_may.clone()));
    let ingest = stage.machine.start(&ONCE);
    retry.until_taken(1).await;
    original_may.open();
    original.until_forwarded(1).await;
    retry_may.open();
    crate::support::command::wait(ingest).await.expect_code(0);
    assert_eq!(original.forwarded(), [StatusCode::OK]);
    assert_eq!(retry.forwarded(), [StatusCode::PRECONDITION_FAILED]);
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_or_slow_store_is_waited_out() {
    let mut stage = Stage::on_bucket(1, 2).await;
    let worker = stage.worker(&[]).await;
    let faults = [
        (When::any(), Which::Share { share: 0.2, seed: 13 }, Action::Answer(slow_down())),
        // A tenth of all, of the remaining calls.
        (When::any(), Which::Share { share: 0.125, seed: 14 }, Action::Answer(internal_error())),
        (gets("/"), Which::EveryNth(5), Action::Reset(50)),
        (gets("/"), Which::EveryNth(4), Action::Drip(8_000)),
        (puts("/"), Which::EveryNth(6), Action::Refuse),
    ];
    let rules = faults.map(|(when, which, action)| stage.store().on(when, which, action));
    for _ in 0..2 {
        stage.put(900).await;
        worker.until_received(stage.events()).await;
    }
    for rule in &rules {
        assert!(rule.taken() > 0, "{rules:?}");
        rule.remove();
    }
    worker.stop().await.expect_code(0);
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_or_altered_read_is_repeated() {
    let mut stage = Stage::on_bucket(1, 2).await;
    stage.put(900).await;
    stage.machine.succeed(&ONCE).await;
    stage.put(900).await;
    // Ingest reads logs, documents, and for its deduplication window also rows.
    let faults = [
        (gets("/_checkpoints/"), Which::Nth(1), altered()),
        (gets("/_checkpoints/"), Which::Nth(2), Action::Truncate(100)),
        (gets(".parquet"), Which::EveryNth(2), Action::Truncate(30)),
        (gets("/_delta_log/"), Which::First(3), Action::Truncate(40)),
    ];
    let rules = faults.map(|(when, which, action)| stage.store().on(when, which, action));
    stage.machine.succeed(&ONCE).await;
    for rule in &rules {
        assert!(rule.taken() > 0, "{rules:?}");
    }
    // A query is answered in full too.
    let count = stage.machine.number(&stage.lake, "SELECT count(event_id) FROM transactions").await;
    stage.store().clear();
    assert_eq!(count, stage.machine.number(&stage.lake, "SELECT count(*) FROM transactions").await);
    stage.verify().await;
}

/// Changes one byte in the middle.
fn altered() -> Action {
    Action::alter(|_, answer| {
        let mut bytes = answer.body.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        answer.set_body(bytes);
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incurable_fault_names_bucket_and_call() {
    let denied = Answer::s3_error(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied");
    let missing = Answer::s3_error(StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist");
    let mut stage = Stage::on_bucket(1, 1).await;
    stage.machine.succeed(&ONCE).await;
    for (when, answer, words) in [
        (documents(), denied.clone(), ["cannot write", "_checkpoints", "access denied"]),
        (uploads(), denied.clone(), ["cannot write", ".parquet", "access denied"]),
        (commits("/transactions/"), denied.clone(), ["transactions", "cannot commit", "AccessDenied"]),
        (uploads(), missing, ["cannot write", ".parquet", "does not exist"]),
    ] {
        let worker = stage.worker(&["--stream", "transaction-events"]).await;
        let rule = stage.store().on(when, Which::Every, Action::Answer(answer));
        stage.put(300).await;
        let ended = worker.ended().await.expect_code(1).expect_message(&words).expect_message(&[BUCKET]);
        assert!(rule.taken() > 0, "{}", ended.stderr);
        assert!(rule.taken() < 40, "a hot loop: {} calls", rule.taken());
        rule.remove();
    }
    // A role without permission does not wait at its start either.
    for when in [gets("list-type=2"), gets("/_delta_log/")] {
        let rule = stage.store().on(when, Which::Every, Action::Answer(denied.clone()));
        stage.machine.run(&ONCE).await.expect_code(1).expect_message(&[BUCKET, "AccessDenied"]);
        assert!(rule.taken() > 0 && rule.taken() < 40, "{rule:?}");
        rule.remove();
    }
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_credentials_end_only_a_scheduled_run() {
    let expired = Answer::s3_error(StatusCode::BAD_REQUEST, "ExpiredToken", "The provided token has expired.");
    let mut stage = Stage::on_bucket(1, 1).await;
    stage.put(300).await;
    let rule = stage.store().on(puts("/"), Which::Every, Action::Answer(expired.clone()));
    stage.machine.run(&ONCE).await.expect_code(1).expect_message(&["ExpiredToken", BUCKET]);
    assert!(rule.taken() > 0 && rule.taken() < 40, "{} calls", rule.taken());
    rule.remove();

    let worker = stage.worker(&[]).await;
    let rule = stage.store().on(When::any(), Which::Every, Action::Answer(expired));
    stage.put(300).await;
    rule.until_taken(6).await;
    let started = std::time::Instant::now();
    let taken = rule.taken();
    // Files are uploaded side by side: the rate over several tries counts.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let rate = (rule.taken() - taken) as f64 / started.elapsed().as_secs_f64();
    assert!(rate < 20.0, "a hot loop: {rate} calls a second");
    // Somebody logs in again.
    rule.remove();
    worker.until_received(stage.events()).await;
    worker.stop().await.expect_code(0);
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_from_a_program_last_until_expiry() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut stage = Stage::on_bucket(1, 1).await;
    let expiration = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let answer = serde_json::json!({
        "Version": 1, "AccessKeyId": crate::support::servers::ACCESS_KEY, "SecretAccessKey": crate::support::servers::SECRET_KEY,
        "SessionToken": "token", "Expiration": expiration.to_rfc3339(),
    });
    let program = stage.machine.path("credentials.sh");
    std::fs::write(&program, format!("#!/bin/sh\necho asked >> asked.txt\necho '{answer}'\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    stage.machine.write("aws.ini", &format!("[default]\ncredential_process = {}\n", program.display()));
    stage.put(300).await;
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        stage.machine.unset(name);
    }
    stage.machine.set("AWS_CONFIG_FILE", &stage.machine.path("aws.ini").display().to_string());
    let calls = stage.store().on(When::any().header("x-amz-security-token"), Which::Every, Action::watch(|_, _| {}));
    stage.machine.succeed(&ONCE).await;
    let asked = std::fs::read_to_string(stage.machine.path("asked.txt")).unwrap().lines().count();
    // Once by the client of each service, and again by a caller at the same moment.
    assert!(calls.taken() > 20 && asked <= 6, "asked {asked} times for {} calls", calls.taken());
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_lake_delays_rows_but_loses_none() {
    let mut stage = Stage::on_bucket(1, 1).await;
    // Small pages and small batches fill up soon.
    let small = Action::alter_call(|call| {
        let mut request = call.json();
        request["Limit"] = 200.into();
        call.set_json(&request);
    });
    let pages = stage.streams.on(When::any().operation("GetRecords"), Which::Every, small);
    let worker = stage.worker(&["--buffer-size", "256KiB", "--memory-budget", "128MiB"]).await;
    let gone = stage.store().on(When::any(), Which::Every, Action::Refuse);
    stage.put(12_000).await;
    let mut before = -1.0;
    loop {
        let now = worker.metrics().await.all("bluelake_events_read_total");
        if now > 0.0 && now == before {
            break;
        }
        before = now;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert!(before < 6_000.0, "reading went on to {before} of 12000 events");
    let waiting = worker.metrics().await;
    assert!(gone.taken() > 10, "{gone:?}");
    let lag = waiting.value("bluelake_lag_seconds", "transaction-events");
    let later = worker
        .until("the lag grows", |metrics| metrics.value("bluelake_lag_seconds", "transaction-events") > lag + 2.0)
        .await;
    assert_eq!(later.all("bluelake_events_received_total"), 0.0);
    assert!(later.all("bluelake_page_budget_used_bytes") <= later.all("bluelake_page_budget_bytes"));
    gone.remove();
    assert!(pages.taken() > 0);
    pages.remove();
    worker.until_received(stage.events()).await;
    worker.stop().await.expect_code(0);
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_without_an_answer_are_repeated() {
    let mut stage = Stage::on_bucket(1, 1).await;
    let worker = stage.worker(&[]).await;
    let holes = [uploads().path_contains("/user_events/"), documents().path_contains("/transactions/")];
    let mut rules = Vec::from(holes.map(|when| stage.store().on(when, Which::Nth(1), Action::BlackHole)));
    // One for each shard.
    let reads = When::any().operation("GetRecords");
    rules.push(stage.streams.on(reads, Which::First(2), Action::BlackHole));
    stage.put(600).await;
    worker.until_received(stage.events()).await;
    for rule in &rules {
        assert!(rule.taken() > 0, "{rules:?}");
    }
    worker.stop().await.expect_code(0);
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_leaves_in_time_without_a_lake() {
    let mut stage = Stage::on_bucket(1, 1).await;
    let worker = stage.worker(&[]).await;
    let gone = stage.store().on(When::any(), Which::Every, Action::Refuse);
    stage.put(300).await;
    worker.until("it holds rows", |metrics| metrics.all("bluelake_uncommitted_rows") > 0.0).await;
    gone.until_taken(20).await;
    let signalled = std::time::Instant::now();
    worker.stop().await.expect_code(1).expect_message(&["cannot write", BUCKET]);
    assert!(signalled.elapsed() < Duration::from_secs(100), "{:?}", signalled.elapsed());
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_leaves_in_time_during_a_commit() {
    let mut stage = Stage::on_bucket(1, 1).await;
    let worker = stage.worker(&["--shutdown-timeout", "3s"]).await;
    let landed_unheard = stage.store().on(commits("/transactions/"), Which::Every, Action::LoseAnswer);
    stage.put(300).await;
    landed_unheard.until_taken(1).await;
    let gone = stage.store().on(gets("/transactions/"), Which::Every, Action::Refuse);
    let signalled = std::time::Instant::now();
    let step = "transaction-events was committing";
    worker.stop().await.expect_code(1).expect_message(&["within 3s (--shutdown-timeout)", "read again", step]);
    assert!(signalled.elapsed() < Duration::from_secs(20), "{:?}", signalled.elapsed());
    landed_unheard.remove();
    gone.remove();
    stage.verify().await;
}
