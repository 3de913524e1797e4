//! Put events land in the lake: streams, partitions, odd records.

pub(crate) mod aggregated;
pub(crate) mod bad_events;
pub(crate) mod contract_grows;
pub(crate) mod ingest_local;
pub(crate) mod ingest_s3;
pub(crate) mod lake_before;
pub(crate) mod lake_verify;
pub(crate) mod many_partitions;
pub(crate) mod other_stream;
pub(crate) mod start;
pub(crate) mod unpacked;
