//! `bluelake lake history`: who did what to the tables, version by version.

use anyhow::Result;
use bluelake_lake::{HistoryEntry, HistoryOptions, TableHistory, history};
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use super::{change, chosen, table_names};
use crate::cli::Session;
use crate::cli::supplement::replay::time;
use crate::terminal::failure::Outcome;
use crate::terminal::output;

/// Arguments of `bluelake lake history`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HistoryArguments {
    /// Tell of this table only; may be repeated [default: all]
    #[arg(long = "table", value_name = "NAME", value_parser = table_names())]
    tables: Vec<String>,
    /// Show this many versions of each table, the newest first [default: 20, or all of a time]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Tell of versions from this time on, by the store's clock
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<DateTime<Utc>>,
    /// Tell of versions up to this time, by the store's clock
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<DateTime<Utc>>,
    /// Tell only of versions by which another program changed files
    #[arg(long)]
    foreign: bool,
}

const EXAMPLES: &str = "\
One line a version, the newest first: when it was written, what it was and by whom, the files, rows and bytes that came and left, \
and the number of its document or record. Reads only. Versions that were cleared away from the log are left out, which is told; \
`lake undo` takes back what another program did.

Examples:
  bluelake lake history
  bluelake lake history --table transactions --since 2026-11-29T00:00:00Z --until 2026-11-29T06:00:00Z
  bluelake --lake s3://bucket/lake lake history --foreign --json";

/// Versions of a table that are told when nothing else is said.
const LIMIT: usize = 20;

/// What was found, for programs.
#[derive(Serialize)]
struct Told<'a> {
    lake: &'a str,
    tables: &'a [TableHistory],
}

/// Tells the history of the tables, one after the other.
pub(crate) async fn run(session: &Session, arguments: HistoryArguments) -> Result<Outcome> {
    let lake = session.lake().await?;
    let is_of_a_time = arguments.since.is_some() || arguments.until.is_some();
    let limit = arguments.limit.and_then(|limit| usize::try_from(limit).ok());
    let options = HistoryOptions {
        limit: limit.or(Some(LIMIT).filter(|_| !is_of_a_time)),
        since: arguments.since.map(Into::into),
        until: arguments.until.map(Into::into),
        foreign: arguments.foreign,
    };
    let mut tables = Vec::new();
    for table in chosen(&arguments.tables) {
        tables.push(history(&lake, table, &options).await?);
    }
    if session.json {
        output::json(&Told { lake: &session.config.lake, tables: &tables })?;
    } else {
        let text: Vec<String> = tables.iter().map(describe).collect();
        output::line(text.join("\n\n"))?;
    }
    Ok(Outcome::Done)
}

/// The history of a table, for people.
fn describe(table: &TableHistory) -> String {
    let header = ["version", "written at", "what", "who", "files", "rows", "size", "document", "record", ""];
    let rows = table.versions.iter().map(|entry| {
        vec![
            entry.version.to_string(),
            entry.written_at.map(output::instant).unwrap_or_default(),
            entry.what.name().to_owned(),
            entry.who.clone().unwrap_or_default(),
            change(count(entry.files_added), count(entry.files_removed), output::grouped),
            change(entry.rows_added, entry.rows_removed, output::grouped),
            change(Some(entry.bytes_added), entry.bytes_removed, output::size),
            number(entry.document),
            number(entry.record),
            remark(entry),
        ]
    });
    let mut text = format!("{}, now at version {}", table.table, table.version);
    if table.versions.is_empty() {
        text.push_str(": no such versions");
    } else {
        text.push('\n');
        text.push_str(&output::table(&header, &[0, 4, 5, 6, 7, 8], rows).to_string());
    }
    if let Some(version) = table.log_begins_at {
        text.push_str(&format!("\nThe log begins with version {version}: older ones were cleared away."));
    }
    if table.readable_from > 0 {
        text.push_str(&format!(
            "\nVersions from {} on can be read; the files of older ones may be gone.",
            table.readable_from
        ));
    }
    text
}

fn count(files: usize) -> Option<u64> {
    u64::try_from(files).ok()
}

fn number(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn remark(entry: &HistoryEntry) -> String {
    let undoes = entry.undoes.map(|version| format!("of version {version}"));
    let undone = entry.undone_by.map(|version| format!("undone by version {version}"));
    // What we did is told by its kind.
    let operation = entry.operation.clone().filter(|_| entry.document.is_none() && entry.record.is_none());
    let parts: Vec<String> = [operation, undoes, undone, entry.remark.clone()].into_iter().flatten().collect();
    parts.join("; ")
}
