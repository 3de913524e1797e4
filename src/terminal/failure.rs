//! The outcomes of a command, and their exit codes.

use std::fmt;
use std::process::ExitCode;

use bluelake_lake::causes;
use chrono::{SecondsFormat, Utc};
use serde_json::json;

use crate::terminal::logging::LogFormat;
use crate::terminal::output::printable;

/// The outcome of a command that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is all done: exit code 0.
    Done,
    /// Done, but incomplete by a limit that the caller set, or with a check that failed: exit code 3.
    Incomplete,
    /// It was not done, because the requested period is not complete yet: exit code 4.
    NotComplete,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Incomplete => Self::from(3),
            Outcome::NotComplete => Self::from(4),
        }
    }
}

/// The call is wrong: invalid flags or configuration. Exit code 2.
#[derive(Debug)]
pub(crate) struct WrongUsage(String);

impl WrongUsage {
    /// `message` names the flag, key or file, and what to do.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for WrongUsage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// The reader of our standard output has gone (`bluelake sql … | head`). This is no failure: exit code 0, without a
/// message.
#[derive(Debug)]
pub(crate) struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("nobody reads the standard output any more")
    }
}

impl std::error::Error for ReaderGone {}

/// A process that this one started has reported its error, and ended with this exit code.
#[derive(Debug)]
pub(crate) struct AlreadyReported(pub(crate) u8);

impl fmt::Display for AlreadyReported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ended with exit code {}", self.0)
    }
}

impl std::error::Error for AlreadyReported {}

/// Whether the error is reported already, or is to be silent.
pub(crate) fn is_reported(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ReaderGone>().is_some() || error.downcast_ref::<AlreadyReported>().is_some()
}

/// The exit code of an error.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    if let Some(AlreadyReported(code)) = error.downcast_ref::<AlreadyReported>() {
        *code
    } else if error.downcast_ref::<ReaderGone>().is_some() {
        0
    } else if error.downcast_ref::<WrongUsage>().is_some() {
        2
    } else {
        1
    }
}

/// The error and its causes in one line.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    // A message can quote data, and data must not control the reader's terminal.
    printable(&causes(error.as_ref()))
}

/// The last line of a failed command, in the form of log lines.
pub(crate) fn last_line(error: &anyhow::Error, format: Option<LogFormat>) -> String {
    let message = describe(error);
    match format {
        Some(LogFormat::Json) => {
            let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
            json!({ "timestamp": now, "level": "ERROR", "message": message, "exit_code": code(error), "target": "bluelake" })
                .to_string()
        }
        Some(LogFormat::Text) | None => format!("error: {message}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn usage_stays_usage_under_context() {
        let error = anyhow::Error::from(WrongUsage::new("flag")).context("more").context("and more");
        assert!(error.downcast_ref::<WrongUsage>().is_some());
        let error = anyhow!("no such file").context(WrongUsage::new("cannot read x"));
        assert!(error.downcast_ref::<WrongUsage>().is_some());
    }

    #[test]
    fn data_in_a_message_cannot_drive_the_terminal() {
        let error = anyhow!("cannot cast '\u{1b}[31m\u{202e}x'").context("the query failed\nhere");
        assert_eq!(describe(&error), "the query failed here: cannot cast '\u{fffd}[31m\u{fffd}x'");
    }

    #[test]
    fn the_last_line_has_the_logs_form() {
        let error = anyhow!("refused\nby it").context(WrongUsage::new("cannot open"));
        assert_eq!(last_line(&error, Some(LogFormat::Text)), "error: cannot open: refused by it");
        let line = last_line(&error, Some(LogFormat::Json));
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&record["message"], &record["exit_code"]), (&json!("cannot open: refused by it"), &json!(2)));
    }

    #[test]
    fn a_repeated_cause_is_printed_once() {
        let error = anyhow!("refused").context("connect: refused").context("cannot open the lake");
        assert_eq!(describe(&error), "cannot open the lake: connect: refused");
    }
}
