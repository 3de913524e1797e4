//! `bluelake lake repair`: mends what can be mended, and says what a person must do about the rest.

use anyhow::Result;
use bluelake_lake::{RepairReport, VerifyOptions, repair};
use clap::Args;

use crate::cli::Session;
use crate::terminal::failure::Outcome;
use crate::terminal::output;

/// Arguments of `bluelake lake repair`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RepairArguments {
    /// Say what would be mended, and change nothing
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Mends what changes no row: log checkpoints and the hint to them that are damaged, missing or old; rejected_events behind its \
documents; what lake verify remembers of files that are others now. Then verifies the lake, partitions that are remembered \
from memory, and says for each other fault what to do.
Exit code 3 when something is left that a person must do.

Examples:
  bluelake lake repair --dry-run
  bluelake --lake s3://bucket/lake lake repair
  bluelake lake repair --json";

/// Mends the lake and reports.
pub(crate) async fn run(session: &Session, arguments: RepairArguments) -> Result<Outcome> {
    let contract = session.contract()?;
    let lake = session.lake().await?;
    let options = VerifyOptions {
        window: session.config.ingest.dedup_window,
        contract_version: contract.version(),
        ..VerifyOptions::default()
    };
    let report = repair(&lake, &options, arguments.dry_run).await?;
    if session.json {
        output::json(&report)?;
    } else {
        output::line(describe(&report))?;
    }
    Ok(if report.is_whole() { Outcome::Done } else { Outcome::Incomplete })
}

/// What was done, for people.
fn describe(report: &RepairReport) -> String {
    let mut lines = Vec::new();
    if !report.mends.is_empty() {
        let header = ["table", if report.dry_run { "would be mended" } else { "mended" }];
        let rows = report.mends.iter().map(|mend| [mend.table.to_owned(), mend.what.clone()]);
        lines.push(output::table(&header, &[], rows).to_string());
    }
    if !report.remaining.is_empty() {
        let rows = report
            .remaining
            .iter()
            .map(|left| [left.table.to_owned(), left.fault.to_owned(), left.found.clone(), left.advice.clone()]);
        lines.push(output::table(&["table", "fault", "found", "what to do"], &[], rows).to_string());
    }
    lines.push(match (report.mends.len(), report.remaining.len()) {
        (0, 0) => "Nothing is to be mended.".to_owned(),
        (mends, 0) => format!("{mends} mended; nothing is left to do."),
        (mends, left) => format!("{mends} mended; {left} left for a person."),
    });
    if report.dry_run {
        lines.push("Nothing was changed (--dry-run).".to_owned());
    }
    lines.join("\n")
}
