//! What looks after the lake: compaction, expiry, tiers.

pub(crate) mod compaction;
pub(crate) mod expiry;
pub(crate) mod tiers;
