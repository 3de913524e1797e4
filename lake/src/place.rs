//! The places of bytes: folders, buckets, the lake's own objects, archives and exports.

pub(crate) mod archive;
pub(crate) mod bucket;
pub(crate) mod delta;
pub(crate) mod durable;
pub(crate) mod durable_parts;
pub(crate) mod files;
pub(crate) mod heartbeats;
pub(crate) mod lake;
pub(crate) mod location;
pub(crate) mod parquet_object;
pub(crate) mod stored_file;
pub(crate) mod whole_file;
