//! Configuration from outside: file, environment, flags, and the origin of each value.

use serde_json::Value;

use crate::support::command::Machine;

fn setting<'a>(shown: &'a Value, key: &str) -> (&'a str, &'a str) {
    let row = shown.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap();
    (row["value"].as_str().unwrap(), row["origin"].as_str().unwrap())
}

#[tokio::test]
async fn config_show_names_the_origin_of_every_value() {
    let machine = Machine::new().with("BLUELAKE_INGEST_BUFFER_AGE", "9s");
    machine
        .write("bluelake.toml", "time-zone = 'America/Chicago'\n[ingest]\nbuffer-age = '7s'\nbuffer-size = '3MiB'\n");
    let shown = machine.run(&["--lake", "s3://bucket/x", "config", "show", "--json"]).await.expect_code(0).json();
    assert_eq!(setting(&shown, "lake"), ("s3://bucket/x", "flag --lake"));
    assert_eq!(setting(&shown, "ingest.buffer-age"), ("9s", "variable BLUELAKE_INGEST_BUFFER_AGE"));
    assert_eq!(setting(&shown, "ingest.buffer-size"), ("3MiB", "file bluelake.toml"));
    assert_eq!(setting(&shown, "time-zone"), ("America/Chicago", "file bluelake.toml"));
    assert_eq!(setting(&shown, "streams.user-events"), ("user-events", "default"));
}

#[tokio::test]
async fn config_show_is_readable_for_people_too() {
    let text = Machine::new().succeed(&["config", "show"]).await;
    assert!(text.contains("ingest.file-size") && text.contains("128MiB") && text.contains("default"), "{text}");
}

#[tokio::test]
async fn another_file_can_be_named() {
    let machine = Machine::new();
    machine.write("elsewhere/other.toml", "lake = 'there'");
    let shown =
        machine.run(&["--config", "elsewhere/other.toml", "config", "show", "--json"]).await.expect_code(0).json();
    assert_eq!(setting(&shown, "lake"), ("there", "file elsewhere/other.toml"));
    let machine = machine.with("BLUELAKE_CONFIG", "elsewhere/other.toml");
    let shown = machine.run(&["config", "show", "--json"]).await.expect_code(0).json();
    assert_eq!(setting(&shown, "lake").0, "there");
}

#[tokio::test]
async fn the_contract_is_shown_to_producers_and_readers() {
    let machine = Machine::new();
    for stream in ["user-events", "transaction-events"] {
        let schema = machine.run(&["schema", "json-schema", stream]).await.expect_code(0).json();
        assert!(schema["$schema"].as_str().unwrap().contains("2020-12"), "{schema}");
    }
    let dictionary = machine.run(&["schema", "describe", "--json"]).await.expect_code(0).json();
    let rows = dictionary.as_array().unwrap();
    let email = rows.iter().find(|row| row["table"] == "user_events" && row["column"] == "email").unwrap();
    assert_eq!(email["pii"], true);
    let text = machine.succeed(&["schema", "describe"]).await;
    assert!(text.contains("rejected_events") && text.contains("points_civilian"), "{text}");
}
