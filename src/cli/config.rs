//! `bluelake config`: the settings and their origins.

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;

use super::Session;
use crate::config::{About, SETTINGS};
use crate::terminal::failure::Outcome;
use crate::terminal::output;

/// Commands about the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting with its value and where that came from
    #[command(after_help = EXAMPLES)]
    Show,
}

const EXAMPLES: &str = "\
Later sources win: default, file (bluelake.toml or --config), environment variable, flag.

Examples:
  bluelake config show
  BLUELAKE_INGEST_BUFFER_SIZE=64MiB bluelake --lake s3://bucket/lake config show
  bluelake config show --json";

#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    value: Option<&'a str>,
    origin: Option<String>,
    variable: String,
    meaning: String,
}

/// Runs one of the commands about the configuration.
pub(crate) fn run(session: &Session, command: ConfigCommand) -> Result<Outcome> {
    match command {
        ConfigCommand::Show => show(session),
    }
}

fn show(session: &Session) -> Result<Outcome> {
    let rows: Vec<Row<'_>> = SETTINGS.iter().map(|setting| row(session, setting)).collect();
    if session.json {
        output::json(&rows)?;
    } else {
        let cells = rows.iter().map(|row| {
            let value = row.value.unwrap_or("(not set)").to_owned();
            [row.key.to_owned(), value, row.origin.clone().unwrap_or_default(), row.meaning.clone()]
        });
        output::line(output::table(&["setting", "value", "from", "meaning"], &[], cells).to_string())?;
    }
    Ok(Outcome::Done)
}

fn row<'a>(session: &'a Session, setting: &'a About) -> Row<'a> {
    let value = session.config.layers.get(setting.key);
    Row {
        key: setting.key,
        value: value.map(|value| value.text.as_str()),
        origin: value.map(|value| value.origin.to_string()),
        variable: setting.variable(),
        meaning: setting.meaning(),
    }
}
