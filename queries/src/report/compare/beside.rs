//! Asks a report of the days before, and puts the answer beside that of the days that are meant.

use chrono::NaiveDate;

use super::joined::{Fault, Joined, Sides, join};
use super::shift::{earlier_last, shift};
use super::{Compare, ComparedDays, PARAMETER};
use crate::error::QueryError;
use crate::header::period_length::{PeriodLength, Shift};
use crate::report::definition::Report;
use crate::report::error::ReportError;
use crate::report::figures::figures;
use crate::report::parameters::ResolvedParameter;
use crate::report::result::ReportResult;
use crate::session::query_session::QuerySession;
use crate::session::since::Since;

/// The result beside that of the days before, for the same `parameters`.
///
/// # Errors
/// As [`crate::report::question::Asked::answer`], and [`ReportError::Parameter`] when rows cannot be told apart.
pub(crate) async fn beside(
    report: &Report,
    parameters: &[ResolvedParameter],
    session: &QuerySession,
    mut result: ReportResult,
    compare: Compare,
) -> Result<ReportResult, ReportError> {
    let zone = session.options().time_zone;
    result.provenance.parameters.push(compare.as_parameter());
    let find = |name: &str| result.provenance.parameters.iter().find(|parameter| parameter.name == name);
    let day = |name: &str| find(name).and_then(ResolvedParameter::day);
    let by = find("by").and_then(|by| PeriodLength::parse(by.value.as_deref()?).ok());
    let period = result.columns.iter().position(|column| by.is_some() && column.name == "period");
    let moved = day("from").zip(day("to")).and_then(|(first, last)| {
        let are_given = ["from", "to"].iter().all(|name| find(name).is_some_and(|day| day.value.is_some()));
        let shift = shift(compare, by.filter(|_| period.is_some()), first, last, are_given)?;
        Some((shift, shift.earlier(first)?, earlier_last(shift, last)?))
    });
    // A lake without events has no days, and nothing to compare.
    let (shift, first_day, last_day) = moved.unwrap_or((Shift::Days(1), NaiveDate::MIN, NaiveDate::MIN));
    let lake = result.provenance.period.as_ref().and_then(|period| period.lake_first_day);
    let lake_last_day =
        result.provenance.period.as_ref().and_then(|period| period.lake_last_day).unwrap_or(NaiveDate::MAX);
    let since = Since::of(&result.provenance.tables, zone).map(|since| since.first_day);
    let lake_first_day =
        lake.filter(|_| moved.is_some()).map_or(NaiveDate::MAX, |lake| since.map_or(lake, |since| lake.max(since)));
    let before = match moved {
        Some(_) => {
            let values: Vec<_> = parameters
                .iter()
                .map(|parameter| match parameter.name.as_str() {
                    "from" => parameter.at(first_day),
                    "to" => parameter.at(last_day),
                    _ => parameter.clone(),
                })
                .map(|parameter| (parameter.name, parameter.bound))
                .collect();
            let query = session.prepare(report.sql(), values).await?;
            session.start(query).await?.collect().await?
        }
        None => Vec::new(),
    };
    let header = report.header();
    let sides = Sides {
        columns: &result.columns,
        compared: &header.figures,
        schema: &result.schema,
        now: &result.batches,
        before: &before,
        period,
        shift,
        first_day,
        lake_first_day,
        lake_last_day,
    };
    let Joined { schema, columns, batch } = join(&sides).map_err(|fault| match fault {
        Fault::Arrow(error) => QueryError::from(error).into(),
        Fault::Alike => ReportError::Parameter {
            report: report.name().to_owned(),
            name: PARAMETER.to_owned(),
            fault: "two of its rows have the same names, so it is not known what to compare them with".to_owned(),
        },
    })?;
    let whole = first_day >= lake_first_day;
    if whole {
        let were = figures(&header.figures, &header.columns, &before).map_err(QueryError::from)?;
        let own = std::mem::take(&mut result.figures);
        result.figures = own.into_iter().zip(were).map(|(now, was)| now.with_before(was.exact)).collect();
    }
    if moved.is_some() {
        result.provenance.compared = Some(ComparedDays { with: compare, first_day, last_day, whole });
    }
    Ok(ReportResult { schema, columns, batches: vec![batch], ..result })
}
