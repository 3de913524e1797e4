//! Reading: versions, the origins of rows, inspections.

pub(crate) mod expired;
pub(crate) mod inspect;
pub(crate) mod row_origins;
pub(crate) mod scan;
pub(crate) mod versions;
