//! `bluelake report run … --each PARAMETER`: a report for each value of a parameter, all of one state of the lake.

use anyhow::{Result, anyhow};
use bluelake_queries::{Compare, Question, Report, ReportParameters};
use serde::Serialize;

use super::conditions::{Answer, Conditions};
use super::export::{Destination, Exported};
use super::run::question;
use super::usage;
use crate::cli::Session;
use crate::terminal::failure::{Outcome, describe};
use crate::terminal::output;

/// A report that is run for each value of a parameter.
pub(super) struct Each<'a> {
    pub(super) report: &'a Report,
    pub(super) parameters: ReportParameters,
    /// The parameter.
    pub(super) name: &'a str,
    pub(super) compare: Option<Compare>,
    pub(super) conditions: Conditions,
}

/// What became of one of them.
#[derive(Serialize)]
struct Made {
    value: String,
    #[serde(flatten)]
    ended: Ended,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
enum Ended {
    Exported {
        #[serde(flatten)]
        export: Exported,
    },
    NotComplete {
        reason: String,
    },
    Failed {
        reason: String,
    },
}

impl Each<'_> {
    /// Runs them one after another. One that fails does not stop the others.
    ///
    /// # Errors
    /// When the parameter has no list of values, or one of them failed.
    pub(super) async fn run(&self, session: &Session, destination: &Destination) -> Result<Outcome> {
        let lake = session.lake().await?;
        let queries = self.conditions.open(session, &lake).await?;
        let values = Question::each(self.report, self.name, &self.parameters, &queries).await.map_err(usage)?;
        // What arrives meanwhile is in none of them.
        let conditions = self.conditions.pinned(&queries)?;
        let mut made = Vec::new();
        for value in values {
            let parameters = self.parameters.clone().with(self.name, &value);
            let question = question(self.report, &parameters, self.compare)?;
            let ended = match conditions.answer(session, &lake, &question).await {
                Ok(Answer::NotComplete(reason)) => Ended::NotComplete { reason },
                Ok(Answer::Result(result)) => match destination.run(&result, self.conditions.is_as_of()).await {
                    Ok(export) => Ended::Exported { export },
                    Err(error) => Ended::Failed { reason: describe(&error) },
                },
                Err(error) => Ended::Failed { reason: describe(&error) },
            };
            made.push(Made { value, ended });
        }
        self.print(session, &made)
    }

    fn print(&self, session: &Session, made: &[Made]) -> Result<Outcome> {
        if session.json {
            output::json(&made)?;
        } else {
            let rows = made.iter().map(|one| {
                let (outcome, rows, place) = match &one.ended {
                    Ended::Exported { export } => ("exported", output::grouped(export.rows()), export.place()),
                    Ended::NotComplete { reason } => ("not complete", String::new(), reason.clone()),
                    Ended::Failed { reason } => ("FAILED", String::new(), reason.clone()),
                };
                [one.value.clone(), outcome.to_owned(), rows, place]
            });
            output::line(output::table(&[self.name, "outcome", "rows", "files"], &[2], rows).to_string())?;
        }
        let failed = made.iter().filter(|one| matches!(one.ended, Ended::Failed { .. })).count();
        if failed > 0 {
            return Err(anyhow!("{failed} of {} failed", made.len()));
        }
        let is_missing = made.iter().any(|one| matches!(one.ended, Ended::NotComplete { .. }));
        Ok(if is_missing { Outcome::NotComplete } else { Outcome::Done })
    }
}
