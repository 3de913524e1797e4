//! What can go wrong with the lake, named by what the caller can do about it.

use std::fmt;

use deltalake::{DeltaTableError, kernel::transaction::TransactionError};

/// An error of the lake room.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The lake's URL cannot be used.
    #[error("lake '{url}': {reason}")]
    Location {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The place exists or can be reached, but holds no lake.
    #[error("'{url}' is not a Bluelake lake: {reason}; run `bluelake lake init --lake {url}` to make one there")]
    NotALake {
        /// The URL of the place.
        url: String,
        /// What is missing.
        reason: String,
    },
    /// A read or write of an object failed.
    #[error("cannot {operation} '{path}'{}", hint(source))]
    Store {
        /// The call that failed, as a verb.
        operation: &'static str,
        /// The object, with its bucket or folder.
        path: String,
        /// The store's own error.
        source: object_store::Error,
    },
    /// A read or write of a file failed.
    #[error("cannot {operation} '{path}'")]
    File {
        /// What failed, as a verb.
        operation: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A bucket call failed.
    #[error("bucket '{bucket}': {operation} failed: {reason}")]
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// The S3 call.
        operation: &'static str,
        /// The code and message of the answer.
        reason: String,
    },
    /// The Delta log refused or failed an operation.
    #[error("table '{table}': cannot {operation}")]
    Table {
        /// The table's name.
        table: String,
        /// The operation, as a verb.
        operation: &'static str,
        /// Delta's own error.
        #[source]
        source: Box<DeltaTableError>,
    },
    /// A self-check failed: writing on would risk the numbers.
    #[error("table '{table}': refusing to write: {check}; {remedy}")]
    Refused {
        /// The table's name.
        table: String,
        /// The check that failed, with what was found.
        check: String,
        /// What the operator can do.
        remedy: String,
    },
    /// A checkpoint document cannot be used.
    #[error("checkpoint document '{path}': {reason}")]
    Document {
        /// Path of the document below the table.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A commit found no quiet moment within its attempts.
    #[error("table '{table}': gave up after {attempts} attempts to commit")]
    Contention {
        /// The table's name.
        table: String,
        /// How often it was tried.
        attempts: usize,
        /// The error of the last attempt, if there was one.
        #[source]
        source: Option<Box<LakeError>>,
    },
    /// An older state was asked for that the table's log does not have (any more).
    #[error("table '{table}': {reason}")]
    NoSuchVersion {
        /// The table's name.
        table: String,
        /// What was asked for and what there is.
        reason: String,
    },
    /// A data file is not what its batch says it is.
    #[error("data file '{path}': {reason}")]
    DataFile {
        /// Path below the table.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl LakeError {
    pub(crate) fn table(table: &str, operation: &'static str) -> impl FnOnce(DeltaTableError) -> Self {
        let table = table.to_owned();
        move |source| Self::Table { table, operation, source: Box::new(source) }
    }

    pub(crate) fn store(operation: &'static str, path: impl fmt::Display) -> impl FnOnce(object_store::Error) -> Self {
        let path = path.to_string();
        move |source| Self::Store { operation, path, source }
    }

    /// Whether an error of reading an archived object is about this object, and says nothing of others.
    #[must_use]
    pub fn is_of_one_object(&self) -> bool {
        use object_store::Error;
        match self {
            Self::Store { source, .. } => matches!(
                source,
                Error::NotFound { .. }
                    | Error::PermissionDenied { .. }
                    | Error::Precondition { .. }
                    | Error::NotSupported { .. }
                    | Error::InvalidPath { .. }
            ),
            Self::File { .. } | Self::Bucket { .. } => true,
            _ => false,
        }
    }

    /// Whether trying again later, without any change by an operator, may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store { source, .. } => store_fault_passes(source),
            Self::Table { source, .. } => table_fault_passes(source),
            Self::Contention { source, .. } => source.as_ref().is_none_or(|source| source.is_transient()),
            _ => false,
        }
    }
}

fn store_fault_passes(error: &object_store::Error) -> bool {
    use object_store::Error;
    !matches!(
        error,
        Error::NotFound { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::InvalidPath { .. }
    )
}

/// A conflict, an unreachable store or a log that could not be read may pass; a refusal by the protocol does not.
fn table_fault_passes(error: &DeltaTableError) -> bool {
    match error {
        DeltaTableError::ObjectStore { source } => store_fault_passes(source),
        DeltaTableError::Transaction { source } => matches!(
            source,
            TransactionError::CommitConflict(_)
                | TransactionError::MaxCommitAttempts(_)
                | TransactionError::LogStoreError { .. }
        ),
        // In errors of reading the log what the store said is a text at best. After a commit that landed they come too.
        DeltaTableError::VersionAlreadyExists(_)
        | DeltaTableError::KernelError(_)
        | DeltaTableError::Kernel { .. }
        | DeltaTableError::Io { .. }
        | DeltaTableError::Parquet { .. }
        | DeltaTableError::Arrow { .. }
        | DeltaTableError::Generic(_)
        | DeltaTableError::GenericError { .. } => true,
        _ => false,
    }
}

fn hint(source: &object_store::Error) -> &'static str {
    match source {
        object_store::Error::NotFound { .. } => ": it does not exist (bucket or folder missing?)",
        object_store::Error::PermissionDenied { .. } => {
            ": access denied; check the policy of the role (docs/operating.md)"
        }
        object_store::Error::Unauthenticated { .. } => ": no valid credentials; check AWS_PROFILE or AWS_ACCESS_KEY_ID",
        _ => "",
    }
}

/// The first line of an error and of each of its causes, without repeats: the AWS SDK's own display of a failed call
/// runs over many lines.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default().trim_end_matches(" Attempted:").to_owned();
        if !line.is_empty() && !lines.iter().any(|before| before.contains(&line)) {
            lines.push(line);
        }
        next = error.source();
    }
    lines.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_one_line_each_and_not_repeated() {
        let inner = std::io::Error::other("no credentials\n  Environment: none");
        let outer = LakeError::Store {
            operation: "read",
            path: "x".to_owned(),
            source: object_store::Error::Generic { store: "S3", source: inner.into() },
        };
        let text = causes(&outer);
        assert!(text.starts_with("cannot read 'x': ") && text.contains("no credentials"), "{text}");
        assert!(!text.contains("Environment") && text.matches("no credentials").count() == 1, "{text}");
    }
}
