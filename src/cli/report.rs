//! `bluelake report`: the reports that come with Bluelake.

mod export;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use bluelake_queries::{
    OutputFormat, ParameterDefault, QueryError, ReportCatalog, ReportHeader, ReportParameters, ReportResult,
    ResultWriter, write_report,
};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::Session;
use super::sql::Form;
use crate::config::Override;
use crate::failure::{Outcome, WrongUsage};
use crate::output;
use crate::query::{self, QueryFlags};

/// Commands about reports.
#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// Run a report over a period
    Run(Box<RunArguments>),
    /// List the reports with the questions that they answer
    #[command(after_help = LIST_EXAMPLES)]
    List,
}

/// Arguments of `bluelake report run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub(crate) struct RunArguments {
    /// Name of the report, as `bluelake report list` shows it
    #[arg(value_name = "NAME")]
    name: String,
    /// First day that counts, YYYY-MM-DD [default: the first day of the lake]
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Last day that counts, itself included [default: the last day of the lake]
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// day, week (Monday to Sunday) or month [default: day]
    #[arg(long, value_name = "PERIOD")]
    by: Option<String>,
    /// Another parameter of the report; may be repeated
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// table, csv, json, ndjson, parquet, xlsx, md or html; several with commas between them for --destination
    /// [default: by the name of --output, csv,xlsx,html for --destination, otherwise table, or json with --json]
    #[arg(long = "format", value_name = "FORMAT", value_delimiter = ',')]
    formats: Vec<OutputFormat>,
    /// Write to a file, which appears only when it is complete
    #[arg(long, value_name = "FILE", conflicts_with = "destination")]
    output: Option<PathBuf>,
    /// Export to a folder or s3://bucket/prefix: a file for each format and a manifest
    #[arg(long, value_name = "URL")]
    destination: Option<String>,
    /// Also make links by which anybody can get the exported files for so long, such as 12h; at most 7d
    #[arg(long, value_name = "TIME", requires = "destination", value_parser = export::link_validity)]
    presign: Option<Duration>,
    #[command(flatten)]
    limits: QueryFlags,
}

const RUN_EXAMPLES: &str = "\
Examples:
  bluelake report run donations --from 2026-10-01 --to 2026-10-31 --by week
  bluelake report run interactions --by month --time-zone America/Chicago
  bluelake report run redemptions --from 2026-10-01 --to 2026-10-31 --format csv --output october.csv
  bluelake report run donations --output donations.html      a page with chart and table
  bluelake report run donations --json      with title, columns and what it was computed from

Exports:
  bluelake report run donations --from 2026-10-01 --to 2026-10-31 --destination ./exports
  bluelake report run donations --by month --format csv,parquet --destination s3://bucket/exports
  bluelake report run redemptions --format xlsx,html --destination s3://bucket/exports --presign 7d

The files of a report with its parameters stand in a folder of their own, with a _manifest.json that lists them with their
checksums: the same report run again replaces them. See docs/reports.md.";

const LIST_EXAMPLES: &str = "\
Examples:
  bluelake report list
  bluelake report list --json      with parameters, columns and charts";

impl ReportCommand {
    /// The settings that the flags change.
    pub(crate) fn overrides(&self) -> Vec<Override> {
        match self {
            Self::Run(arguments) => arguments.limits.overrides(),
            Self::List => Vec::new(),
        }
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs one of the commands about reports.
pub(crate) async fn run(session: &Session, command: ReportCommand) -> Result<Outcome> {
    match command {
        ReportCommand::List => list(session),
        ReportCommand::Run(arguments) => run_report(session, arguments).await,
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    #[serde(flatten)]
    header: &'a ReportHeader,
}

fn list(session: &Session) -> Result<Outcome> {
    let catalog = ReportCatalog::embedded()?;
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

async fn run_report(session: &Session, arguments: Box<RunArguments>) -> Result<Outcome> {
    let target = Target::of(session, &arguments)?;
    let catalog = ReportCatalog::embedded()?;
    let report = catalog.get(&arguments.name).map_err(usage)?;
    let mut parameters = ReportParameters::new()
        .with_optional("from", arguments.from.as_deref())
        .with_optional("to", arguments.to.as_deref())
        .with_optional("by", arguments.by.as_deref());
    for (name, value) in &arguments.parameters {
        parameters = parameters.with(name, value);
    }
    let queries = query::open(&session.lake().await?, &session.config).await?;
    let result = report.run(&queries, &parameters).await.map_err(usage)?;
    match target {
        Target::Destination(export) => export.run(session, &result).await?,
        Target::One(form) => {
            let written = write(session, &form, &result);
            written.map_err(|error| if form.is_standard_output() { output::or_closed(error) } else { error })?;
        }
    }
    Ok(Outcome::Done)
}

/// Where a report goes.
enum Target {
    /// Standard output or a file.
    One(Form),
    /// A folder or bucket.
    Destination(export::Destination),
}

impl Target {
    /// Checks all that can be checked before the report runs.
    fn of(session: &Session, arguments: &RunArguments) -> Result<Self> {
        if let Some(destination) = &arguments.destination {
            let export = export::Destination::new(session, destination, &arguments.formats, arguments.presign)?;
            return Ok(Self::Destination(export));
        }
        let format = match arguments.formats.as_slice() {
            [] => None,
            [format] => Some(*format),
            _ => return Err(WrongUsage::new("several formats need --destination DIR or s3://bucket/prefix").into()),
        };
        let form = Form::new(format, arguments.output.clone());
        form.check(session.json)?;
        Ok(Self::One(form))
    }
}

/// A report or parameter that does not exist is wrong usage; everything else is a failure.
fn usage(error: QueryError) -> anyhow::Error {
    match error {
        QueryError::UnknownReport { .. }
        | QueryError::UnknownParameter { .. }
        | QueryError::Parameter { .. }
        | QueryError::UnknownTimeZone { .. } => WrongUsage::new(error.to_string()).into(),
        other => other.into(),
    }
}

fn write(session: &Session, form: &Form, result: &ReportResult) -> Result<()> {
    let format = form.format(session.json);
    let mut sink = form.sink()?;
    match format {
        OutputFormat::Json if session.json => {
            serde_json::to_writer_pretty(&mut sink, &described(result)?).context("cannot write the report")?;
            sink.write_all(b"\n")?;
        }
        OutputFormat::Table => {
            writeln!(sink, "{}\n", headline(result))?;
            write_report(result, format, &mut sink)?;
        }
        _ => drop(write_report(result, format, &mut sink)?),
    }
    sink.finish()
}

/// Title and parameters on one line.
pub(crate) fn headline(result: &ReportResult) -> String {
    let given = result.provenance.parameters.iter().filter_map(|parameter| {
        let value = parameter.value.as_deref()?;
        Some(format!("{} {value}", parameter.name))
    });
    let zone = format!("time zone {}", result.provenance.time_zone);
    format!("{} ({})", result.title, given.chain([zone]).collect::<Vec<_>>().join(", "))
}

/// The whole result as one JSON value.
pub(crate) fn described(result: &ReportResult) -> Result<Value> {
    let mut text = Vec::new();
    let mut writer = ResultWriter::new(OutputFormat::Json, &result.schema, &mut text)?;
    for batch in &result.batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    let rows: Value = serde_json::from_slice(&text).context("the rows of the report are not JSON")?;
    Ok(serde_json::json!({
        "title": result.title,
        "columns": result.columns,
        "provenance": result.provenance,
        "rows": rows,
    }))
}
