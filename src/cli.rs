//! The command line: global options, the list of commands, and the way from one to the other.

mod ask;
mod config;
mod deliver;
mod flags;
pub(crate) mod generate;
pub(crate) mod ingest;
mod lake;
mod report;
mod schema;
mod status;
mod supplement;
mod trial;

use std::future::Future;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bluelake_lake::{Lake, LakeError, LakeLocation};
use bluelake_schemas::Contract;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cli::ask::{describe, sql};
use crate::cli::supplement::{backfill, replay};
use crate::cli::trial::{demo, dev_kinesis};
use crate::config::{Config, Override};
use crate::session::aws;
use crate::session::former_lake;
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::logging;

/// Threads for decoding, encoding and files. Of each of two archived objects one thread that cuts and one that needs room
/// may wait for others; all other work ends by itself, so there is always a thread for the files. More threads would not
/// be faster, and each keeps memory of its own in the allocator.
const BLOCKING_THREADS: usize = 6;

/// Lands Kinesis event streams exactly once in a Delta lake, and answers questions from it.
#[derive(Debug, Parser)]
#[command(name = "bluelake", version, propagate_version = true, max_term_width = 110, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
    /// The settings that flags change.
    #[arg(skip)]
    settings: Vec<Override>,
}

impl Arguments {
    /// Reads the command line of this process. If it is wrong, or asks for help, a text is printed and the process
    /// ends.
    pub(crate) fn parse() -> Self {
        let matches = command().get_matches();
        let read = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command()));
        Self { settings: flags::given(&matches), ..read.unwrap_or_else(|error| error.exit()) }
    }
}

/// The whole command line.
fn command() -> clap::Command {
    flags::add_to(Arguments::command())
}

const EXAMPLES: &str = "\
Examples:
  bluelake demo                                     all of it, on this machine, nothing configured
  bluelake ingest --once --init                     both streams to their tip into ./bluelake-data
  bluelake --lake s3://bucket/lake ingest           until Ctrl-C or SIGTERM
  bluelake status                                   how far it is, and whether all is well
  bluelake sql 'SELECT count(*) FROM transactions'  ask the lake
  bluelake report run donations --from 2026-10-01 --to 2026-10-31 --by week

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done but incomplete, or a problem was found, \
4 the period of a report is not complete yet.
Settings come from bluelake.toml, then BLUELAKE_… variables, then flags: see `bluelake config show`.
AWS credentials, region and endpoints come from the usual AWS variables and profiles.";

/// Behind the flags of settings.
const LAST: usize = 100;

/// Options of every command that are not settings.
#[derive(Debug, Args)]
struct Global {
    /// Configuration file [default: bluelake.toml in the working folder, if there is one]
    #[arg(long, global = true, value_name = "FILE", help_heading = flags::GLOBAL, display_order = LAST)]
    config: Option<PathBuf>,
    /// Print the result as JSON, for programs
    #[arg(long, global = true, help_heading = flags::GLOBAL, display_order = LAST)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make up realistic events and put them into Kinesis, a file or standard output
    Generate(generate::GenerateArguments),
    /// Read both streams into the lake, every event exactly once
    Ingest(ingest::IngestArguments),
    /// Show how far the lake is in each stream, and whether that is as it should be
    Status(status::StatusArguments),
    /// Read a range of arrival times again and add what is missing
    Replay(replay::ReplayArguments),
    /// Bring archived events in, such as Firehose left them
    Backfill(backfill::BackfillArguments),
    /// Create and look after the lake
    #[command(subcommand)]
    Lake(lake::LakeCommand),
    /// Deliver the tables to another store, exactly once, and prove that it holds the same
    Deliver(deliver::DeliverArguments),
    /// Show what can be asked: tables and views, and what their columns mean
    Describe(describe::DescribeArguments),
    /// Ask the lake a question in SQL
    Sql(sql::SqlArguments),
    /// Run the reports that come with Bluelake
    #[command(subcommand)]
    Report(report::ReportCommand),
    /// Show what an event is: for producers and for readers of the tables
    #[command(subcommand)]
    Schema(schema::SchemaCommand),
    /// Show the configuration and where each setting came from
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Show all of Bluelake on this machine, with nothing configured
    Demo(demo::DemoArguments),
    /// Run a Kinesis on this machine, to try things by hand
    DevKinesis(dev_kinesis::DevKinesisArguments),
}

