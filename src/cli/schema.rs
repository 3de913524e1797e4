//! `bluelake schema`: the event contract, for producers and for readers of the tables.

use anyhow::Result;
use bluelake_schemas::{Contract, DictionaryRow, Stream};
use clap::Subcommand;

use super::Session;
use crate::terminal::failure::Outcome;
use crate::terminal::output;

/// Commands about the event contract.
#[derive(Debug, Subcommand)]
pub(crate) enum SchemaCommand {
    /// Print the JSON Schema (draft 2020-12) that a stream's events must follow
    #[command(after_help = JSON_SCHEMA_EXAMPLES)]
    JsonSchema {
        /// user-events or transaction-events
        #[arg(value_name = "STREAM")]
        stream: Stream,
    },
    /// Print the data dictionary: every table and column, what it means, and whether it is personal
    #[command(after_help = DESCRIBE_EXAMPLES)]
    Describe,
}

const JSON_SCHEMA_EXAMPLES: &str = "\
Examples:
  bluelake schema json-schema transaction-events > transaction-events.schema.json
  bluelake --contract ./my-contract schema json-schema user-events";

const DESCRIBE_EXAMPLES: &str = "\
Examples:
  bluelake schema describe
  bluelake schema describe --json";

/// Runs one of the commands about the event contract.
pub(crate) fn run(session: &Session, command: SchemaCommand) -> Result<Outcome> {
    let contract = session.contract()?;
    match command {
        SchemaCommand::JsonSchema { stream } => output::json(&contract.json_schema(stream))?,
        SchemaCommand::Describe => describe(session, &contract)?,
    }
    Ok(Outcome::Done)
}

fn describe(session: &Session, contract: &Contract) -> Result<()> {
    let rows = contract.dictionary();
    if session.json {
        return output::json(&rows);
    }
    let header = ["table", "column", "type", "required", "personal", "events", "meaning"];
    output::line(output::table(&header, &[], rows.into_iter().map(cells)).to_string())
}

fn cells(row: DictionaryRow) -> [String; 7] {
    let yes_or_nothing = |holds: bool| if holds { "yes" } else { "" }.to_owned();
    let required = match row.required_in.join(", ") {
        _ if row.required => "yes".to_owned(),
        events if events.is_empty() => String::new(),
        _ if row.required_in == row.event_types => "yes, in its events".to_owned(),
        events => format!("in {events}"),
    };
    let events = if row.event_types.is_empty() { "all".to_owned() } else { row.event_types.join(", ") };
    let meaning = match row.unit {
        Some(unit) => format!("{} ({unit})", row.description),
        None => row.description,
    };
    [row.table, row.column, row.data_type, required, yes_or_nothing(row.pii), events, meaning]
}
