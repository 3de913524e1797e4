//! `bluelake report show`: what a report answers, what it takes, and what its columns mean. Needs no lake.

use anyhow::Result;
use bluelake_queries::{ParameterDefault, Report, ReportParameter};
use clap::Args;

use super::{Listed, catalogue, usage};
use crate::cli::Session;
use crate::terminal::failure::Outcome;
use crate::terminal::output;

/// Arguments of `bluelake report show`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ShowArguments {
    /// Name of the report, as `bluelake report list` shows it
    #[arg(value_name = "NAME")]
    name: String,
    /// Write its SQL with the header: the beginning of a report of your own
    #[arg(long, conflicts_with = "json")]
    sql: bool,
}

const EXAMPLES: &str = "\
Examples:
  bluelake report show donations
  bluelake report show donations --json
  bluelake report show donations --sql > our-reports/our_donations.sql";

/// Shows one report.
///
/// # Errors
/// [`crate::terminal::failure::WrongUsage`] for a report that is not there.
pub(super) fn run(session: &Session, arguments: &ShowArguments) -> Result<Outcome> {
    let catalog = catalogue(session)?;
    let report = catalog.get(&arguments.name).map_err(usage)?;
    if arguments.sql {
        output::line(report.sql().trim_end())?;
    } else if session.json {
        output::json(&Listed { name: report.name(), header: report.header() })?;
    } else {
        output::line(described(report))?;
    }
    Ok(Outcome::Done)
}

fn described(report: &Report) -> String {
    let header = report.header();
    let parameters = header.parameters.iter().map(|parameter| {
        [parameter.name.clone(), values(parameter), default(&parameter.default), parameter.description.clone()]
    });
    let columns =
        header.columns.iter().map(|column| [column.name.clone(), column.unit.to_string(), column.description.clone()]);
    format!(
        "{}: {}\nFor {}.\n\n{}\n\n{}",
        header.title,
        header.question,
        header.audience,
        output::table(&["parameter", "values", "default", "meaning"], &[], parameters),
        output::table(&["column", "unit", "meaning"], &[], columns),
    )
}

fn values(parameter: &ReportParameter) -> String {
    match parameter.allowed() {
        Some(allowed) => format!("{}: {allowed}", parameter.kind),
        None => parameter.kind.to_string(),
    }
}

fn default(default: &ParameterDefault) -> String {
    match default {
        ParameterDefault::Required => "must be given".to_owned(),
        ParameterDefault::First => "first day of the lake".to_owned(),
        ParameterDefault::Last => "last day of the lake".to_owned(),
        ParameterDefault::Value(value) => value.clone(),
    }
}