/// The input of a command besides its own arguments.
#[derive(Debug)]
pub(crate) struct Session {
    /// The checked configuration.
    pub(crate) config: Config,
    /// Whether results are wanted as JSON.
    pub(crate) json: bool,
}

impl Session {
    /// The event contract: from `--contract`, or the built-in one.
    ///
    /// # Errors
    /// [`WrongUsage`] when the folder's files are missing or at fault; the cause names file and field.
    pub(crate) fn contract(&self) -> Result<Contract> {
        match &self.config.contract {
            Some(folder) => Contract::load(folder)
                .with_context(|| WrongUsage::new(format!("cannot use the event contract in {}", folder.display()))),
            None => Contract::embedded().context("the built-in event contract is at fault"),
        }
    }

    /// Where the lake is.
    ///
    /// # Errors
    /// [`WrongUsage`] when the URL cannot be used, or when no lake is named and there is only one at the default place
    /// of earlier versions.
    pub(crate) fn location(&self) -> Result<LakeLocation> {
        if self.config.lake_is_default() {
            former_lake::check(Path::new("."))?;
        }
        let location = self.config.lake.parse::<LakeLocation>().and_then(LakeLocation::fit_for_tables);
        location.map_err(|error: LakeError| {
            anyhow::Error::new(error).context(WrongUsage::new("the lake's URL cannot be used"))
        })
    }

    /// The lake, not opened yet. The AWS configuration is loaded only for a bucket.
    ///
    /// # Errors
    /// Those of [`Session::location`], and a bucket without a region or credentials.
    pub(crate) async fn lake(&self) -> Result<Lake> {
        let location = self.location()?;
        let aws = if location.is_bucket() { Some(aws::sdk_config().await?) } else { None };
        Ok(Lake::at(&location, aws.as_ref())?)
    }
}

/// Runs the requested command.
///
/// # Errors
/// Any failure of the command; see [`crate::terminal::failure::exit_code`].
pub(crate) fn run(arguments: Arguments) -> Result<Outcome> {
    let Arguments { global, command, settings } = arguments;
    let config = Config::load(global.config.as_deref(), settings)?;
    logging::start(&config.log)?;
    let session = Session { config, json: global.json };
    match command {
        Command::Generate(arguments) => block_on(generate::run(&session, arguments)),
        Command::Ingest(arguments) => block_on(ingest::run(&session, arguments)),
        Command::Status(arguments) => block_on(status::run(&session, arguments)),
        Command::Replay(arguments) => block_on(replay::run(&session, arguments)),
        Command::Backfill(arguments) => block_on(backfill::run(&session, arguments)),
        Command::Lake(command) => block_on(lake::run(&session, command)),
        Command::Deliver(arguments) => block_on(deliver::run(&session, arguments)),
        Command::Describe(arguments) => block_on(describe::run(&session, arguments)),
        Command::Sql(arguments) => block_on(sql::run(&session, arguments)),
        Command::Report(command) => block_on(report::run(&session, command)),
        Command::Schema(command) => schema::run(&session, command),
        Command::Config(command) => config::run(&session, command),
        Command::Demo(arguments) => block_on(demo::run(&session, arguments)),
        Command::DevKinesis(arguments) => block_on(dev_kinesis::run(&session, arguments)),
    }
}

fn block_on(command: impl Future<Output = Result<Outcome>>) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(Box::pin(command));
    // Running work (an abandoned upload, a server) must not hold up the end of the process, and ends with it. A
    // shutdown of the runtime before that would drop tasks that threads reading a table's log wait for: they would
    // panic.
    std::mem::forget(runtime);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A help text is wrapped to the width of the terminal; a line break in the source would wrap it twice.
    #[test]
    fn no_sentence_of_help_is_broken() {
        fn look(command: &clap::Command) {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with(' ')) {
                assert!(line.ends_with(['.', ':']), "{}: {line:?}", command.get_name());
            }
            command.get_subcommands().for_each(look);
        }
        look(&command());
    }

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        command().debug_assert();
    }
}
