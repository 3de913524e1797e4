//! What looks after the lake.

pub(crate) mod compaction;
mod doctor;
pub(crate) mod expiry;
pub(crate) mod faults;
pub(crate) mod tiers;
pub(crate) mod undo;
pub(crate) mod vacuum;
