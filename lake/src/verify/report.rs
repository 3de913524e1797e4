//! The report of a verification: checks by name, each with its outcome and a few examples.

use serde::{Deserialize, Serialize};

/// Examples that are kept of one check's findings.
const EXAMPLES: usize = 5;

/// The result of verifying a lake.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// The lake's place, as given.
    pub lake: String,
    /// No check failed.
    pub holds: bool,
    /// The deduplication window in which repeated ids are faults, seconds.
    pub window_seconds: u64,
    /// The part of the data files whose bodies were read; `None` is all.
    pub sample: Option<f64>,
    /// The seed that chose them.
    pub seed: Option<u64>,
    /// How long it took.
    pub seconds: f64,
    /// One report a stream.
    pub streams: Vec<StreamReport>,
}

/// The findings of one stream: its event table and its part of `rejected_events`.
#[derive(Clone, Debug, Serialize)]
pub struct StreamReport {
    /// The stream.
    pub stream: &'static str,
    /// Its event table.
    pub table: &'static str,
    /// Number of the document in force; `None` before the first commit.
    pub document: Option<u64>,
    /// Documents that were read.
    pub documents: u64,
    /// Files of the event table.
    pub files: usize,
    /// Files of the stream in `rejected_events`.
    pub rejected_files: usize,
    /// Files of both tables whose bodies were read.
    pub files_read: usize,
    /// Rows in them.
    pub rows: u64,
    /// Partitions of both tables, by how their rows are known.
    pub partitions: PartitionCounts,
    /// How long it took.
    pub seconds: f64,
    /// Findings that are no failures but worth a look.
    pub warnings: Found,
    /// Every check, in the order in which they are described.
    pub checks: Vec<Check>,
}

impl StreamReport {
    /// Whether no check failed.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.checks.iter().any(|check| matches!(check.outcome, CheckOutcome::Failed(_)))
    }
}

/// How the rows of partitions are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartitionCounts {
    /// Their files were read, or a sample of them.
    pub read: usize,
    /// They were read before, and their files are the same: taken from memory.
    pub from_memory: usize,
    /// Rows of those that were taken from memory.
    pub rows_from_memory: u64,
    /// Remembered now.
    pub remembered: usize,
    /// Why something was not taken from memory or could not be remembered.
    pub memory_faults: Found,
}

/// One check and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Its outcome.
    #[serde(flatten)]
    pub outcome: CheckOutcome,
    /// What it did not cover, or findings that are no failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum CheckOutcome {
    /// It holds.
    Passed,
    /// It does not hold.
    Failed(Found),
    /// It could not be checked.
    NotChecked {
        /// Why not.
        reason: String,
    },
}

/// The number of findings, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// How often.
    pub found: u64,
    /// The first ones, at most five. They hold names, positions and event ids, never other values of an event.
    pub examples: Vec<String>,
}

impl Check {
    pub(super) fn not_checked(name: &'static str, reason: impl Into<String>) -> Self {
        Self { name, outcome: CheckOutcome::NotChecked { reason: reason.into() }, note: None }
    }

    pub(super) fn with_note(mut self, note: Option<String>) -> Self {
        self.note = note;
        self
    }

    /// Takes a pass back for a reason; a failure stays one.
    pub(super) fn unless(self, reason: Option<String>) -> Self {
        match (&self.outcome, reason) {
            (CheckOutcome::Passed, Some(reason)) => Self::not_checked(self.name, reason),
            _ => self,
        }
    }
}

impl From<Found> for Findings {
    fn from(found: Found) -> Self {
        Self(found)
    }
}

/// Collects what one check finds.
#[derive(Debug, Default)]
pub(super) struct Findings(Found);

impl Findings {
    /// Counts one more; `example` is called only for kept examples.
    pub(super) fn add(&mut self, example: impl FnOnce() -> String) {
        if self.count() {
            self.show(example());
        }
    }

    /// Counts one more. Gives whether it is among the first, which are shown.
    pub(super) fn count(&mut self) -> bool {
        self.0.found += 1;
        usize::try_from(self.0.found).is_ok_and(|found| found <= EXAMPLES)
    }

    /// Shows one that was counted.
    pub(super) fn show(&mut self, example: String) {
        self.0.examples.push(example);
    }

    pub(super) fn append(&mut self, other: Self) {
        self.0.found += other.0.found;
        self.0.examples.extend(other.0.examples);
        self.0.examples.truncate(EXAMPLES);
    }

    pub(super) fn found(&self) -> Found {
        self.0.clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.found == 0
    }

    pub(super) fn into_check(self, name: &'static str) -> Check {
        let outcome = if self.0.found == 0 { CheckOutcome::Passed } else { CheckOutcome::Failed(self.0) };
        Check { name, outcome, note: None }
    }
}
