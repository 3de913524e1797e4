//! `bluelake lake tiers`: older files of a bucket get cheaper.

use anyhow::Result;
use bluelake_lake::{TierChange, Tiering, Tiers};
use clap::Args;
use serde::Serialize;

use crate::cli::Session;
use crate::config::Retention;
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::output;

/// Arguments of `bluelake lake tiers`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TiersArguments {
    /// Say how the rules of the bucket would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Writes a life-cycle rule for each table into the bucket, by the settings tiers.infrequent-after and tiers.class. Rules of \
others stay as they are. Files keep being read at once, whatever their class; logs and documents are not moved.
Exit code 3 when a rule of others deletes files of the lake, or moves them where they cannot be read at once.

Examples:
  bluelake --lake s3://bucket/lake lake tiers --dry-run
  bluelake --lake s3://bucket/lake lake tiers
  BLUELAKE_TIERS_INFREQUENT_AFTER=never bluelake --lake s3://bucket/lake lake tiers      takes our rules away";

/// What was done, for programs.
#[derive(Serialize)]
struct Summary<'a> {
    lake: &'a str,
    bucket: &'a str,
    dry_run: bool,
    written: bool,
    rules: Vec<Rule<'a>>,
    rules_of_others: usize,
    dangers: &'a [String],
    object_lock: Option<bool>,
}

#[derive(Serialize)]
struct Rule<'a> {
    table: &'a str,
    id: &'a str,
    keys: &'a str,
    was: Option<&'a str>,
    becomes: Option<&'a str>,
}

/// Sets the rules.
pub(crate) async fn run(session: &Session, arguments: &TiersArguments) -> Result<Outcome> {
    let settings = &session.config.tiers;
    let after_days = match settings.infrequent_after {
        Retention::Never => None,
        Retention::Days(days) => Some(days),
    };
    let wanted = Tiering { after_days, class: settings.class };
    if let Some(fault) = wanted.fault() {
        return Err(WrongUsage::new(format!("tiers.infrequent-after: {fault}")).into());
    }
    let lake = session.lake().await?;
    if !lake.location().is_bucket() {
        let message = format!("{}: tiers are of buckets: files in a folder have no class of storage", lake.location());
        return Err(WrongUsage::new(message).into());
    }
    let tiers = lake.set_tiers(&wanted, arguments.dry_run).await?;
    if session.json {
        output::json(&summary(&session.config.lake, arguments.dry_run, &tiers))?;
    } else {
        output::line(describe(arguments.dry_run, &tiers))?;
    }
    Ok(if tiers.dangers.is_empty() { Outcome::Done } else { Outcome::Incomplete })
}

fn summary<'a>(lake: &'a str, dry_run: bool, tiers: &'a Tiers) -> Summary<'a> {
    let rule = |change: &'a TierChange| Rule {
        table: change.table,
        id: &change.id,
        keys: &change.keys,
        was: change.was.as_deref(),
        becomes: change.becomes.as_deref(),
    };
    Summary {
        lake,
        bucket: &tiers.bucket,
        dry_run,
        written: tiers.written,
        rules: tiers.changes.iter().map(rule).collect(),
        rules_of_others: tiers.foreign,
        dangers: &tiers.dangers,
        object_lock: tiers.object_lock,
    }
}

/// What was done, for people.
fn describe(dry_run: bool, tiers: &Tiers) -> String {
    let rows = tiers.changes.iter().map(|change| {
        let words = |rule: &Option<String>| output::printable(rule.as_deref().unwrap_or("–"));
        let becomes = if change.was == change.becomes { "as it is".to_owned() } else { words(&change.becomes) };
        vec![change.table.to_owned(), words(&change.was), becomes]
    });
    let mut lines = vec![output::table(&["table", "was", "becomes"], &[], rows).to_string()];
    let others = tiers.foreign;
    let differs = tiers.changes.iter().any(|change| change.was != change.becomes);
    lines.push(match (tiers.written, dry_run && differs) {
        (true, _) => {
            format!("Written to bucket {} and read back; {others} rules of others stay as they were.", tiers.bucket)
        }
        (false, true) => {
            format!("Nothing was changed (--dry-run); bucket {} has {others} rules of others.", tiers.bucket)
        }
        (false, false) => format!("Bucket {} has these rules already, and {others} of others.", tiers.bucket),
    });
    lines.extend(tiers.dangers.iter().map(|danger| output::printable(&format!("Danger: {danger}."))));
    match tiers.object_lock {
        Some(true) => {
            lines.push("Object lock is on: files move all the same, and cannot be deleted while locked.".to_owned())
        }
        None => lines.push("Whether object lock is on is not known (s3:GetBucketObjectLockConfiguration).".to_owned()),
        Some(false) => {}
    }
    lines.join("\n")
}
