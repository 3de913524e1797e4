//! Our scan and that of deltalake. First the time to open a lake and to plan a statement, with a table of 10,000 files: in a
//! process that begins, and in one that opened it before. Then, over the lake that LAKE names, the time of statements: in turns,
//! each first with a lake that was not read before, then again. Prints the least and the median of several runs; of statements
//! also the processor time of all threads.
//!
//!     LAKE=<folder> cargo bench --workspace --bench scan

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
use datafusion::{
    execution::SessionStateBuilder,
    physical_optimizer::optimizer::PhysicalOptimizer,
    prelude::{SessionConfig, SessionContext},
};
use serde_json::json;

const FILES: u32 = 10_000;
const RUNS: usize = 15;
const STATEMENTS: [(&str, &str); 3] = [
    ("all files", "SELECT event_type, sum(points) FROM t GROUP BY event_type"),
    ("a day", "SELECT sum(points) FROM t WHERE event_date = DATE '2026-01-07' AND event_type = 'donation'"),
    ("bounds", "SELECT event_id FROM t WHERE event_id = '00000000-0000-4000-8000-000000004711'"),
];

/// Over the lake of LAKE: few columns, many, a sum of a kind, a look-up, and a condition on a plain column.
const QUESTIONS: [(&str, &str); 7] = [
    ("times of all", "SELECT min(occurred_at), max(occurred_at) FROM t"),
    ("by day", "SELECT event_date, event_type, count(*), sum(points) FROM t GROUP BY 1, 2"),
    ("kind in words", "SELECT event_type || '!', count(points) FROM t GROUP BY 1"),
    ("by donor", "SELECT donor_id, sum(points) FROM t WHERE event_type = 'donation' GROUP BY 1"),
    (
        "many columns",
        "SELECT max(event_id), max(source), max(channel), max(civilian_id), max(officer_id), max(method), max(points_civilian), max(points_officer), max(zip_code), max(distance_ft), max(stream_sequence), max(arrived_at) FROM t WHERE event_type = 'interaction'",
    ),
    ("look-up", "SELECT event_type, occurred_at, donor_id, recipient_id, points FROM t WHERE event_id = 'nobody'"),
    ("plain condition", "SELECT sum(points), count(DISTINCT donor_id) FROM t WHERE points > 20"),
];
const TURNS: usize = 5;

#[tokio::main]
async fn main() {
    match std::env::var("LAKE") {
        Ok(lake) => ask(&lake).await,
        Err(_) => open().await,
    }
}

/// Prints the times of both scans for each statement.
async fn ask(lake: &str) {
    println!(
        "seconds, {TURNS} turns\n\n| what | scan | first: least | processor | again: least | processor |\n| --- | --- | --- | --- | --- | --- |"
    );
    for (name, sql) in QUESTIONS {
        let mut times: [[Vec<[f64; 2]>; 2]; 2] = Default::default();
        for _ in 0..TURNS {
            for (scan, times) in times.iter_mut().enumerate() {
                let lake = Lake::at(&lake.parse().unwrap(), None).unwrap();
                for times in times {
                    times.push(answered(&lake, scan == 1, sql).await);
                }
            }
        }
        for (times, scan) in times.iter().zip(["ours", "deltalake"]) {
            let [first, again] = times;
            let least = |times: &[[f64; 2]], part: usize| times.iter().map(|time| time[part]).fold(f64::MAX, f64::min);
            println!(
                "| {name} | {scan} | {:.3} | {:.3} | {:.3} | {:.3} |",
                least(first, 0),
                least(first, 1),
                least(again, 0),
                least(again, 1)
            );
        }
    }
}

/// Wall and processor seconds of a statement, with the opening of the lake.
async fn answered(lake: &Lake, is_general: bool, sql: &str) -> [f64; 2] {
    let (began, used) = (Instant::now(), processor_seconds());
    let reading = lake.read(&AsOf::Newest).await.unwrap();
    let frame = context(reading, is_general).sql(sql).await.unwrap();
    frame.collect().await.unwrap();
    [began.elapsed().as_secs_f64(), processor_seconds() - used]
}

/// Of all threads, as the system counts it: in hundredths of a second.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// A session that has a table by one of the scans, and conditions as queries push them: with the logical plan alone.
fn context(reading: LakeReading, is_general: bool) -> SessionContext {
    let mut rules = PhysicalOptimizer::new().rules;
    rules.retain(|rule| !rule.name().starts_with("FilterPushdown") && rule.name() != "aggregate_statistics");
    let state = SessionStateBuilder::new()
        .with_config(SessionConfig::new().with_target_partitions(2))
        .with_default_features()
        .with_physical_optimizer_rules(rules)
        .build();
    let context = SessionContext::new_with_state(state);
    let table = reading.tables.into_iter().find(|table| table.name == Stream::TransactionEvents.table()).unwrap();
    let scan = if is_general { table.general } else { table.provider };
    context.register_table("t", Arc::clone(&scan)).unwrap();
    context
}

async fn open() {
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
    context(reading, is_general).sql(sql).await.unwrap().create_physical_plan().await.unwrap();
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
