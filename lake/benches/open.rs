//! The time to open a lake and to plan a statement, with a table of 10,000 files: in a process that begins, and in one that
//! opened it before. Prints the least and the median of several runs, for our scan and for that of deltalake.
//!
//!     cargo bench --workspace --bench open

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, missing_docs)]

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bluelake_lake::{AsOf, Lake, LakeReading};
use bluelake_schemas::{Contract, Stream};
use datafusion::prelude::SessionContext;
use serde_json::json;

const FILES: u32 = 10_000;
const RUNS: usize = 15;
const STATEMENTS: [(&str, &str); 3] = [
    ("all files", "SELECT event_type, sum(points) FROM t GROUP BY event_type"),
    ("a day", "SELECT sum(points) FROM t WHERE event_date = DATE '2026-01-07' AND event_type = 'donation'"),
    ("bounds", "SELECT event_id FROM t WHERE event_id = '00000000-0000-4000-8000-000000004711'"),
];

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let at = || Lake::at(&folder.path().to_str().unwrap().parse().unwrap(), None).unwrap();
    let lake = at();
    lake.init(&Contract::embedded().unwrap()).await.unwrap();
    write_files(&folder.path().join(Stream::TransactionEvents.table()));
    println!("{FILES} files, milliseconds, {RUNS} runs\n\n| what | least | median |\n| --- | --- | --- |");
    row("open, first", timed(async || drop(at().read(&AsOf::Newest).await.unwrap())).await);
    row("open, again", timed(async || drop(lake.read(&AsOf::Newest).await.unwrap())).await);
    for (name, sql) in STATEMENTS {
        for is_general in [false, true] {
            let scan = if is_general { "deltalake's scan" } else { "our scan" };
            let both = timed(async || {
                let reading = lake.read(&AsOf::Newest).await.unwrap();
                plan(reading, is_general, sql).await;
            });
            row(&format!("open again and plan, {name}, {scan}"), both.await);
        }
    }
}

async fn plan(reading: LakeReading, is_general: bool, sql: &str) {
    let context = SessionContext::new();
    let table = reading.tables.into_iter().find(|table| table.name == Stream::TransactionEvents.table()).unwrap();
    let scan = if is_general { table.general } else { table.provider };
    context.register_table("t", Arc::clone(&scan)).unwrap();
    context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
}

async fn timed(act: impl AsyncFn()) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let began = Instant::now();
        act().await;
        times.push(began.elapsed());
    }
    times.sort();
    times
}

fn row(what: &str, times: Vec<Duration>) {
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!("| {what} | {:.1} | {:.1} |", millis(times[0]), millis(times[times.len() / 2]));
}

/// One commit with many files of 30 days. Nothing is read of them.
fn write_files(table: &Path) {
    let mut commit = String::new();
    for file in 0..FILES {
        let (day, kind) = (format!("2026-01-{:02}", file % 30 + 1), ["donation", "interaction"][file as usize % 2]);
        let id = |row: u32| format!("00000000-0000-4000-8000-{:012}", file * 10 + row);
        let at = |row: u32| format!("{day}T10:00:0{row}.000Z");
        let bounds = |row: u32| json!({"event_id": id(row), "occurred_at": at(row), "arrived_at": at(row), "points": row, "civilian_id": id(row)});
        let nulls = json!({"event_id": 0, "occurred_at": 0, "arrived_at": 0, "points": 0, "civilian_id": 0});
        let stats = json!({"numRecords": 10, "minValues": bounds(0), "maxValues": bounds(9), "nullCount": nulls});
        let add = json!({"path": format!("event_type={kind}/event_date={day}/part-{file}.parquet"), "size": 100_000, "modificationTime": 0,
            "partitionValues": {"event_type": kind, "event_date": day}, "dataChange": true, "stats": stats.to_string()});
        writeln!(commit, "{}", json!({"add": add})).unwrap();
    }
    fs::write(table.join("_delta_log/00000000000000000001.json"), commit).unwrap();
}
