//! Shards: polling and fan-out, fleets, gaps, servers of other makes.

pub(crate) mod fan_out;
pub(crate) mod fleet;
pub(crate) mod gaps;
pub(crate) mod many_makes;
