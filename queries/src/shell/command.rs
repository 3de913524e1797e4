//! The shell's own commands: a backslash, a word, and for some an argument.

use std::path::PathBuf;

use super::ChartForm;
use crate::output::format::OutputFormat;
use crate::text::nearest::{did_you_mean, nearest};

/// A command of the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShellCommand {
    /// List the commands.
    Help,
    /// Leave.
    Quit,
    /// List tables and views.
    ListRelations,
    /// Show the columns of a table or view.
    Describe(String),
    /// Show how long statements take; `None`: toggle.
    Timing(Option<bool>),
    /// One line for each column instead of one for each row; `None`: toggle.
    Expanded(Option<bool>),
    /// Long results go through the pager; `None`: toggle.
    Pager(Option<bool>),
    /// The format of results; `None`: show it.
    Format(Option<OutputFormat>),
    /// The next result goes to a file; `None`: to the terminal again.
    Output(Option<PathBuf>),
    /// Run the statements and commands of a file.
    Include(PathBuf),
    /// Draw the last result, or the next if there is none yet.
    Chart(ChartForm),
    /// Draw every result that fits, or none.
    Charts(bool),
    /// Open the newest version of all tables.
    Refresh,
}

/// A line of the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A command.
    Command(ShellCommand),
    /// SQL, or a part of it.
    Sql,
}

/// A command in the help and the completion.
#[derive(Clone, Copy, Debug)]
pub struct CommandHelp {
    /// The command with its backslash.
    pub name: &'static str,
    /// Its argument, or nothing.
    pub argument: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// The possible words of its argument; empty if it is free.
    pub words: &'static [&'static str],
}

const SWITCH: &[&str] = &["on", "off"];

/// All commands, in the order of the help.
pub const COMMANDS: &[CommandHelp] = &[
    CommandHelp { name: "\\?", argument: "", meaning: "this help; also \\h", words: &[] },
    CommandHelp { name: "\\d", argument: "", meaning: "tables and views", words: &[] },
    CommandHelp {
        name: "\\d",
        argument: "NAME",
        meaning: "columns of a table or view, with their meaning",
        words: &[],
    },
    CommandHelp {
        name: "\\timing",
        argument: "[on|off]",
        meaning: "show how long each statement takes",
        words: SWITCH,
    },
    CommandHelp {
        name: "\\x",
        argument: "[on|off]",
        meaning: "expanded display: a line for each column instead of each row",
        words: SWITCH,
    },
    CommandHelp {
        name: "\\format",
        argument: "[FORMAT]",
        meaning: "how results are written: table, csv, json or ndjson",
        words: &["table", "csv", "json", "ndjson"],
    },
    CommandHelp {
        name: "\\o",
        argument: "[FILE]",
        meaning: "write the next result to a file, whole, in the format of its ending",
        words: &[],
    },
    CommandHelp { name: "\\i", argument: "FILE", meaning: "run the statements and commands of a file", words: &[] },
    CommandHelp {
        name: "\\chart",
        argument: "[bar|line|on|off]",
        meaning: "draw the last result (label, number); on: draw every one that fits",
        words: &["bar", "line", "on", "off"],
    },
    CommandHelp {
        name: "\\pager",
        argument: "[on|off]",
        meaning: "show long results through the pager",
        words: SWITCH,
    },
    CommandHelp { name: "\\refresh", argument: "", meaning: "open the newest version of all tables", words: &[] },
    CommandHelp { name: "\\q", argument: "", meaning: "leave; also exit, quit and Ctrl-D", words: &[] },
];

/// Why a command cannot be run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CommandError {
    /// There is no such command.
    #[error("there is no command {name}{}; \\? lists the commands", did_you_mean(suggestion.as_ref()))]
    Unknown {
        /// What was written.
        name: String,
        /// The nearest known command.
        suggestion: Option<String>,
    },
    /// The argument is missing or invalid.
    #[error("{name} takes {takes}, not {given:?}")]
    Argument {
        /// The command.
        name: String,
        /// What fits.
        takes: &'static str,
        /// What was written.
        given: String,
    },
}

impl Request {
    /// Reads a line outside of a statement.
    ///
    /// # Errors
    /// [`CommandError`] for a line that begins with a backslash and is not a command.
    pub fn parse(line: &str) -> Result<Self, CommandError> {
        let line = line.trim().trim_end_matches(';').trim_end();
        match line.to_ascii_lowercase().as_str() {
            "exit" | "quit" => return Ok(Self::Command(ShellCommand::Quit)),
            "help" => return Ok(Self::Command(ShellCommand::Help)),
            _ => {}
        }
        if !line.starts_with('\\') {
            return Ok(Self::Sql);
        }
        let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        parse_command(name, unquoted(argument.trim())).map(Self::Command)
    }

    /// Whether the line is for the shell itself, so that it ends without a `;`.
    pub fn is_command(line: &str) -> bool {
        !matches!(Self::parse(line), Ok(Self::Sql))
    }
}

