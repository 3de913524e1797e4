//! The faults of this room. A bad event is not an error: it is a rejected row.

/// An error of the transform room.
#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    /// Arrow refused a batch.
    #[error("Arrow cannot build a batch")]
    Arrow(#[from] arrow::error::ArrowError),
    /// Parquet refused rows.
    #[error("Parquet cannot write rows")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Statistics cannot be written.
    #[error("statistics cannot be written as JSON")]
    Statistics(#[from] serde_json::Error),
    /// Rows are not of the file's schema.
    #[error("rows do not fit the file: {column} is not as its schema says")]
    Schema {
        /// The first column that differs, or another difference.
        column: String,
    },
    /// Rows are not in the file's order.
    #[error("rows do not fit the file: '{column}' falls, and the file is in its order")]
    Unsorted {
        /// The column that should never fall.
        column: &'static str,
    },
    /// A column that the table's layout needs is missing, null or of another type.
    #[error("column '{column}' does not fit the table's layout")]
    Layout {
        /// The column.
        column: &'static str,
    },
}
