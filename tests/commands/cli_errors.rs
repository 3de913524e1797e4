//! Wrong input and refused services: one clear message that names the cause, the right exit code, no left-overs.

use crate::support::command::Machine;
use crate::support::servers::{Kinesis, Refusing, S3, TRANSACTION_EVENTS, USER_EVENTS};

const INGEST: &[&str] = &["ingest", "--once", "--init"];

/// Files in the working folder after a command that must not make any.
fn left_behind(machine: &Machine) -> Vec<String> {
    let entries = std::fs::read_dir(machine.folder()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn wrong_usage_exits_2_and_names_the_word() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["ingst"], &["ingst", "ingest"]),
        (&["ingest", "--onse"], &["--onse", "--once"]),
        (&["ingest", "--buffer-size", "lots"], &["--buffer-size", "lots", "128MiB"]),
        (&["ingest", "--buffer-age", "0s"], &["--buffer-age"]),
        (&["ingest", "--start", "yesterday"], &["--start", "yesterday", "trim-horizon"]),
        (&["ingest", "--listen", "9464"], &["--listen", "9464", "127.0.0.1:9464"]),
        (&["status", "--max-lag", "soon"], &["--max-lag", "soon", "5m"]),
        (&["status", "--max-lag", "5m", "--offline"], &["--max-lag", "--offline"]),
        (&["ingest", "--stream", "user-event"], &["user-event", "user-events"]),
        (&["generate", "--events", "many", "--to", "-"], &["--events", "many"]),
        (&["generate", "--events", "10", "--bad-rate", "1.5", "--to", "-"], &["bad-rate"]),
        (&["sql", "SELECT 1", "--format", "xml"], &["xml"]),
        (&["describe", "donation"], &["donation", "donations"]),
        (&["sql", "--output", "x.csv"], &["--output", "QUERY", "\\o"]),
        (&["sql", "--format", "parquet"], &["parquet", "QUERY", "\\o"]),
        (&["schema", "json-schema", "users"], &["users", "user-events"]),
        (&["--lake", "gs://bucket/x", "lake", "init"], &["gs://bucket/x", "s3://"]),
        (&["--lake", "", "lake", "init"], &["lake", "empty"]),
        (&["--log-format", "xml", "config", "show"], &["--log-format", "xml"]),
        (&["--config", "missing.toml", "config", "show"], &["missing.toml"]),
    ];
    let machine = Machine::new();
    for (arguments, parts) in cases {
        machine.run(arguments).await.expect_code(2).expect_message(parts);
    }
    assert!(left_behind(&machine).is_empty());
}

#[tokio::test]
async fn unknown_settings_exit_2_with_the_nearest_known() {
    let machine = Machine::new().with("BLUELAKE_BUFFER_SIZE", "1MiB");
    machine
        .run(&["config", "show"])
        .await
        .expect_code(2)
        .expect_message(&["BLUELAKE_BUFFER_SIZE", "BLUELAKE_INGEST_BUFFER_SIZE"]);
    let machine = Machine::new();
    machine.write("bluelake.toml", "[streams]\nuser-event = 'x'\n");
    machine.run(&["config", "show"]).await.expect_code(2).expect_message(&[
        "streams.user-event",
        "streams.user-events",
        "bluelake.toml",
    ]);
    machine.write("bluelake.toml", "lake = [");
    machine.run(&["config", "show"]).await.expect_code(2).expect_message(&["bluelake.toml", "TOML"]);
}

#[tokio::test]
async fn a_faulty_contract_is_named_first() {
    let machine = Machine::new();
    machine.run(&["--contract", "nowhere", "lake", "init"]).await.expect_code(2).expect_message(&["nowhere"]);
    machine.copy_contract("contract");
    machine.write("contract/user_events.toml", "this is not TOML");
    let init = ["--contract", "contract", "lake", "init"];
    machine.run(&init).await.expect_code(2).expect_message(&["contract", "user_events.toml"]);
    machine.copy_contract("contract");
    let path = machine.path("contract/transaction_events.toml");
    let text = std::fs::read_to_string(&path).unwrap().replace("type = \"integer\"", "type = \"intger\"");
    std::fs::write(&path, text).unwrap();
    machine.run(&init).await.expect_code(2).expect_message(&["transaction_events.toml", "intger"]);
    assert_eq!(left_behind(&machine), ["contract"]);
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_named() {
    let kinesis = Kinesis::empty().await;
    let machine = Machine::new().with_kinesis(&kinesis);
    machine.run(INGEST).await.expect_code(1).expect_message(&[USER_EVENTS]);
    assert!(left_behind(&machine).is_empty(), "no lake is made for streams that are not there");
    let generate = ["generate", "--events", "10", "--seed", "1", "--to", "kinesis"];
    machine.run(&generate).await.expect_code(1).expect_message(&["-events"]);
    kinesis.create_stream(USER_EVENTS, 1).await;
    machine.run(INGEST).await.expect_code(1).expect_message(&[TRANSACTION_EVENTS]);
}

#[tokio::test]
async fn a_refused_permission_names_stream_and_reason() {
    let refusing = Refusing::kinesis(400, "AccessDeniedException", "not authorized to perform this").await;
    let machine = Machine::new().with("AWS_ENDPOINT_URL_KINESIS", &refusing.endpoint);
    machine.run(INGEST).await.expect_code(1).expect_message(&[USER_EVENTS, "AccessDenied"]);
    assert!(left_behind(&machine).is_empty());
}

#[tokio::test]
async fn missing_credentials_and_region_are_said() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis).without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY");
    machine.run(INGEST).await.expect_code(1).expect_message(&["credentials"]);
    let machine = Machine::new().with_kinesis(&kinesis).without("AWS_REGION");
    machine.run(INGEST).await.expect_code(1).expect_message(&["region"]);
}

