//! Lines of the terminal: editing, history, completion, and where a statement is complete.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use bluelake_queries::shell::{Request, Vocabulary, is_blank, split};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

const PROMPT: &str = "bluelake> ";
/// For the next line of a statement that is not complete.
const CONTINUED: &str = "       -> ";
const HISTORY_ENTRIES_MAX: usize = 5_000;

/// What the user entered.
pub(super) enum Line {
    /// A command, or text whose last statement is complete.
    Text(String),
    /// Ctrl-C: the line is cleared.
    Interrupted,
    /// Ctrl-D, or the terminal is gone.
    End,
}

/// Reads from the terminal. What is entered is in the history at once.
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
            // A file that is not there yet, or that cannot be read, is no history.
            let _ = editor.load_history(path);
        }
        Ok(Self { editor, history })
    }

    /// Completes these names from now on.
    pub(super) fn learn(&mut self, vocabulary: Vocabulary) {
        self.editor.set_helper(Some(SqlHelper { vocabulary, before: String::new() }));
    }

    /// Waits for the user.
    ///
    /// # Errors
    /// When the terminal cannot be read.
    pub(super) fn read(&mut self) -> Result<Line> {
        let mut text = String::new();
        loop {
            if let Some(helper) = self.editor.helper_mut() {
                helper.before.clone_from(&text);
            }
            match self.editor.readline(if text.is_empty() { PROMPT } else { CONTINUED }) {
                Ok(line) => text.push_str(&line),
                Err(ReadlineError::Interrupted) => return Ok(Line::Interrupted),
                // What was begun is not run: it has no end.
                Err(ReadlineError::Eof) => return Ok(Line::End),
                Err(error) => return Err(error).context("cannot read from the terminal"),
            }
            if is_complete(&text) {
                self.remember(&text);
                return Ok(Line::Text(text));
            }
            text.push('\n');
        }
    }

    /// Written at once, so that a shell that is killed does not forget.
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
    /// The lines of the statement before this one, which may name tables.
    before: String,
}

impl Completer for SqlHelper {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = self.before.len();
        let completions = self.vocabulary.complete(&format!("{}{line}", self.before), before + position);
        Ok((completions.start.saturating_sub(before), completions.candidates))
    }
}

impl Validator for SqlHelper {}

impl Hinter for SqlHelper {
    type Hint = String;
}

impl Highlighter for SqlHelper {}
impl Helper for SqlHelper {}

/// Whether Enter ends the input: a command, nothing, or statements that all end with `;`.
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
