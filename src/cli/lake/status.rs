//! `bluelake lake status`: how the tables stand: files, sizes, what is small, log, floor, growth and what a month costs.

use std::time::Duration;

use anyhow::Result;
use bluelake_care::{CompactionOptions, Estimate, FileCounts, Prices, TableStatus, greatest_debt};
use bluelake_lake::{Heartbeats, Lake, LakeError, Objects, OrphanSearch, VacuumOptions};
use bluelake_schemas::Millis;
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use super::{chosen, table_names, vacuum};
use crate::cli::Session;
use crate::terminal::failure::Outcome;
use crate::terminal::output::{self, grouped, instant, size};

/// What was written in this time counts for the growth.
const GROWTH: Duration = Duration::from_secs(24 * 3_600);
/// Partitions that are listed for people, those with the greatest debt.
const LISTED: usize = 10;

/// Arguments of `bluelake lake status`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArguments {
    /// Look at this table only; may be repeated [default: all]
    #[arg(long = "table", value_name = "NAME", value_parser = table_names())]
    tables: Vec<String>,
    /// Look for files that nothing refers to as well, as `lake vacuum --dry-run` does; needs to write, to ask the store its time
    #[arg(long)]
    orphans: bool,
}

const EXAMPLES: &str = "\
Changes nothing. Lists everything below the tables once; dollars are an estimate by the settings prices.*.
Exit code 3 when a table has over 5,000 files that are not full, or over 100,000 in all; or when a record cannot be read.

Examples:
  bluelake lake status
  bluelake lake status --orphans
  bluelake --lake s3://bucket/lake lake status --table transactions --json";

/// The tables at one moment.
#[derive(Serialize)]
struct LakeStatus<'a> {
    lake: &'a str,
    at: DateTime<Utc>,
    ok: bool,
    problems: Vec<String>,
    /// Workers that have a heartbeat.
    workers: usize,
    tables: Vec<TableStatus>,
    /// In 30 days, about; of the tables that were looked at.
    estimate: Estimate,
    prices: Prices,
}

/// Looks at the tables.
pub(crate) async fn run(session: &Session, arguments: StatusArguments) -> Result<Outcome> {
    let lake = session.lake().await?;
    let at = Utc::now();
    let (since, now) = (Millis::from(at).earlier(GROWTH), Millis::from(at));
    let options = session.config.care.compaction();
    let mut tables = Vec::new();
    for table in chosen(&arguments.tables) {
        let held = lake.holdings(table, since).await?;
        let mut status = TableStatus::of(table, &held, &options, (since, now));
        if arguments.orphans {
            status.orphans = Some(orphans(session, &lake, table).await?);
        }
        tables.push(status);
    }
    let workers = Heartbeats::of(&lake).list().await?.len();
    let prices = session.config.prices;
    let problems: Vec<String> = tables.iter().flat_map(problems).collect();
    let estimate = Estimate::of(&tables, workers, prices);
    let lake = &session.config.lake;
    let status = LakeStatus { lake, at, ok: problems.is_empty(), problems, workers, tables, estimate, prices };
    if session.json {
        output::json(&status)?;
    } else {
        output::line(describe(&status))?;
    }
    Ok(if status.ok { Outcome::Done } else { Outcome::Incomplete })
}

/// Files that nothing refers to, with what broken-off puts left.
async fn orphans(session: &Session, lake: &Lake, table: &str) -> Result<Objects> {
    let options = VacuumOptions { orphans: OrphanSearch::Now, ..vacuum::options(session, true)? };
    let found = bluelake_lake::vacuum(lake, table, &options, &|_| {}).await?;
    let mut orphans = Objects::default();
    found.orphans.iter().flatten().chain(&found.leftovers).for_each(|file| orphans.add(file.size));
    Ok(orphans)
}

/// The files of these tables, for who watches them beside something else.
pub(crate) async fn files(
    lake: &Lake,
    tables: impl Iterator<Item = &'static str>,
    options: &CompactionOptions,
) -> Result<Vec<FileCounts>> {
    let counted = tables.map(|table| async move {
        let (files, odd) = lake.files(table).await?;
        Ok::<_, LakeError>(FileCounts::by(options, table, (&files, odd.len())))
    });
    // Each to its end: dropping a read of the log makes its own threads panic.
    Ok(futures::future::join_all(counted).await.into_iter().collect::<Result<_, _>>()?)
}

fn problems(table: &TableStatus) -> Vec<String> {
    table.counts.alarms().into_iter().chain(table.faults.iter().cloned()).collect()
}

