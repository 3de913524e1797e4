//! Queries of the lake in SQL, and the tables and views for them.

pub(super) mod describe;
pub(super) mod sql;