#[tokio::test]
async fn a_missing_or_refused_bucket_is_named() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let s3 = S3::start().await;
    let machine = Machine::new().with_kinesis(&kinesis).with_s3(&s3);
    machine
        .run(&["--lake", "s3://no-such-bucket/lake", "ingest", "--once"])
        .await
        .expect_code(1)
        .expect_message(&["no-such-bucket"]);
    machine
        .run(&["--lake", "s3://no-such-bucket/lake", "sql", "SELECT 1"])
        .await
        .expect_code(1)
        .expect_message(&["no-such-bucket"]);
    let refusing = Refusing::s3(403, "AccessDenied", "Access Denied").await;
    let machine = Machine::new().with_kinesis(&kinesis).with("AWS_ENDPOINT_URL_S3", &refusing.endpoint);
    machine
        .run(&["--lake", "s3://not-ours/lake", "ingest", "--once", "--init"])
        .await
        .expect_code(1)
        .expect_message(&["not-ours"]);
    machine.run(&["--lake", "s3://not-ours/lake", "lake", "init"]).await.expect_code(1).expect_message(&["not-ours"]);
}

#[tokio::test]
async fn a_place_without_a_lake_is_left_alone() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    for command in [
        &["ingest", "--once"][..],
        &["sql", "SELECT count(*) FROM users"],
        &["report", "run", "donations", "--from", "2026-10-01", "--to", "2026-11-01", "--by", "day"],
    ] {
        machine.run(command).await.expect_code(1).expect_message(&["./bluelake-data", "lake init"]);
    }
    assert!(left_behind(&machine).is_empty());
    machine.write("other/notes.txt", "mine");
    machine.run(&["--lake", "other", "ingest", "--once"]).await.expect_code(1).expect_message(&["other", "lake init"]);
    assert_eq!(std::fs::read_dir(machine.path("other")).unwrap().count(), 1);
    machine.run(&["--lake", "other/notes.txt", "lake", "init"]).await.expect_code(1).expect_message(&["notes.txt"]);
    assert_eq!(std::fs::read_to_string(machine.path("other/notes.txt")).unwrap(), "mine");
}

#[tokio::test]
async fn a_former_lake_is_reported_before_a_second() {
    let machine = Machine::new();
    machine.succeed(&["--lake", "./lake", "lake", "init"]).await;
    for command in [
        &["sql", "SELECT count(*) FROM transactions"][..],
        &["lake", "verify"],
        &["lake", "init"],
        &["ingest", "--once", "--init"],
        &["demo"],
    ] {
        let words = ["./bluelake-data", "--lake ./lake", "rename"];
        machine.run(command).await.expect_code(2).expect_message(&words);
    }
    assert_eq!(left_behind(&machine), ["lake"]);
    machine.succeed(&["--lake", "./lake", "sql", "SELECT count(*) FROM transactions"]).await;
    std::fs::rename(machine.path("lake"), machine.path("bluelake-data")).unwrap();
    machine.succeed(&["sql", "SELECT count(*) FROM transactions"]).await;
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_is_refused() {
    let machine = Machine::new();
    machine.succeed(&["lake", "init"]).await;
    for (sql, part) in [
        ("SELEC 1", "SELEC"),
        ("SELECT nothing_of_that_name FROM transactions", "nothing_of_that_name"),
        ("SELECT * FROM transaction", "transactions"),
        ("DROP TABLE transactions", "DROP"),
        ("COPY transactions TO 'out.parquet'", "COPY"),
        ("SELECT * FROM '/etc/passwd'", "/etc/passwd"),
    ] {
        machine.run(&["sql", sql]).await.expect_code(1).expect_message(&[part]);
    }
    machine
        .run(&["report", "run", "donation", "--from", "2026-10-01", "--to", "2026-11-01"])
        .await
        .expect_code(2)
        .expect_message(&["donations"]);
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_command_quietly() {
    let machine = Machine::new();
    machine.succeed(&["lake", "init"]).await;
    let mut child = machine.start(&["schema", "describe"]);
    drop(child.stdout.take());
    let finished = crate::support::command::wait(child).await;
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
}
