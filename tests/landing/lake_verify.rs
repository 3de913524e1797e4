//! A lake of ingest passes its verification, and a lake with a lost file fails it.

use crate::support::command::Machine;
use crate::support::lake_files::parquet_files;
use crate::support::oracle::Workload;
use crate::support::servers::Kinesis;

const WORKLOAD: Workload = Workload { events: 3_000, seed: 21, bad_rate: 0.02, duplicate_rate: 0.02, days: 5 };

/// Fails the test unless `lake verify` makes every check of the lake and passes it.
pub(crate) async fn assert_lake_verifies(machine: &Machine, lake: &str) {
    let report = machine.run(&["--lake", lake, "lake", "verify", "--json"]).await.expect_code(0).json();
    for stream in report["streams"].as_array().unwrap() {
        for check in stream["checks"].as_array().unwrap() {
            assert_eq!(check["outcome"], "passed", "{}: {check:#}", stream["stream"]);
        }
    }
}

/// A machine with a lake of several commits and rejected events.
async fn with_lake() -> (Kinesis, Machine) {
    let kinesis = Kinesis::with_streams(2, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    WORKLOAD.put(&machine).await;
    machine.succeed(&["ingest", "--once", "--init", "--buffer-size", "512KiB"]).await;
    (kinesis, machine)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_made_by_ingest_verifies() {
    let (_kinesis, machine) = with_lake().await;
    assert_lake_verifies(&machine, "./bluelake-data").await;
    let report = machine.run(&["lake", "verify", "--json"]).await.expect_code(0).json();
    let rows = report["streams"].as_array().unwrap().iter().map(|stream| stream["rows"].as_i64().unwrap()).sum::<i64>();
    let mut expected = 0;
    for table in ["user_events", "transactions", "rejected_events"] {
        let count = machine.number("./bluelake-data", &format!("SELECT count(*) FROM {table}")).await;
        assert!(count > 0, "{table}");
        expected += count;
    }
    assert_eq!(rows, expected);

    let text = machine.succeed(&["lake", "verify", "--sample", "0.5", "--seed", "7"]).await;
    for part in ["rejected files", "uniqueness", "passed", "--seed 7", "The lake holds what it promises."] {
        assert!(text.contains(part), "{part:?}:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_data_file_is_named() {
    let (_kinesis, machine) = with_lake().await;
    let victim = parquet_files(&machine.path("bluelake-data"), "transactions").remove(0);
    std::fs::remove_file(machine.path("bluelake-data/transactions").join(&victim)).unwrap();
    let report = machine.run(&["lake", "verify", "--json"]).await.expect_code(3).json();
    let failed: Vec<_> = report["streams"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|stream| stream["checks"].as_array().unwrap().iter().map(move |check| (stream, check)))
        .filter(|(_, check)| check["outcome"] == "failed")
        .collect();
    let [(stream, check)] = failed.as_slice() else { panic!("{failed:#?}") };
    assert_eq!((&stream["stream"], &check["name"]), (&"transaction-events".into(), &"files".into()));
    let example = check["examples"][0].as_str().unwrap();
    assert!(example.contains(&victim) && example.contains("missing"), "{example}");

    let text = machine.run(&["lake", "verify"]).await.expect_code(3).stdout;
    assert!(text.contains("files") && text.contains("FAILED once") && text.contains("not checked"), "{text}");
}

#[tokio::test]
async fn a_place_without_a_lake_names_its_remedy() {
    Machine::new().run(&["lake", "verify"]).await.expect_code(1).expect_message(&["bluelake lake init"]);
    Machine::new().run(&["lake", "verify", "--sample", "2"]).await.expect_code(2).expect_message(&["--sample"]);
}
