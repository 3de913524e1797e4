//! Messages of failures, for people and programs: once, in one line, with advice.

use std::time::Duration;

use bluelake_fault_proxy::{Action, Answer, When, Which};
use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::support::command::{Finished, Machine};
use crate::support::servers::{Kinesis, S3};
use crate::support::stage::{BUCKET, ONCE, Stage};

/// In the form of some servers: over several lines, and with control characters.
fn denied() -> Answer {
    Answer::s3_error(StatusCode::FORBIDDEN, "AccessDenied", "Access\nDenied\r\n\u{1b}[31m for &lt;you&gt;")
}

fn key_disabled() -> Answer {
    Answer::s3_error(StatusCode::BAD_REQUEST, "KMS.DisabledException", "the key\nis disabled")
}

/// The lines of standard error; each is a record of its own.
#[track_caller]
fn lines(finished: &Finished, form: &str) -> Vec<String> {
    let text = &finished.stderr;
    assert!(!text.is_empty() && !text.contains("<?xml") && !text.contains("<Error>"), "{text}");
    let unsafe_character = |character: char| character.is_control() && character != '\n';
    assert!(!text.contains(unsafe_character), "{text:?}");
    let lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    for line in &lines {
        let is_record = match form {
            "json" => serde_json::from_str::<Value>(line).is_ok_and(|record| record["level"].is_string()),
            _ => line.starts_with("20") || line.starts_with("error: "),
        };
        assert!(is_record, "no record of its own: {line:?} in\n{text}");
    }
    lines
}

