//! Charts: their data, and how they are drawn.

pub(crate) mod data;
pub(crate) mod svg;
