//! What readers see: versions, where rows come from, inspections.

pub(crate) mod expired;
pub(crate) mod inspect;
pub(crate) mod row_origins;
pub(crate) mod scan;
pub(crate) mod versions;
