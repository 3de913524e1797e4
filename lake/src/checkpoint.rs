//! The content of a checkpoint document, and the decisions that follow from it. Pure.

pub(crate) mod advance;
pub(crate) mod data_file;
pub(crate) mod document;
pub(crate) mod numbered;
pub(crate) mod sequence;
pub(crate) mod settlement;
pub(crate) mod shard_id;
pub(crate) mod stream_identity;
pub(crate) mod totals;
pub(crate) mod watermark;
