//! The faults of caring for the lake.

use arrow::error::ArrowError;
use bluelake_lake::{LakeError, Lost};
use bluelake_transform::TransformError;
use chrono::NaiveDate;

/// An error of the care room.
#[derive(Debug, thiserror::Error)]
pub enum CareError {
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Rows could not be written.
    #[error("rows cannot be written")]
    Transform(#[from] TransformError),
    /// Rows could not be merged.
    #[error("rows cannot be merged")]
    Rows(#[from] ArrowError),
    /// A column of a file does not match the table.
    #[error("column '{column}': {reason}")]
    Column {
        /// The column.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the table cannot be merged with others.
    #[error("file '{path}' is left as it is: column '{column}': {reason}")]
    File {
        /// Path below the table.
        path: String,
        /// The column.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Rows of a table never expire.
    #[error(
        "rows of {table} never expire: a user's state is the last value of each field from all of its events, so fields \
         and members would vanish with the oldest"
    )]
    NeverExpires {
        /// The table.
        table: &'static str,
    },
    /// Rows of the ledger expire only when that is asked for.
    #[error(
        "an expiry of {table} changes balances, the points liability, breakage and all else that needs the whole ledger: \
         they count since the day that is named, and days before can no longer be asked for; give \
         --accept-changed-balances if that is meant"
    )]
    ChangesBalances {
        /// The table.
        table: &'static str,
    },
    /// Days that are not over do not expire.
    #[error("days up to {before} cannot expire: by the store's clock it is {today} (UTC)")]
    NotOver {
        /// The day that was given.
        before: NaiveDate,
        /// The day that it is.
        today: NaiveDate,
    },
    /// Other commits came first each time.
    #[error("table '{table}': {times} tasks in a row were overtaken, the last because {reason}; run it again")]
    Lost {
        /// The table.
        table: &'static str,
        /// How often.
        times: usize,
        /// Why the last one was.
        reason: Lost,
    },
    /// A version cannot be undone.
    #[error("version {version} of '{table}' cannot be undone: {reason}")]
    Undo {
        /// The table.
        table: &'static str,
        /// The version.
        version: u64,
        /// Why not.
        reason: String,
    },
    /// The written rows differ from the rows read.
    #[error(
        "{files} files hold {log} rows by the log, {read} were read, and {written} came back from what was written, or with other values: nothing was changed"
    )]
    Content {
        /// Files that were read.
        files: usize,
        /// Rows by the log.
        log: u64,
        /// Rows that were read.
        read: u64,
        /// Rows of the written files.
        written: u64,
    },
}

impl CareError {
    /// Whether it is about the content of one file alone.
    pub(crate) fn is_of_a_file(&self) -> bool {
        matches!(
            self,
            Self::Column { .. }
                | Self::File { .. }
                | Self::Content { .. }
                | Self::Transform(_)
                | Self::Rows(_)
                | Self::Lake(LakeError::DataFile { .. })
        )
    }

    /// The same error, with its file.
    pub(crate) fn of_file(self, path: &str) -> Self {
        match self {
            Self::Column { column, reason } => Self::File { path: path.to_owned(), column, reason },
            other => other,
        }
    }
}
