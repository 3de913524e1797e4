//! `bluelake report run`: one report, to the terminal, a file or a destination.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use bluelake_queries::{Compare, OutputFormat, Report, ReportParameters, ReportResult, write_report};
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use clap::Args;

use super::conditions::{Answer, AnswerFlags};
use super::each::Each;
use super::period::span;
use super::{export, question, usage};
use crate::cli::Session;
use crate::shell;
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::form::Form;
use crate::terminal::output;

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
    /// The days in a word: yesterday, last-week, last-month, last-quarter, last-year, this-month, last-30-days, 2026-11-25,
    /// 2026-11, 2026-W47, 2026-Q4 or 2026
    #[arg(long = "for", value_name = "PERIOD", conflicts_with_all = ["from", "to"])]
    period: Option<String>,
    /// day, week (Monday to Sunday), month, quarter or year [default: the report's own]
    #[arg(long, value_name = "PERIOD")]
    by: Option<String>,
    /// Compare the figures with those of the period before, or of a year before: previous or year
    #[arg(long, value_name = "DAYS")]
    compare: Option<Compare>,
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
    /// Export to a folder or s3://bucket/prefix: a file for each format and a manifest; or to
    /// postgres://user@host/database/schema: rows of a table
    #[arg(long, value_name = "URL")]
    destination: Option<String>,
    /// Also make links by which anybody can get the exported files for this time, such as 12h; at most 7d
    #[arg(long, value_name = "TIME", requires = "destination", value_parser = export::link_validity)]
    presign: Option<Duration>,
    #[command(flatten)]
    own: OwnFlags,
    /// Run it for each value of this parameter that occurs on these days, all of one state of the lake
    #[arg(long, value_name = "PARAMETER", requires = "destination", conflicts_with = "wait")]
    each: Option<String>,
    #[command(flatten)]
    answer: AnswerFlags,
}

/// Flags for parameters that only some reports have. `bluelake report show NAME` tells which.
#[derive(Debug, Args)]
#[command(next_help_heading = "Parameters of some reports")]
struct OwnFlags {
    /// How many rows: the first ranks
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    top: Option<String>,
    /// The id of a user
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// The id of a merchant or municipality
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// The id of a charity, family or member
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// How many points a dollar is
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    points_per_dollar: Option<String>,
    /// A kind of user
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// The least number that counts
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    least: Option<String>,
    /// How many weeks
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    weeks: Option<String>,
    /// Leave out places with fewer people
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    min_group: Option<String>,
}

const RUN_EXAMPLES: &str = "\
Examples:
  bluelake report run donations --from 2026-10-01 --to 2026-10-31 --by week
  bluelake report run interactions --for last-month --time-zone America/Chicago
  bluelake report run redemptions --from 2026-10-01 --to 2026-10-31 --format csv --output october.csv
  bluelake report run donations --output donations.html      a page with chart and table
  bluelake report run donations --json      with title, columns and what it was computed from
  bluelake report run donations --for last-month --by month --compare previous
  bluelake report run top_recipients --top 5

Trust:
  bluelake report run donations --from 2026-11-24 --to 2026-11-24 --require-complete --wait 1h
  bluelake report run donations --to 2026-11-24 --as-of 2026-11-25T06:00:00Z     as it was then
  bluelake report run donations --as-of user_events@7,transactions@12,rejected_events@3

Exports:
  bluelake report run donations --from 2026-10-01 --to 2026-10-31 --destination ./exports
  bluelake report run settlement --each provider --for last-month --destination ./settlements
  bluelake report run donations --by month --format csv,parquet --destination s3://bucket/exports
  bluelake report run redemptions --format xlsx,html --destination s3://bucket/exports --presign 7d
  bluelake report run donations --by month --destination postgres://bluelake@db.example.org/points/reports

