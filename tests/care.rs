//! What looks after the lake: compaction.

pub(crate) mod compaction;
pub(crate) mod faults;
