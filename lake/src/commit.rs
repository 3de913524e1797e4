//! Commits: documents, Delta commits, and the work after each.

pub(crate) mod attempt;
pub(crate) mod chain;
pub(crate) mod file_upload;
pub(crate) mod housekeeping;
pub(crate) mod log;
pub(crate) mod rejected;
pub(crate) mod self_check;
pub(crate) mod stream_table;
pub(crate) mod uploader;
