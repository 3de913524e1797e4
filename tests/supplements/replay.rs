//! A second read of a range adds missing events, and none twice.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;

use crate::support::command::Machine;
use crate::support::oracle::{Workload, verify};
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS, USER_EVENTS};

// A replay drops duplicates without counting them: it cannot know which of them the worker has counted.
const BEFORE: Workload = Workload { events: 3_000, seed: 41, bad_rate: 0.02, duplicate_rate: 0.0, days: 3 };
const AFTER: Workload = Workload { seed: 42, duplicate_rate: 0.02, ..BEFORE };

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Replays what arrived in this time.
pub(crate) async fn replay(machine: &Machine, stream: &str, from: DateTime<Utc>, to: DateTime<Utc>) -> Value {
    let (from, to) = (text(from), text(to));
    machine.run(&["replay", "--stream", stream, "--from", &from, "--to", &to, "--json"]).await.expect_code(0).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_replay_changes_no_row() {
    let kinesis = Kinesis::with_streams(2, 3).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    BEFORE.put(&machine).await;
    // The server's AT_TIMESTAMP distinguishes seconds.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let start = Utc::now();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    AFTER.put(&machine).await;
    machine.succeed(&["ingest", "--once", "--init", "--start", &text(start)]).await;
    let landed = machine.number("./bluelake-data", "SELECT count(*) FROM transactions").await;
    let hour_ago = start - TimeDelta::hours(1);

    let mut stored = 0;
    for stream in [USER_EVENTS, TRANSACTION_EVENTS] {
        let first = replay(&machine, stream, hour_ago, start).await;
        stored += first["stored"].as_i64().unwrap();
        assert!(first["commits"].as_i64().unwrap() > 0, "{first}");
    }
    assert!(stored > 0);
    assert!(machine.number("./bluelake-data", "SELECT count(*) FROM transactions").await > landed);
    verify(&[BEFORE, AFTER], &machine, "./bluelake-data", &machine.path("bluelake-data")).await;
    machine.run(&["lake", "verify"]).await.expect_code(0);

    let tables = ["user_events", "transactions", "rejected_events"];
    let mut before = Vec::new();
    for table in tables {
        before.push(machine.rows("./bluelake-data", table).await);
    }
    for stream in [USER_EVENTS, TRANSACTION_EVENTS] {
        // A wider range: the records that the worker read are known too.
        let again = replay(&machine, stream, hour_ago, Utc::now()).await;
        let added = (again["stored"].as_i64(), again["rejected"].as_i64(), again["commits"].as_i64());
        assert_eq!(added, (Some(0), Some(0), Some(0)), "{again}");
    }
    for (table, before) in tables.into_iter().zip(before) {
        assert_eq!(machine.rows("./bluelake-data", table).await, before, "{table}");
    }
    // The live position never moved: the worker reads no record again.
    let rest = machine.run(&["ingest", "--once", "--json"]).await.expect_code(0).json();
    assert!(rest["streams"].as_array().unwrap().iter().all(|stream| stream["received"] == 0), "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_before_the_horizon_fails_by_default() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    kinesis.put(TRANSACTION_EVENTS, "key", b"not json").await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    let (from, to) = (text(Utc::now() - TimeDelta::days(30)), text(Utc::now()));
    let arguments = ["replay", "--stream", TRANSACTION_EVENTS, "--from", &from, "--to", &to];
    machine.run(&arguments).await.expect_code(1).expect_message(&["--allow-partial"]);
    let partial = machine.run(&[&arguments[..], &["--allow-partial", "--json"]].concat()).await.expect_code(0).json();
    assert_eq!((&partial["partial"], &partial["stored"]), (&Value::from(true), &Value::from(0)));
    let backwards = ["replay", "--stream", TRANSACTION_EVENTS, "--from", &to, "--to", &from];
    machine.run(&backwards).await.expect_code(2).expect_message(&["--from must be before --to"]);
}
