//! What looks after the lake: compaction, undo.

pub(crate) mod compaction;
pub(crate) mod undo;
