//! Commands that add missing events, beside the progress of the shards.

pub(super) mod backfill;
pub(super) mod replay;
