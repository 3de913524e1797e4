//! Sorting, and windows.

pub(crate) mod distinct_lists;
pub(crate) mod frame;
pub(crate) mod frames;
pub(crate) mod names;
pub(crate) mod once;
pub(crate) mod refused;
pub(crate) mod shift;
pub(crate) mod sorted;
