//! `bluelake sql` without a statement: a shell on a terminal, a reader of statements otherwise.
//!
//! Its statements go through the same guard and limits as any query. An error ends a script (and its process, with exit
//! code 1) but never the shell; Ctrl-C ends the query and not the shell. Tables stay at their opened versions until
//! `\refresh`.

mod answer;
mod commands;
mod display;
mod history;
mod pager;
mod reader;
mod script;
pub(crate) mod supervisor;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use bluelake_lake::{AsOf, Lake};
use bluelake_queries::shell::{ChartForm, Request, Vocabulary, is_blank, split};
use bluelake_queries::{OutputFormat, QuerySession, TableOrigin};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::Session;
use crate::session::query;
use crate::terminal::dictionary::Dictionary;
use crate::terminal::failure;
use crate::terminal::failure::Outcome;
use crate::terminal::output;
use answer::Collected;
pub(crate) use display::show_wide;
use reader::{Line, LineReader};

/// Switches of the user.
#[derive(Debug, Clone)]
struct Display {
    format: OutputFormat,
    is_expanded: bool,
    shows_timing: bool,
    uses_pager: bool,
    /// Draw every result that fits.
    draws_charts: bool,
}

/// Whether to read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    Leave,
}

/// The state of one shell.
struct Shell<'a> {
    session: &'a Session,
    lake: Lake,
    queries: QuerySession,
    dictionary: Dictionary,
    display: Display,
    /// The form of the next result's chart.
    next_chart: Option<ChartForm>,
    /// The next result goes there.
    next_output: Option<PathBuf>,
    /// The shown part of the last result.
    last: Option<Collected>,
    /// The time of the last statement, without the time in the pager.
    computed: Option<Duration>,
    /// Ctrl-C, for a shell on a terminal; it ends a script.
    interrupts: Option<Signal>,
    /// Nested files that `\i` is reading.
    files_open: usize,
}

/// Whether input and output are a terminal.
pub(crate) fn is_on_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Runs the shell, or the statements of standard input.
///
/// # Errors
/// When the lake cannot be opened; for a script, the first error of a statement or command.
pub(crate) async fn run(session: &Session, format: OutputFormat) -> Result<Outcome> {
    let is_interactive = is_on_terminal();
    let lake = session.lake().await?;
    let queries = query::open(&lake, &session.config, &AsOf::Newest).await?;
    let interrupts =
        if is_interactive { Some(signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?) } else { None };
    let display =
        Display { format, is_expanded: false, shows_timing: false, uses_pager: is_interactive, draws_charts: false };
    let mut shell = Shell {
        session,
        lake,
        queries,
        dictionary: Dictionary::of(&session.contract()?)?,
        display,
        next_chart: None,
        next_output: None,
        last: None,
        computed: None,
        interrupts,
        files_open: 0,
    };
    if is_interactive {
        shell.converse().await?;
    } else {
        let written = shell.read_script("standard input", std::io::stdin().lock()).await;
        written.map_err(output::or_closed)?;
    }
    Ok(Outcome::Done)
}

impl Shell<'_> {
    /// Reads lines of the terminal until the user leaves.
    async fn converse(&mut self) -> Result<()> {
        let mut reader = LineReader::open(history::file(&self.session.config.sql.history))?;
        reader.learn(self.vocabulary().await);
        output::line(self.greeting())?;
        loop {
            match reader.read()? {
                Line::Interrupted => {}
                Line::End => return Ok(()),
                Line::Text(text) => {
                    let versions = self.queries.origin().tables.clone();
                    match self.obey(&text).await {
                        Ok(Flow::Continue) => {}
                        Ok(Flow::Leave) => return Ok(()),
                        Err(error) => complain(&error),
                    }
                    if versions != self.queries.origin().tables {
                        reader.learn(self.vocabulary().await);
                    }
                }
            }
        }
    }

    /// Runs a command, or the statements of a text in sequence up to the first error.
    async fn obey(&mut self, text: &str) -> Result<Flow> {
        if let Request::Command(command) = Request::parse(text)? {
            return self.command(command).await;
        }
        let mut rest = text;
        while let Some(statement) = split(rest).statement {
            rest = split(rest).rest;
            if !is_blank(statement) {
                self.statement(statement).await?;
            }
        }
        if !is_blank(rest) {
            self.statement(rest).await?;
        }
        Ok(Flow::Continue)
    }

    async fn vocabulary(&self) -> Vocabulary {
        let relations = self.queries.relations().await.into_iter();
        let columns = |relation: bluelake_queries::Relation| {
            (relation.name, relation.schema.fields().iter().map(|field| field.name().clone()).collect())
        };
        Vocabulary::new(relations.map(columns).collect(), self.queries.functions())
    }

    fn greeting(&self) -> String {
        format!(
            "Bluelake {}: read-only SQL over {}, time zone {}\n{}\n\
             The tables stay at these versions until \\refresh. A statement ends with ; and \\? shows the commands.",
            env!("CARGO_PKG_VERSION"),
            self.lake.location(),
            self.session.config.time_zone.name(),
            self.versions(),
        )
    }

    /// One line for each table: its version and rows.
    fn versions(&self) -> String {
        let line = |table: &TableOrigin| {
            let version = table.version.map_or_else(|| "?".to_owned(), |version| version.to_string());
            let rows = table.rows.map_or_else(|| "?".to_owned(), output::grouped);
            format!("  {:<16} version {version}, {rows} rows", table.name)
        };
        self.queries.origin().tables.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// Reports an error that does not end the shell.
fn complain(error: &anyhow::Error) {
    // If this cannot be written, the terminal is gone, and the next read reports that.
    let _ = writeln!(std::io::stderr(), "error: {}", failure::describe(error));
}
