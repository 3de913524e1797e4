//! The faults of delivery, named by what the caller can do about them.

use bluelake_lake::{FeedError, LakeError};

/// An error of delivery.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The lake failed, or cannot tell what happened.
    #[error(transparent)]
    Feed(FeedError),
    /// The table must be loaded anew.
    #[error("target '{target}', table '{table}': rebuild needed: {reason}; run `bluelake deliver rebuild {target}`")]
    Rebuild {
        /// The target.
        target: String,
        /// The table.
        table: String,
        /// Why.
        reason: String,
    },
    /// The target cannot be reached, or the connection broke off.
    #[error("target '{target}' at {address}: {operation}{}", table.as_ref().map(|table| format!(" (table '{table}')")).unwrap_or_default())]
    Unreachable {
        /// The target.
        target: String,
        /// Its place, without a password.
        address: String,
        /// What was tried.
        operation: String,
        /// The table, if it was about one.
        table: Option<String>,
        /// What the driver says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The target does not do what was asked.
    #[error("target '{target}' at {address}, {table}: {problem}; {remedy}")]
    Refused {
        /// The target.
        target: String,
        /// Its place, without a password.
        address: String,
        /// The table, or what else it is about.
        table: String,
        /// What is wrong, with the target's own words.
        problem: String,
        /// What the operator can do.
        remedy: String,
        /// It may pass by itself.
        passes: bool,
    },
    /// A value of the lake does not fit.
    #[error("table '{table}': column '{column}': {reason}")]
    Value {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl DeliverError {
    /// What a target does not do until an operator changes something: what it is about, the problem and the remedy.
    pub(crate) fn refused(target: &str, address: &impl std::fmt::Display, [about, problem, remedy]: [&str; 3]) -> Self {
        Self::Refused {
            target: target.to_owned(),
            address: address.to_string(),
            table: about.to_owned(),
            problem: problem.to_owned(),
            remedy: remedy.to_owned(),
            passes: false,
        }
    }

    /// Whether trying again later, without any change by an operator, may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Feed(FeedError::Lake(error)) => error.is_transient(),
            Self::Unreachable { .. } => true,
            Self::Refused { passes, .. } => *passes,
            _ => false,
        }
    }

    /// Whether a table of the target must be loaded anew.
    #[must_use]
    pub fn needs_rebuild(&self) -> bool {
        matches!(self, Self::Rebuild { .. })
    }

    /// What the feed said, as the target's need.
    pub(crate) fn of_feed(target: &str) -> impl FnOnce(FeedError) -> Self + use<> {
        let target = target.to_owned();
        move |error| match error {
            FeedError::Rebuild { table, version, reason } => {
                let reason = format!("what happened since version {version} is no longer known in full: {reason}");
                Self::Rebuild { target, table, reason }
            }
            error => Self::Feed(error),
        }
    }

    /// What reading a file of the feed said: a file that was deleted makes a rebuild necessary.
    pub(crate) fn of_file(target: &str, table: &str) -> impl FnOnce(LakeError) -> Self + use<> {
        let (target, table) = (target.to_owned(), table.to_owned());
        move |error| {
            if error.is_missing_object() {
                let reason = format!("a file that it needs was deleted ({error})");
                return Self::Rebuild { target, table, reason };
            }
            Self::Feed(FeedError::Lake(error))
        }
    }
}

impl From<LakeError> for DeliverError {
    fn from(error: LakeError) -> Self {
        Self::Feed(FeedError::Lake(error))
    }
}
