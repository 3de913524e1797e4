//! Commits that add missing rows and move no shard: replay and backfill.

pub(crate) mod backfill;
pub(crate) mod commit;
pub(crate) mod kept;
pub(crate) mod replay;
