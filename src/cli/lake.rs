//! `bluelake lake`: creating and looking after the lake.

mod compact;
mod expire;
mod tiers;
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
    /// Merge small files into large ones, with the same rows
    Compact(compact::CompactArguments),
    /// Let old days leave a table
    Expire(expire::ExpireArguments),
    /// Let the bucket move older files to a cheaper class of storage
    Tiers(tiers::TiersArguments),
    /// Prove from the lake alone that it holds what it promises
    Verify(verify::VerifyArguments),
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

/// Runs one of the commands about the lake.
pub(crate) async fn run(session: &Session, command: LakeCommand) -> Result<Outcome> {
    match command {
        LakeCommand::Init => init(session).await,
        LakeCommand::Compact(arguments) => compact::run(session, arguments).await,
        LakeCommand::Expire(arguments) => expire::run(session, arguments).await,
        LakeCommand::Tiers(arguments) => tiers::run(session, &arguments).await,
        LakeCommand::Verify(arguments) => verify::run(session, arguments).await,
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
