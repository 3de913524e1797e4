//! The wrapping of events: aggregated records, compression, archives of many records.

pub(crate) mod archive;
pub(crate) mod compression;
pub(crate) mod kpl;
pub(crate) mod opened;
