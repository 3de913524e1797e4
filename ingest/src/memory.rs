//! What may be in memory: the shares of the budget, and the room that pages and heavy rows are given.

pub(crate) mod admission;
pub(crate) mod budget;
