//! `bluelake report run-all`: the reports of the configuration file, for one period.

use std::time::Instant;

use anyhow::{Result, anyhow};
use bluelake_lake::Lake;
use bluelake_queries::{QueryError, Question, ReportCatalog, ReportError, ReportParameters};
use chrono::Utc;
use clap::Args;
use serde::Serialize;

use super::conditions::{Answer, AnswerFlags, Conditions};
use super::export::{Destination, Exported};
use super::period::{Span, span};
use super::usage;
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

/// The outcome of a report.
#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
enum Ended {
    /// It was exported.
    Exported {
        #[serde(flatten)]
        export: Exported,
    },
    /// Its period is not complete.
    NotComplete { reason: String },
    /// It failed.
    Failed { reason: String },
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
    match faults.pop() {
        None => {}
        Some(fault) if faults.is_empty() => return Err(fault),
        Some(last) => {
            let all = faults.iter().chain([&last]).map(failure::describe).collect::<Vec<_>>();
            let message = format!("{} reports of the list are set wrongly: {}", all.len(), all.join("; "));
            return Err(WrongUsage::new(message).into());
        }
    }
    let conditions = arguments.answer.conditions()?;
    let lake = session.lake().await?;
    let mut runs = Vec::new();
    for job in &jobs {
        let began = Instant::now();
        let ended = job.run(session, &lake, &conditions).await.unwrap_or_else(|error| {
            let reason = failure::describe(&error);
            match error.downcast_ref() {
                // Messages of the engine can quote values: they are for the user, not for the log.
                Some(ReportError::Query(QueryError::Execution(_))) => {
                    tracing::error!(report = job.question.report().name(), "the query failed; the result says why");
                }
                _ => tracing::error!(report = job.question.report().name(), "{reason}"),
            }
            Ended::Failed { reason }
        });
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
    outcome(&runs)
}

fn outcome(runs: &[ReportRun]) -> Result<Outcome> {
    let failed = runs.iter().filter(|run| matches!(run.ended, Ended::Failed { .. })).count();
    if failed > 0 {
        return Err(anyhow!("{failed} of {} reports failed", runs.len()));
    }
    let is_missing = runs.iter().any(|run| matches!(run.ended, Ended::NotComplete { .. }));
    Ok(if is_missing { Outcome::NotComplete } else { Outcome::Done })
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
        let mut question = report.question(&parameters).map_err(usage)?;
        if let Some(compare) = scheduled.compare {
            question = question.compared_with(compare).map_err(usage)?;
        }
        let destination = Destination::new(session, destination, &scheduled.formats, None).await?;
        Ok(Self { question, destination })
    }

    async fn run(&self, session: &Session, lake: &Lake, conditions: &Conditions) -> Result<Ended> {
        match conditions.answer(session, lake, &self.question).await? {
            Answer::NotComplete(reason) => {
                tracing::warn!("{reason}");
                Ok(Ended::NotComplete { reason })
            }
            Answer::Result(result) => {
                Ok(Ended::Exported { export: self.destination.run(&result, conditions.is_as_of()).await? })
            }
        }
    }
}

fn cells(run: &ReportRun) -> [String; 5] {
    let seconds = format!("{:.1}", run.seconds);
    let (outcome, rows, files) = match &run.ended {
        Ended::Exported { export } => ("exported", output::grouped(export.rows()), export.place()),
        Ended::NotComplete { .. } => ("not complete", String::new(), String::new()),
        Ended::Failed { reason } => ("FAILED", String::new(), reason.clone()),
    };
    [run.report.clone(), outcome.to_owned(), rows, seconds, files]
}
