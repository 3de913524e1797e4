//! Rows become the Parquet files of a commit.

pub(crate) mod parquet_file;
pub(crate) mod partition;
pub(crate) mod statistics;
