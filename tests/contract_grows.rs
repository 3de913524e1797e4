//! A new optional field is one edit in one file, and existing tables gain the column at the next start.

use serde_json::json;

use crate::command::Machine;
use crate::servers::{Kinesis, TRANSACTION_EVENTS};

const NEW_FIELD: &str = r#"
[[fields]]
name = "event_name"
type = "string"
optional_in = ["interaction"]
description = "Name of the community event where they met."
"#;

fn interaction(id: &str, event_name: Option<&str>) -> Vec<u8> {
    let mut event = json!({
        "event_id": id, "event_type": "interaction", "occurred_at": "2026-10-05T12:00:00Z",
        "civilian_id": "c-1", "officer_id": "o-1", "method": "event",
        "points_civilian": 10, "points_officer": 5, "zip_code": "60601",
    });
    if let Some(name) = event_name {
        event["event_name"] = json!(name);
    }
    serde_json::to_vec(&event).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_table_gains_the_column_and_old_rows_have_null() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let ids = ["3f3c1b7e-0000-4000-8000-000000000001", "3f3c1b7e-0000-4000-8000-000000000002"];
    kinesis.put(TRANSACTION_EVENTS, "c-1", &interaction(ids[0], Some("Block party"))).await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    let before = machine.query("./lake", "SELECT * FROM transactions").await;
    assert!(before[0].get("event_name").is_none());
    assert_eq!(before[0]["extras"], r#"{"event_name":"Block party"}"#, "unknown to the old contract, but not lost");

    machine.copy_contract("contract");
    let file = machine.path("contract/transaction_events.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let rules = text.find("[[rules]]").unwrap();
    std::fs::write(&file, format!("{}{NEW_FIELD}\n{}", &text[..rules], &text[rules..])).unwrap();
    kinesis.put(TRANSACTION_EVENTS, "c-1", &interaction(ids[1], Some("Ice cream day"))).await;
    machine.succeed(&["--contract", "contract", "ingest", "--once"]).await;

    let rows = machine.query("./lake", "SELECT * FROM transactions ORDER BY event_id").await;
    assert_eq!(rows.len(), 2);
    assert!(rows[0]["event_name"].is_null());
    assert_eq!(rows[1]["event_name"], "Ice cream day");
    assert!(rows[1]["extras"].is_null());
    let schema = machine.run(&["--contract", "contract", "schema", "json-schema", TRANSACTION_EVENTS]).await;
    assert!(schema.expect_code(0).stdout.contains("event_name"));
    assert_eq!(machine.number("./lake", "SELECT count(*) FROM interactions").await, 2);
}
