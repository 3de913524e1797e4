//! Rows become the Parquet files of a commit.

pub(crate) mod file_writer;
pub(crate) mod parquet_file;
pub(crate) mod partition;
pub(crate) mod parts;
pub(crate) mod rows;
pub(crate) mod statistics;
pub(crate) mod values;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
