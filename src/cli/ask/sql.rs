//! `bluelake sql`: read-only SQL over the lake: one statement, or a shell.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use bluelake_lake::AsOf;
use bluelake_queries::{OutputFormat, write_results};
use clap::Args;

use crate::cli::Session;
use crate::operate::memory;
use crate::session::query;
use crate::shell;
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::form::Form;
use crate::terminal::output;

/// Arguments of `bluelake sql`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SqlArguments {
    /// The statement: SELECT, WITH, EXPLAIN, SHOW or DESCRIBE. Without one: a shell on a terminal; otherwise
    /// statements from standard input, each ended by a semicolon, up to the first error
    #[arg(value_name = "QUERY", conflicts_with = "file")]
    query: Option<String>,
    /// Read the statement from a file, or from standard input with -
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
    /// This process is watched by another, which starts it again when it dies of a query
    #[arg(long, hide = true)]
    watched: bool,
}

const EXAMPLES: &str = "\
Tables: user_events, transactions, rejected_events.
Views: users (latest state of each), interactions, donations, redemptions, redemption_items, transfers, points_ledger, calendar.

The shell completes names with Tab, keeps a history, and cancels a query on Ctrl-C; \\? lists its commands.

Examples:
  bluelake sql
  bluelake sql < questions.sql
  bluelake sql 'SELECT event_type, count(*) FROM transactions GROUP BY 1 ORDER BY 2 DESC'
  bluelake sql 'SELECT * FROM donations LIMIT 10' --format csv --output donations.csv
  bluelake sql --file question.sql --format parquet --output answer.parquet
  echo 'SELECT reason, count(*) FROM rejected_events GROUP BY 1' | bluelake sql --file - --format ndjson
  bluelake sql 'DESCRIBE transactions'";

impl SqlArguments {
    /// The one statement, if there is one.
    fn text(&self) -> Result<Option<String>> {
        match (&self.query, &self.file) {
            (Some(query), _) => Ok(Some(query.clone())),
            (None, Some(path)) if path.as_os_str() == "-" => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).context("cannot read the statement from standard input")?;
                Ok(Some(text))
            }
            (None, Some(path)) => std::fs::read_to_string(path)
                .map(Some)
                .with_context(|| WrongUsage::new(format!("cannot read the statement from {}", path.display()))),
            (None, None) => Ok(None),
        }
    }

    /// The format of all results of a shell; a shell writes to its own files.
    fn shell_format(&self, json: bool) -> Result<OutputFormat> {
        let format = self.form.format(json);
        if !self.form.is_standard_output() {
            return Err(WrongUsage::new("--output needs a QUERY or --file; in the shell, \\o FILE").into());
        }
        if format.is_binary() {
            return Err(WrongUsage::new(format!("{format} needs a QUERY or --file; in the shell, \\o FILE")).into());
        }
        Ok(format)
    }
}

/// Runs the statement and writes its result, or starts the shell.
pub(crate) async fn run(session: &Session, arguments: SqlArguments) -> Result<Outcome> {
    arguments.form.check(session.json)?;
    let Some(text) = arguments.text()? else {
        let format = arguments.shell_format(session.json)?;
        if shell::is_on_terminal() && !arguments.watched {
            return shell::supervisor::run("--watched").await;
        }
        memory::bound_process(session.config.sql.memory_limit);
        return shell::run(session, format).await;
    };
    memory::bound_process(session.config.sql.memory_limit);
    let queries = query::open(&session.lake().await?, &session.config, &AsOf::Newest).await?;
    let mut stream = queries.query(&text).await?;
    let since = stream.since();
    if arguments.form.is_table_on_terminal(session.json) {
        let mut table = Vec::new();
        write_results(&mut stream, OutputFormat::Table, &mut table).await?;
        table.extend(since.iter().flat_map(|since| format!("{}\n", output::since(since)).into_bytes()));
        shell::show_wide(&table, session.config.sql.pager.as_deref())?;
        return Ok(Outcome::Done);
    }
    let mut sink = arguments.form.sink()?;
    let written = match write_results(&mut stream, arguments.form.format(session.json), &mut sink).await {
        Ok(_) => sink.finish(),
        Err(error) => Err(error.into()),
    };
    written.map_err(|error| if arguments.form.is_standard_output() { output::or_closed(error) } else { error })?;
    output::note_since(since.as_ref())?;
    Ok(Outcome::Done)
}
