//! Long-running work: ingest and delivery with their health and their endpoints.

pub(crate) mod beside;
pub(crate) mod delivery;
pub(crate) mod files;
pub(crate) mod health;
pub(crate) mod ingestion;
pub(crate) mod memory;
pub(crate) mod serve;
