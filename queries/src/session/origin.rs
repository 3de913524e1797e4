//! Where the tables of a session come from: their versions, and the progress of their streams.

use bluelake_lake::{ControlTotals, LakeReading};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::Serialize;

/// The tables and streams of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The tables.
    pub tables: Vec<TableOrigin>,
    /// The streams.
    pub streams: Vec<StreamOrigin>,
}

/// A table at the version at which it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableOrigin {
    /// Name of the table.
    pub name: String,
    /// Its version; `None` for a table that is not in a lake.
    pub version: Option<u64>,
    /// Its rows, if its log has them.
    #[serde(skip)]
    pub rows: Option<u64>,
    /// Rows of days (in UTC) before this one expired and are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired_before: Option<NaiveDate>,
}

/// The progress of a stream in its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamOrigin {
    /// The stream.
    pub stream: String,
    /// The table that holds its events.
    #[serde(skip)]
    pub table: String,
    /// Every record that arrived up to here is in the table, or in `rejected_events`; `None` when that is not known.
    #[serde(serialize_with = "rfc3339")]
    pub complete_to: Option<DateTime<Utc>>,
    /// Gaps found so far: Kinesis may have discarded records unread.
    pub gaps: usize,
    /// Control totals since the first commit.
    #[serde(skip)]
    pub totals: ControlTotals,
    /// The rows of the table by these totals.
    #[serde(skip)]
    pub expected_rows: Option<u64>,
    /// Rows that `rejected_events` does not show any more: they expired.
    #[serde(skip)]
    pub rejected_gone: u64,
}

impl Origin {
    /// The origin of a lake as it was read.
    #[must_use]
    pub(crate) fn of(reading: &LakeReading) -> Self {
        let table = |table: &bluelake_lake::TableReading| TableOrigin {
            name: table.name.clone(),
            version: table.version,
            rows: table.rows,
            expired_before: table.expired_before,
        };
        let stream = |stream: &bluelake_lake::StreamReading| StreamOrigin {
            stream: stream.stream.name().to_owned(),
            table: stream.stream.table().to_owned(),
            complete_to: stream.complete_to.and_then(|at| at.time()),
            gaps: stream.gaps,
            totals: stream.totals,
            expected_rows: stream.expected_rows,
            rejected_gone: stream.rejected_gone,
        };
        Self {
            tables: reading.tables.iter().map(table).collect(),
            streams: reading.streams.iter().map(stream).collect(),
        }
    }

    /// The versions in the form of `--as-of`; `None` when one is not known.
    #[must_use]
    pub fn as_of(&self) -> Option<String> {
        let parts = self.tables.iter().map(|table| Some(format!("{}@{}", table.name, table.version?)));
        let parts: Vec<String> = parts.collect::<Option<_>>()?;
        (!parts.is_empty()).then(|| parts.join(","))
    }

    /// The origin of a query that reads these tables. `rejected_events` follows both streams.
    pub(crate) fn of_tables(&self, tables: &[String]) -> (Vec<TableOrigin>, Vec<StreamOrigin>) {
        let versions = tables.iter().map(|name| {
            let known = self.tables.iter().find(|table| table.name == *name);
            known.cloned().unwrap_or_else(|| TableOrigin {
                name: name.clone(),
                version: None,
                rows: None,
                expired_before: None,
            })
        });
        let all = tables.iter().any(|name| name == "rejected_events");
        let streams = self.streams.iter().filter(|stream| all || tables.contains(&stream.table));
        (versions.collect(), streams.cloned().collect())
    }
}

pub(crate) fn rfc3339<S: serde::Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_some(&in_words(*time)),
        None => serializer.serialize_none(),
    }
}

/// `2026-11-25T06:00:00Z`, with milliseconds if there are any.
pub(crate) fn in_words(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
