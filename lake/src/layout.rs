//! The names of tables and folders in a lake.

use bluelake_schemas::{EVENT_PARTITIONS, REJECTED_PARTITIONS, Stream};
use chrono::NaiveDate;

/// Name of the table that keeps rejected events.
pub const REJECTED_EVENTS: &str = "rejected_events";

/// Folder of the heartbeats, beside the tables.
pub(crate) const WORKERS: &str = "_workers";

/// Folder of what targets say that they hold, beside the tables.
pub(crate) const DELIVERIES: &str = "_deliver";

/// Folder of what was verified, beside the tables.
pub(crate) const VERIFIED: &str = "_verify";

/// The application id under which the table of a stream keeps the number of its document in force.
pub(crate) fn app_id(stream: Stream) -> String {
    format!("bluelake/{stream}")
}

/// Every table: those of the streams, then `rejected_events`.
pub fn table_names() -> impl Iterator<Item = &'static str> {
    Stream::ALL.into_iter().map(Stream::table).chain([REJECTED_EVENTS])
}

/// The columns by which a table is partitioned; the second is that of the day.
#[must_use]
pub fn partitions_of(table: &str) -> [&'static str; 2] {
    if table == REJECTED_EVENTS { REJECTED_PARTITIONS } else { EVENT_PARTITIONS }
}

/// The streams whose rows a table holds.
pub(crate) fn streams_of(table: &str) -> impl Iterator<Item = Stream> {
    Stream::ALL.into_iter().filter(move |stream| table == REJECTED_EVENTS || stream.table() == table)
}

/// The stream whose rows a partition of a table holds; `named` is the value of its column `stream`, which only
/// `rejected_events` has.
#[must_use]
pub fn stream_of(table: &str, named: Option<&str>) -> Option<Stream> {
    streams_of(table).find(|stream| table != REJECTED_EVENTS || named == Some(stream.name()))
}

/// The folder of a path, and the name below it.
pub(crate) fn folder_and_name(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The folder of a path.
#[must_use]
pub fn folder_of(path: &str) -> &str {
    folder_and_name(path).0
}

/// The day of a partition, by the path of its folder: its last part is `<column>_date=<day>`.
#[must_use]
pub fn day_of(folder: &str) -> Option<NaiveDate> {
    folder.rsplit('/').next()?.rsplit_once("_date=").and_then(|(_, day)| day.parse().ok())
}
