//! Commands that add what is missing, beside the progress of the shards.

pub(super) mod backfill;
pub(super) mod replay;
