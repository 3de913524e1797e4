//! `bluelake lake undo`: changes back what one version of a table changed.

use anyhow::Result;
use bluelake_care::{Extent, UndoSummary, plan_undo};
use clap::Args;
use serde::Serialize;

use super::table_names;
use crate::cli::Session;
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::output;
use crate::terminal::question::{can_ask, confirmed};

/// Arguments of `bluelake lake undo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UndoArguments {
    /// The version whose change is changed back
    #[arg(value_name = "V")]
    version: u64,
    /// The table whose version it is
    #[arg(long, value_name = "NAME", value_parser = table_names())]
    table: String,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

const EXAMPLES: &str = "\
Takes out the files that the version put in, and puts back those that it took out, in one commit that is a version of its own. Of \
versions that other programs made, of compactions and of expiries; refused for batches of ingest, erasures and what else has no way \
back, and when a file is gone or was changed since. `lake history` names the versions. Ask with --dry-run first; two changes on one \
file are undone one after the other, the newest first.
Exit code 3 when the table does not hold the rows that its documents say yet, because another version must be undone too.

Examples:
  bluelake lake undo 41 --table transactions --dry-run
  bluelake lake undo 41 --table transactions
  bluelake --lake s3://bucket/lake lake undo 41 --table user_events --yes --json";

/// What was done, for programs.
#[derive(Serialize)]
struct Summary<'a> {
    lake: &'a str,
    dry_run: bool,
    table: &'a str,
    undone: u64,
    what: &'a str,
    who: Option<&'a str>,
    files_removed: u64,
    bytes_removed: u64,
    rows_removed: u64,
    files_added: u64,
    bytes_added: u64,
    rows_added: u64,
    to_be_undone_too: &'a [u64],
    version: Option<u64>,
    record: Option<u64>,
}

/// Plans the undo, asks, and commits it.
pub(crate) async fn run(session: &Session, arguments: UndoArguments) -> Result<Outcome> {
    let asks = !arguments.dry_run && !arguments.yes;
    if asks && !can_ask() {
        return Err(
            WrongUsage::new("standard input is no terminal, so nobody can be asked: give --yes, or --dry-run").into()
        );
    }
    let lake = session.lake().await?;
    let worker = format!("undo-{}", std::process::id());
    let plan = plan_undo(&lake, &arguments.table, arguments.version, &worker).await?;
    let planned = plan.summary.clone();
    if !session.json {
        output::line(describe(&planned))?;
    }
    let mut done = None;
    if !arguments.dry_run {
        if asks && !confirmed("Undo it?")? {
            output::line("Nothing was changed.")?;
            return Ok(Outcome::Done);
        }
        done = Some(plan.commit().await?);
    }
    if session.json {
        output::json(&summary(&session.config.lake, &planned, arguments.dry_run, done))?;
    } else {
        output::line(match done {
            Some((version, record)) => format!("Undone by version {version}, with record {record}."),
            None => "Nothing was changed (--dry-run).".to_owned(),
        })?;
    }
    Ok(if planned.standing.is_empty() { Outcome::Done } else { Outcome::Incomplete })
}

/// What would be done, for people.
fn describe(undo: &UndoSummary) -> String {
    let who = undo.who.as_ref().map(|who| format!(" by {who}")).unwrap_or_default();
    let extent = |extent: Extent| {
        let [files, rows] = [extent.files, extent.rows].map(output::grouped);
        format!("{files} files with {rows} rows, {}", output::size(extent.bytes))
    };
    let mut lines = vec![
        format!("Version {} of {}: {}{who}", undo.version, undo.table, undo.what),
        format!("  leave:     {}", extent(undo.removes)),
        format!("  come back: {}", extent(undo.brings)),
    ];
    if !undo.standing.is_empty() {
        let versions: Vec<String> = undo.standing.iter().map(ToString::to_string).collect();
        let versions = versions.join(", ");
        lines.push(format!("Other programs changed rows too: ingest refuses the table until {versions} are undone."));
    }
    let lines: Vec<String> = lines.iter().map(|line| output::printable(line)).collect();
    lines.join("\n")
}

fn summary<'a>(lake: &'a str, undo: &'a UndoSummary, dry_run: bool, done: Option<(u64, u64)>) -> Summary<'a> {
    let (removes, brings) = (undo.removes, undo.brings);
    Summary {
        lake,
        dry_run,
        table: undo.table,
        undone: undo.version,
        what: &undo.what,
        who: undo.who.as_deref(),
        files_removed: removes.files,
        bytes_removed: removes.bytes,
        rows_removed: removes.rows,
        files_added: brings.files,
        bytes_added: brings.bytes,
        rows_added: brings.rows,
        to_be_undone_too: &undo.standing,
        version: done.map(|(version, _)| version),
        record: done.map(|(_, record)| record),
    }
}
