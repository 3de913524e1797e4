//! The names of tables and folders in a lake.

use bluelake_schemas::Stream;

/// Name of the table that keeps rejected events.
pub const REJECTED_EVENTS: &str = "rejected_events";

/// Folder of the heartbeats, beside the tables.
pub(crate) const WORKERS: &str = "_workers";

/// Folder of what was verified, beside the tables.
pub(crate) const VERIFIED: &str = "_verify";

/// The application id under which the table of a stream keeps the number of its document in force.
pub(crate) fn app_id(stream: Stream) -> String {
    format!("bluelake/{stream}")
}
