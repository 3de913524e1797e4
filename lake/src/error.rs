//! The faults of the lake, named by what the caller can do about them.

use std::fmt;

use deltalake::{DeltaTableError, kernel::transaction::TransactionError};

use crate::causes::causes;

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
    #[error(
        "'{url}' is not a Bluelake lake: {reason}; run `bluelake lake init --lake {}` to make one there",
        shell_word(url)
    )]
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
    #[error("bucket '{bucket}': {operation} failed: {reason}{}", advice(reason))]
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// The S3 call.
        operation: &'static str,
        /// The code and message of the answer.
        reason: String,
    },
    /// The Delta log refused or failed an operation.
    #[error("table '{table}': cannot {operation}{}", table_hint(source))]
    Table {
        /// The table's name.
        table: String,
        /// The operation, as a verb.
        operation: &'static str,
        /// Delta's own error.
        #[source]
        source: Box<DeltaTableError>,
    },
    /// A self-check failed: further writes would risk wrong numbers.
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
    /// A maintenance record cannot be used.
    #[error("maintenance record '{path}': {reason}")]
    Record {
        /// Path of the record.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A commit lost all its attempts to others.
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
    /// The table's log does not have a requested older state, or no longer.
    #[error("table '{table}': {reason}")]
    NoSuchVersion {
        /// The table's name.
        table: String,
        /// The requested state and the available ones.
        reason: String,
    },
    /// A data file does not match its batch.
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

    pub(crate) fn file(operation: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.display().to_string();
        move |source| Self::File { operation, path, source }
    }

    /// Whether an error of reading an archived object is about this object alone.
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

    /// Whether an object is not there.
    #[must_use]
    pub fn is_missing_object(&self) -> bool {
        matches!(self, Self::Store { source: object_store::Error::NotFound { .. }, .. })
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

/// A conflict, an unreachable store or an unreadable log may pass; a refusal by the protocol does not.
fn table_fault_passes(error: &DeltaTableError) -> bool {
    match error {
        DeltaTableError::ObjectStore { source } => store_fault_passes(source),
        DeltaTableError::Transaction { source } => matches!(
            source,
            TransactionError::CommitConflict(_)
                | TransactionError::MaxCommitAttempts(_)
                | TransactionError::LogStoreError { .. }
        ),
        // Errors of reading the log hold the store's answer only as a text. They also occur after a commit that landed.
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
    // The code is more exact than the kind: S3 also answers a wrong key with 403.
    match (advice(&causes(source)), source) {
        ("", object_store::Error::NotFound { .. }) => ": it does not exist (bucket or folder missing?)",
        ("", object_store::Error::PermissionDenied { .. }) => DENIED,
        ("", object_store::Error::Unauthenticated { .. }) => NO_CREDENTIALS,
        (advice, _) => advice,
    }
}

/// Errors of the log hold the store's own error at some depth, or only its text.
fn table_hint(source: &DeltaTableError) -> &'static str {
    advice(&causes(source))
}

const DENIED: &str = ": access denied; check the policy of the role (docs/operating.md)";
const NO_CREDENTIALS: &str = ": no valid credentials; check AWS_PROFILE or AWS_ACCESS_KEY_ID";
const SLOW_CLASS: &str =
    ": its storage class cannot be read at once; restore it, and end the rule that moved it (docs/operating.md)";
const WRONG_REGION: &str = ": the bucket is in another region; set AWS_REGION to the bucket's";

/// Codes of S3, and what to do about each.
const ADVICE: [(&str, &str); 15] = [
    ("AccessDenied", DENIED),
    ("AllAccessDisabled", DENIED),
    ("InvalidAccessKeyId", NO_CREDENTIALS),
    ("SignatureDoesNotMatch", NO_CREDENTIALS),
    ("ExpiredToken", ": the credentials have expired; renew them"),
    ("InvalidToken", NO_CREDENTIALS),
    ("RequestTimeTooSkewed", ": the clock of this machine is wrong; set it"),
    ("NoSuchBucket", ": the bucket does not exist; correct its name, or make it with `bluelake lake init`"),
    ("PermanentRedirect", WRONG_REGION),
    ("AuthorizationHeaderMalformed", WRONG_REGION),
    ("IllegalLocationConstraintException", WRONG_REGION),
    ("KMS.DisabledException", ": the key of the bucket's encryption is disabled"),
    ("KMS.NotFoundException", ": the key of the bucket's encryption does not exist"),
    ("InvalidObjectState", SLOW_CLASS),
    ("SlowDown", ": the bucket is throttled; run it again later"),
];

/// The advice for the first code of S3 in the text, after a colon; empty without a code.
fn advice(text: &str) -> &'static str {
    let found = |code: &str| text.split(' ').any(|word| word.strip_suffix(':').unwrap_or(word) == code);
    ADVICE.iter().find(|(code, _)| found(code)).map_or("", |(_, advice)| advice)
}

/// The text as one word for a POSIX shell: in quotes, unless it is plain.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-./:@,+%".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::*;

    fn refused(answer: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: std::io::Error::other(answer.to_owned()).into() }
    }

    #[test]
    fn store_and_log_errors_give_the_same_advice() {
        for (code, advice_given) in [
            ("AccessDenied", "check the policy"),
            ("InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
            ("NoSuchBucket", "bluelake lake init"),
            ("PermanentRedirect", "AWS_REGION"),
            ("InvalidObjectState", "cannot be read at once"),
        ] {
            let answer = format!("403: <Error><Code>{code}</Code><Message>no</Message></Error>");
            let store = LakeError::Store { operation: "read", path: "x".to_owned(), source: refused(&answer) };
            let log = DeltaTableError::ObjectStore { source: refused(&answer) };
            let table = LakeError::Table { table: "x".to_owned(), operation: "read", source: Box::new(log) };
            for text in [causes(&store), causes(&table)] {
                assert!(text.contains(advice_given) && text.contains(code), "{text}");
            }
        }
    }

    #[test]
    fn only_s3_codes_give_advice() {
        for text in ["s3://NoSuchBucket/x: gone", "", "NoSuchBuckets: gone"] {
            assert_eq!(advice(text), "", "{text}");
        }
    }

    #[test]
    fn a_plain_word_is_left_as_it_is() {
        for text in ["s3://bucket/points", "./lake", "a_b-c.d:e@f,g+h%i"] {
            assert_eq!(shell_word(text), text);
        }
    }

    #[test]
    fn shell_words_come_back_unchanged() {
        for text in [
            "",
            "my lake",
            "it's",
            "''",
            "$HOME",
            "`id`",
            "$(id)",
            "a;b",
            "a&b|c>d<e",
            "*",
            "~",
            "a\\",
            "\"x\"",
            "!!",
            "#x",
            "=ls",
            "é",
            "two  blanks",
            "[a]{b,c}?",
            "(x)",
            "\u{1b}[31m",
            "tab\tand\nline",
        ] {
            let script = format!("printf %s {}", shell_word(text));
            let printed = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(printed.stdout).unwrap(), text, "{script}");
        }
    }
}