/// The status for people.
fn describe(status: &LakeStatus<'_>) -> String {
    let mut parts = vec![format!("{}, at {}", output::printable(status.lake), instant(status.at))];
    parts.push(files_table(status));
    parts.push(stored_table(status));
    parts.extend(debt_table(status));
    parts.extend(status.tables.iter().filter_map(standing));
    parts.push(estimate(status));
    match status.problems.as_slice() {
        [] => parts.push("No problems.".to_owned()),
        problems => {
            let problems: Vec<String> =
                problems.iter().map(|problem| format!("  {}", output::printable(problem))).collect();
            parts.push(format!("Problems:\n{}", problems.join("\n")));
        }
    }
    parts.join("\n\n")
}

fn files_table(status: &LakeStatus<'_>) -> String {
    let header = [
        "table",
        "version",
        "files",
        "size",
        "not full",
        "their size",
        "due",
        "last compaction",
        "size a day",
        "files a day",
    ];
    let rows = status.tables.iter().map(|table| {
        let counts = &table.counts;
        vec![
            counts.table.to_owned(),
            table.version.map(|version| version.to_string()).unwrap_or_default(),
            grouped(counts.files),
            size(counts.bytes),
            grouped(counts.small.objects),
            size(counts.small.bytes),
            due(counts.debt.iter().map(|debt| debt.due).sum()),
            counts.compacted_at.map(instant).unwrap_or_default(),
            size(table.landed_a_day.bytes),
            grouped(table.landed_a_day.objects),
        ]
    });
    output::table(&header, &[1, 2, 3, 4, 5, 6, 8, 9], rows).to_string()
}

fn stored_table(status: &LakeStatus<'_>) -> String {
    let header = [
        "table",
        "stored",
        "log",
        "log checkpoints",
        "versions since",
        "documents",
        "records",
        "retired",
        "orphans",
        "readable from",
        "purged to",
    ];
    let rows = status.tables.iter().map(|table| {
        vec![
            table.counts.table.to_owned(),
            objects(table.stored),
            objects(table.log),
            objects(table.log_checkpoints),
            table.versions_since_checkpoint.map_or_else(|| "none".to_owned(), grouped),
            objects(table.documents),
            objects(table.records),
            objects(table.retired),
            table.orphans.map_or_else(|| "?".to_owned(), objects),
            table.readable_from.to_string(),
            table.purged_to.to_string(),
        ]
    });
    output::table(&header, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], rows).to_string()
}

fn debt_table(status: &LakeStatus<'_>) -> Option<String> {
    let greatest = greatest_debt(&status.tables, LISTED);
    let all: usize = status.tables.iter().map(|table| table.counts.debt.len()).sum();
    let left_out = all.saturating_sub(greatest.len());
    let rows: Vec<_> = greatest
        .into_iter()
        .map(|(partition, debt)| {
            let small = [grouped(debt.small.objects), size(debt.small.bytes)];
            [vec![partition, grouped(debt.files)], small.to_vec(), vec![due(debt.due)]].concat()
        })
        .collect();
    let more = if left_out > 0 { format!("\n({left_out} more partitions; --json lists all)") } else { String::new() };
    let header = ["partition with small files", "files", "not full", "their size", "due"];
    (!rows.is_empty()).then(|| format!("{}{more}", output::table(&header, &[1, 2, 3, 4], rows)))
}

/// Files that are due; a question mark where nobody asked.
fn due(files: Option<u64>) -> String {
    files.map_or_else(|| "?".to_owned(), grouped)
}

/// What stands of a table beyond numbers.
fn standing(table: &TableStatus) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(before) = table.expired_before {
        parts.push(format!("rows of days before {before} may have expired"));
    }
    if let Some(claim) = &table.claim {
        let partitions = claim.partitions.map_or_else(|| "all".to_owned(), |count| count.to_string());
        let until = claim.until.map(instant).unwrap_or_default();
        parts.push(format!("erasure {} claims {partitions} partitions until {until}", claim.request));
    }
    (!parts.is_empty()).then(|| format!("{}: {}.", table.counts.table, parts.join("; ")))
}

fn estimate(status: &LakeStatus<'_>) -> String {
    let Estimate { bytes, writes, reads, storage_usd, requests_usd } = status.estimate;
    format!(
        "A month as it is now, an estimate: {} stored ${storage_usd:.2}, {} writes and listings and {} reads of {} workers \
         ${requests_usd:.2}; without growth, queries and traffic.",
        size(bytes),
        grouped(writes),
        grouped(reads),
        status.workers
    )
}

fn objects(objects: Objects) -> String {
    match objects.objects {
        0 => "–".to_owned(),
        count => format!("{} in {}", size(objects.bytes), grouped(count)),
    }
}
