//! A table's Delta log as files: what it has, what a version did, when a log checkpoint is due, and which of its files may go.

pub(crate) mod checkpoint;
pub(crate) mod files;
pub(crate) mod outline;
pub(crate) mod pruning;
pub(crate) mod version;
