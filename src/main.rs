//! The `bluelake` command: arguments, configuration, wiring and output. The work itself is done in the other rooms.

mod aws;
mod cli;
mod config;
mod demo;
mod dictionary;
mod embedded;
mod environment;
mod failure;
mod former_lake;
mod health;
mod ingestion;
mod logging;
mod memory;
mod nearest;
mod output;
mod panics;
mod progress;
mod query;
mod serve;
mod shell;
mod status;
mod streams;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::Arguments;

fn main() -> ExitCode {
    panics::tell_in_one_line();
    bluelake_lake::failpoint::setup();
    let arguments = Arguments::parse();
    match environment::without_empty_variables().and_then(|()| cli::run(arguments)) {
        Ok(outcome) => outcome.into(),
        Err(error) => report(&error),
    }
}

/// Prints the error and its causes once, in one line, to standard error.
fn report(error: &anyhow::Error) -> ExitCode {
    if !failure::is_told(error) {
        // Nobody is left to tell when standard error is closed as well.
        let _ = writeln!(std::io::stderr(), "{}", failure::last_line(error, logging::format()));
    }
    failure::exit_code(error)
}
