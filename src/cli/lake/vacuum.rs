//! `bluelake lake vacuum`: deletes files that left the tables longer ago than their versions are promised, and those
//! that nothing refers to.

use std::time::Duration;

use anyhow::Result;
use bluelake_lake::{GoneFile, OrphanSearch, VacuumOptions, Vacuumed, vacuum};
use clap::Args;
use serde::Serialize;

use super::{chosen, table_names};
use crate::cli::Session;
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::{output, progress};

/// Beyond the longest query: what is between its start and its first read, and clocks of stores that differ.
const MARGIN: Duration = Duration::from_secs(3600);

/// Arguments of `bluelake lake vacuum`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VacuumArguments {
    /// Vacuum this table only; may be repeated [default: all]
    #[arg(long = "table", value_name = "NAME", value_parser = table_names())]
    tables: Vec<String>,
    /// Say what would be deleted, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Look for files that nothing refers to now, and delete them [default: once a week; the first time they are only
    /// listed]
    #[arg(long)]
    orphans: bool,
}

const EXAMPLES: &str = "\
May run beside ingest, compaction and queries; one run a day is enough. What left a table (merged files) is deleted when no version \
has it that was the newest within care.time-travel, 7 days. Before that `--as-of` such a version is refused. Files that were uploaded \
and never committed go at the age of care.orphan-age, 7 days. The role needs s3:DeleteObject on the data (docs/operating.md).

Examples:
  bluelake lake vacuum --dry-run
  bluelake lake vacuum
  bluelake --lake s3://bucket/lake lake vacuum --table transactions --orphans --json";

/// What was done, for programs.
#[derive(Serialize)]
struct Summary<'a> {
    lake: &'a str,
    dry_run: bool,
    tables: Vec<TableSummary<'a>>,
}

#[derive(Serialize)]
struct TableSummary<'a> {
    table: &'a str,
    readable_from: u64,
    purged_to: u64,
    retired: FilesSummary<'a>,
    orphans_looked_for: bool,
    orphans_deleted: bool,
    orphans: FilesSummary<'a>,
    leftovers: FilesSummary<'a>,
    documents: usize,
}

#[derive(Serialize)]
struct FilesSummary<'a> {
    files: usize,
    bytes: u64,
    paths: Vec<&'a str>,
}

/// How the tables are vacuumed; orphans are looked for when that is due.
///
/// # Errors
/// When files would be deleted under running queries.
pub(super) fn options(session: &Session, dry_run: bool) -> Result<VacuumOptions> {
    let care = &session.config.care;
    let least = session.config.sql.time_limit.saturating_add(MARGIN);
    if care.time_travel < least {
        let words = |time| humantime::format_duration(time);
        let message = format!(
            "care.time-travel is {}: it must be at least {}, the longest query (sql.time-limit) and an hour, or files would be deleted under running queries",
            words(care.time_travel),
            words(least)
        );
        return Err(WrongUsage::new(message).into());
    }
    Ok(VacuumOptions {
        time_travel: care.time_travel,
        hold: session.config.deliver.hold,
        orphan_age: care.orphan_age,
        orphans: OrphanSearch::WhenDue,
        dry_run,
        worker: format!("vacuum-{}", std::process::id()),
    })
}

/// Vacuums the tables one after the other.
pub(crate) async fn run(session: &Session, arguments: VacuumArguments) -> Result<Outcome> {
    let options = options(session, arguments.dry_run)?;
    let options =
        VacuumOptions { orphans: if arguments.orphans { OrphanSearch::Now } else { OrphanSearch::WhenDue }, ..options };
    let lake = session.lake().await?;
    let mut done = Vec::new();
    for table in chosen(&arguments.tables) {
        let bar = progress::files(table);
        done.push(vacuum(&lake, table, &options, &|step| progress::show(&bar, step)).await?);
        bar.finish_and_clear();
    }
    if session.json {
        output::json(&summary(&session.config.lake, arguments.dry_run, &done))?;
    } else {
        output::line(describe(&done, arguments.dry_run))?;
    }
    Ok(Outcome::Done)
}

fn summary<'a>(lake: &'a str, dry_run: bool, done: &'a [Vacuumed]) -> Summary<'a> {
    let tables = done.iter().map(|table| TableSummary {
        table: table.table,
        readable_from: table.readable_from,
        purged_to: table.purged_to,
        retired: files(&table.retired),
        orphans_looked_for: table.orphans.is_some(),
        orphans_deleted: table.orphans_deleted,
        orphans: files(table.orphans.as_deref().unwrap_or_default()),
        leftovers: files(&table.leftovers),
        documents: table.documents,
    });
    Summary { lake, dry_run, tables: tables.collect() }
}

fn files(files: &[GoneFile]) -> FilesSummary<'_> {
    FilesSummary {
        files: files.len(),
        bytes: bytes(files),
        paths: files.iter().map(|file| file.path.as_str()).collect(),
    }
}

fn bytes(files: &[GoneFile]) -> u64 {
    files.iter().map(|file| file.size).fold(0, u64::saturating_add)
}

/// What was done, for people.
fn describe(done: &[Vacuumed], dry_run: bool) -> String {
    let header = ["table", "files that left", "size", "orphans", "size", "readable from version"];
    let rows = done.iter().map(|table| {
        let size = |files: &[GoneFile]| output::size(bytes(files));
        let count = |files: usize| output::grouped(u64::try_from(files).unwrap_or_default());
        let (orphans, orphans_size) = match &table.orphans {
            Some(orphans) => {
                (count(orphans.len() + table.leftovers.len()), size(&[&**orphans, &table.leftovers].concat()))
            }
            None => ("–".to_owned(), "–".to_owned()),
        };
        vec![
            table.table.to_owned(),
            count(table.retired.len()),
            size(&table.retired),
            orphans,
            orphans_size,
            output::grouped(table.readable_from),
        ]
    });
    let mut lines = vec![output::table(&header, &[1, 2, 3, 4, 5], rows).to_string()];
    let told =
        |table: &&Vacuumed| !table.orphans_deleted && table.orphans.as_ref().is_some_and(|found| !found.is_empty());
    for table in done.iter().filter(told) {
        for file in table.orphans.iter().flatten().take(SHOWN) {
            lines.push(output::printable(&format!("Orphan: {}/{}", table.table, file.path)));
        }
        if !dry_run {
            let name = table.table;
            lines.push(format!(
                "The orphans of {name} were looked for the first time and stay: look at them, then run it with --orphans. \
                 From next week on they are deleted."
            ));
        }
    }
    if dry_run {
        lines.push("Nothing was changed (--dry-run).".to_owned());
    }
    lines.join("\n")
}

/// Orphans of a table that are named to people.
const SHOWN: usize = 20;
