//! The conditions of a report: the state of the lake, and whether its period must be complete.

use std::time::Duration;

use anyhow::Result;
use bluelake_lake::{AsOf, AsOfFault, Lake};
use bluelake_queries::{QuerySession, Question, ReportResult};
use clap::Args;
use tokio::time::{Instant, sleep};

use super::usage;
use crate::cli::Session;
use crate::session::query;
use crate::terminal::failure::WrongUsage;

/// How often the lake is checked while waiting.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Flags of every command that runs reports.
#[derive(Debug, Args)]
pub(super) struct AnswerFlags {
    /// Compute it as the lake was: a time, a version of transactions, or versions as a report shows them
    #[arg(long, value_name = "VERSION|TIME")]
    as_of: Option<String>,
    /// Exit with code 4 and write nothing when events that arrived before the end of the period may still be missing
    #[arg(long)]
    require_complete: bool,
    /// Longest time to wait for the period to become complete, such as 30m
    #[arg(long, value_name = "TIME", requires = "require_complete", value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
}

/// Checked conditions.
#[derive(Debug, Clone)]
pub(super) struct Conditions {
    as_of: AsOf,
    require_complete: bool,
    wait: Duration,
}

/// The outcome of a report.
pub(super) enum Answer {
    /// Its result.
    Result(Box<ReportResult>),
    /// Its period is not complete, and why.
    NotComplete(String),
}

impl AnswerFlags {
    /// # Errors
    /// [`WrongUsage`] when `--as-of` cannot be read.
    pub(super) fn conditions(&self) -> Result<Conditions> {
        Ok(Conditions {
            as_of: as_of(self.as_of.as_deref())?,
            require_complete: self.require_complete,
            wait: self.wait.unwrap_or_default(),
        })
    }
}

/// Reads `--as-of`.
///
/// # Errors
/// [`WrongUsage`] for a text that is neither a version nor a time.
pub(super) fn as_of(text: Option<&str>) -> Result<AsOf> {
    let as_of = text.map_or(Ok(AsOf::Newest), str::parse);
    Ok(as_of.map_err(|error: AsOfFault| WrongUsage::new(format!("--as-of: {error}")))?)
}

impl Conditions {
    /// Whether an older state was requested.
    pub(super) fn is_as_of(&self) -> bool {
        self.as_of != AsOf::Newest
    }

    /// A session over the state of the lake that is asked for.
    ///
    /// # Errors
    /// As [`query::open`].
    pub(super) async fn open(&self, session: &Session, lake: &Lake) -> Result<QuerySession> {
        query::open(lake, &session.config, &self.as_of).await
    }

    /// Answers a question, once its period is complete if that is required.
    ///
    /// # Errors
    /// As [`query::open`] and [`Asked::answer`](bluelake_queries::Asked::answer).
    pub(super) async fn answer(&self, session: &Session, lake: &Lake, question: &Question<'_>) -> Result<Answer> {
        let until = Instant::now() + self.wait;
        loop {
            let queries = self.open(session, lake).await?;
            let answer = self.answer_by(&queries, question).await?;
            let left = until.saturating_duration_since(Instant::now());
            match &answer {
                // An older state will not change.
                Answer::NotComplete(reason) if !self.is_as_of() && !left.is_zero() => {
                    tracing::info!("{reason}; waiting");
                    sleep(LOOK_AGAIN.min(left)).await;
                }
                _ => return Ok(answer),
            }
        }
    }

    /// Answers a question by the state of the lake that a session reads. It does not wait.
    ///
    /// # Errors
    /// As [`Asked::answer`](bluelake_queries::Asked::answer).
    pub(super) async fn answer_by(&self, queries: &QuerySession, question: &Question<'_>) -> Result<Answer> {
        let mut asked = question.put(queries);
        if self.require_complete {
            let found = asked.completeness().await.map_err(usage)?;
            if !found.is_complete {
                let report = question.report().name();
                return Ok(Answer::NotComplete(format!("the period of {report} is not complete: {}", found.missing())));
            }
        }
        Ok(Answer::Result(Box::new(asked.answer().await.map_err(usage)?)))
    }
}