#[track_caller]
fn assert_all(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part:?} is missing: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stores_refusal_is_one_last_line() {
    let stage = Stage::on_bucket(1, 1).await;
    stage.machine.succeed(&ONCE).await;
    stage.store().on(When::any(), Which::Every, Action::Answer(denied()));
    for form in ["text", "json"] {
        for command in [
            &["sql", "SELECT count(*) FROM transactions"][..],
            &["report", "run", "donations"],
            &["ingest", "--once"],
            &["status", "--offline"],
            &["lake", "verify"],
        ] {
            let all = [&["--log-format", form][..], command].concat();
            let finished = stage.machine.run(&all).await.expect_code(1);
            let lines = lines(&finished, form);
            let last = lines.last().unwrap();
            assert_all(last, &["AccessDenied", BUCKET, "policy"]);
            assert!(last.contains("cannot ") || last.contains("failed"), "the call is missing: {last}");
            if form == "json" {
                assert_eq!(serde_json::from_str::<Value>(last).unwrap()["exit_code"], 1);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_record_has_its_errors_causes() {
    let mut stage = Stage::on_bucket(1, 1).await;
    stage.machine.succeed(&ONCE).await;
    for form in ["text", "json"] {
        stage.put(100).await;
        let puts = When::any().method(Method::PUT).path_contains(".parquet");
        let rule = stage.store().on(puts, Which::Every, Action::Answer(key_disabled()));
        let finished = stage.machine.run(&["ingest", "--once", "--log-format", form]).await.expect_code(1);
        let lines = lines(&finished, form);
        let warned: Vec<_> = lines.iter().filter(|line| line.contains("failed; trying again")).collect();
        assert!(!warned.is_empty(), "{}", finished.stderr);
        for line in warned.into_iter().chain(lines.last()) {
            assert_all(
                line,
                &["KMS.DisabledException: the key is disabled", BUCKET, ".parquet", "encryption is disabled"],
            );
            assert_eq!(line.matches("KMS.DisabledException").count(), 1, "printed once: {line}");
        }
        rule.remove();
    }
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_kinesis_is_one_line_everywhere() {
    let stage = Stage::on_folder(1, 1).await;
    let answer = Answer::kinesis_error(StatusCode::BAD_REQUEST, "AccessDeniedException", "not\nfor \u{1b}[31myou");
    stage.streams.on(When::any(), Which::Every, Action::Answer(answer));
    for form in ["text", "json"] {
        let finished = stage.machine.run(&["ingest", "--once", "--log-format", form]).await.expect_code(1);
        let lines = lines(&finished, form);
        assert_all(lines.last().unwrap(), &["DescribeStreamSummary", "AccessDeniedException", "user-events", "policy"]);
    }
    let status = stage.machine.run(&["status", "--json"]).await.expect_code(3).json();
    let problem = status["problems"][0].as_str().unwrap();
    assert!(problem.contains("AccessDeniedException") && !problem.contains('\n'), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_log_level_gets_the_nearest_word() {
    let machine = Machine::new();
    for (arguments, nearest) in [
        (["--log-level", "inof"], "did you mean info?"),
        (["--log-level", "info,bluelake_ingst=debug"], "did you mean bluelake_ingest?"),
        (["--log-level", "warn,bluelake_ingest=trcae"], "did you mean trace?"),
        (["--log-level", "bluelake"], ""),
        (["--log-format", "jsno"], "did you mean json?"),
    ] {
        let code = if nearest.is_empty() { 0 } else { 2 };
        let all = [&arguments[..], &["schema", "describe"]].concat();
        machine.run(&all).await.expect_code(code).expect_message(&[nearest]);
    }
    let machine = machine.with("BLUELAKE_LOG_LEVEL", "debgu");
    machine.run(&["schema", "describe"]).await.expect_code(2).expect_message(&["BLUELAKE_LOG_LEVEL", "debug"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_variable_of_aws_is_not_set() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let s3 = S3::start().await;
    let machine = Machine::new().with_kinesis(&kinesis).with_s3(&s3);
    kinesis.put("user-events", "key", b"not json").await;
    let empty = [
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_STS",
        "AWS_PROFILE",
        "AWS_DEFAULT_REGION",
        "AWS_SESSION_TOKEN",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_MAX_ATTEMPTS",
        "AWS_RETRY_MODE",
        "AWS_CA_BUNDLE",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "TMPDIR",
        "SSL_CERT_FILE",
        "HTTPS_PROXY",
    ];
    let machine = empty.iter().fold(machine, |machine, name| machine.with(name, ""));
    machine.succeed(&["--lake", "s3://bucket/lake", "ingest", "--once", "--init"]).await;
    assert_eq!(machine.number("s3://bucket/lake", "SELECT count(*) FROM rejected_events").await, 1);
    let machine = machine.with("AWS_REGION", "");
    machine.run(&["ingest", "--once"]).await.expect_code(1).expect_message(&["no AWS region"]);
    let machine = Machine::new().with("AWS_ENDPOINT_URL_KINESIS", "").with("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let machine = machine.with("AWS_MAX_ATTEMPTS", "1");
    machine.run(&["ingest", "--once"]).await.expect_code(1).expect_message(&["AWS_ENDPOINT_URL_KINESIS"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_aws_setting_is_refused_by_name() {
    let machine = || Machine::new();
    let commands =
        [&["--lake", "s3://bucket/lake", "sql", "SELECT 1"][..], &["--lake", "s3://bucket/lake", "ingest", "--once"]];
    for (name, value) in [
        ("AWS_ENDPOINT_URL_S3", "localhost:9000"),
        ("AWS_ENDPOINT_URL_KINESIS", "ftp://127.0.0.1"),
        ("AWS_ENDPOINT_URL", "https://me:secret@host"),
        ("AWS_REGION", "nowhere at all"),
        ("AWS_MAX_ATTEMPTS", "many"),
        ("AWS_RETRY_MODE", "standrad"),
        ("AWS_PROFILE", "nobody"),
        ("AWS_CONFIG_FILE", "/no/such/file"),
        ("AWS_ACCESS_KEY_ID", "with a blank"),
        ("AWS_SESSION_TOKEN", "caf\u{e9}"),
    ] {
        for command in commands {
            let finished = machine().with(name, value).run(command).await.expect_code(2).expect_message(&[name]);
            assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
            assert!(!finished.stderr.contains("secret"), "{}", finished.stderr);
        }
    }
    for (profile, part) in [
        ("[default]\nmax_attempts = many\n", "max_attempts"),
        ("[default]\nretry_mode = legacy\n", "retry_mode"),
        ("[default]\nendpoint_url = localhost\n", "endpoint_url"),
        ("[default]\nservices = ours\n[services ours]\ns3 =\n  endpoint_url = localhost\n", "endpoint of S3"),
        ("[default\nregion = us-east-1\n", "AWS_CONFIG_FILE"),
        ("[default]\naws_access_key_id = caf\u{e9}\n", "aws_access_key_id"),
    ] {
        let machine = machine();
        machine.write("aws.ini", profile);
        let path = machine.path("aws.ini").display().to_string();
        let machine =
            machine.with("AWS_CONFIG_FILE", &path).without("AWS_ENDPOINT_URL").with("AWS_REGION", "us-east-1");
        let finished = machine.run(commands[0]).await.expect_code(2).expect_message(&[part]);
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_panics_while_reading_tables() {
    let stage = Stage::on_bucket(1, 1).await;
    for _ in 0..3 {
        stage.machine.succeed(&ONCE).await;
    }
    let slow = Action::DelayAnswer(Duration::from_millis(150));
    stage.store().on(When::any().path_contains("/transactions/"), Which::Every, slow);
    stage.store().on(When::any().path_contains("/user_events/"), Which::Every, Action::Answer(denied()));
    for _ in 0..3 {
        for command in [
            &["status", "--offline"][..],
            &["status"],
            &["ingest", "--once"],
            &["sql", "SELECT count(*) FROM transactions"],
            &["report", "run", "donations", "--as-of", "2020-01-01T00:00:00Z"],
            &["lake", "verify"],
        ] {
            let finished = stage.machine.run(command).await.expect_code(1);
            assert!(!finished.stderr.contains("panicked"), "{command:?}: {}", finished.stderr);
        }
    }
    stage.store().clear();
    stage.store().on(When::any(), Which::Every, Action::DelayAnswer(Duration::from_millis(100)));
    for _ in 0..5 {
        let limited = ["sql", "SELECT count(*) FROM transactions, user_events", "--time-limit", "150ms"];
        let finished = stage.machine.run(&limited).await;
        assert!(matches!(finished.code, Some(0 | 1)) && !finished.stderr.contains("panicked"), "{}", finished.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suggested_command_can_be_pasted() {
    let machine = Machine::new();
    let name = "my lake; $(touch owned) & it's `here`";
    let finished = machine.run(&["--lake", name, "sql", "SELECT 1"]).await.expect_code(1);
    let (_, rest) = finished.stderr.split_once("run `bluelake").unwrap();
    let (arguments, _) = rest.rsplit_once("` to make one there").unwrap();
    let script = format!("{}{arguments}", env!("CARGO_BIN_EXE_bluelake"));
    let mut shell = std::process::Command::new("sh");
    let pasted = shell.args(["-c", &script]).current_dir(machine.folder()).env_clear().output().unwrap();
    assert!(pasted.status.success(), "{script}: {pasted:?}");
    assert!(machine.path(name).join("transactions/_delta_log").is_dir() && !machine.path("owned").exists());
    machine.run(&["--lake", name, "sql", "SELECT 1"]).await.expect_code(0);
    let text = machine.succeed(&["--lake", "a demo's lake", "demo", "--events", "500"]).await;
    assert!(text.contains(r"--lake 'a demo'\''s lake' report run"), "{text}");
}
