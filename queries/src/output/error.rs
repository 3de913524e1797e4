//! The faults of writing a result.

use std::path::PathBuf;

use crate::error::QueryError;

/// Why a result cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// No output format has that name.
    #[error("there is no output format {name:?}: use table, csv, json, ndjson, parquet, xlsx, md or html")]
    UnknownFormat {
        /// What was written.
        name: String,
    },
    /// No format has the ending of the file.
    #[error("{}: no format has this ending: name it .csv, .json, .ndjson, .parquet, .xlsx, .md, .html or .txt, or give --format", path.display())]
    UnknownEnding {
        /// The file.
        path: PathBuf,
    },
    /// The result cannot be written.
    #[error("the result cannot be written")]
    Write(#[source] std::io::Error),
    /// The result cannot be put in the wanted format.
    #[error("the result cannot be written as {format}")]
    Format {
        /// The format.
        format: &'static str,
        /// What the encoder said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The query failed before its result was complete.
    #[error(transparent)]
    Query(#[from] QueryError),
}
