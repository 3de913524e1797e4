//! Reports: their headers and parameters, their foundation, and how they are answered.

pub(crate) mod catalog;
pub(crate) mod compare;
pub(crate) mod counted_days;
pub(crate) mod definition;
pub(crate) mod error;
pub(crate) mod figures;
pub(crate) mod origin;
pub(crate) mod parameters;
pub(crate) mod provenance;
pub(crate) mod question;
pub(crate) mod reconcile;
pub(crate) mod result;
