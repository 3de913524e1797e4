//! `bluelake report`: the built-in reports, and the user's own.

mod conditions;
mod database;
mod each;
mod export;
mod outcome;
mod period;
mod reconcile;
mod run;
mod run_all;
mod show;

use anyhow::{Context, Result};
use bluelake_queries::{
    Compare, ParameterDefault, Question, Report, ReportCatalog, ReportError, ReportHeader, ReportParameters,
};
use clap::Subcommand;
use serde::Serialize;

use super::Session;
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::output;

/// Commands about reports.
#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// Run a report over a period
    Run(Box<run::RunArguments>),
    /// Run the reports that the configuration file lists, all for one period
    RunAll(Box<run_all::RunAllArguments>),
    /// Compare the control totals of the streams with what is reported, to the event
    Reconcile(Box<reconcile::ReconcileArguments>),
    /// List the reports with the questions that they answer
    #[command(after_help = LIST_EXAMPLES)]
    List,
    /// Show a report: its question, its parameters, and what its columns mean
    Show(show::ShowArguments),
}

const LIST_EXAMPLES: &str = "\
Examples:
  bluelake report list
  bluelake report list --reports ./our-reports
  bluelake report list --json      with parameters, columns and charts";

/// Runs one of the commands about reports.
pub(crate) async fn run(session: &Session, command: ReportCommand) -> Result<Outcome> {
    match command {
        ReportCommand::List => list(session),
        ReportCommand::Show(arguments) => show::run(session, &arguments),
        ReportCommand::Run(arguments) => run::run(session, *arguments).await,
        ReportCommand::RunAll(arguments) => run_all::run(session, *arguments).await,
        ReportCommand::Reconcile(arguments) => reconcile::run(session, *arguments).await,
    }
}

/// The built-in reports and those of the configured folder.
///
/// # Errors
/// [`WrongUsage`] when the folder cannot be read or a file of it is at fault.
fn catalogue(session: &Session) -> Result<ReportCatalog> {
    let catalog = ReportCatalog::embedded()?;
    match &session.config.reports.folder {
        Some(folder) => catalog
            .with_folder(folder)
            .with_context(|| WrongUsage::new(format!("cannot use the reports of {}", folder.display()))),
        None => Ok(catalog),
    }
}

/// A report or parameter that does not exist is wrong usage; everything else is a failure.
fn usage(error: ReportError) -> anyhow::Error {
    match error {
        ReportError::UnknownReport { .. } | ReportError::UnknownParameter { .. } | ReportError::Parameter { .. } => {
            WrongUsage::new(error.to_string()).into()
        }
        other => other.into(),
    }
}

/// The question of a report with these values.
fn question<'a>(report: &'a Report, parameters: &ReportParameters, compare: Option<Compare>) -> Result<Question<'a>> {
    let question = report.question(parameters).map_err(usage)?;
    match compare {
        Some(compare) => question.compared_with(compare).map_err(usage),
        None => Ok(question),
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    #[serde(flatten)]
    header: &'a ReportHeader,
}

fn list(session: &Session) -> Result<Outcome> {
    let catalog = catalogue(session)?;
    if session.json {
        let listed: Vec<_> =
            catalog.reports().map(|report| Listed { name: report.name(), header: report.header() }).collect();
        output::json(&listed)?;
    } else {
        let rows = catalog.reports().map(|report| {
            let header = report.header();
            [report.name().to_owned(), header.question.clone(), parameters_in_words(header), header.audience.clone()]
        });
        output::line(output::table(&["report", "question", "parameters", "for"], &[], rows).to_string())?;
    }
    Ok(Outcome::Done)
}

fn parameters_in_words(header: &ReportHeader) -> String {
    let one = |parameter: &bluelake_queries::ReportParameter| match &parameter.default {
        ParameterDefault::Required => format!("{} (required)", parameter.name),
        _ => parameter.name.clone(),
    };
    header.parameters.iter().map(one).collect::<Vec<_>>().join(", ")
}
