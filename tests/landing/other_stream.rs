//! A lake holds one stream per table, and its two streams are distinct.

use std::time::Duration;

use bluelake_fault_proxy::{Action, Call, Proxy, When, Which};
use serde_json::Value;

use crate::landing::lake_verify::assert_lake_verifies;
use crate::support::command::Machine;
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS, USER_EVENTS};

const OTHER: &str = "other-events";
const VARIABLE: &str = "BLUELAKE_STREAMS_TRANSACTION_EVENTS";

/// A proxy that replaces a stream's ARN in calls by its name, because the server does not know ARNs.
async fn by_arn(kinesis: &Kinesis) -> Proxy {
    let proxy = Proxy::start(&kinesis.endpoint).await.unwrap();
    let name = |call: &mut Call| {
        let mut body = call.json();
        let arn = body["StreamARN"].as_str().map(ToOwned::to_owned);
        if let Some((_, name)) = arn.as_deref().and_then(|arn| arn.rsplit_once('/')) {
            body["StreamName"] = Value::from(name);
            body.as_object_mut().unwrap().remove("StreamARN");
            call.set_json(&body);
        }
    };
    proxy.on(When::any(), Which::Every, Action::alter_call(name));
    proxy
}

async fn arn(kinesis: &Kinesis, stream: &str) -> String {
    let answer = kinesis.client.describe_stream_summary().stream_name(stream).send().await.unwrap();
    answer.stream_description_summary().unwrap().stream_arn().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_takes_nothing_of_another_stream() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    kinesis.create_stream(OTHER, 1).await;
    for stream in [TRANSACTION_EVENTS, OTHER] {
        kinesis.put(stream, "a", b"not json").await;
    }
    let proxy = by_arn(&kinesis).await;
    let mut machine = Machine::new().with("AWS_ENDPOINT_URL_KINESIS", &proxy.endpoint());
    machine.succeed(&["ingest", "--once", "--init"]).await;
    let (held, other) = (arn(&kinesis, TRANSACTION_EVENTS).await, arn(&kinesis, OTHER).await);
    let rejected = "SELECT count(*) FROM rejected_events";
    std::fs::create_dir(machine.path("archive")).unwrap();
    std::fs::write(machine.path("archive/a"), "not json either\n").unwrap();
    for name in [OTHER, &other] {
        machine.set(VARIABLE, name);
        let commands: [&[&str]; 5] = [
            &["ingest", "--once"],
            &["ingest", "--once", "--init", "--worker-id", "w"],
            &[
                "replay",
                "--stream",
                TRANSACTION_EVENTS,
                "--from",
                "2026-01-01T00:00:00Z",
                "--to",
                "2100-01-01T00:00:00Z",
                "--allow-partial",
            ],
            &["backfill", "./archive", "--stream", TRANSACTION_EVENTS],
            &["backfill", "./archive", "--stream", TRANSACTION_EVENTS, "--ahead-of-ingest"],
        ];
        for command in commands {
            machine.run(command).await.expect_code(1).expect_message(&["transactions", &held, OTHER, "another"]);
        }
        for command in [&["status", "--json"][..], &["status", "--json", "--offline"]] {
            let status = machine.run(command).await.expect_code(3).json();
            let problems = status["problems"].to_string();
            assert!(problems.contains(&held) && problems.contains(OTHER), "{problems}");
        }
        assert_eq!(machine.number("./bluelake-data", rejected).await, 1, "nothing was taken in");
    }
    machine.unset(VARIABLE);
    kinesis.put(TRANSACTION_EVENTS, "a", b"not json").await;
    machine.succeed(&["ingest", "--once"]).await;
    assert_eq!(machine.number("./bluelake-data", rejected).await, 2);
    machine.set(VARIABLE, &held);
    machine.succeed(&["ingest", "--once"]).await;
    machine.succeed(&["status"]).await;
    assert_lake_verifies(&machine, "./bluelake-data").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_created_stream_is_another_one() {
    let first = Kinesis::with_streams(1, 1).await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let second = Kinesis::with_streams(1, 1).await;
    assert_eq!(arn(&first, USER_EVENTS).await, arn(&second, USER_EVENTS).await);
    let machine = Machine::new().with_kinesis(&second);
    machine.succeed(&["ingest", "--once", "--init"]).await;
    let machine = machine.with_kinesis(&first);
    machine.run(&["ingest", "--once"]).await.expect_code(1).expect_message(&["created before"]);
    let machine = machine.with_kinesis(&second);
    machine.succeed(&["ingest", "--once"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_for_two_kinds_is_refused() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    kinesis.put(USER_EVENTS, "a", b"not json").await;
    let proxy = by_arn(&kinesis).await;
    let arn = arn(&kinesis, USER_EVENTS).await;
    let arn = arn.as_str();
    let commands: [&[&str]; 7] = [
        &["ingest", "--once", "--init"],
        &["ingest", "--once", "--init", "--stream", USER_EVENTS],
        &["replay", "--stream", USER_EVENTS, "--from", "2026-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z"],
        &["status"],
        &["generate", "--events", "10", "--to", "kinesis"],
        &["backfill", "./archive", "--stream", USER_EVENTS],
        &["demo"],
    ];
    let names = [(USER_EVENTS, USER_EVENTS), (arn, arn), (USER_EVENTS, arn), (arn, USER_EVENTS)];
    for (users, transactions) in names {
        let machine = Machine::new()
            .with("AWS_ENDPOINT_URL_KINESIS", &proxy.endpoint())
            .with("BLUELAKE_STREAMS_USER_EVENTS", users)
            .with(VARIABLE, transactions);
        std::fs::create_dir(machine.path("archive")).unwrap();
        // Without Kinesis, a name and an ARN may be two.
        let asks = if users == transactions { commands.len() } else { 5 };
        for &command in &commands[..asks] {
            let refused = machine.run(command).await.expect_code(2);
            refused.expect_message(&["streams.user-events", "streams.transaction-events", "stream of its own"]);
        }
        assert!(!machine.path("bluelake-data").exists(), "no lake was made");
    }
}
