//! The rows of each report, computed from the facts in plain Rust.

pub(crate) mod accounts;
pub(crate) mod across;
pub(crate) mod donations;
pub(crate) mod interactions;
pub(crate) mod lots;
pub(crate) mod media;
pub(crate) mod quality;
pub(crate) mod redemptions;
