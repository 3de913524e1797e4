//! Logs hold no content of events, at any level.

use std::fmt::Write as _;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bluelake_transform::AggregatedRecordWriter;
use chrono::{SecondsFormat, TimeDelta, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::support::command::{Finished, Machine};
use crate::support::servers::{Kinesis, S3, SECRET_KEY, USER_EVENTS};

/// An address in good, rejected, aggregated and compressed records, and in the text of a query.
const CANARY: &str = "kingfisher.canary@nest-of-birds.example";
const GENERATE: [&str; 7] = ["generate", "--events", "40", "--seed", "5", "--to", "kinesis"];

fn user(number: u32) -> Vec<u8> {
    let event = json!({
        "event_id": format!("00000000-0000-4000-8000-{number:012}"), "event_type": "user_created",
        "occurred_at": "2026-10-05T12:00:00Z", "user_id": "u-1", "user_kind": "merchant", "email": CANARY,
    });
    event.to_string().into_bytes()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Every form in which a log may hold the bytes.
fn forms(bytes: &[u8]) -> Vec<String> {
    let hex = |upper: bool| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = if upper { write!(text, "{byte:02X}") } else { write!(text, "{byte:02x}") };
            text
        })
    };
    let list = format!("{bytes:?}");
    let mut forms = vec![hex(false), hex(true), bytes.escape_ascii().to_string(), list[1..list.len() - 1].to_owned()];
    forms.extend(std::str::from_utf8(bytes).map(ToOwned::to_owned));
    // In base64 three bytes are four characters: the form of a text depends on its place in a group, and its first and
    // last group hold neighbours too.
    for before in 0..3 {
        let whole: Vec<u8> = std::iter::repeat_n(0, before).chain(bytes.iter().copied()).collect();
        let text = STANDARD_NO_PAD.encode(&whole[..whole.len() / 3 * 3]);
        forms.push(text[if before == 0 { 0 } else { 4 }..].to_owned());
    }
    forms
}

/// The secrets that must not be in a log, in all their forms.
fn secrets() -> Vec<String> {
    let compressed = gzip(&user(4));
    // Its first bytes are in every file of the kind; its middle is specific to this one.
    let middle = &compressed[20..44];
    [CANARY.as_bytes(), SECRET_KEY.as_bytes(), middle].iter().flat_map(|secret| forms(secret)).collect()
}

#[track_caller]
fn assert_silent(finished: &Finished, secrets: &[String], what: &str) {
    for secret in secrets {
        assert!(!finished.stderr.contains(secret.as_str()), "{what}: the log holds {secret:?}");
    }
}

/// A filter that asks every crate of the program for everything.
fn everything() -> String {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    let directives: Vec<_> = names.map(|name| format!("{}=trace", name.replace('-', "_"))).collect();
    assert!(directives.len() > 300, "{}", directives.len());
    format!("trace,{}", directives.join(","))
}

async fn put(kinesis: &Kinesis) {
    kinesis.put(USER_EVENTS, "a", &user(1)).await;
    kinesis.put(USER_EVENTS, "b", format!("not json: {CANARY}").as_bytes()).await;
    let mut aggregated = AggregatedRecordWriter::default();
    aggregated.push("key", None, &user(2));
    aggregated.push("key", None, format!("{{\"email\": \"{CANARY}\"").as_bytes());
    kinesis.put(USER_EVENTS, "c", &aggregated.finish()).await;
    kinesis.put(USER_EVENTS, "d", &gzip(&user(4))).await;
}

