//! The `bluelake` command: arguments, configuration, wiring and output. The work itself is done in the other rooms.

mod cli;
mod config;
mod demo;
mod operate;
mod session;
mod shell;
mod terminal;

use std::io::Write;
use std::process::ExitCode;

use crate::cli::Arguments;

fn main() -> ExitCode {
    terminal::panics::report_in_one_line();
    bluelake_lake::failpoint::setup();
    let arguments = Arguments::parse();
    match session::environment::without_empty_variables().and_then(|()| cli::run(arguments)) {
        Ok(outcome) => outcome.into(),
        Err(error) => report(&error),
    }
}

/// Prints the error and its causes once, in one line, to standard error.
fn report(error: &anyhow::Error) -> ExitCode {
    if !terminal::failure::is_reported(error) {
        // There is no other place to report to if standard error is closed as well.
        let _ = writeln!(std::io::stderr(), "{}", terminal::failure::last_line(error, terminal::logging::format()));
    }
    terminal::failure::exit_code(error)
}
