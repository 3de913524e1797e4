//! Lines of the terminal: editing, history, completion, and the end of statements.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use bluelake_queries::shell::{Request, Vocabulary, is_blank, split};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};

const PROMPT: &str = "bluelake> ";
const HISTORY_ENTRIES_MAX: usize = 5_000;

/// The input of the user.
pub(super) enum Line {
    /// A command, or text whose last statement is complete.
    Text(String),
    /// Ctrl-C: the line is cleared.
    Interrupted,
    /// Ctrl-D, or the terminal is gone.
    End,
}

/// Reads from the terminal. Entries are in the history at once.
pub(super) struct LineReader {
    editor: Editor<SqlHelper, FileHistory>,
    history: Option<PathBuf>,
}

impl LineReader {
    /// With the history of this file, if it can be read.
    ///
    /// # Errors
    /// When the terminal cannot be used.
    pub(super) fn open(history: Option<PathBuf>) -> Result<Self> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .history_ignore_space(true)
            .max_history_size(HISTORY_ENTRIES_MAX)
            .context("cannot set up the history")?
            .build();
        let mut editor = Editor::with_config(config).context("cannot use the terminal")?;
        editor.set_helper(Some(SqlHelper::default()));
        if let Some(path) = &history {
            // A missing or unreadable file means no history.
            let _ = editor.load_history(path);
        }
        Ok(Self { editor, history })
    }

    /// Completes these names from now on.
    pub(super) fn learn(&mut self, vocabulary: Vocabulary) {
        self.editor.set_helper(Some(SqlHelper { vocabulary }));
    }

    /// Waits for the user.
    ///
    /// # Errors
    /// When the terminal cannot be read.
    pub(super) fn read(&mut self) -> Result<Line> {
        match self.editor.readline(PROMPT) {
            Ok(text) => {
                self.remember(&text);
                Ok(Line::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(error) => Err(error).context("cannot read from the terminal"),
        }
    }

    /// It is written at once, so that a killed shell loses no entries.
    fn remember(&mut self, text: &str) {
        let added = !text.trim().is_empty() && self.editor.add_history_entry(text.trim_end()).unwrap_or(false);
        if let (true, Some(path)) = (added, &self.history) {
            let _ = self.editor.append_history(path);
        }
    }
}

#[derive(Default)]
struct SqlHelper {
    vocabulary: Vocabulary,
}

impl Completer for SqlHelper {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let completions = self.vocabulary.complete(line, position);
        Ok((completions.start, completions.candidates))
    }
}

impl Validator for SqlHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let complete = is_complete(context.input());
        Ok(if complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// Marks a new line of an unfinished statement; no key can enter it.
struct GoesOn;

impl Hint for GoesOn {
    fn display(&self) -> &str {
        "-> ; ends the statement"
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for SqlHelper {
    type Hint = GoesOn;

    fn hint(&self, line: &str, position: usize, _: &Context<'_>) -> Option<GoesOn> {
        (position == line.len() && line.ends_with('\n')).then_some(GoesOn)
    }
}

impl Highlighter for SqlHelper {}
impl Helper for SqlHelper {}

/// Whether Enter ends the input: a command, an empty line, or statements that all end with `;`.
fn is_complete(text: &str) -> bool {
    let mut rest = text;
    while split(rest).statement.is_some() {
        rest = split(rest).rest;
    }
    is_blank(rest) || Request::is_command(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_ends_commands_and_complete_statements_only() {
        for text in ["", "  ", "\\d", "\\nonsense", "exit", "SELECT 1;", "SELECT 1;\nSELECT 2; -- done", "-- nothing"] {
            assert!(is_complete(text), "{text:?}");
        }
        for text in ["SELECT 1", "SELECT ';", "SELECT 1; SELECT", "/* ;", "SELECT\n1"] {
            assert!(!is_complete(text), "{text:?}");
        }
    }
}
