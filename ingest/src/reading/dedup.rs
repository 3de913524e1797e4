//! Event ids that were seen before, and how a takeover finds them again.

pub(crate) mod limits;
pub(crate) mod rebuild;
pub(crate) mod window;
