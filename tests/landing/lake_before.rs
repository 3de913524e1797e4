//! A lake of an older version (`tests/lake-before/`): the columns of its reports are the same to the byte, and this version goes on
//! with it.

use std::path::{Path, PathBuf};

use deltalake::parquet::file::reader::{FileReader as _, SerializedFileReader};

use crate::support::command::Machine;
use crate::support::lake_files::{control_totals, parquet_files};
use crate::support::oracle::Workload;
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS};

/// The user of `user_statement`.
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
async fn older_versions_columns_are_the_same_bytes() {
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
        let before = std::fs::read_to_string(&path).unwrap();
        assert_eq!(printed.lines().count(), before.lines().count(), "{name}");
        for (line, before) in printed.lines().zip(before.lines()) {
            // A report may have got columns behind those of before.
            let is_same = line.strip_prefix(before).is_some_and(|more| more.is_empty() || more.starts_with(','));
            assert!(is_same, "{name}: {line} was {before}");
        }
        reports += 1;
    }
    assert_eq!(reports, 27);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_versions_lake_is_verified_and_used() {
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

/// Counts files whose columns have numbers and the partition, and files whose columns have neither; a mixed file fails
/// the test.
fn kinds(lake: &Path, table: &str, partition: &str) -> (usize, usize) {
    let (mut numbered, mut plain) = (0, 0);
    for name in parquet_files(lake, table) {
        let file = SerializedFileReader::new(std::fs::File::open(lake.join(table).join(&name)).unwrap()).unwrap();
        let schema = file.metadata().file_metadata().schema();
        let ids = schema.get_fields().iter().filter(|column| column.get_basic_info().has_id()).count();
        let has_partition = schema.get_fields().iter().any(|column| column.name() == partition);
        if ids == 0 {
            assert!(!has_partition, "{name}");
            plain += 1;
        } else {
            assert_eq!((ids, has_partition), (schema.get_fields().len(), true), "{name}");
            numbered += 1;
        }
    }
    (numbered, plain)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_both_kinds_answer_as_one() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    let lake = machine.path("bluelake-data");
    copy(&fixture().join("lake"), &lake);
    copy(&lake, &machine.path("before"));
    let workload = Workload { events: 400, seed: 78, bad_rate: 0.05, duplicate_rate: 0.0, days: 3 };
    workload.put(&machine).await;
    // Its shards are not in the new stream.
    machine.succeed(&["ingest", "--once", "--on-gap", "continue"]).await;
    machine.succeed(&["--lake", "fresh", "ingest", "--once", "--init"]).await;
    for (table, partition, others) in [
        ("transactions", "event_type", "points IS NULL OR extras IS NOT NULL"),
        ("user_events", "event_date", "email IS NULL AND zip_code > '2'"),
        ("rejected_events", "arrival_date", "field_path IS NOT NULL OR reason LIKE 'not%'"),
    ] {
        let before = kinds(&machine.path("before"), table, partition);
        let fresh = kinds(&machine.path("fresh"), table, partition);
        assert!(before.0 == 0 && before.1 > 0 && fresh.0 > 0 && fresh.1 == 0, "{table}: {before:?} {fresh:?}");
        assert_eq!(kinds(&lake, table, partition), (fresh.0, before.1), "{table}");
        for condition in ["true", others, &format!("({others}) IS NOT TRUE"), &format!("{partition} > '2026-10-31'")] {
            let sql = format!("SELECT * FROM {table} WHERE {condition}");
            let mut together = machine.query("./bluelake-data", &sql).await;
            let mut apart = machine.query("./before", &sql).await;
            apart.extend(machine.query("./fresh", &sql).await);
            for rows in [&mut together, &mut apart] {
                rows.sort_by_key(ToString::to_string);
            }
            assert!(!together.is_empty(), "{sql}");
            assert_eq!(together, apart, "{sql}");
        }
    }
    machine.succeed(&["lake", "verify", "--deep"]).await;
}
