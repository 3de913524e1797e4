//! `bluelake deliver` against real servers; a test says so when its server is not there.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::command::{Machine, terminate};
use crate::support::oracle::Workload;
use crate::support::postgres::{PASSWORD, Server, value};
use crate::support::redshift::{DataApi, ROLE, WORKGROUP};
use crate::support::search;
use crate::support::servers::Kinesis;

const LAKE: &str = "bluelake-data";
const WORKLOAD: Workload = Workload { events: 3_000, seed: 77, bad_rate: 0.02, duplicate_rate: 0.02, days: 5 };

/// The PostgreSQL target `warehouse`.
pub(crate) fn settings(server: &Server, more: &str) -> String {
    format!(
        "[[target]]\nname = \"warehouse\"\nkind = \"postgres\"\naddress = \"postgres://owner@127.0.0.1:{}/postgres\"\n{more}\n",
        server.port
    )
}

/// A machine with a lake of both streams and a target.
async fn prepared(server: &Server) -> (Machine, Kinesis) {
    let kinesis = Kinesis::with_streams(1, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis).with("PGPASSWORD", PASSWORD);
    WORKLOAD.put(&machine).await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    machine
        .write("bluelake.toml", &settings(server, "tables = [\"user_events\", \"transactions\", \"rejected_events\"]"));
    (machine, kinesis)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_is_delivered_proved_and_delivered_anew() {
    let Some(server) = Server::start().await else { return };
    let (machine, _kinesis) = prepared(&server).await;
    let before = machine.run(&["deliver", "status", "--json"]).await.expect_code(3).json();
    assert_eq!(before[0]["held"], Value::Null, "{before}");
    let client = server.client().await;
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'bluelake'";
    assert_eq!(value(&client, schemas).await, "0", "who looks makes nothing");
    let delivered = machine.run(&["deliver", "warehouse", "--once", "--json"]).await.expect_code(0).json();
    for table in ["user_events", "transactions", "rejected_events"] {
        let lake = machine.number(LAKE, &format!("SELECT count(*) FROM {table}")).await;
        let held = value(&client, &format!("SELECT count(*) FROM bluelake.{table}")).await;
        assert_eq!(held, lake.to_string(), "{table}");
        let told = delivered["tables"].as_array().unwrap().iter().find(|told| told["table"] == table).unwrap();
        assert_eq!((told["rows"].as_i64(), &told["version"]), (Some(lake), &told["newest"]), "{told}");
    }
    let lake = machine.number(LAKE, "SELECT sum(points) FROM donations").await;
    assert_eq!(value(&client, "SELECT sum(points) FROM bluelake.donations").await, lake.to_string());
    machine.run(&["deliver", "verify", "warehouse"]).await.expect_code(0);
    machine.run(&["deliver", "status"]).await.expect_code(0);
    client.batch_execute("DELETE FROM bluelake.transactions WHERE stream_sub_sequence = 0 AND event_id = (SELECT min(event_id::text)::uuid FROM bluelake.transactions)").await.unwrap();
    let found = machine.run(&["deliver", "verify", "warehouse"]).await.expect_code(3);
    assert!(found.stdout.contains("rows are missing") && found.stdout.contains("DIFFERS"), "{}", found.stdout);
    machine.run(&["deliver", "rebuild", "warehouse"]).await.expect_code(0);
    let proved = machine.run(&["deliver", "verify", "warehouse", "--json"]).await.expect_code(0).json();
    assert_eq!(proved["equal"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_and_failures_have_their_exit_codes() {
    let Some(server) = Server::start().await else { return };
    let (machine, _kinesis) = prepared(&server).await;
    machine.run(&["deliver", "nowhere"]).await.expect_code(2).expect_message(&["nowhere", "warehouse"]);
    machine.run(&["deliver"]).await.expect_code(2).expect_message(&["NAME"]);
    let wrong = machine.path("pass");
    std::fs::write(&wrong, "*:*:*:*:wrong\n").unwrap();
    let poor = Machine::new().with("PGPASSFILE", wrong.to_str().unwrap());
    poor.write(
        "bluelake.toml",
        &format!("lake = {:?}\n{}", machine.path(LAKE).to_str().unwrap(), settings(&server, "")),
    );
    let refused = poor.run(&["deliver", "warehouse", "--once"]).await.expect_code(1);
    refused.expect_message(&["target 'warehouse'", "PGPASSFILE"]);
    machine.succeed(&["deliver", "warehouse", "--once"]).await;
    machine.write("bluelake.toml", &settings(&server, "columns = [\"points\"]"));
    let needed = machine.run(&["deliver", "warehouse", "--once"]).await.expect_code(3);
    needed.expect_message(&["rebuild needed", "bluelake deliver rebuild warehouse"]);
    machine.write("bluelake.toml", &settings(&server, "columns = [\"pionts\"]"));
    machine.run(&["deliver", "warehouse", "--once"]).await.expect_code(2).expect_message(&["pionts"]);
    machine.write("bluelake.toml", &settings(&server, "colour = 1"));
    machine.run(&["deliver", "warehouse"]).await.expect_code(2).expect_message(&["bluelake.toml", "colour"]);
    machine.write("bluelake.toml", "[[target]]\naddress = \"postgres://me:hidden@host/points\n");
    let torn = machine.run(&["deliver", "warehouse"]).await.expect_code(2);
    assert!(!torn.stderr.contains("hidden"), "{}", torn.stderr);
    torn.expect_message(&["is not valid TOML: line 2"]);
}

async fn ask(port: u16, path: &str) -> Option<String> {
    let mut client = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.ok()?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_follows_is_watched_and_ends_in_order() {
    let Some(server) = Server::start().await else { return };
    let (machine, _kinesis) = prepared(&server).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let running = machine.start(&["deliver", "warehouse", "--listen", &listen]);
    let until = std::time::Instant::now() + Duration::from_secs(120);
    while !ask(port, "/readyz").await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
        assert!(std::time::Instant::now() < until, "it does not get ready");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let metrics = ask(port, "/metrics").await.unwrap();
    for part in [
        "bluelake_deliver_behind_versions{target=\"warehouse\",table=\"transactions\"} 0",
        "bluelake_deliver_rows_total{target=\"warehouse\",table=\"user_events\"}",
        "bluelake_build_info",
    ] {
        assert!(metrics.contains(part), "{part}: {metrics}");
    }
    assert!(ask(port, "/healthz").await.unwrap().starts_with("HTTP/1.1 200"));
    terminate(running).await.expect_code(0);
}

/// The search target `finder`.
pub(crate) fn finder(endpoint: &str, more: &str) -> String {
    format!(
        "[[target]]\nname = \"finder\"\nkind = \"search\"\naddress = \"{endpoint}\"\nindex_prefix = \"lake\"\n{more}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_is_delivered_to_a_search_server() {
    let Some(server) = search::Server::start().await else { return };
    let kinesis = Kinesis::with_streams(1, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    WORKLOAD.put(&machine).await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    machine.write("bluelake.toml", &finder(&server.endpoint(), ""));
    let delivered = machine.run(&["deliver", "finder", "--once", "--json"]).await.expect_code(0).json();
    for table in ["user_events", "transactions"] {
        let lake = machine.number(LAKE, &format!("SELECT count(DISTINCT event_id) FROM {table}")).await;
        assert_eq!(server.documents(table).await.len(), usize::try_from(lake).unwrap(), "{table}");
        let told = delivered["tables"].as_array().unwrap().iter().find(|told| told["table"] == table).unwrap();
        assert_eq!(told["version"], told["newest"], "{told}");
    }
    machine.run(&["deliver", "verify", "finder"]).await.expect_code(0);
    machine.run(&["deliver", "status"]).await.expect_code(0);
    let documents = server.documents("transactions").await;
    let path = "/lake-transactions/_delete_by_query?refresh=true";
    let one = serde_json::json!({ "query": { "ids": { "values": [documents.keys().next().unwrap()] } } });
    server.must(hyper::Method::POST, path, one).await;
    let found = machine.run(&["deliver", "verify", "finder"]).await.expect_code(3);
    assert!(found.stdout.contains("rows are missing") && found.stdout.contains("DIFFERS"), "{}", found.stdout);
    machine.run(&["deliver", "rebuild", "finder"]).await.expect_code(0);
    machine.run(&["deliver", "verify", "finder"]).await.expect_code(0);
    // An address with a user needs a password from somewhere, and a far one a line that is encrypted.
    machine.write("bluelake.toml", &finder("https://me@search.example", ""));
    machine.run(&["deliver", "finder", "--once"]).await.expect_code(2).expect_message(&["finder", "SEARCH_PASSWORD"]);
    machine.write("bluelake.toml", &finder("http://me:s3cret@search.example", ""));
    machine.run(&["deliver", "finder", "--once"]).await.expect_code(2).expect_message(&["not encrypted"]);
}

/// The Redshift target `finance`.
pub(crate) fn finance(more: &str) -> String {
    format!(
        "[[target]]\nname = \"finance\"\nkind = \"redshift\"\naddress = \"redshift-serverless://{WORKGROUP}/postgres\"\n\
         staging = \"s3://staging/bluelake\"\niam_role = \"{ROLE}\"\n{more}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_is_delivered_to_redshift() {
    let Some(server) = Server::start().await else { return };
    let api = DataApi::over(server.port, PASSWORD, &server.client().await).await;
    let kinesis = Kinesis::with_streams(1, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let machine =
        machine.with("AWS_ENDPOINT_URL_REDSHIFT_DATA", &api.endpoint).with("AWS_ENDPOINT_URL_S3", &api.s3.endpoint);
    WORKLOAD.put(&machine).await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    machine.write("bluelake.toml", &finance("tables = [\"user_events\", \"transactions\", \"rejected_events\"]"));
    let delivered = machine.run(&["deliver", "finance", "--once", "--json"]).await.expect_code(0).json();
    let client = server.client().await;
    for table in ["user_events", "transactions", "rejected_events"] {
        let lake = machine.number(LAKE, &format!("SELECT count(*) FROM {table}")).await;
        let held = value(&client, &format!("SELECT count(*) FROM bluelake.{table}")).await;
        assert_eq!(held, lake.to_string(), "{table}");
    }
    assert_eq!(delivered["losses"], 0, "{delivered}");
    let lake = machine.number(LAKE, "SELECT sum(points) FROM donations").await;
    assert_eq!(value(&client, "SELECT sum(points) FROM bluelake.donations").await, lake.to_string());
    machine.run(&["deliver", "verify", "finance"]).await.expect_code(0);
    machine.run(&["deliver", "status"]).await.expect_code(0);
    client
        .batch_execute(
            "DELETE FROM bluelake.transactions WHERE event_id = (SELECT min(event_id) FROM bluelake.transactions)",
        )
        .await
        .unwrap();
    let found = machine.run(&["deliver", "verify", "finance"]).await.expect_code(3);
    assert!(found.stdout.contains("rows are missing") && found.stdout.contains("DIFFERS"), "{}", found.stdout);
    machine.run(&["deliver", "rebuild", "finance"]).await.expect_code(0);
    machine.run(&["deliver", "verify", "finance"]).await.expect_code(0);
    // Nothing is guessed.
    machine.write("bluelake.toml", &finance("").replace("redshift-serverless://", "redshift://me:s3cret@"));
    let wrong = machine.run(&["deliver", "finance", "--once"]).await.expect_code(2);
    assert!(!wrong.stderr.contains("s3cret"), "{}", wrong.stderr);
    wrong.expect_message(&["finance", "a password has no use here"]);
    machine.write("bluelake.toml", &finance("").replace(WORKGROUP, "nowhere"));
    machine
        .run(&["deliver", "finance", "--once"])
        .await
        .expect_code(1)
        .expect_message(&["target 'finance'", "check the address"]);
}
