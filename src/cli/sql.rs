//! `bluelake sql`: read-only SQL over the lake: one statement, or a shell.

use std::io::{BufWriter, IsTerminal as _, Read as _, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use bluelake_lake::AsOf;
use bluelake_queries::{OutputFormat, write_results};
use clap::Args;

use super::Session;
use crate::operate::memory;
use crate::session::query;
use crate::shell;
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::output;
use crate::terminal::output::WholeFile;

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

/// How a result is written, and where to.
#[derive(Debug, Args)]
pub(crate) struct Form {
    /// table, csv, json, ndjson, parquet, xlsx, md or html [default: by the name of --output, otherwise table, or json
    /// with --json]
    #[arg(long, value_name = "FORMAT")]
    format: Option<OutputFormat>,
    /// Write to a file, which appears only when it is complete
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Form {
    /// A format, or the usual one, to a file, or to standard output.
    pub(crate) fn new(format: Option<OutputFormat>, output: Option<PathBuf>) -> Self {
        Self { format, output }
    }

    /// The format that was asked for, in words or by the file's ending.
    pub(crate) fn format(&self, json: bool) -> OutputFormat {
        let ending = || OutputFormat::of_file(self.output.as_deref()?).ok()?;
        let usual = if json { OutputFormat::Json } else { OutputFormat::Table };
        self.format.or_else(ending).unwrap_or(usual)
    }

    /// Refuses a file whose ending says nothing, or something else than `--format`.
    fn check_ending(&self) -> Result<()> {
        let Some(path) = &self.output else { return Ok(()) };
        match (OutputFormat::of_file(path), self.format) {
            (Ok(Some(ending)), Some(format)) if ending != format && ending != OutputFormat::Table => {
                let message =
                    format!("--format says {format} and {} says {ending}: let one be as the other", path.display());
                Err(WrongUsage::new(message).into())
            }
            (Err(error), None) => Err(WrongUsage::new(error.to_string()).into()),
            _ => Ok(()),
        }
    }

    /// Whether a table is shown to somebody who reads it on a terminal.
    pub(crate) fn is_table_on_terminal(&self, json: bool) -> bool {
        self.format(json) == OutputFormat::Table && self.is_standard_output() && std::io::stdout().is_terminal()
    }

    /// Whether the result goes to standard output.
    pub(crate) fn is_standard_output(&self) -> bool {
        self.output.is_none()
    }

    /// Refuses to write bytes that a terminal cannot show, and a file of an ending that does not fit.
    ///
    /// # Errors
    /// [`WrongUsage`] for Parquet or XLSX to a terminal, or for an ending that names no format or another one.
    pub(crate) fn check(&self, json: bool) -> Result<()> {
        self.check_ending()?;
        let format = self.format(json);
        if format.is_binary() && self.is_standard_output() && std::io::stdout().is_terminal() {
            return Err(WrongUsage::new(format!("{format} is not for terminals; add --output FILE")).into());
        }
        Ok(())
    }

    /// Where the result goes.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn sink(&self) -> Result<Sink> {
        Ok(match &self.output {
            Some(path) => Sink::File(WholeFile::create(path)?),
            None => Sink::StandardOutput(BufWriter::new(std::io::stdout())),
        })
    }
}

/// A file or standard output.
#[derive(Debug)]
pub(crate) enum Sink {
    /// A file that gets its name when it is complete.
    File(WholeFile),
    /// Standard output.
    StandardOutput(BufWriter<std::io::Stdout>),
}

impl Sink {
    /// Completes the result.
    ///
    /// # Errors
    /// When the last bytes cannot be written.
    pub(crate) fn finish(self) -> Result<()> {
        match self {
            Self::File(file) => file.finish(),
            Self::StandardOutput(mut stdout) => Ok(stdout.flush()?),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::File(file) => file.write(buffer),
            Self::StandardOutput(stdout) => stdout.write(buffer),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::StandardOutput(stdout) => stdout.flush(),
        }
    }
}

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

    /// The format of all results of a shell, which writes to files of its own.
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
    if arguments.form.is_table_on_terminal(session.json) {
        let mut table = Vec::new();
        write_results(&mut stream, OutputFormat::Table, &mut table).await?;
        shell::show_wide(&table, session.config.sql.pager.as_deref())?;
        return Ok(Outcome::Done);
    }
    let mut sink = arguments.form.sink()?;
    let written = match write_results(&mut stream, arguments.form.format(session.json), &mut sink).await {
        Ok(_) => sink.finish(),
        Err(error) => Err(error.into()),
    };
    written.map_err(|error| if arguments.form.is_standard_output() { output::or_closed(error) } else { error })?;
    Ok(Outcome::Done)
}
