//! Event ids that were seen before, and how they are found again after a takeover.

pub(crate) mod limits;
pub(crate) mod rebuild;
pub(crate) mod window;
