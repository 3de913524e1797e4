//! `bluelake lake compact`: merges small files into large ones, with the same rows.

use anyhow::Result;
use bluelake_care::{Compaction, CompactionOptions, MergedPartition, compact};
use clap::Args;
use serde::Serialize;

use super::{chosen, table_names};
use crate::cli::Session;
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::{output, progress};

/// Arguments of `bluelake lake compact`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompactArguments {
    /// Compact this table only; may be repeated [default: all]
    #[arg(long = "table", value_name = "NAME", value_parser = table_names())]
    tables: Vec<String>,
    /// Compact this partition only, or those below it: a folder of the table
    #[arg(long, value_name = "FOLDER")]
    partition: Option<String>,
    /// Merge everything anew, also what is not due and files that are large enough
    #[arg(long)]
    full: bool,
    /// Say what would be merged, and change nothing
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
May run beside ingest and queries; nobody sees a row twice or not at all. Merges what is due (docs/operating.md): 64 small files of a \
partition, or 8 of which one is 15 minutes old; what is left of a day that is over. The files that were merged stay for \
queries that read them.
Exit code 3 when a file could not be merged: it stays as it is.

Examples:
  bluelake lake compact
  bluelake lake compact --dry-run
  bluelake --lake s3://bucket/lake lake compact --table transactions --partition event_type=donation/event_date=2026-11-01";

/// The outcome, for programs.
#[derive(Serialize)]
struct Summary<'a> {
    lake: &'a str,
    dry_run: bool,
    tables: Vec<TableSummary<'a>>,
}

#[derive(Serialize)]
struct TableSummary<'a> {
    table: &'a str,
    version: Option<u64>,
    files_before: u64,
    files_after: u64,
    bytes_before: u64,
    bytes_after: u64,
    rows: u64,
    commits: usize,
    overtaken: usize,
    merges: Vec<MergeSummary<'a>>,
    left: Vec<LeftFile<'a>>,
}

#[derive(Serialize)]
struct MergeSummary<'a> {
    partition: &'a str,
    files: usize,
    bytes: u64,
    becomes: u64,
}

#[derive(Serialize)]
struct LeftFile<'a> {
    path: &'a str,
    reason: &'a str,
}

/// Compacts the tables in sequence.
pub(crate) async fn run(session: &Session, arguments: CompactArguments) -> Result<Outcome> {
    let contract = session.contract()?;
    let lake = session.lake().await?;
    let partition = arguments.partition.as_deref().map(folder).transpose()?;
    let (full, dry_run) = (arguments.full, arguments.dry_run);
    let options = CompactionOptions { partition: partition.clone(), full, dry_run, ..session.config.care.compaction() };
    let mut done = Vec::new();
    for table in chosen(&arguments.tables) {
        let bar = progress::files(table);
        done.push(compact(&lake, table, &contract, &options, &|step| progress::show(&bar, step)).await?);
        bar.finish_and_clear();
    }
    if let Some(partition) = partition
        && done.iter().all(|table| table.partitions == 0)
    {
        let message = format!(
            "no table has a partition {partition}: give a folder such as event_type=donation/event_date=2026-11-01"
        );
        return Err(WrongUsage::new(message).into());
    }
    if session.json {
        output::json(&summary(&session.config.lake, arguments.dry_run, &done))?;
    } else {
        output::line(describe(&done, arguments.dry_run))?;
    }
    let whole = done.iter().all(|table| table.left.is_empty());
    Ok(if whole { Outcome::Done } else { Outcome::Incomplete })
}

/// A folder of partitions in the notation of users.
fn folder(text: &str) -> Result<String> {
    let folder = text.trim_matches('/');
    if folder.is_empty() || !folder.split('/').all(|part| part.contains('=')) {
        let message = format!(
            "--partition {text:?} is no folder of a table: write COLUMN=VALUE, or two of them with a slash between"
        );
        return Err(WrongUsage::new(message).into());
    }
    Ok(folder.to_owned())
}

fn summary<'a>(lake: &'a str, dry_run: bool, done: &'a [Compaction]) -> Summary<'a> {
    let merge = |merge: &'a MergedPartition| MergeSummary {
        partition: &merge.partition,
        files: merge.files,
        bytes: merge.bytes,
        becomes: merge.outputs,
    };
    let tables = done.iter().map(|table| TableSummary {
        table: table.table,
        version: table.version,
        files_before: table.before.files,
        files_after: table.after.files,
        bytes_before: table.before.bytes,
        bytes_after: table.after.bytes,
        rows: table.after.rows,
        commits: table.commits,
        overtaken: table.lost,
        merges: table.merges.iter().map(merge).collect(),
        left: table.left.iter().map(|(path, reason)| LeftFile { path, reason }).collect(),
    });
    Summary { lake, dry_run, tables: tables.collect() }
}

/// The outcome, for people.
fn describe(done: &[Compaction], dry_run: bool) -> String {
    let header = ["table", "files before", "after", "size before", "after", "merges", "commits"];
    let rows = done.iter().map(|table| {
        let files_after = if dry_run { planned(table) } else { table.after.files };
        let size_after = if dry_run { "–".to_owned() } else { output::size(table.after.bytes) };
        vec![
            table.table.to_owned(),
            output::grouped(table.before.files),
            output::grouped(files_after),
            output::size(table.before.bytes),
            size_after,
            table.merges.len().to_string(),
            table.commits.to_string(),
        ]
    });
    let mut lines = vec![output::table(&header, &[1, 2, 3, 4, 5, 6], rows).to_string()];
    for (path, reason) in done.iter().flat_map(|table| &table.left) {
        lines.push(output::printable(&format!("Left as it is: {path}: {reason}")));
    }
    if dry_run {
        lines.push("Nothing was changed (--dry-run).".to_owned());
    }
    lines.join("\n")
}

/// The number of files after the plan.
fn planned(table: &Compaction) -> u64 {
    let (gone, new) = table.merges.iter().fold((0_u64, 0_u64), |(gone, new), merge| {
        (gone + u64::try_from(merge.files).unwrap_or_default(), new + merge.outputs)
    });
    (table.before.files + new).saturating_sub(gone)
}
