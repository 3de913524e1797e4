//! A lake that an older version wrote (`tests/lake-before/`): its reports are the same to the byte, and the next version
//! goes on with it.

use std::path::{Path, PathBuf};

use crate::support::command::Machine;
use crate::support::lake_files::control_totals;
use crate::support::oracle::Workload;
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS};

/// Of whom `user_statement` tells.
const USER: &str = "user=00b3be18-a584-4b09-9cf8-d8ba65343847";

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lake-before")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let (path, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_a_lake_of_the_version_before_are_the_same_to_the_byte() {
    let machine = Machine::new();
    copy(&fixture().join("lake"), &machine.path("bluelake-data"));
    let mut reports = 0;
    for entry in fixture().join("reports").read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let mut arguments = vec!["report", "run", name, "--format", "csv", "--to", "2026-11-27"];
        if name != "breakage" {
            arguments.extend(["--from", "2026-11-01"]);
        }
        if name == "user_statement" {
            arguments.extend(["--parameter", USER]);
        }
        let printed = machine.succeed(&arguments).await;
        assert_eq!(printed, std::fs::read_to_string(&path).unwrap(), "{name}");
        reports += 1;
    }
    assert_eq!(reports, 27);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_of_the_version_before_is_verified_and_ingested_into() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let lake = machine.path("bluelake-data");
    copy(&fixture().join("lake"), &lake);
    machine.succeed(&["lake", "verify"]).await;
    let before = control_totals(&lake, "transactions", TRANSACTION_EVENTS);
    assert_eq!((before.received, before.stored, before.rejected, before.duplicate), (332, 319, 7, 6));
    let workload = Workload { events: 300, seed: 77, bad_rate: 0.0, duplicate_rate: 0.0, days: 1 };
    workload.put(&machine).await;
    // Its shards are not in the new stream.
    machine.succeed(&["ingest", "--once", "--on-gap", "continue"]).await;
    machine.succeed(&["lake", "verify"]).await;
    let after = control_totals(&lake, "transactions", TRANSACTION_EVENTS);
    let added = machine.query("./bluelake-data", "SELECT count(*) AS rows FROM transactions").await;
    assert!(after.stored > before.stored, "{after:?}");
    assert_eq!(added[0]["rows"].as_u64(), Some(after.stored));
}
