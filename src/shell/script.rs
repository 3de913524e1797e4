//! Statements and commands from a file or a pipe, in sequence until the first error.

use std::io::{BufRead, Read as _};

use anyhow::{Context, Result};
use bluelake_queries::shell::{Request, is_blank, split};
use bluelake_queries::{Refusal, SQL_BYTES_MAX};

use super::{Flow, Shell};

/// Room for the longest statement with its surroundings.
const LINE_BYTES_MAX: usize = 2 * SQL_BYTES_MAX;

impl Shell<'_> {
    /// Runs statements and commands. A statement ends with `;` or with the text; a command is a line of its own.
    ///
    /// # Errors
    /// The first error, with the name of the text and its line.
    pub(super) async fn read_script(&mut self, name: &str, mut lines: impl BufRead) -> Result<Flow> {
        let mut pending = String::new();
        let mut number = 0_u64;
        loop {
            number += 1;
            let place = || format!("{name}, line {number}");
            let line = next_line(&mut lines).with_context(place)?;
            // Editors of Windows put a byte order mark before the text.
            let line = line.map(|line| if number == 1 { line.trim_start_matches('\u{feff}').to_owned() } else { line });
            let Some(line) = line else {
                return if is_blank(&pending) {
                    Ok(Flow::Continue)
                } else {
                    self.obey(&pending).await.with_context(place)
                };
            };
            if is_blank(&pending) && Request::is_command(&line) {
                if self.obey(&line).await.with_context(place)? == Flow::Leave {
                    return Ok(Flow::Leave);
                }
                continue;
            }
            pending.push_str(&line);
            while let Some(statement) = split(&pending).statement {
                if !is_blank(statement) {
                    self.statement(statement).await.with_context(place)?;
                }
                pending = split(&pending).rest.to_owned();
            }
            if pending.len() > LINE_BYTES_MAX {
                let error = Refusal::TooLong { bytes: pending.len(), limit: SQL_BYTES_MAX };
                return Err(error).with_context(place);
            }
        }
    }
}

/// The next line with its end; `None` after the last.
fn next_line(lines: &mut impl BufRead) -> Result<Option<String>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let read = lines.take(most).read_until(b'\n', &mut bytes).context("cannot be read")?;
    if read == 0 {
        return Ok(None);
    }
    if read >= LINE_BYTES_MAX {
        return Err(Refusal::TooLong { bytes: read, limit: SQL_BYTES_MAX }.into());
    }
    String::from_utf8(bytes).context("is not UTF-8").map(Some)
}
