//! A new optional field is one edit in one file, and existing tables gain the column at the next start.

use serde_json::json;

use crate::support::command::Machine;
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS};

const NEW_FIELD: &str = r#"
[[fields]]
name = "event_name"
field_id = 1027
type = "string"
optional_in = ["interaction"]
description = "Name of the community event where they met."
"#;

const DROPPED_LIST: &str = r#"
[[fields]]
name = "nearby"
type = "list"
on_arrival = "drop"
pii = true
optional_in = ["interaction"]
description = "Devices that were near."

[[fields.fields]]
name = "device"
type = "string"
max_bytes = 64
required = true
description = "Its name."
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
async fn a_table_gains_columns_with_null_before() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let ids = ["3f3c1b7e-0000-4000-8000-000000000001", "3f3c1b7e-0000-4000-8000-000000000002"];
    kinesis.put(TRANSACTION_EVENTS, "c-1", &interaction(ids[0], Some("Block party"))).await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    let before = machine.query("./bluelake-data", "SELECT * FROM transactions").await;
    assert!(before[0].get("event_name").is_none());
    assert_eq!(before[0]["extras"], r#"{"event_name":"Block party"}"#, "unknown to the old contract, but not lost");

    machine.copy_contract("contract");
    let file = machine.path("contract/transaction_events.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let rules = text.find("[[rules]]").unwrap();
    std::fs::write(&file, format!("{}{NEW_FIELD}\n{}", &text[..rules], &text[rules..])).unwrap();
    kinesis.put(TRANSACTION_EVENTS, "c-1", &interaction(ids[1], Some("Ice cream day"))).await;
    machine.succeed(&["--contract", "contract", "ingest", "--once"]).await;

    let rows = machine.query("./bluelake-data", "SELECT * FROM transactions ORDER BY event_id").await;
    assert_eq!(rows.len(), 2);
    assert!(rows[0]["event_name"].is_null());
    assert_eq!(rows[1]["event_name"], "Ice cream day");
    assert!(rows[1]["extras"].is_null());
    let schema = machine.run(&["--contract", "contract", "schema", "json-schema", TRANSACTION_EVENTS]).await;
    assert!(schema.expect_code(0).stdout.contains("event_name"));
    assert_eq!(machine.number("./bluelake-data", "SELECT count(*) FROM interactions").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_list_is_checked_and_leaves_nothing() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    machine.copy_contract("contract");
    let file = machine.path("contract/transaction_events.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let rules = text.find("[[rules]]").unwrap();
    std::fs::write(&file, format!("{}{DROPPED_LIST}\n{}", &text[..rules], &text[rules..])).unwrap();
    let transfer = json!({
        "event_type": "transfer", "occurred_at": "2026-10-05T12:00:00Z",
        "from_officer_id": "o-1", "to_officer_id": "o-2", "points": 5,
    });
    let nearby = [
        json!([{ "device": "secret-1", "owner": "secret-2" }]),
        json!([{ "device": 1 }]),
        json!("secret-3"),
        json!(null),
    ];
    let interaction: serde_json::Value = serde_json::from_slice(&interaction("", None)).unwrap();
    let mut number = 0;
    for event in [transfer, interaction] {
        for nearby in &nearby {
            number += 1;
            let mut event = event.clone();
            event["event_id"] = json!(format!("3f3c1b7e-0000-4000-8000-{number:012}"));
            event["nearby"] = nearby.clone();
            kinesis.put(TRANSACTION_EVENTS, "c-1", &serde_json::to_vec(&event).unwrap()).await;
        }
    }
    machine.succeed(&["--contract", "contract", "ingest", "--once", "--init"]).await;
    let rows = machine.query("./bluelake-data", "SELECT * FROM transactions").await;
    assert_eq!(rows.len(), 4);
    assert!(!serde_json::to_string(&rows).unwrap().contains("secret"), "{rows:?}");
    let sql = "SELECT reason, field_path, count(*) AS n FROM rejected_events GROUP BY ALL ORDER BY field_path";
    let rejected = machine.query("./bluelake-data", sql).await;
    let wrong = |path: &str| json!({ "reason": "wrong_type", "field_path": path, "n": 2 });
    assert_eq!(rejected, [wrong("nearby"), wrong("nearby[0].device")]);
}