The files of a report with its parameters stand in a folder of their own, with a _manifest.json that lists them with their \
checksums: the same report run again replaces them. See docs/reports.md.";

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl RunArguments {
    /// # Errors
    /// [`WrongUsage`] when a parameter is set twice, also by two flags.
    fn parameters(&self, report: &Report, now: DateTime<Utc>, zone: Tz) -> Result<ReportParameters> {
        let [first, last] = self.days(report, now, zone)?;
        let OwnFlags { top, user, provider, account, points_per_dollar, kind, least, weeks, min_group } = &self.own;
        let flags = [
            ("from", "--for", &first),
            ("to", "--for", &last),
            ("from", "--from", &self.from),
            ("to", "--to", &self.to),
            ("by", "--by", &self.by),
            ("top", "--top", top),
            ("user", "--user", user),
            ("provider", "--provider", provider),
            ("account", "--account", account),
            ("points_per_dollar", "--points-per-dollar", points_per_dollar),
            ("kind", "--kind", kind),
            ("least", "--least", least),
            ("weeks", "--weeks", weeks),
            ("min_group", "--min-group", min_group),
        ];
        let own = flags.iter().filter_map(|(name, flag, value)| Some((*name, *flag, value.as_deref()?)));
        let others = self.parameters.iter().map(|(name, value)| (name.as_str(), "--parameter", value.as_str()));
        let mut parameters = ReportParameters::new();
        let mut set = BTreeMap::new();
        for (name, flag, value) in own.chain(others) {
            if let Some(other) = set.insert(name, flag) {
                let by = if other == flag { format!("twice by {flag}") } else { format!("by {other} and by {flag}") };
                return Err(WrongUsage::new(format!("the parameter {name} is set {by}; set it once")).into());
            }
            parameters = parameters.with(name, value);
        }
        if let Some((name, flag)) = self.each.as_deref().and_then(|each| set.get_key_value(each)) {
            let message = format!("the parameter {name} is set by {flag} and by --each; set it once");
            return Err(WrongUsage::new(message).into());
        }
        Ok(parameters)
    }

    /// The first and the last day of `--for`, as far as the report has parameters for them.
    fn days(&self, report: &Report, now: DateTime<Utc>, zone: Tz) -> Result<[Option<String>; 2]> {
        let Some(period) = &self.period else { return Ok([None, None]) };
        let span = span(period, now, zone).map_err(|fault| WrongUsage::new(format!("--for: {fault}")))?;
        let declared = &report.header().parameters;
        let day = |name: &str, day: NaiveDate| {
            declared.iter().any(|parameter| parameter.name == name).then(|| day.to_string())
        };
        let days = [day("from", span.from), day("to", span.to)];
        if days.iter().all(Option::is_none) {
            let message = format!("--for: the report {} is about no days; leave --for out", report.name());
            return Err(WrongUsage::new(message).into());
        }
        Ok(days)
    }
}

/// Runs one report.
///
/// # Errors
/// When the call is wrong, the lake cannot be queried, or the result cannot be written.
pub(super) async fn run(session: &Session, arguments: RunArguments) -> Result<Outcome> {
    let target = Target::of(session, &arguments).await?;
    let catalog = super::catalogue(session)?;
    let report = catalog.get(&arguments.name).map_err(usage)?;
    let parameters = arguments.parameters(report, Utc::now(), session.config.time_zone)?;
    // This is before the lake is opened, which may take a while.
    if let (Some(each), Target::Destination(destination)) = (&arguments.each, &target) {
        let conditions = arguments.answer.conditions()?;
        let each = Each { report, parameters, name: each, compare: arguments.compare, conditions };
        return each.run(session, destination).await;
    }
    let question = question(report, &parameters, arguments.compare)?;
    let lake = session.lake().await?;
    let conditions = arguments.answer.conditions()?;
    let result = match conditions.answer(session, &lake, &question).await? {
        Answer::Result(result) => result,
        Answer::NotComplete(reason) => {
            tracing::error!("{reason}; nothing was written");
            return Ok(Outcome::NotComplete);
        }
    };
    match target {
        Target::Destination(export) => {
            let export = export.run(&result, conditions.is_as_of()).await?;
            export::print(session, &export)?;
        }
        Target::One(form) => {
            let written = write(session, &form, &result);
            written.map_err(|error| if form.is_standard_output() { output::or_closed(error) } else { error })?;
            let format = form.format(session.json);
            // The others say it themselves.
            let says_nothing = match format {
                OutputFormat::Csv | OutputFormat::Ndjson | OutputFormat::Parquet => true,
                OutputFormat::Json => !session.json,
                OutputFormat::Table | OutputFormat::Xlsx | OutputFormat::Markdown | OutputFormat::Html => false,
            };
            output::note_since(result.provenance.since.as_ref().filter(|_| says_nothing))?;
        }
    }
    Ok(Outcome::Done)
}

/// Where a report goes.
enum Target {
    /// Standard output or a file.
    One(Form),
    /// A folder, a bucket or a database.
    Destination(export::Destination),
}

impl Target {
    /// Makes all checks that are possible before the report runs.
    async fn of(session: &Session, arguments: &RunArguments) -> Result<Self> {
        if let Some(destination) = &arguments.destination {
            let export = export::Destination::new(session, destination, &arguments.formats, arguments.presign).await?;
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

fn write(session: &Session, form: &Form, result: &ReportResult) -> Result<()> {
    let format = form.format(session.json);
    let mut sink = form.sink()?;
    match format {
        OutputFormat::Json if session.json => {
            serde_json::to_writer_pretty(&mut sink, &result.described()?).context("cannot write the report")?;
            sink.write_all(b"\n")?;
        }
        OutputFormat::Table => {
            let mut text = Vec::new();
            writeln!(text, "{}\n", result.headline())?;
            for line in result.figure_lines() {
                writeln!(text, "{line}")?;
            }
            write_report(result, format, &mut text)?;
            writeln!(text, "\n{}", foundation(result))?;
            if form.is_table_on_terminal(session.json) {
                return shell::show_wide(&text, session.config.sql.pager.as_deref());
            }
            sink.write_all(&text)?;
        }
        _ => drop(write_report(result, format, &mut sink)?),
    }
    sink.finish()
}

/// The foundation of the result, one line each.
fn foundation(result: &ReportResult) -> String {
    result.provenance.foundation().iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
}
