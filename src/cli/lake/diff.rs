//! `bluelake lake diff`: what differs between two versions of a table, by partition.

use anyhow::Result;
use bluelake_lake::{Change, VersionDiff, diff};
use clap::Args;

use super::table_names;
use crate::cli::Session;
use crate::terminal::failure::Outcome;
use crate::terminal::output;

/// Arguments of `bluelake lake diff`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DiffArguments {
    /// The version to compare with
    #[arg(value_name = "V1")]
    from: u64,
    /// The version to compare; it may be the earlier one
    #[arg(value_name = "V2")]
    to: u64,
    /// The table whose versions they are
    #[arg(long, value_name = "NAME", default_value = "transactions", value_parser = table_names())]
    table: String,
}

const EXAMPLES: &str = "\
Reads the Delta log alone. Rows that only went into other files (compaction) are apart from those that came or left; rows that were \
written anew as a change of data (an erasure, another program's update) may have other values. What was undone in between is no \
difference.

Examples:
  bluelake lake diff 12 40
  bluelake lake diff 40 12                       what going back would change
  bluelake --lake s3://bucket/lake lake diff 7 9 --table user_events --json";

/// Compares two versions.
pub(crate) async fn run(session: &Session, arguments: DiffArguments) -> Result<Outcome> {
    let lake = session.lake().await?;
    let found = diff(&lake, &arguments.table, arguments.from, arguments.to).await?;
    if session.json {
        output::json(&found)?;
    } else {
        output::line(describe(&found))?;
    }
    Ok(Outcome::Done)
}

/// What differs, for people.
fn describe(diff: &VersionDiff) -> String {
    let [first, second] = diff.columns;
    let header = [first, second, "files", "size", "rows added", "removed", "changed", "moved"];
    let partitions = diff.partitions.iter().map(|partition| {
        let [first, second] = partition.partition.clone();
        row(first, second, &partition.change)
    });
    let rows = partitions.chain([row("total".to_owned(), String::new(), &diff.total)]);
    let title = format!("{}, from version {} to {}", diff.table, diff.from, diff.to);
    if diff.partitions.is_empty() {
        return format!("{title}: no difference");
    }
    format!("{title}\n{}", output::table(&header, &[2, 3, 4, 5, 6, 7], rows))
}

fn row(first: String, second: String, change: &Change) -> Vec<String> {
    let counts = [change.rows_added, change.rows_removed, change.rows_changed, change.rows_moved];
    let mut row = vec![
        first,
        second,
        super::change(Some(change.files_added), Some(change.files_removed), output::grouped),
        super::change(Some(change.bytes_added), Some(change.bytes_removed), output::size),
    ];
    row.extend(counts.map(output::grouped));
    row
}
