//! `bluelake demo`: all of Bluelake on this machine.

use anyhow::Result;
use clap::{Args, value_parser};

use crate::cli::Session;
use crate::demo;
use crate::terminal::failure::Outcome;

/// Arguments of `bluelake demo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArguments {
    /// Throw away the lake of an earlier demo and start again; a lake that no demo made is never touched
    #[arg(long)]
    fresh: bool,
    /// How many events to make [default: 200000]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    events: Option<u64>,
}

const EXAMPLES: &str = "\
Starts a Kinesis inside this process, puts made-up events into two streams (some bad, some repeated), ingests them \
through the real AWS SDK into the lake (./bluelake-data unless --lake names another folder), prints three reports, \
and compares every total with what the generator knows. Needs no network and no account.

Run again, it shows what is there; after an interruption, it lands the events that are still missing.
Exit code 1 when a total differs.

Examples:
  bluelake demo
  bluelake demo --fresh --events 1000000
  bluelake --lake /tmp/demo-lake demo --json";

/// Runs the demo.
pub(crate) async fn run(session: &Session, arguments: DemoArguments) -> Result<Outcome> {
    demo::run(session, arguments.fresh, arguments.events).await
}
