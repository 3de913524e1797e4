//! A Parquet file of a batch or task, as in the checkpoint document and the Delta log.

use std::collections::{BTreeMap, HashMap};

use bluelake_schemas::{Micros, Millis};
use chrono::{DateTime, Utc};
use deltalake::kernel::Add;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// An uploaded data file. It always serialises in the same way, so that a document's digest holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// Path below the table, not percent-encoded.
    pub path: String,
    /// Partition column → value.
    pub partition_values: BTreeMap<String, String>,
    /// Size in bytes.
    pub size: u64,
    /// By the store's clock.
    pub modified_at: Millis,
    /// Rows, as in the footer.
    pub rows: u64,
    /// Delta per-file statistics as JSON text.
    pub statistics: String,
}

impl DataFile {
    /// The expected start of a misplaced path: the folder of its partition values, and the id of its writer, if given.
    pub(crate) fn misplaced(&self, columns: [&str; 2], id: Option<Uuid>) -> Option<String> {
        let mut expected = folder_of(&self.partition_values, columns);
        expected.extend(id.map(|id| id.to_string()));
        let is_placed = self.partition_values.len() == columns.len() && self.path.starts_with(&expected);
        (!is_placed).then_some(expected)
    }

    /// The Delta `add` action for the file.
    #[must_use]
    pub fn add_action(&self) -> Add {
        Add {
            path: self.path.clone(),
            partition_values: self
                .partition_values
                .iter()
                .map(|(column, value)| (column.clone(), Some(value.clone())))
                .collect::<HashMap<_, _>>(),
            size: i64::try_from(self.size).unwrap_or(i64::MAX),
            modification_time: self.modified_at.get(),
            data_change: true,
            stats: Some(self.statistics.clone()),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        }
    }
}

/// The folder of a partition below its table, with a slash behind it.
pub(crate) fn folder_of(values: &BTreeMap<String, String>, columns: [&str; 2]) -> String {
    let value = |column: &str| values.get(column).map_or("", String::as_str);
    columns.map(|column| format!("{column}={}/", value(column))).concat()
}

/// Least and greatest value of a column; `None` if unknown.
pub(crate) type Range<T> = (Option<T>, Option<T>);

/// The range of each column, by the log's statistics of a file.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct ColumnRanges {
    #[serde(rename = "minValues", default)]
    least: BTreeMap<String, Value>,
    #[serde(rename = "maxValues", default)]
    greatest: BTreeMap<String, Value>,
}

impl ColumnRanges {
    /// Reads them; `None` for any other text.
    pub(crate) fn read(statistics: &str) -> Option<Self> {
        serde_json::from_str(statistics).ok()
    }

    /// The range of a column of times.
    pub(crate) fn times(&self, column: &str) -> Range<Micros> {
        let (least, greatest) = self.texts(column);
        let time = |text: Option<&str>| text?.parse::<DateTime<Utc>>().ok().map(Micros::from);
        (time(least), time(greatest))
    }

    /// The range of a column of texts.
    pub(crate) fn texts(&self, column: &str) -> Range<&str> {
        (self.least.get(column).and_then(Value::as_str), self.greatest.get(column).and_then(Value::as_str))
    }
}
