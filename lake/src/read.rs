//! Reading: versions, their changes, the origins of rows, inspections.

pub(crate) mod expired;
pub(crate) mod feed;
pub(crate) mod inspect;
pub(crate) mod row_origins;
pub(crate) mod scan;
pub(crate) mod versions;
