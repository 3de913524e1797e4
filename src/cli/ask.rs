//! Questions to the lake in SQL, and what can be asked.

pub(super) mod describe;
pub(super) mod sql;
