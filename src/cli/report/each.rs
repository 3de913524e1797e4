//! `bluelake report run … --each PARAMETER`: a report for each value of a parameter, all of one state of the lake.

use anyhow::Result;
use bluelake_queries::{Compare, Question, Report, ReportParameters};
use serde::Serialize;

use super::conditions::Conditions;
use super::export::Destination;
use super::outcome::{Ended, of_all};
use super::{question, usage};
use crate::cli::Session;
use crate::terminal::failure::Outcome;
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

impl Each<'_> {
    /// Runs them one after another. One that fails does not stop the others.
    ///
    /// # Errors
    /// When the parameter has no list of values, or one of them failed.
    pub(super) async fn run(&self, session: &Session, destination: &Destination) -> Result<Outcome> {
        let lake = session.lake().await?;
        // What arrives meanwhile is in none of them.
        let queries = self.conditions.open(session, &lake).await?;
        let values = Question::each(self.report, self.name, &self.parameters, &queries).await.map_err(usage)?;
        let mut made = Vec::new();
        for value in values {
            let parameters = self.parameters.clone().with(self.name, &value);
            let ended = match question(self.report, &parameters, self.compare) {
                Ok(question) => {
                    let answer = self.conditions.answer_by(&queries, &question).await;
                    Ended::of(&question, answer, destination, &self.conditions).await
                }
                Err(error) => Ended::failed(self.report.name(), &error),
            };
            made.push(Made { value, ended });
        }
        if session.json {
            output::json(&made)?;
        } else {
            let rows = made.iter().map(|one| {
                let [outcome, rows, place] = one.ended.cells();
                [one.value.clone(), outcome, rows, place]
            });
            output::line(output::table(&[self.name, "outcome", "rows", "files"], &[2], rows).to_string())?;
        }
        of_all(made.iter().map(|one| &one.ended))
    }
}
