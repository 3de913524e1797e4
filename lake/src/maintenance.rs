//! Changes of files that are in a table already: compaction, erasure, expiry, repair and undo. Each is a task with a
//! numbered record, and happens at one fenced Delta commit.

pub(crate) mod attempt;
pub(crate) mod files;
pub(crate) mod holdings;
pub(crate) mod record;
pub(crate) mod record_chain;
pub(crate) mod self_check;
pub(crate) mod successor;
pub(crate) mod table;
pub(crate) mod task;
pub(crate) mod time;
pub(crate) mod undo;
pub(crate) mod vacuum;
