//! Refusals in place of guesses.

use bluelake_lake::{Lake, LakeError, Position, StreamTable, Writer};
use bluelake_schemas::Millis;

use crate::{
    fixture::{Fixture, STREAM, advance, batch, empty, pin},
    stores::Fault,
};

const SHARD: &str = "shardId-0";

async fn with_rows() -> (Fixture, std::path::PathBuf) {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    let rows = batch(&table, SHARD, Position::TrimHorizon, 1..=3, 0).await;
    table.commit(&rows).await.unwrap();
    let folder = fixture.folder.path().join("transactions");
    (fixture, folder)
}

fn document(folder: &std::path::Path, number: u64) -> std::path::PathBuf {
    folder.join(format!("_checkpoints/transaction-events/{number:020}.json"))
}

async fn refusal(fixture: &Fixture) -> String {
    fixture.try_open(&fixture.lake).await.expect_err("must be refused").to_string()
}

#[tokio::test]
async fn a_missing_document_is_refused() {
    let (fixture, folder) = with_rows().await;
    std::fs::remove_file(document(&folder, 2)).unwrap();
    let message = refusal(&fixture).await;
    assert!(message.contains("missing") && message.contains("00000002.json"), "{message}");
}

#[tokio::test]
async fn an_altered_document_is_refused() {
    let (fixture, folder) = with_rows().await;
    let path = document(&folder, 2);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"stored\": 3", "\"stored\": 4")).unwrap();
    let message = refusal(&fixture).await;
    assert!(message.contains("digest"), "{message}");
}

#[tokio::test]
async fn a_document_of_a_newer_format_is_refused() {
    let (fixture, folder) = with_rows().await;
    let path = document(&folder, 2);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"format\": 5", "\"format\": 6")).unwrap();
    let message = refusal(&fixture).await;
    assert!(message.contains("format 6"), "{message}");
}

#[tokio::test]
async fn one_of_two_racing_streams_gets_the_table() {
    let fixture = Fixture::new().await;
    let of_stream = |arn: &str| Writer {
        worker: "test".to_owned(),
        stream_arn: arn.to_owned(),
        stream_created_at: Some(Millis::new(1_767_225_600_000)),
        contract_version: fixture.contract.version(),
    };
    let open = |arn: &'static str| StreamTable::open(&fixture.lake, &fixture.contract, STREAM, of_stream(arn));
    // Both find a table without a stream.
    let (mut first, mut second) = (open("arn:first").await.unwrap(), open("arn:second").await.unwrap());
    pin(&mut first, SHARD).await;
    let step = advance(SHARD, None, Position::TrimHorizon, 0, 0);
    let late = empty(&second, vec![step]);
    let refused = second.commit(&late).await.expect_err("must be refused").to_string();
    assert!(refused.contains("arn:first") && refused.contains("arn:second is another"), "{refused}");
    let refused = open("arn:second").await.expect_err("must be refused").to_string();
    assert!(refused.contains("refusing to write"), "{refused}");
    let rows = batch(&first, SHARD, Position::TrimHorizon, 1..=3, 0).await;
    first.commit(&rows).await.unwrap();
    let document = first.document().unwrap();
    assert_eq!(
        (document.head.stream_arn.as_str(), document.head.stream_created_at),
        ("arn:first", Some(Millis::new(1_767_225_600_000)))
    );
}

#[tokio::test]
async fn rows_of_another_program_are_refused() {
    let (fixture, folder) = with_rows().await;
    let log = folder.join("_delta_log");
    let last = std::fs::read_to_string(log.join(format!("{:020}.json", 2))).unwrap();
    let foreign: Vec<&str> = last.lines().filter(|line| !line.contains("\"txn\"")).collect();
    let foreign = foreign.join("\n").replace("-00000.parquet", "-00001.parquet");
    std::fs::write(log.join(format!("{:020}.json", 3)), foreign).unwrap();
    let message = refusal(&fixture).await;
    assert!(message.contains("6 rows") && message.contains("say 3"), "{message}");
}

#[tokio::test]
async fn a_table_that_was_rolled_back_is_refused() {
    let (fixture, folder) = with_rows().await;
    for version in 1..=2 {
        std::fs::remove_file(folder.join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
    let message = refusal(&fixture).await;
    assert!(message.contains("document 2"), "{message}");
}

#[tokio::test]
async fn a_table_that_forgets_its_position_is_refused() {
    let (fixture, folder) = with_rows().await;
    let log = folder.join("_delta_log");
    let first = std::fs::read_to_string(log.join(format!("{:020}.json", 0))).unwrap();
    let metadata = first.lines().find(|line| line.contains("\"metaData\"")).unwrap();
    let mut action: serde_json::Value = serde_json::from_str(metadata).unwrap();
    let property = "delta.setTransactionRetentionDuration";
    action["metaData"]["configuration"] = serde_json::json!({ property: "interval 30 days" });
    std::fs::write(log.join(format!("{:020}.json", 3)), action.to_string()).unwrap();
    let message = refusal(&fixture).await;
    assert!(message.contains(property), "{message}");
}

#[tokio::test]
async fn a_store_without_put_if_absent_is_refused() {
    let fixture = Fixture::new().await;
    let lake = fixture.faulty("_workers/probe", Fault::IgnoreCreate, 2);
    let error = fixture.try_open(&lake).await.expect_err("must be refused");
    assert!(matches!(&error, LakeError::Refused { check, .. } if check.contains("put-if-absent")), "{error}");
}

#[tokio::test]
async fn a_folder_without_tables_is_not_a_lake() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::at(&folder.path().to_str().unwrap().parse().unwrap(), None).unwrap();
    let error = lake.table("transactions").await.expect_err("no table there");
    assert!(matches!(error, LakeError::NotALake { .. }), "{error}");
    assert!(error.to_string().contains("bluelake lake init"), "{error}");
}

/// The embedded contract with `from` replaced by `to` in the file of transaction events.
fn changed_contract(from: &str, to: &str) -> bluelake_schemas::Contract {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/events");
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let text = if path.ends_with("transaction_events.toml") {
            assert!(text.contains(from), "the contract has no {from:?}");
            text.replace(from, to)
        } else {
            text
        };
        std::fs::write(folder.path().join(path.file_name().unwrap()), text).unwrap();
    }
    bluelake_schemas::Contract::load(folder.path()).unwrap()
}

#[tokio::test]
async fn a_reworded_description_changes_no_table() {
    let mut fixture = Fixture::new().await;
    fixture.contract = changed_contract("description = \"", "description = \"In other words: ");
    fixture.open().await;
}

#[tokio::test]
async fn another_type_of_a_column_is_refused() {
    let mut fixture = Fixture::new().await;
    fixture.contract = changed_contract("type = \"number\"\nmin = 0\nunit = \"feet\"", "type = \"string\"");
    let message = refusal(&fixture).await;
    assert!(message.contains("distance_ft"), "{message}");
}
