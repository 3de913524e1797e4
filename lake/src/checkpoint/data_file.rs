//! A Parquet file of a batch or task, as the checkpoint document and the Delta log name it.

use std::collections::{BTreeMap, HashMap};

use bluelake_schemas::Millis;
use deltalake::kernel::Add;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An uploaded data file. Serialises the same way each time, so that a document's digest holds.
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
    /// What the path should start with and does not: the folder that its partition values name, and the id of what wrote it,
    /// where that is given.
    pub(crate) fn misplaced(&self, columns: [&str; 2], id: Option<Uuid>) -> Option<String> {
        let mut expected = String::new();
        for column in columns {
            let value = self.partition_values.get(column).map_or("", String::as_str);
            expected.push_str(&format!("{column}={value}/"));
        }
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
