//! `bluelake report reconcile`: compares control totals with reports.

use anyhow::Result;
use bluelake_queries::{Reconciled, reconcile};
use clap::Args;
use serde::Serialize;

use super::conditions::as_of;
use crate::cli::Session;
use crate::session::query;
use crate::terminal::failure::Outcome;
use crate::terminal::output;

/// Arguments of `bluelake report reconcile`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReconcileArguments {
    /// Compare as the lake was: a time, a version of transactions, or versions as a report shows them
    #[arg(long, value_name = "VERSION|TIME")]
    as_of: Option<String>,
}

const EXAMPLES: &str = "\
Every number is found in two ways that share as little as they can: the control totals that ingest keeps for each shard, the rows \
of the tables, the views, the reports. Exit code 3 when two differ.

Examples:
  bluelake report reconcile
  bluelake report reconcile --as-of 2026-11-25T06:00:00Z --json";

#[derive(Serialize)]
struct Reconciliation<'a> {
    as_of: Option<String>,
    equal: bool,
    checks: &'a [Reconciled],
}

/// Compares, and prints the result.
///
/// # Errors
/// When the lake cannot be queried.
pub(super) async fn run(session: &Session, arguments: ReconcileArguments) -> Result<Outcome> {
    let queries = query::open(&session.lake().await?, &session.config, &as_of(arguments.as_of.as_deref())?).await?;
    let checks = reconcile(&queries, &bluelake_queries::ReportCatalog::embedded()?).await?;
    let equal = checks.iter().all(Reconciled::is_equal);
    if session.json {
        output::json(&Reconciliation { as_of: queries.origin().as_of(), equal, checks: &checks })?;
    } else {
        let rows = checks.iter().map(|check| {
            [
                if check.is_equal() { "equal" } else { "DIFFERS" }.to_owned(),
                check.what.clone(),
                check.expected.to_string(),
                check.expected_from.clone(),
                check.found.to_string(),
                check.found_in.clone(),
            ]
        });
        let header = ["", "what", "expected", "by", "found", "in"];
        output::line(output::table(&header, &[2, 4], rows).to_string())?;
    }
    Ok(if equal { Outcome::Done } else { Outcome::Incomplete })
}
