//! What the tests of reports share: small lakes, the facts in them, numbers, and the comparison of rows.

pub(crate) mod compare;
pub(crate) mod facts;
pub(crate) mod numbers;
pub(crate) mod world;
