//! The metrics of the files of the tables.

use bluelake_schemas::Millis;
use metrics::gauge;

/// Publishes how the files of a table stand into the recorder in charge: how many there are, how many of them are not full
/// and can still be merged, the bytes of all, and when a compaction last wrote one.
pub fn publish_table(table: &'static str, files: u64, small_files: u64, bytes: u64, compacted_at: Option<Millis>) {
    for (name, value) in
        [("bluelake_table_files", files), ("bluelake_table_small_files", small_files), ("bluelake_table_bytes", bytes)]
    {
        gauge!(name, "table" => table).set(number(value));
    }
    if let Some(at) = compacted_at {
        let at = super::metrics::seconds(at.get());
        gauge!("bluelake_table_last_compaction_timestamp_seconds", "table" => table).set(at);
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; beyond 2^53 it may be rounded")]
fn number(count: u64) -> f64 {
    count as f64
}
