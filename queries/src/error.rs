//! The faults of a question, named by what the user can do about them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::object_store;
use tokio::task::JoinError;

use crate::text::nearest::nearest_or_all;

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is refused as a query.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A table or view that it names cannot be queried.
    #[error(transparent)]
    Relation(#[from] NoSuchRelation),
    /// Columns, functions or types of the query do not fit.
    #[error("the query cannot be planned")]
    Plan(#[source] EngineError),
    /// The query ran out of time and was stopped.
    #[error("the query was stopped at its time limit of {limit:?}: narrow its period or raise the limit")]
    TimeLimit {
        /// The limit.
        limit: Duration,
    },
    /// The query needs more memory or spill space than it may have.
    #[error(
        "the query needs more than its memory limit of {}, or more disk to spill to: narrow its period, group by fewer values, or raise the limit (--memory-limit, sql.memory-limit)",
        in_mebibytes(*limit_bytes)
    )]
    MemoryLimit {
        /// The limit.
        limit_bytes: usize,
        /// The memory of each part of the query.
        source: EngineError,
    },
    /// A file of the version that is read was deleted meanwhile: what was read so far is no answer.
    #[error(
        "a file of the tables was deleted while the query read it (by `bluelake lake vacuum`, or by another program): run it again; as of an older version it may be too late"
    )]
    FileGone(#[source] EngineError),
    /// The query failed while it ran.
    #[error("the query failed")]
    Execution(#[source] EngineError),
    /// Intermediate results have no place to spill to.
    #[error("cannot make a directory for spilled results in {}", path.display())]
    SpillDirectory {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The session cannot be set up.
    #[error("the query session cannot be set up")]
    Session(#[source] EngineError),
}

/// Why a text is refused as a query.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The SQL text is too long.
    #[error("the SQL text has {bytes} bytes; at most {limit} are accepted")]
    TooLong {
        /// Length of the text.
        bytes: usize,
        /// Longest text accepted.
        limit: usize,
    },
    /// The SQL text has more operators or joins than the planner can take safely.
    #[error("the query has {count} {what} in one place; at most {limit} are accepted{advice}")]
    TooComplex {
        /// The parts that are too many.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many are accepted.
        limit: usize,
        /// What to write instead; may be empty.
        advice: &'static str,
    },
    /// The text is not SQL.
    #[error("the SQL cannot be parsed")]
    Syntax(#[source] EngineError),
    /// The statement does more than read.
    #[error("{statement} is not allowed: {rule}")]
    Forbidden {
        /// The statement, such as `INSERT`.
        statement: String,
        /// What is allowed.
        rule: &'static str,
    },
}

/// Why a name cannot be queried.
#[derive(Debug, thiserror::Error)]
pub enum NoSuchRelation {
    /// A file path or URL is in the place of a table.
    #[error("{name:?} is not a table: files and URLs cannot be queried, only {}", known.join(", "))]
    File {
        /// What was written.
        name: String,
        /// The tables and views there are.
        known: Vec<String>,
    },
    /// No table or view has that name.
    #[error("there is no table {name:?}{}", nearest_or_all(suggestion.as_ref(), known, "there are"))]
    Unknown {
        /// What was written.
        name: String,
        /// The nearest known name.
        suggestion: Option<String>,
        /// The tables and views there are.
        known: Vec<String>,
    },
    /// This view of Bluelake's is not available on this lake.
    #[error("the view {name} is not available: {reason}")]
    Unavailable {
        /// The view.
        name: String,
        /// What it lacks.
        reason: String,
    },
}

impl QueryError {
    pub(crate) fn plan(source: DataFusionError) -> Self {
        Self::Plan(EngineError::new(source))
    }

    pub(crate) fn session(source: DataFusionError) -> Self {
        Self::Session(EngineError::new(source))
    }

    /// The task of a query panicked or was cancelled.
    pub(crate) fn died(join: JoinError) -> Self {
        Self::Execution(EngineError::new(DataFusionError::ExecutionJoin(Box::new(join))))
    }

    /// An error of a running query; a lack of memory or spill space has its own variants.
    pub(crate) fn execution(source: DataFusionError, memory_limit_bytes: usize) -> Self {
        if is_exhausted(&source) || is_spill_limit(&source) {
            Self::MemoryLimit { limit_bytes: memory_limit_bytes, source: EngineError::new(source) }
        } else if is_gone(&source) {
            Self::FileGone(EngineError::new(source))
        } else {
            Self::Execution(EngineError::new(source))
        }
    }
}

impl From<ArrowError> for QueryError {
    /// An error of values that were computed already.
    fn from(source: ArrowError) -> Self {
        Self::Execution(EngineError::new(DataFusionError::ArrowError(Box::new(source), None)))
    }
}

/// Whether spilling exceeded its limit. The writer of the file says so, so the engine's own error is hidden in others.
fn is_spill_limit(error: &DataFusionError) -> bool {
    error.to_string().contains("used disk space during the spilling process has exceeded")
}

/// Whether an object was not there. The store's own error is at some depth among the sources, or, where the engine opens a
/// file, only its text is left.
fn is_gone(error: &DataFusionError) -> bool {
    let text = error.to_string();
    if text.contains("Object at location ") && text.contains(" not found: ") {
        return true;
    }
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(store) = error.downcast_ref::<object_store::Error>() {
            return matches!(store, object_store::Error::NotFound { .. });
        }
        next = error.source();
    }
    false
}

/// Memory is short, and no operator may try again: see the module `attempt`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Exhausted(pub(crate) String);

impl From<Exhausted> for DataFusionError {
    fn from(error: Exhausted) -> Self {
        Self::External(Box::new(error))
    }
}

/// Marks an error so that no operator tries again.
pub(crate) fn once(error: DataFusionError) -> DataFusionError {
    if is_exhausted(&error) { Exhausted(EngineError::new(error).to_string()).into() } else { error }
}

/// Whether the error is a lack of memory, of DataFusion's kind or of ours.
pub(crate) fn is_exhausted(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => true,
        DataFusionError::External(source) => source.is::<Exhausted>(),
        _ => false,
    }
}

/// An error of DataFusion. Its text repeats its source, so the chain of sources ends here.
#[derive(Debug)]
pub struct EngineError(Box<DataFusionError>);

impl EngineError {
    pub(crate) fn new(source: DataFusionError) -> Self {
        Self(Box::new(source))
    }

    /// DataFusion's own error.
    pub fn inner(&self) -> &DataFusionError {
        &self.0
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = said(&self.0);
        let text = error.strip_backtrace();
        if let DataFusionError::External(source) = error.find_root()
            && let Some(Exhausted(words)) = source.downcast_ref()
        {
            return formatter.write_str(words);
        }
        if !is_exhausted(error) {
            return formatter.write_str(&text);
        }
        // It has a line for each part of the query that holds memory; a message shows only the first line.
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        formatter.write_str(&lines.join(" "))
    }
}

/// `256 MiB`, or bytes if they are no whole number of MiB.
fn in_mebibytes(bytes: usize) -> String {
    if bytes > 0 && bytes.is_multiple_of(1 << 20) { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") }
}

/// The error without the names of the engine's own steps, such as `type_coercion`.
fn said(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, source) => said(source),
        DataFusionError::Shared(source) => said(source),
        _ => error,
    }
}

impl std::error::Error for EngineError {}
