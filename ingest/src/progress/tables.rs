//! The metrics of the files of the tables.

use metrics::gauge;

use crate::shards::status::TableFiles;

/// Publishes how the files of a table stand into the recorder in charge.
pub fn publish_table(files: &TableFiles) {
    let table = files.table;
    for (name, value) in [
        ("bluelake_table_files", files.files),
        ("bluelake_table_small_files", files.small_files),
        ("bluelake_table_bytes", files.bytes),
    ] {
        gauge!(name, "table" => table).set(number(value));
    }
    if let Some(at) = files.compacted_at {
        let at = super::metrics::seconds(at.timestamp_millis());
        gauge!("bluelake_table_last_compaction_timestamp_seconds", "table" => table).set(at);
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; beyond 2^53 it may be rounded")]
fn number(count: u64) -> f64 {
    count as f64
}