fn unquoted(argument: &str) -> &str {
    ['\'', '"'].iter().find_map(|quote| argument.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(argument)
}

fn parse_command(name: &str, argument: &str) -> Result<ShellCommand, CommandError> {
    let wrong = |takes| CommandError::Argument { name: name.to_owned(), takes, given: argument.to_owned() };
    let nothing = |command| if argument.is_empty() { Ok(command) } else { Err(wrong("nothing")) };
    let switch = || match argument {
        "" => Ok(None),
        "on" => Ok(Some(true)),
        "off" => Ok(Some(false)),
        _ => Err(wrong("on or off")),
    };
    let path = || Some(argument).filter(|path| !path.is_empty()).map(PathBuf::from);
    match name {
        "\\?" | "\\h" | "\\help" => nothing(ShellCommand::Help),
        "\\q" | "\\quit" => nothing(ShellCommand::Quit),
        "\\refresh" => nothing(ShellCommand::Refresh),
        "\\d" | "\\dt" | "\\dv" if argument.is_empty() => Ok(ShellCommand::ListRelations),
        "\\d" => Ok(ShellCommand::Describe(argument.to_owned())),
        "\\timing" => switch().map(ShellCommand::Timing),
        "\\x" => switch().map(ShellCommand::Expanded),
        "\\pager" => switch().map(ShellCommand::Pager),
        "\\format" if argument.is_empty() => Ok(ShellCommand::Format(None)),
        "\\format" => match argument.parse() {
            Ok(format @ (OutputFormat::Table | OutputFormat::Csv | OutputFormat::Json | OutputFormat::Ndjson)) => {
                Ok(ShellCommand::Format(Some(format)))
            }
            _ => Err(wrong("table, csv, json or ndjson")),
        },
        "\\o" => Ok(ShellCommand::Output(path())),
        "\\i" => path().map(ShellCommand::Include).ok_or_else(|| wrong("the path of a file")),
        "\\chart" => match argument {
            "" => Ok(ShellCommand::Chart(ChartForm::Fitting)),
            "bar" => Ok(ShellCommand::Chart(ChartForm::Bar)),
            "line" => Ok(ShellCommand::Chart(ChartForm::Line)),
            "on" => Ok(ShellCommand::Charts(true)),
            "off" => Ok(ShellCommand::Charts(false)),
            _ => Err(wrong("bar, line, on or off")),
        },
        _ => {
            let suggestion = nearest(name, COMMANDS.iter().map(|command| command.name));
            Err(CommandError::Unknown { name: name.to_owned(), suggestion })
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_commands_or_as_sql() {
        let command = |command| Ok(Request::Command(command));
        let cases = [
            ("\\?", command(ShellCommand::Help)),
            (" \\q ", command(ShellCommand::Quit)),
            ("exit", command(ShellCommand::Quit)),
            ("QUIT;", command(ShellCommand::Quit)),
            ("\\d", command(ShellCommand::ListRelations)),
            ("\\d users;", command(ShellCommand::Describe("users".to_owned()))),
            ("\\timing", command(ShellCommand::Timing(None))),
            ("\\timing on", command(ShellCommand::Timing(Some(true)))),
            ("\\x off", command(ShellCommand::Expanded(Some(false)))),
            ("\\format csv", command(ShellCommand::Format(Some(OutputFormat::Csv)))),
            ("\\o 'a b.csv'", command(ShellCommand::Output(Some(PathBuf::from("a b.csv"))))),
            ("\\o", command(ShellCommand::Output(None))),
            ("\\i queries.sql", command(ShellCommand::Include(PathBuf::from("queries.sql")))),
            ("\\chart", command(ShellCommand::Chart(ChartForm::Fitting))),
            ("\\chart line", command(ShellCommand::Chart(ChartForm::Line))),
            ("\\chart off", command(ShellCommand::Charts(false))),
            ("SELECT 1", Ok(Request::Sql)),
            ("exit_code", Ok(Request::Sql)),
            ("", Ok(Request::Sql)),
        ];
        for (line, expected) in cases {
            assert_eq!(Request::parse(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_wrong_command_says_what_would_be_right() {
        let cases = [
            ("\\timin", "there is no command \\timin; did you mean \\timing?; \\? lists the commands"),
            ("\\timing maybe", "\\timing takes on or off, not \"maybe\""),
            ("\\format parquet", "\\format takes table, csv, json or ndjson, not \"parquet\""),
            ("\\i", "\\i takes the path of a file, not \"\""),
            ("\\chart pie", "\\chart takes bar, line, on or off, not \"pie\""),
            ("\\q now", "\\q takes nothing, not \"now\""),
        ];
        for (line, message) in cases {
            assert_eq!(Request::parse(line).unwrap_err().to_string(), message);
            assert!(Request::is_command(line));
        }
    }

    #[test]
    fn every_command_of_the_help_is_understood() {
        for command in COMMANDS {
            let arguments = if command.words.is_empty() { &["x", ""][..] } else { command.words };
            let understood = arguments.iter().any(|word| Request::parse(&format!("{} {word}", command.name)).is_ok());
            assert!(understood, "{}", command.name);
        }
    }
}
