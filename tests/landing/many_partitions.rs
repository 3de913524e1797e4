//! Thousands of open partitions under a small memory budget: ingest succeeds, loses no event, and its memory stays
//! bounded.

use std::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use chrono::{Days, NaiveDate};
use tokio::task::JoinHandle;

use crate::support::command::{Machine, wait};
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS};

const DATES: u64 = 1_250;
const EVENTS: u64 = 120_000;
/// Events in one put.
const PUT: u64 = 500;
const MEBIBYTE: u64 = 1024;

/// The event of this number: types and dates take turns, so that every page holds all of them.
fn event(number: u64) -> String {
    let date = NaiveDate::from_ymd_opt(2020, 1, 1).unwrap() + Days::new((number / 4) % DATES);
    let fields = match number % 4 {
        0 => {
            r#""event_type":"interaction","civilian_id":"c1","officer_id":"o1","method":"qr","points_civilian":5,"points_officer":2,"zip_code":"60601""#
        }
        1 => {
            r#""event_type":"donation","donor_id":"c1","donor_kind":"civilian","recipient_id":"h1","recipient_kind":"charity","points":5"#
        }
        2 => {
            r#""event_type":"redemption","redeemer_id":"c1","redeemer_kind":"civilian","provider_id":"m1","provider_kind":"merchant","purpose":"goods","points":5"#
        }
        _ => r#""event_type":"transfer","from_officer_id":"o1","to_officer_id":"o2","points":5"#,
    };
    let id = uuid::Uuid::new_v4();
    format!(r#"{{"event_id":"{id}",{fields},"occurred_at":"{date}T12:00:00Z","source":"scoring","channel":"mobile"}}"#)
}

async fn put(kinesis: &Kinesis) {
    for first in (0..EVENTS).step_by(PUT as usize) {
        let entry = |number: u64| {
            let data = Blob::new(event(number));
            PutRecordsRequestEntry::builder().partition_key(number.to_string()).data(data).build().unwrap()
        };
        let records = (first..first + PUT).map(entry).collect();
        let put = kinesis.client.put_records().stream_name(TRANSACTION_EVENTS).set_records(Some(records));
        assert_eq!(put.send().await.unwrap().failed_record_count(), Some(0));
    }
}

/// The peak of a process's resident memory, in KiB, once it has ended.
pub(crate) fn watch_peak_memory(process: u32) -> JoinHandle<u64> {
    tokio::spawn(async move {
        let mut peak = 0;
        while let Some(now) = peak_memory(process) {
            peak = now;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        peak
    })
}

/// Peak resident memory of a process so far, in KiB; `None` once it has ended.
fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_partitions_land_within_the_memory_budget() {
    let kinesis = Kinesis::with_streams(1, 4).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    put(&kinesis).await;
    // There is one commit, unless memory causes another.
    let ingest = ["ingest", "--once", "--init", "--memory-budget", "256MiB", "--buffer-age", "1h", "--json"];
    let worker = machine.start(&ingest);
    let watching = watch_peak_memory(worker.id().unwrap());
    let result = wait(worker).await.expect_code(0).json();
    let peak = watching.await.unwrap();
    eprintln!("peak memory: {} MiB", peak / MEBIBYTE);
    assert!(peak > 0 && peak < 400 * MEBIBYTE, "{} MiB", peak / MEBIBYTE);
    let transactions =
        result["streams"].as_array().unwrap().iter().find(|stream| stream["stream"] == TRANSACTION_EVENTS).unwrap();
    assert_eq!(transactions["stored"], EVENTS, "{result}");
    // The largest partitions were written ahead, the others with the commit, and it was one.
    assert!(transactions["files"].as_u64().unwrap() > 4 * DATES, "{result}");
    assert_eq!(transactions["commits"], 2, "the first pins the shards: {result}");
    assert_eq!(machine.number("./bluelake-data", "SELECT count(*) FROM transactions").await, EVENTS as i64);
    assert_eq!(
        machine.number("./bluelake-data", "SELECT count(DISTINCT event_id) FROM transactions").await,
        EVENTS as i64
    );
    let partitions = "SELECT count(*) FROM (SELECT DISTINCT event_type, event_date FROM transactions)";
    assert_eq!(machine.number("./bluelake-data", partitions).await, 4 * DATES as i64);
}
