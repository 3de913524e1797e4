//! `bluelake lake verify`: proves the invariants of the lake from the lake alone.

use std::time::Duration;

use anyhow::Result;
use bluelake_lake::{Check, CheckOutcome, PartitionCounts, StreamReport, VerifyOptions, VerifyReport, verify};
use clap::Args;

use crate::cli::Session;
use crate::terminal::failure::Outcome;
use crate::terminal::output;

/// Arguments of `bluelake lake verify`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArguments {
    /// Read the bodies of only this part of the data files, above 0 and up to 1; log and documents are always read whole
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    sample: Option<f64>,
    /// Seed that chooses the files of the sample [default: another one each time]
    #[arg(long, value_name = "NUMBER", requires = "sample")]
    seed: Option<u64>,
    /// Decode every column of the files, and not only the six that the checks look at
    #[arg(long)]
    deep: bool,
    /// Deduplication window that ingest ran with [default: the setting ingest.dedup-window]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    window: Option<Duration>,
    /// Remember the partitions in which nothing is at fault, so that the next run reads only what changed
    #[arg(long, conflicts_with = "sample")]
    remember: bool,
    /// Read all partitions, also those that are remembered
    #[arg(long, conflicts_with = "sample")]
    full: bool,
}

const EXAMPLES: &str = "\
Reads only (but with --remember), and may run beside an ingest. What is remembered lies in _verify/ beside the tables, for \
exactly the files, the contract, the window and --deep. Exit code 3 when a check fails; docs/operating.md says what to do \
then.

Examples:
  bluelake lake verify
  bluelake lake verify --remember        every day; and with --full every month
  bluelake --lake s3://bucket/lake lake verify --sample 0.05
  bluelake lake verify --json      every check with its examples, for programs";

fn fraction(text: &str) -> Result<f64, String> {
    let fraction: f64 = text.parse().map_err(|_| "must be a number, as in 0.05".to_owned())?;
    if fraction > 0.0 && fraction <= 1.0 { Ok(fraction) } else { Err("must be above 0 and up to 1".to_owned()) }
}

/// Verifies the lake and reports.
pub(crate) async fn run(session: &Session, arguments: VerifyArguments) -> Result<Outcome> {
    let contract = session.contract()?;
    let lake = session.lake().await?;
    let options = VerifyOptions {
        window: arguments.window.unwrap_or(session.config.ingest.dedup_window),
        sample: arguments.sample,
        seed: arguments.seed.unwrap_or_else(any_seed),
        deep: arguments.deep,
        contract_version: contract.version(),
        full: arguments.full,
        remember: arguments.remember,
        ..VerifyOptions::default()
    };
    let report = verify(&lake, &options).await?;
    if session.json {
        output::json(&report)?;
    } else {
        output::line(describe(&report))?;
    }
    Ok(if report.holds { Outcome::Done } else { Outcome::Incomplete })
}

/// It is short enough to be typed again.
fn any_seed() -> u64 {
    u64::from(uuid::Uuid::new_v4().as_fields().0)
}

/// The findings, for people.
fn describe(report: &VerifyReport) -> String {
    let header = [
        "stream",
        "documents",
        "files",
        "rejected files",
        "files read",
        "rows read",
        "partitions read",
        "from memory",
        "seconds",
    ];
    let rows = report.streams.iter().map(|stream| {
        let counts = [stream.files, stream.rejected_files, stream.files_read].map(|count| count.to_string());
        let mut row = vec![stream.stream.to_owned(), output::grouped(stream.documents)];
        row.extend(counts);
        row.push(output::grouped(stream.rows));
        row.extend([stream.partitions.read, stream.partitions.from_memory].map(|count| count.to_string()));
        row.push(format!("{:.1}", stream.seconds));
        row
    });
    let counts = output::table(&header, &[1, 2, 3, 4, 5, 6, 7, 8], rows);
    let rows = report.streams.iter().flat_map(|stream| {
        stream.checks.iter().map(|check| {
            let (outcome, details) = in_words(check);
            [stream.stream.to_owned(), check.name.to_owned(), outcome, details]
        })
    });
    let checks = output::table(&["stream", "check", "outcome", ""], &[], rows);
    let mut lines = vec![counts.to_string(), checks.to_string()];
    lines.extend(report.streams.iter().filter_map(warning));
    lines.extend(report.streams.iter().filter_map(memory));
    if let (Some(sample), Some(seed)) = (report.sample, report.seed) {
        lines.push(format!(
            "Sample of {sample} with seed {seed}: --sample {sample} --seed {seed} reads the same files."
        ));
    }
    lines.push(verdict(report));
    lines.join("\n")
}

/// The outcome, and remarks about it.
fn in_words(check: &Check) -> (String, String) {
    let note = check.note.iter().cloned();
    match &check.outcome {
        CheckOutcome::Passed => ("passed".to_owned(), note.collect::<Vec<_>>().join("; ")),
        CheckOutcome::NotChecked { reason } => {
            ("not checked".to_owned(), std::iter::once(reason.clone()).chain(note).collect::<Vec<_>>().join("; "))
        }
        CheckOutcome::Failed(found) => {
            let times =
                if found.found == 1 { "once".to_owned() } else { format!("{} times", output::grouped(found.found)) };
            let shown = found.examples.iter().cloned().chain(note);
            (format!("FAILED {times}"), shown.collect::<Vec<_>>().join("; "))
        }
    }
}

fn warning(stream: &StreamReport) -> Option<String> {
    let found = stream.warnings.found;
    (found > 0).then(|| {
        let examples = output::printable(&stream.warnings.examples.join("; "));
        let times = output::grouped(found);
        format!(
            "Warning: {}: ids repeated beyond the window or on unrelated shards: {times}. {examples}",
            stream.stream
        )
    })
}

/// What is remembered now, and what stood against it.
fn memory(stream: &StreamReport) -> Option<String> {
    let PartitionCounts { remembered, memory_faults, .. } = &stream.partitions;
    let faults = output::printable(&memory_faults.examples.join("; "));
    match (remembered, memory_faults.found) {
        (0, 0) => None,
        (remembered, 0) => Some(format!("{}: {remembered} partitions are remembered from now on.", stream.stream)),
        (remembered, _) => {
            Some(format!("Warning: {}: {remembered} partitions are remembered. {faults}", stream.stream))
        }
    }
}

fn verdict(report: &VerifyReport) -> String {
    let count = |wanted: fn(&CheckOutcome) -> bool| {
        let checks = report.streams.iter().flat_map(|stream| &stream.checks);
        checks.filter(|check| wanted(&check.outcome)).count()
    };
    let failed = count(|outcome| matches!(outcome, CheckOutcome::Failed(_)));
    let unchecked = count(|outcome| matches!(outcome, CheckOutcome::NotChecked { .. }));
    match (failed, unchecked) {
        (0, 0) => "The lake holds what it promises.".to_owned(),
        (0, unchecked) => format!("No check failed; {unchecked} could not be made."),
        (failed, 0) => format!("The lake does not hold what it promises: {failed} checks failed."),
        (failed, unchecked) => {
            format!("The lake does not hold what it promises: {failed} checks failed, {unchecked} could not be made.")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_part_of_the_files() {
        for (text, good) in [("0.05", true), ("1", true), ("0", false), ("1.1", false), ("NaN", false), ("x", false)] {
            assert_eq!(fraction(text).is_ok(), good, "{text}");
        }
    }
}
