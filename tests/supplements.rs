//! Archives, names of objects, replay.

pub(crate) mod archives;
pub(crate) mod backfill;
pub(crate) mod names;
pub(crate) mod replay;
