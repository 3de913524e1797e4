//! `bluelake report run-all`: the reports of the configuration file, for one period.

use std::time::Instant;

use anyhow::Result;
use bluelake_queries::{Question, ReportCatalog, ReportParameters};
use chrono::Utc;
use clap::Args;
use serde::Serialize;

use super::conditions::AnswerFlags;
use super::export::Destination;
use super::outcome::{Ended, of_all};
use super::period::{Span, span};
use super::{question, usage};
use crate::cli::Session;
use crate::config::ScheduledReport;
use crate::terminal::failure;
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::output;

/// Arguments of `bluelake report run-all`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunAllArguments {
    /// yesterday, last-week, last-month, last-quarter, last-year, last-30-days, 2026-11-25, 2026-11, 2026-W47, 2026-Q4 or 2026
    #[arg(long = "for", value_name = "PERIOD")]
    period: String,
    #[command(flatten)]
    answer: AnswerFlags,
}

const EXAMPLES: &str = "\
The reports are the [[report]] tables of bluelake.toml:

  [reports]
  destination = \"s3://bucket/exports\"

  [[report]]
  name = \"donations\"
  parameters = { by = \"day\" }
  formats = [\"csv\", \"xlsx\", \"html\"]

A report that fails does not stop the others. Exit codes: 0 all were exported; 1 one failed; 2 one is named or set wrongly, \
and none was run; 4 one was left out because its period is not complete.

Examples:
  bluelake report run-all --for yesterday --require-complete --wait 2h
  bluelake report run-all --for 2026-11 --destination ./exports
  bluelake report run-all --for 2026-W47 --json";

/// A report of the list, checked.
struct Job<'a> {
    question: Question<'a>,
    destination: Destination,
}

#[derive(Serialize)]
struct ReportRun {
    report: String,
    seconds: f64,
    #[serde(flatten)]
    ended: Ended,
}

/// Runs all of them in sequence.
///
/// # Errors
/// When the list or the period is wrong, before the first is run.
pub(super) async fn run(session: &Session, arguments: RunAllArguments) -> Result<Outcome> {
    let zone = session.config.time_zone;
    let span = span(&arguments.period, Utc::now(), zone).map_err(|fault| WrongUsage::new(format!("--for: {fault}")))?;
    let catalog = super::catalogue(session)?;
    let scheduled = &session.config.reports.scheduled;
    if scheduled.is_empty() {
        let message =
            "no reports are listed: write a [[report]] table for each into the configuration file; see --help";
        return Err(WrongUsage::new(message).into());
    }
    let (mut jobs, mut faults) = (Vec::new(), Vec::new());
    for one in scheduled {
        match Job::new(session, &catalog, one, span).await {
            Ok(job) => jobs.push(job),
            Err(fault) => faults.push(fault),
        }
    }
    // All faults of the list are told at once.
    if faults.len() > 1 {
        let all = faults.iter().map(failure::describe).collect::<Vec<_>>();
        let message = format!("{} reports of the list are set wrongly: {}", all.len(), all.join("; "));
        return Err(WrongUsage::new(message).into());
    }
    if let Some(fault) = faults.pop() {
        return Err(fault);
    }
    let conditions = arguments.answer.conditions()?;
    let lake = session.lake().await?;
    let mut runs = Vec::new();
    for job in &jobs {
        let began = Instant::now();
        let answer = conditions.answer(session, &lake, &job.question).await;
        let ended = Ended::of(&job.question, answer, &job.destination, &conditions).await;
        runs.push(ReportRun {
            report: job.question.report().name().to_owned(),
            seconds: began.elapsed().as_secs_f64(),
            ended,
        });
    }
    if session.json {
        output::json(&runs)?;
    } else {
        let rows = runs.iter().map(cells);
        output::line(output::table(&["report", "outcome", "rows", "seconds", "files"], &[2, 3], rows).to_string())?;
    }
    of_all(runs.iter().map(|run| &run.ended))
}

impl<'a> Job<'a> {
    async fn new(
        session: &Session,
        catalog: &'a ReportCatalog,
        scheduled: &ScheduledReport,
        span: Span,
    ) -> Result<Self> {
        let report = catalog.get(&scheduled.name).map_err(usage)?;
        let destination = scheduled.destination.as_ref().or(session.config.reports.destination.as_ref());
        let destination = destination.ok_or_else(|| {
            WrongUsage::new(format!(
                "{} has no destination: give --destination or set reports.destination",
                scheduled.name
            ))
        })?;
        let mut parameters = ReportParameters::new();
        let declares = |name: &str| report.header().parameters.iter().any(|parameter| parameter.name == name);
        for (name, day) in [("from", span.from), ("to", span.to)] {
            if declares(name) {
                parameters = parameters.with(name, day.to_string());
            }
        }
        for (name, value) in &scheduled.parameters {
            if ["from", "to"].contains(&name.as_str()) && declares(name) {
                let message =
                    format!("{} sets {name}, and so does --for: leave it out of its parameters", scheduled.name);
                return Err(WrongUsage::new(message).into());
            }
            parameters = parameters.with(name, value);
        }
        let question = question(report, &parameters, scheduled.compare)?;
        let destination = Destination::new(session, destination, &scheduled.formats, None).await?;
        Ok(Self { question, destination })
    }
}

fn cells(run: &ReportRun) -> [String; 5] {
    let [outcome, rows, files] = run.ended.cells();
    [run.report.clone(), outcome, rows, format!("{:.1}", run.seconds), files]
}
