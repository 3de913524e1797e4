//! `bluelake describe`: the tables and views that can be queried, and the meanings of their columns. Needs no lake.

use std::sync::Arc;

use anyhow::Result;
use arrow::datatypes::SchemaRef;
use bluelake_lake::REJECTED_EVENTS;
use bluelake_queries::{NoSuchRelation, QueryOptions, QuerySession};
use bluelake_schemas::{Contract, Stream, rejected_events_schema};
use clap::Args;
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;

use crate::cli::Session;
use crate::terminal::dictionary::{Described, Dictionary};
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::output;

/// Arguments of `bluelake describe`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DescribeArguments {
    /// A table or view [default: a list of all]
    #[arg(value_name = "TABLE")]
    table: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  bluelake describe
  bluelake describe points_ledger
  bluelake describe transactions --json";

/// Shows one table or view, or the list of all.
///
/// # Errors
/// [`WrongUsage`] for an unknown name.
pub(crate) async fn run(session: &Session, arguments: DescribeArguments) -> Result<Outcome> {
    let contract = session.contract()?;
    let dictionary = Dictionary::of(&contract)?;
    let queries = QuerySession::new(empty_tables(&contract), QueryOptions::default()).await?;
    if let Some(name) = &arguments.table {
        let described = dictionary.describe(&queries.relation(name).await.map_err(wrong_name)?);
        if session.json {
            output::json(&described)?;
        } else {
            output::line(format!("{}\n{}", described.title(), described.table()))?;
        }
        return Ok(Outcome::Done);
    }
    let relations = queries.relations().await;
    let described: Vec<Described> = relations.iter().map(|relation| dictionary.describe(relation)).collect();
    if session.json {
        output::json(&described)?;
    } else {
        let rows = described.into_iter().map(|one| [one.name, one.kind.to_owned(), one.grain]);
        output::line(output::table(&["name", "kind", "grain"], &[], rows).to_string())?;
    }
    Ok(Outcome::Done)
}

/// The tables of a lake by this contract, without rows.
fn empty_tables(contract: &Contract) -> Vec<(String, Arc<dyn TableProvider>)> {
    let empty = |name: &str, schema: SchemaRef| -> (String, Arc<dyn TableProvider>) {
        (name.to_owned(), Arc::new(EmptyTable::new(schema)))
    };
    let streams = Stream::ALL.map(|stream| empty(stream.table(), contract.stream(stream).table_schema()));
    streams.into_iter().chain([empty(REJECTED_EVENTS, rejected_events_schema())]).collect()
}

fn wrong_name(error: NoSuchRelation) -> anyhow::Error {
    match error {
        NoSuchRelation::Unknown { .. } => WrongUsage::new(error.to_string()).into(),
        other => other.into(),
    }
}
