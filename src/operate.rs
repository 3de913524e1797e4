//! Long-running work: ingest with its health and its endpoints.

pub(crate) mod beside;
pub(crate) mod files;
pub(crate) mod health;
pub(crate) mod ingestion;
pub(crate) mod memory;
pub(crate) mod serve;
