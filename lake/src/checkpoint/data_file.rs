//! A Parquet file of a batch, as the checkpoint document and the Delta log name it.

use std::collections::{BTreeMap, HashMap};

use bluelake_schemas::Millis;
use deltalake::kernel::Add;
use serde::{Deserialize, Serialize};

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
