//! Rows become the Parquet files of a commit.

pub(crate) mod file_writer;
pub(crate) mod parquet_file;
pub(crate) mod partition;
pub(crate) mod parts;
pub(crate) mod statistics;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
