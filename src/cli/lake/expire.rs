//! `bluelake lake expire`: whole days leave a table.

use anyhow::Result;
use bluelake_care::{CareError, Expiry, ExpiryOptions, FILES_A_COMMIT, expire};
use bluelake_lake::{Lake, REJECTED_EVENTS};
use bluelake_schemas::Stream;
use chrono::{Days, NaiveDate};
use clap::Args;
use serde::Serialize;

use super::table_names;
use crate::cli::Session;
use crate::config::Retention;
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::{output, progress};

/// Arguments of `bluelake lake expire`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExpireArguments {
    /// The table whose old days leave: transactions or rejected_events
    #[arg(long, value_name = "NAME", value_parser = table_names())]
    table: String,
    /// First day that stays, YYYY-MM-DD, in UTC [default: the settings retention.transactions and retention.rejected-events]
    #[arg(long, value_name = "DATE", conflicts_with = "keep")]
    before: Option<NaiveDate>,
    /// Keep this many whole days before today, such as 30d
    #[arg(long, value_name = "DAYS", value_parser = days)]
    keep: Option<u32>,
    /// Let transactions leave, although balances, liability and breakage then count since the first day that stays
    #[arg(long)]
    accept_changed_balances: bool,
    /// Say what would leave, and change nothing
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Whole partitions leave by their day: of transactions the day on which events happened, of rejected_events the day on which \
they arrived. May run beside ingest and queries. What comes late for such a day leaves with the next run, and counts \
in no query until then. Rows of user_events never expire: users are made of all of them. The files stay for versions \
from before.
Exit code 3 when a file of these days had to stay: the log does not tell enough of it.

Examples:
  bluelake lake expire --table rejected_events
  bluelake lake expire --table rejected_events --keep 7d --dry-run
  bluelake --lake s3://bucket/lake lake expire --table transactions --before 2024-01-01 --accept-changed-balances";

fn days(text: &str) -> Result<u32, String> {
    match crate::config::retention(text) {
        Ok(Retention::Days(days)) => Ok(days),
        Ok(Retention::Never) => Err("must be a number of days, such as 30d".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What was done, for programs.
#[derive(Serialize)]
struct Summary<'a> {
    lake: &'a str,
    dry_run: bool,
    table: &'a str,
    before: NaiveDate,
    expired_before: Option<NaiveDate>,
    version: Option<u64>,
    files: u64,
    rows: u64,
    bytes: u64,
    commits: usize,
    overtaken: usize,
    partitions: Vec<ExpiredPartition<'a>>,
    left: Vec<LeftFile<'a>>,
}

#[derive(Serialize)]
struct ExpiredPartition<'a> {
    partition: &'a str,
    rows: u64,
}

#[derive(Serialize)]
struct LeftFile<'a> {
    path: &'a str,
    reason: &'a str,
}

/// Takes the days out.
pub(crate) async fn run(session: &Session, arguments: ExpireArguments) -> Result<Outcome> {
    let lake = session.lake().await?;
    let before = first_day(session, &lake, &arguments).await?;
    let options = ExpiryOptions {
        before,
        accept_changed_balances: arguments.accept_changed_balances,
        dry_run: arguments.dry_run,
        files_per_commit: FILES_A_COMMIT,
        worker: format!("expire-{}", std::process::id()),
    };
    let bar = progress::files("expire");
    let done = expire(&lake, &arguments.table, &options, &|step| progress::show(&bar, step)).await;
    bar.finish_and_clear();
    let done = done.map_err(usage)?;
    if session.json {
        output::json(&summary(&session.config.lake, &options, &done))?;
    } else {
        output::line(describe(&options, &done))?;
    }
    Ok(if done.left.is_empty() { Outcome::Done } else { Outcome::Incomplete })
}

/// The first day that stays: as given, or by the table's setting. Days are counted by the store's clock.
async fn first_day(session: &Session, lake: &Lake, arguments: &ExpireArguments) -> Result<NaiveDate> {
    if let Some(before) = arguments.before {
        return Ok(before);
    }
    let retention = &session.config.retention;
    let set = if arguments.table == REJECTED_EVENTS { retention.rejected_events } else { retention.transactions };
    // What never expires is refused for that, whatever its days.
    let never = arguments.table == Stream::UserEvents.table();
    let keep = match (arguments.keep, set) {
        (Some(days), _) | (None, Retention::Days(days)) => days,
        (None, Retention::Never) if never => 0,
        (None, Retention::Never) => {
            let message = format!(
                "how long are {table} kept? Give --before DATE or --keep DAYS, or set retention.{}",
                arguments.table.replace('_', "-"),
                table = arguments.table
            );
            return Err(WrongUsage::new(message).into());
        }
    };
    let now = lake.store_time().await?;
    let first = now.time().and_then(|now| now.date_naive().checked_sub_days(Days::new(keep.into())));
    first.ok_or_else(|| WrongUsage::new(format!("{keep} days ago is no day that there was")).into())
}

/// What is wrong with the call, not with the lake.
fn usage(error: CareError) -> anyhow::Error {
    match error {
        CareError::NeverExpires { .. } | CareError::ChangesBalances { .. } | CareError::NotOver { .. } => {
            WrongUsage::new(error.to_string()).into()
        }
        other => other.into(),
    }
}

fn summary<'a>(lake: &'a str, options: &ExpiryOptions, done: &'a Expiry) -> Summary<'a> {
    Summary {
        lake,
        dry_run: options.dry_run,
        table: done.table,
        before: options.before,
        expired_before: done.expired_before,
        version: done.version,
        files: done.gone.files,
        rows: done.gone.rows,
        bytes: done.gone.bytes,
        commits: done.commits,
        overtaken: done.lost,
        partitions: done
            .partitions
            .iter()
            .map(|(partition, rows)| ExpiredPartition { partition, rows: *rows })
            .collect(),
        left: done.left.iter().map(|(path, reason)| LeftFile { path, reason }).collect(),
    }
}

/// What was done, for people.
fn describe(options: &ExpiryOptions, done: &Expiry) -> String {
    let row = vec![
        done.table.to_owned(),
        options.before.to_string(),
        output::grouped(u64::try_from(done.partitions.len()).unwrap_or_default()),
        output::grouped(done.gone.files),
        output::grouped(done.gone.rows),
        output::size(done.gone.bytes),
        done.commits.to_string(),
    ];
    let header = ["table", "before", "partitions", "files", "rows", "size", "commits"];
    let mut lines = vec![output::table(&header, &[2, 3, 4, 5, 6], [row]).to_string()];
    for (path, reason) in &done.left {
        lines.push(output::printable(&format!("Left as it is: {path}: {reason}")));
    }
    if options.dry_run {
        lines.push("Nothing was changed (--dry-run).".to_owned());
    } else if let Some(before) = done.expired_before {
        lines.push(format!("{} counts since {before}.", done.table));
    }
    lines.join("\n")
}
