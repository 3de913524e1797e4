//! The SQL shell without its terminal: where a statement ends, what a backslash command means, how a word can be
//! completed, and how a result looks as records or as a chart.
//!
//! It is all pure. The command (`src/shell.rs`) reads lines, runs statements and pages.

mod bars;
mod chart;
mod command;
mod completion;
mod expanded;
mod line;
mod statements;

pub use chart::{ChartError, ChartForm, Points};
pub use command::{COMMANDS, CommandError, CommandHelp, Request, ShellCommand};
pub use completion::{Completions, Vocabulary};
pub use expanded::write_expanded;
pub use statements::{Split, is_blank, split};
