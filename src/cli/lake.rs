//! `bluelake lake`: creates and maintains the lake.

mod compact;
mod diff;
mod expire;
mod history;
mod repair;
pub(crate) mod status;
mod tiers;
mod undo;
mod vacuum;
mod verify;

use anyhow::Result;
use bluelake_lake::{InitOutcome, Lake};
use clap::Subcommand;
use serde::Serialize;

use super::Session;
use crate::terminal::failure::Outcome;
use crate::terminal::output;

/// Commands about the lake.
#[derive(Debug, Subcommand)]
pub(crate) enum LakeCommand {
    /// Make what is missing of the lake: the bucket or folder, and the tables
    #[command(after_help = INIT_EXAMPLES)]
    Init,
    /// Say how the tables stand: files, sizes, small files, log, growth, and what a month costs
    Status(status::StatusArguments),
    /// Merge small files into large ones, with the same rows
    Compact(compact::CompactArguments),
    /// Tell who did what to the tables, version by version
    History(history::HistoryArguments),
    /// Tell what differs between two versions of a table
    Diff(diff::DiffArguments),
    /// Change back what another program, a compaction or an expiry changed
    Undo(undo::UndoArguments),
    /// Delete the files that left the tables longer ago than `--as-of` reaches back, and those that nothing refers to
    Vacuum(vacuum::VacuumArguments),
    /// Let old days leave a table
    Expire(expire::ExpireArguments),
    /// Let the bucket move older files to a cheaper class of storage
    Tiers(tiers::TiersArguments),
    /// Prove from the lake alone that it holds what it promises
    Verify(verify::VerifyArguments),
    /// Mend what can be mended of what verify finds, and say what a person must do about the rest
    Repair(repair::RepairArguments),
}

const INIT_EXAMPLES: &str = "\
A bucket is made with encryption on and public access blocked; one that exists is left as it is.
Run it again at any time: it only adds what is missing.

Examples:
  bluelake lake init
  bluelake --lake s3://my-bucket/lake lake init";

#[derive(Serialize)]
struct Made<'a> {
    lake: &'a str,
    place_created: bool,
    tables_created: &'a [String],
}

/// The tables of a lake, for `--table`.
fn table_names() -> Vec<&'static str> {
    bluelake_lake::table_names().collect()
}

/// The tables that `--table` names, or all.
fn chosen(names: &[String]) -> impl Iterator<Item = &'static str> {
    table_names().into_iter().filter(move |table| names.is_empty() || names.iter().any(|name| name == table))
}

/// What came and what left, such as `+8 −36`; nothing where nothing did, and `?` for what is not known.
fn change(added: Option<u64>, removed: Option<u64>, write: impl Fn(u64) -> String) -> String {
    let part = |sign: &str, number: Option<u64>| match number {
        Some(0) => None,
        Some(number) => Some(format!("{sign}{}", write(number))),
        None => Some(format!("{sign}?")),
    };
    let parts: Vec<String> = [part("+", added), part("−", removed)].into_iter().flatten().collect();
    parts.join(" ")
}

/// Runs one of the commands about the lake.
pub(crate) async fn run(session: &Session, command: LakeCommand) -> Result<Outcome> {
    match command {
        LakeCommand::Init => init(session).await,
        LakeCommand::Compact(arguments) => compact::run(session, arguments).await,
        LakeCommand::History(arguments) => history::run(session, arguments).await,
        LakeCommand::Diff(arguments) => diff::run(session, arguments).await,
        LakeCommand::Undo(arguments) => undo::run(session, arguments).await,
        LakeCommand::Vacuum(arguments) => vacuum::run(session, arguments).await,
        LakeCommand::Status(arguments) => status::run(session, arguments).await,
        LakeCommand::Expire(arguments) => expire::run(session, arguments).await,
        LakeCommand::Tiers(arguments) => tiers::run(session, &arguments).await,
        LakeCommand::Verify(arguments) => verify::run(session, arguments).await,
        LakeCommand::Repair(arguments) => repair::run(session, arguments).await,
    }
}

async fn init(session: &Session) -> Result<Outcome> {
    let contract = session.contract()?;
    let lake = session.lake().await?;
    let made = lake.init(&contract).await?;
    if session.json {
        let InitOutcome { place_created, tables_created, .. } = &made;
        output::json(&Made { lake: &session.config.lake, place_created: *place_created, tables_created })?;
    } else {
        output::line(describe(&lake, &made))?;
    }
    Ok(Outcome::Done)
}

fn describe(lake: &Lake, made: &InitOutcome) -> String {
    let place = lake.location();
    match (made.place_created, made.tables_created.as_slice()) {
        (_, []) => format!("The lake {place} is there already, with all its tables."),
        (true, tables) => format!("Made the lake {place} with the tables {}.", tables.join(", ")),
        (false, tables) => format!("Made the tables {} in {place}.", tables.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_and_left_is_one_text() {
        let grouped = |added, removed| change(added, removed, output::grouped);
        assert_eq!(grouped(Some(1_200), Some(0)), "+1,200");
        assert_eq!(grouped(Some(0), Some(3)), "−3");
        assert_eq!(grouped(Some(5), None), "+5 −?");
        assert_eq!(grouped(Some(0), Some(0)), "");
    }
}
