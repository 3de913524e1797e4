//! What a table's versions tell of its past: who did what, and what differs between two of them. Reads only.

pub(crate) mod diff;
pub(crate) mod history;
pub(crate) mod what;
