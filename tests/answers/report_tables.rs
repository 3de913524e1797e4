//! Reports as rows of a real PostgreSQL server; without one the test says that it did not run.

use crate::support::command::Machine;
use crate::support::oracle::Workload;
use crate::support::postgres::{PASSWORD, Server, value};
use crate::support::servers::Kinesis;

const WORKLOAD: Workload = Workload { events: 3_000, seed: 78, bad_rate: 0.02, duplicate_rate: 0.02, days: 5 };

/// A machine with a lake of both streams.
async fn prepared() -> (Machine, Kinesis) {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis).with("PGPASSWORD", PASSWORD);
    WORKLOAD.put(&machine).await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    (machine, kinesis)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_replaces_the_rows_of_its_question() {
    let Some(server) = Server::start().await else { return };
    let (machine, _kinesis) = prepared().await;
    let destination = format!("postgres://owner@127.0.0.1:{}/postgres/monthly", server.port);
    let run = |by: &'static str| {
        let (machine, destination) = (&machine, destination.as_str());
        async move {
            let arguments = ["report", "run", "donations", "--by", by, "--destination", destination, "--json"];
            machine.run(&arguments).await.expect_code(0).json()
        }
    };
    let by_day = run("day").await;
    assert_eq!((by_day["schema"].as_str(), by_day["table"].as_str()), (Some("monthly"), Some("donations")));
    run("week").await;
    let client = server.client().await;
    let rows =
        |question: &str| format!("SELECT count(*) FROM monthly.donations WHERE bluelake_question = '{question}'");
    let question = by_day["question"].as_str().unwrap();
    let count = by_day["rows"].as_u64().unwrap();
    assert_eq!(value(&client, &rows(question)).await, count.to_string());
    assert_eq!(value(&client, "SELECT count(DISTINCT bluelake_question) FROM monthly.donations").await, "2");
    // The numbers are those of the report.
    let csv = machine.succeed(&["report", "run", "donations", "--by", "day", "--format", "csv"]).await;
    let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    let points = header.iter().position(|name| *name == "points").unwrap();
    let sum: i64 = csv.lines().skip(1).map(|line| line.split(',').nth(points).unwrap().parse::<i64>().unwrap()).sum();
    let asked = format!("SELECT sum(points)::bigint FROM monthly.donations WHERE bluelake_question = '{question}'");
    assert_eq!(value(&client, &asked).await, sum.to_string());
    // The same question again: its rows are there once, and the provenance is the newer one.
    run("day").await;
    assert_eq!(value(&client, &rows(question)).await, count.to_string());
    let noted =
        format!("SELECT provenance->>'report' || rows FROM monthly.report_provenance WHERE question = '{question}'");
    assert_eq!(value(&client, &noted).await, format!("donations{count}"));
    assert_eq!(value(&client, "SELECT count(*) FROM monthly.report_provenance").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_of_a_report_is_named() {
    let Some(server) = Server::start().await else { return };
    let (machine, _kinesis) = prepared().await;
    let destination = format!("postgres://owner@127.0.0.1:{}/postgres/monthly", server.port);
    let export = |more: &'static [&'static str]| {
        let arguments = [&["report", "run", "donations", "--destination", &destination], more].concat();
        let machine = &machine;
        async move { machine.run(&arguments).await }
    };
    export(&["--format", "csv"]).await.expect_code(2).expect_message(&["--format", "a database takes the rows"]);
    let client = server.client().await;
    client.batch_execute("CREATE SCHEMA monthly; CREATE TABLE monthly.donations (points bigint)").await.unwrap();
    client
        .batch_execute("ALTER SCHEMA monthly OWNER TO owner; ALTER TABLE monthly.donations OWNER TO owner")
        .await
        .unwrap();
    export(&[]).await.expect_code(1).expect_message(&[
        "table 'donations'",
        "Bluelake did not make it",
        "rename or drop it",
    ]);
    client.batch_execute("DROP TABLE monthly.donations").await.unwrap();
    export(&[]).await.expect_code(0);
    client.batch_execute("UPDATE monthly.report_provenance SET lake = 'another'").await.unwrap();
    export(&[]).await.expect_code(1).expect_message(&["another lake, another", "another schema"]);
    let nowhere =
        machine.run(&["report", "run", "donations", "--destination", "postgres://me:hidden@127.0.0.1:1/points"]);
    let refused = nowhere.await.expect_code(1);
    assert!(!refused.stderr.contains("hidden"), "{}", refused.stderr);
    refused.expect_message(&["postgres://me@127.0.0.1:1/points", "cannot connect"]);
    let wrong = machine.run(&["report", "run", "donations", "--destination", "postgres://127.0.0.1/points"]).await;
    wrong.expect_code(2).expect_message(&["it names no user"]);
}
