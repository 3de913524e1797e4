//! The common parts of the tests of reports: small lakes, their facts, numbers, and the comparison of rows.

pub(crate) mod compare;
pub(crate) mod facts;
pub(crate) mod numbers;
pub(crate) mod world;
