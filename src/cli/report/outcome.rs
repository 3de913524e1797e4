//! What became of one of several reports, and of all of them.

use anyhow::{Result, anyhow};
use bluelake_queries::{QueryError, Question, ReportError};
use serde::Serialize;

use super::conditions::{Answer, Conditions};
use super::export::{Destination, Exported};
use crate::terminal::failure::{self, Outcome};
use crate::terminal::output;

/// What became of a report.
#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub(super) enum Ended {
    /// It was exported.
    Exported {
        #[serde(flatten)]
        export: Exported,
    },
    /// Its period is not complete.
    NotComplete { reason: String },
    /// It failed.
    Failed { reason: String },
}

impl Ended {
    /// Exports the answer to a question. A failure is told in the log, and does not stop the others.
    pub(super) async fn of(
        question: &Question<'_>,
        answer: Result<Answer>,
        destination: &Destination,
        conditions: &Conditions,
    ) -> Self {
        let exported = match answer {
            Ok(Answer::Result(result)) => destination.run(&result, conditions.is_as_of()).await,
            Ok(Answer::NotComplete(reason)) => {
                tracing::warn!("{reason}");
                return Self::NotComplete { reason };
            }
            Err(error) => Err(error),
        };
        exported.map_or_else(|error| Self::failed(question.report().name(), &error), |export| Self::Exported { export })
    }

    /// It failed, which the log is told.
    pub(super) fn failed(report: &str, error: &anyhow::Error) -> Self {
        let reason = failure::describe(error);
        match error.downcast_ref() {
            // Messages of the engine can quote values: they are for the user, not for the log.
            Some(ReportError::Query(QueryError::Execution(_))) => {
                tracing::error!(report, "the query failed; the result says why");
            }
            _ => tracing::error!(report, "{reason}"),
        }
        Self::Failed { reason }
    }

    /// What became of it, its rows, and its place or the reason, for people.
    pub(super) fn cells(&self) -> [String; 3] {
        let (outcome, rows, place) = match self {
            Self::Exported { export } => ("exported", output::grouped(export.rows()), export.place()),
            Self::NotComplete { .. } => ("not complete", String::new(), String::new()),
            Self::Failed { reason } => ("FAILED", String::new(), reason.clone()),
        };
        [outcome.to_owned(), rows, place]
    }
}

/// What became of all of them.
///
/// # Errors
/// When one failed.
pub(super) fn of_all<'a>(all: impl ExactSizeIterator<Item = &'a Ended>) -> Result<Outcome> {
    let (count, mut failed, mut is_missing) = (all.len(), 0, false);
    for ended in all {
        failed += usize::from(matches!(ended, Ended::Failed { .. }));
        is_missing |= matches!(ended, Ended::NotComplete { .. });
    }
    match (failed, is_missing) {
        (0, false) => Ok(Outcome::Done),
        (0, true) => Ok(Outcome::NotComplete),
        _ => Err(anyhow!("{failed} of {count} reports failed")),
    }
}
