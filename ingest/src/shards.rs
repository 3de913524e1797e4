//! Which shards there are, which are this worker's, and where each is to be read from.

pub(crate) mod claims;
pub(crate) mod fleet;
pub(crate) mod gap;
pub(crate) mod lineage;
pub(crate) mod pins_and_gaps;
pub(crate) mod probe;
pub(crate) mod start;
pub mod status;
pub(crate) mod tip;
