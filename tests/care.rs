//! What looks after the lake: compaction, and what clears away after it.

pub(crate) mod compaction;
pub(crate) mod vacuum;