/// Runs every command that touches events, with this filter and this form of log.
async fn run_all(machine: &Machine, lake: &str, filter: &str, form: &str) -> Vec<(String, Finished)> {
    let literal = format!("SELECT count(*), min(email) FROM user_events WHERE email = '{CANARY}'");
    let wrong = format!("SELECT CAST(email AS BIGINT) FROM user_events WHERE '{CANARY}' = email");
    let time = |time: chrono::DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
    let (from, to) = (time(Utc::now() - TimeDelta::hours(1)), time(Utc::now()));
    let commands: Vec<(Vec<&str>, i32)> = vec![
        (GENERATE.to_vec(), 0),
        (vec!["ingest", "--once", "--init"], 0),
        (vec!["ingest", "--once", "--fan-out"], 0),
        (vec!["sql", &literal], 0),
        (vec!["report", "run", "donations", "--destination", "exports", "--format", "csv,parquet"], 0),
        (vec!["backfill", "archive.ndjson", "--stream", USER_EVENTS, "--ahead-of-ingest"], 0),
        (vec!["replay", "--stream", USER_EVENTS, "--from", &from, "--to", &to, "--allow-partial"], 0),
        (vec!["lake", "verify", "--deep"], 0),
        (vec!["status"], 0),
    ];
    let mut finished = Vec::new();
    for (command, code) in commands {
        let all = [&["--lake", lake, "--log-level", filter, "--log-format", form][..], &command].concat();
        finished.push((command.join(" "), machine.run(&all).await.expect_code(code)));
    }
    // A failed cast names the value to the user, not in the log.
    let all = ["--lake", lake, "--log-level", filter, "--log-format", form, "sql", &wrong];
    let failed = machine.run(&all).await.expect_code(1);
    let lines: Vec<&str> = failed.stderr.lines().collect();
    let stderr = lines[..lines.len() - 1].join("\n");
    finished.push(("a failed cast".to_owned(), Finished { stderr, ..failed }));
    finished
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_logs_personal_data_or_secrets() {
    let secrets = secrets();
    for (number, form) in ["text", "json"].into_iter().enumerate() {
        let kinesis = Kinesis::with_streams(1, 1).await;
        let s3 = S3::start().await;
        let machine = Machine::new().with_kinesis(&kinesis).with_s3(&s3).with("RUST_LOG", "trace");
        std::fs::write(machine.path("archive.ndjson"), user(7)).unwrap();
        put(&kinesis).await;
        let filter = everything();
        let filters = ["trace", filter.as_str()];
        let lake = format!("s3://bucket-{number}/lake");
        for (command, finished) in run_all(&machine, &lake, filters[number], form).await {
            assert_silent(&finished, &secrets, &format!("{command} ({form})"));
            if command.starts_with("ingest --once --init") {
                assert!(finished.stderr.contains("committed"), "nothing was logged:\n{}", finished.stderr);
            }
        }
        let emails = machine.number(&lake, "SELECT count(*) FROM user_events WHERE email IS NOT NULL").await;
        assert!(emails > 2, "the canary has landed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_filter_logs_personal_data_or_secrets() {
    let secrets = secrets();
    let kinesis = Kinesis::with_streams(1, 1).await;
    let s3 = S3::start().await;
    let machine = Machine::new().with_kinesis(&kinesis).with_s3(&s3);
    put(&kinesis).await;
    let filters = [
        "debug",
        "info,aws_config=debug",
        "aws_smithy_runtime=trace",
        "aws_smithy_runtime=trace,aws_smithy_http_client=trace,aws_sdk_kinesis=trace,aws_sdk_s3=trace",
        "trace,hyper=trace,hyper_util=trace,h2=trace",
        "object_store=debug",
        "datafusion=debug,datafusion_optimizer=trace,datafusion_physical_plan=trace,parquet=trace",
        "deltalake=trace,deltalake_core=trace,buoyant_kernel=trace",
        "bluelake_ingest=trace",
    ];
    for (number, filter) in filters.into_iter().enumerate() {
        let lake = format!("s3://bucket/lake-{number}");
        let ingest = ["--lake", &lake, "--log-level", filter, "ingest", "--once", "--init"];
        assert_silent(&machine.run(&ingest).await.expect_code(0), &secrets, filter);
        let sql = format!("SELECT max(email) FROM user_events WHERE email = '{CANARY}'");
        let asked = machine.run(&["--lake", &lake, "--log-level", filter, "sql", &sql]).await.expect_code(0);
        assert!(asked.stdout.contains(CANARY), "who asks is answered");
        assert_silent(&asked, &secrets, filter);
    }
    let machine = machine.with("BLUELAKE_LOG_LEVEL", "trace,aws_smithy_runtime=trace").with("RUST_LOG", "trace");
    let finished = machine.run(&["ingest", "--once", "--init"]).await.expect_code(0);
    assert_silent(&finished, &secrets, "by variable");
    let kept_back = "what these libraries log at this level can hold personal data and is never written";
    assert!(
        finished.stderr.contains(kept_back) && finished.stderr.contains("aws_smithy_runtime"),
        "{}",
        finished.stderr
    );
}

#[test]
fn searched_forms_are_those_of_logged_bytes() {
    let text = format!("xx{CANARY}yyy");
    for before in 0..3 {
        let encoded = STANDARD_NO_PAD.encode(&text[before..]);
        assert!(forms(CANARY.as_bytes()).iter().any(|form| encoded.contains(form.as_str())), "from {before}");
    }
    let debugged = format!("{:?}", text.as_bytes());
    assert!(forms(CANARY.as_bytes()).iter().any(|form| debugged.contains(form.as_str())));
    assert_eq!(forms(b"a\x1f\xff")[..4], ["611fff", "611FFF", r"a\x1f\xff", "97, 31, 255"]);
}
