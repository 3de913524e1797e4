//! Joins, sets and IN: the keys, the counts and the NULLs of PostgreSQL.

pub(crate) mod common_keys;
pub(crate) mod duplicates;
pub(crate) mod in_lists;
pub(crate) mod membership;
pub(crate) mod using;
