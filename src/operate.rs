//! What runs for long: ingest with its health and its endpoints, and what status says of it.

pub(crate) mod health;
pub(crate) mod ingestion;
pub(crate) mod memory;
pub(crate) mod serve;
pub(crate) mod status;
