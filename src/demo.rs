//! The demo: generate, put, ingest, report, and compare with the truth.
//!
//! Its streams live in memory and are gone when the process ends. The lake knows which events have landed, and the
//! generator makes the same events again from its seed, so an interrupted demo goes on with the missing events.

mod checks;
mod landing;
mod state;

use std::path::Path;

use anyhow::{Context, Result, bail};
use bluelake_lake::{AsOf, Lake, shell_word};
use bluelake_queries::{OutputFormat, QuerySession, ReportCatalog, ReportParameters, ReportResult, ResultWriter};
use bluelake_schemas::Contract;
use serde_json::{Value, json};

use crate::cli::Session;
use crate::config::DEFAULT_LAKE;
use crate::demo::checks::Check;
use crate::demo::landing::Landed;
use crate::demo::state::DemoState;
use crate::session::query;
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::output;

/// The reports that the demo shows.
const REPORTS: [&str; 3] = ["interactions", "donations", "redemptions"];

const REJECTED: &str = "SELECT stream, reason, count(*) AS events FROM rejected_events GROUP BY 1, 2 ORDER BY 1, 2";

/// One demo: its place and its events.
#[derive(Debug)]
pub(crate) struct Demo<'a> {
    session: &'a Session,
    lake: Lake,
    contract: Contract,
    folder: &'a Path,
    state: DemoState,
}

/// Runs the demo, or goes on with an earlier one.
///
/// # Errors
/// When a part of it fails, or a total differs from the truth.
pub(crate) async fn run(session: &Session, fresh: bool, events: Option<u64>) -> Result<Outcome> {
    let location = session.location()?;
    let Some(folder) = location.folder() else {
        return Err(WrongUsage::new(format!("the demo works in a folder, not in {location}; use --lake FOLDER")).into());
    };
    let contract = session.contract()?;
    let lake = session.lake().await?;
    if fresh {
        state::clear(folder)?;
    }
    let found = DemoState::find(folder)?;
    let state = match &found {
        Some(state) => state.clone().for_events(events)?,
        None => DemoState::start(folder, events)?,
    };
    let mut demo = Demo { session, lake, contract, folder, state };
    let landed = demo.land(found.is_some()).await?;
    demo.show(landed).await
}

impl Demo<'_> {
    /// Puts and ingests missing events; `None` when everything has landed.
    async fn land(&mut self, again: bool) -> Result<Option<Landed>> {
        let events = output::grouped(self.state.events);
        let folder = self.folder.display();
        if self.state.complete {
            self.say(format!("There is a demo lake in {folder} already, with all of its {events} events."))?;
            self.say("(--fresh throws it away and starts again.)\n")?;
            return Ok(None);
        }
        if again {
            self.say(format!(
                "The demo in {folder} was interrupted: going on with what is missing of its {events} events."
            ))?;
        } else {
            let rates = format!("{} % bad, {} % repeated", state::BAD_RATE * 100.0, state::DUPLICATE_RATE * 100.0);
            self.say(format!("{events} events of a community ({rates}) on their way into {folder}."))?;
        }
        let landed = landing::run(self, again).await?;
        self.state.complete = true;
        self.state.duplicate = (landed.skipped == 0).then(|| landed.ingested.total(|stream| stream.duplicate));
        self.state.save(self.folder)?;
        Ok(Some(landed))
    }

    async fn show(&self, landed: Option<Landed>) -> Result<Outcome> {
        let queries = query::open(&self.lake, &self.session.config, &AsOf::Newest).await?;
        let reports = self.reports(&queries).await?;
        let truth = state::read_truth(self.folder)?;
        let checks = checks::run(&queries, &reports, &truth, self.state.duplicate).await?;
        if self.session.json {
            self.print_json(landed.as_ref(), &queries, &reports, &checks).await?;
        } else {
            self.print(&queries, &reports, &checks).await?;
        }
        let wrong = checks.iter().filter(|check| !check.holds()).count();
        if wrong > 0 {
            bail!("{wrong} of {} totals differ from what was generated", checks.len());
        }
        Ok(Outcome::Done)
    }

    async fn reports(&self, queries: &QuerySession) -> Result<Vec<ReportResult>> {
        let catalog = ReportCatalog::embedded()?;
        let parameters = ReportParameters::new().with("by", "week");
        let mut results = Vec::new();
        for name in REPORTS {
            results.push(catalog.get(name)?.run(queries, &parameters).await?);
        }
        Ok(results)
    }

    async fn print(&self, queries: &QuerySession, reports: &[ReportResult], checks: &[Check]) -> Result<()> {
        for result in reports {
            output::line(format!("\n{}", result.headline()))?;
            output::line(table(result.schema.as_ref(), &result.batches)?)?;
        }
        let rejected = queries.query(REJECTED).await?;
        let schema = rejected.schema();
        output::line("\nRejected, by reason")?;
        output::line(table(schema.as_ref(), &rejected.collect().await?)?)?;
        output::line("\nCompared with what was generated")?;
        for check in checks.iter().filter(|check| check.is_worth_showing()) {
            output::line(check.to_string())?;
        }
        self.print_next()
    }

    fn print_next(&self) -> Result<()> {
        let program = std::env::args_os().next().unwrap_or_else(|| "bluelake".into());
        let program = shell_word(&program.to_string_lossy());
        let lake = match self.session.config.lake.as_str() {
            DEFAULT_LAKE => String::new(),
            other => format!(" --lake {}", shell_word(other)),
        };
        output::line("\nTry next")?;
        for command in [
            "sql 'SELECT event_type, count(*) FROM transactions GROUP BY 1'",
            "sql 'SELECT reason, field_path, event_bytes FROM rejected_events LIMIT 5'",
            "report run donations --by month",
            "report run redemptions --format csv --output redemptions.csv",
            "schema describe",
            "--help",
        ] {
            output::line(format!("  {program}{lake} {command}"))?;
        }
        Ok(())
    }

    async fn print_json(
        &self,
        landed: Option<&Landed>,
        queries: &QuerySession,
        reports: &[ReportResult],
        checks: &[Check],
    ) -> Result<()> {
        let reports = reports.iter().map(ReportResult::described).collect::<Result<Vec<Value>, _>>()?;
        let rejected = queries.query(REJECTED).await?;
        let schema = rejected.schema();
        let rejected = written(OutputFormat::Json, schema.as_ref(), &rejected.collect().await?)?;
        let rejected: Value = serde_json::from_slice(&rejected)?;
        output::json(&json!({
            "lake": self.folder,
            "events": self.state.events,
            "landed": landed,
            "reports": reports,
            "rejected": rejected,
            "checks": checks,
        }))
    }

    /// Prints a text for people; not for programs.
    fn say(&self, text: impl AsRef<str>) -> Result<()> {
        if self.session.json { Ok(()) } else { output::line(text) }
    }
}

fn table(schema: &arrow::datatypes::Schema, batches: &[arrow::array::RecordBatch]) -> Result<String> {
    let text = written(OutputFormat::Table, schema, batches)?;
    Ok(String::from_utf8(text).context("a table is not UTF-8")?.trim_end().to_owned())
}

fn written(
    format: OutputFormat,
    schema: &arrow::datatypes::Schema,
    batches: &[arrow::array::RecordBatch],
) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut writer = ResultWriter::new(format, schema, &mut text)?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    Ok(text)
}
