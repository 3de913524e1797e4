//! A report's question with values for its parameters: asked of the tables of a session, and answered.

use chrono::{DateTime, NaiveDate, Utc};
use datafusion::scalar::ScalarValue;

use crate::error::QueryError;
use crate::header::parameter::ParameterKind;
use crate::report::compare::beside::beside;
use crate::report::compare::{Compare, PARAMETER};
use crate::report::counted_days;
use crate::report::definition::Report;
use crate::report::error::ReportError;
use crate::report::figures::figures;
use crate::report::origin::{LakeDays, Period, PeriodOrigin, is_complete};
use crate::report::parameters::{ReportParameters, ResolvedParameter};
use crate::report::provenance::Provenance;
use crate::report::result::ReportResult;
use crate::session::origin::StreamOrigin;
use crate::session::origin::in_words;
use crate::session::prepared::PreparedQuery;
use crate::session::query_session::QuerySession;
use crate::session::since::Since;
use crate::text::cells::{Cell, Cells};

/// A report with checked values for its parameters.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    report: &'a Report,
    parameters: Vec<ResolvedParameter>,
    compare: Option<Compare>,
}

/// A question asked of the tables of a session. Its SQL is planned once, when it is first needed.
pub struct Asked<'a> {
    question: &'a Question<'a>,
    session: &'a QuerySession,
    prepared: Option<Prepared>,
}

/// A question that is planned.
struct Prepared {
    query: PreparedQuery,
    /// Its parameters. Where the lake's first day is meant and older days expired, the first that is left.
    parameters: Vec<ResolvedParameter>,
    /// What its numbers lack.
    since: Option<Since>,
}

/// Whether a period is complete, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completeness {
    /// Every record that arrived before the end is in the lake.
    pub is_complete: bool,
    /// The end of the period.
    pub ends_at: DateTime<Utc>,
    /// The streams that the report is computed from, and how far the lake has them.
    pub streams: Vec<StreamOrigin>,
    /// The first day of the lake, when the whole period lies before it.
    pub begins_later: Option<NaiveDate>,
}

impl Completeness {
    /// Why the period is not complete, as half a sentence: `it ends at …, and transaction-events is complete to …`.
    pub fn missing(&self) -> String {
        if let Some(first) = self.begins_later {
            return format!("it ends at {}, and the lake begins on {first}", in_words(self.ends_at));
        }
        let behind = self.streams.iter().filter(|stream| !is_complete(std::slice::from_ref(*stream), self.ends_at));
        let streams = behind.map(|stream| match stream.complete_to {
            Some(complete_to) => format!("{} is complete to {}", stream.stream, in_words(complete_to)),
            None => format!("of {} it is not known", stream.stream),
        });
        format!("it ends at {}, and {}", in_words(self.ends_at), streams.collect::<Vec<_>>().join(", "))
    }
}

impl<'a> Question<'a> {
    pub(crate) fn new(report: &'a Report, parameters: Vec<ResolvedParameter>) -> Self {
        Self { report, parameters, compare: None }
    }

    /// The same question, whose figures are compared with those of days before.
    ///
    /// # Errors
    /// [`ReportError::Parameter`] for a report that has no figures, no days, or only the first of its rows.
    pub fn compared_with(self, compare: Compare) -> Result<Self, ReportError> {
        let report = self.report;
        let has = |name: &str| self.parameters.iter().any(|parameter| parameter.name == name);
        let fault = match () {
            () if report.is_cut() => "this report has the first of its rows only, and those of other days are others",
            () if !has("from") || !has("to") => "this report is not about the days from one to another",
            () if report.header().figures.is_empty() => "the header of this report names no figures to compare",
            () => return Ok(Self { compare: Some(compare), ..self }),
        };
        let (report, name, fault) = (report.name().to_owned(), PARAMETER.to_owned(), fault.to_owned());
        Err(ReportError::Parameter { report, name, fault })
    }

    /// The report.
    pub fn report(&self) -> &'a Report {
        self.report
    }

    /// The values of a parameter that occur on the days of the question, in order: those that `--each` runs it with.
    ///
    /// # Errors
    /// [`ReportError::Parameter`] for a parameter that has no list of values; when the query fails.
    pub async fn each(
        report: &Report,
        name: &str,
        days: &ReportParameters,
        session: &QuerySession,
    ) -> Result<Vec<String>, ReportError> {
        let declared = &report.header().parameters;
        let place =
            declared.iter().find(|parameter| parameter.name == name).and_then(|parameter| parameter.each.as_ref());
        let Some([view, column]) = place else {
            return Err(ReportError::Parameter {
                report: report.name().to_owned(),
                name: name.to_owned(),
                fault: "--each is not for this one: the header of the report names no view with its values".to_owned(),
            });
        };
        let bounds: Vec<_> =
            declared.iter().filter(|parameter| ["from", "to"].contains(&parameter.name.as_str())).cloned().collect();
        let values = values_of(&days.resolve(report.name(), &bounds)?);
        let condition = |(name, _): &(String, ScalarValue)| match name.as_str() {
            "from" => " AND local_date >= $from AND event_date >= $from - INTERVAL '1 day'",
            _ => " AND local_date <= $to AND event_date <= $to + INTERVAL '1 day'",
        };
        let conditions: String = values.iter().map(condition).collect();
        let sql = format!("SELECT DISTINCT {column} FROM {view} WHERE {column} IS NOT NULL{conditions} ORDER BY 1");
        let mut found = Vec::new();
        for batch in session.query_with(&sql, values).await?.collect().await? {
            let cells = Cells::new(&batch).map_err(QueryError::from)?;
            found.extend((0..cells.rows()).filter_map(|row| match cells.cell(row, 0) {
                Cell::Text(value) => Some(value),
                _ => None,
            }));
        }
        Ok(found)
    }

    /// Asks the question of the tables of a session. No query runs yet.
    pub fn put(&'a self, session: &'a QuerySession) -> Asked<'a> {
        Asked { question: self, session, prepared: None }
    }
}

impl Asked<'_> {
    /// Whether every record that arrived before the end of the report's last day is in the lake. Late events may still come.
    ///
    /// # Errors
    /// [`ReportError::Parameter`] when the report has no last day, or none was given; otherwise those of
    /// [`Asked::answer`].
    pub async fn completeness(&mut self) -> Result<Completeness, ReportError> {
        let Question { report, parameters, .. } = self.question;
        let session = self.session;
        let period = Period::of(parameters);
        let ends_at = period.and_then(|period| period.ends_at(session.options().time_zone));
        let ends_at = ends_at.ok_or_else(|| ReportError::Parameter {
            report: report.name().to_owned(),
            name: "to".to_owned(),
            fault: match period {
                Some(_) => "must be given, to know when the period is complete".to_owned(),
                None => "is not there: the report covers no period that could be complete".to_owned(),
            },
        })?;
        let prepared = self.prepared().await?;
        let (_, streams) = session.origin().of_tables(prepared.query.tables());
        self.prepared = Some(prepared);
        let lake = LakeDays::of(session).await?;
        let begins_later = lake.first.filter(|_| lake.begin_after(period.and_then(|period| period.last_day)));
        let is_complete = begins_later.is_none() && is_complete(&streams, ends_at);
        Ok(Completeness { is_complete, ends_at, streams, begins_later })
    }

    /// The answer.
    ///
    /// # Errors
    /// [`ReportError::Parameter`] for a user whom the lake does not know and for days that expired,
    /// [`ReportError::Columns`] when header and SQL disagree, and everything that a query can fail with.
    pub async fn answer(mut self) -> Result<ReportResult, ReportError> {
        let report = self.question.report;
        let (session, header) = (self.session, report.header());
        self.check_users().await?;
        let Prepared { query, mut parameters, since } = self.prepared().await?;
        let stream = session.start(query).await?;
        let schema = stream.schema();
        report.check_columns(&schema)?;
        let read = stream.tables().to_vec();
        let batches = stream.collect().await?;
        let (tables, streams) = session.origin().of_tables(&read);
        let mut period = match Period::of(&parameters) {
            Some(period) => Some(period.origin(session, &read, &streams).await?),
            None => None,
        };
        if let Some(period) = &mut period {
            let begins = since.as_ref().map(|since| since.first_day);
            period.lake_first_day = period.lake_first_day.map(|first| begins.map_or(first, |begins| first.max(begins)));
            name_days(&mut parameters, period);
        }
        let provenance = Provenance {
            report: report.name().to_owned(),
            parameters,
            time_zone: session.options().time_zone.name().to_owned(),
            as_of: session.origin().as_of(),
            tables,
            streams,
            period,
            compared: None,
            since,
            bluelake_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let figures = figures(&header.figures, &header.columns, &batches).map_err(QueryError::from)?;
        let result = ReportResult {
            title: header.title.clone(),
            question: header.question.clone(),
            audience: header.audience.clone(),
            chart: header.chart.clone(),
            figures,
            columns: header.columns.clone(),
            is_cut: report.is_cut(),
            schema,
            batches,
            provenance,
        };
        let result = match self.question.compare {
            Some(compare) => beside(report, &self.question.parameters, session, result, compare).await?,
            None => result,
        };
        Ok(counted_days::add(result).map_err(QueryError::from)?)
    }

    /// The query, planned before or now. Which tables it reads, and so which days are missing, is known when it is planned.
    async fn prepared(&mut self) -> Result<Prepared, ReportError> {
        if let Some(prepared) = self.prepared.take() {
            return Ok(prepared);
        }
        let (report, session) = (self.question.report, self.session);
        let mut parameters = self.question.parameters.clone();
        let mut query = session.prepare(report.sql(), values_of(&parameters)).await?;
        let (tables, _) = session.origin().of_tables(query.tables());
        let mut since = Since::of(&tables, session.options().time_zone);
        if let Some(since) = &since {
            check_days(report, &parameters, since)?;
        }
        if let Some(Since { first_day, .. }) = since {
            let begins = parameters.iter_mut().filter(|parameter| parameter.is_first_day());
            let begun = begins.map(|parameter| parameter.begin_with(first_day)).count();
            if begun > 0 {
                query = session.prepare(report.sql(), values_of(&parameters)).await?;
            } else if report.header().covers_period {
                // The days that were asked for are whole, and no others matter.
                since = None;
            }
        }
        Ok(Prepared { query, parameters, since })
    }

    /// A user whom the lake does not know gets an error in place of an empty statement: the id may be mistyped.
    async fn check_users(&self) -> Result<(), ReportError> {
        let Question { report, parameters, .. } = self.question;
        let is_user = |name: &str| {
            let mut declared = report.header().parameters.iter();
            declared.any(|known| known.name == name && known.kind == ParameterKind::User)
        };
        for parameter in parameters.iter().filter(|parameter| is_user(&parameter.name)) {
            if !is_known_user(self.session, &parameter.bound).await? {
                let user = parameter.value.as_deref().unwrap_or_default();
                return Err(ReportError::Parameter {
                    report: report.name().to_owned(),
                    name: parameter.name.clone(),
                    fault: format!("the lake has no user {user:?}"),
                });
            }
        }
        Ok(())
    }
}

/// Whether the lake has an event about a user or of a user. Events about users are checked first: nearly all users have
/// one.
async fn is_known_user(session: &QuerySession, user: &ScalarValue) -> Result<bool, QueryError> {
    const ROLES: [&str; 8] = [
        "civilian_id",
        "officer_id",
        "donor_id",
        "recipient_id",
        "redeemer_id",
        "provider_id",
        "from_officer_id",
        "to_officer_id",
    ];
    let in_transactions = ROLES.map(|role| format!("{role} = $user")).join(" OR ");
    let known = session.tables();
    for (table, condition) in [("user_events", "user_id = $user"), ("transactions", in_transactions.as_str())] {
        if !known.iter().any(|name| name == table) {
            continue;
        }
        let sql = format!("SELECT 1 FROM {table} WHERE {condition} LIMIT 1");
        let found = session.query_with(&sql, vec![("user".to_owned(), user.clone())]).await?.collect().await?;
        if found.iter().any(|batch| batch.num_rows() > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses days that expired: what is left of them is no number of theirs.
fn check_days(report: &Report, parameters: &[ResolvedParameter], since: &Since) -> Result<(), ReportError> {
    let given = |parameter: &&ResolvedParameter| {
        let day = parameter.value.as_deref().and_then(|value| value.parse::<NaiveDate>().ok());
        ["from", "to"].contains(&parameter.name.as_str()) && day.is_some_and(|day| day < since.first_day)
    };
    let Some(ResolvedParameter { name, value, .. }) = parameters.iter().find(given) else { return Ok(()) };
    let (value, first_day, expired) = (value.as_deref().unwrap_or_default(), since.first_day, since.in_words());
    let advice = if name == "from" { "; give a later day, or none for all that is left" } else { "" };
    Err(ReportError::Parameter {
        report: report.name().to_owned(),
        name: name.clone(),
        fault: format!("{value} is before {first_day}, the first whole day that is left: {expired}{advice}"),
    })
}

/// Fills in the first and the last day of the lake.
fn name_days(parameters: &mut [ResolvedParameter], period: &PeriodOrigin) {
    for parameter in parameters.iter_mut().filter(|parameter| parameter.value.is_none() && parameter.meant.is_none()) {
        parameter.meant = if parameter.is_first_day() { period.lake_first_day } else { period.lake_last_day };
    }
}

/// The values for the placeholders, by name.
fn values_of(parameters: &[ResolvedParameter]) -> Vec<(String, ScalarValue)> {
    parameters.iter().map(|parameter| (parameter.name.clone(), parameter.bound.clone())).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bluelake_lake::ControlTotals;
    use serde_json::json;

    use super::*;
    use crate::report::catalog::ReportCatalog;
    use crate::session::origin::Origin;
    use crate::testing::{event, report_csv, session};

    #[tokio::test]
    async fn asking_for_completeness_plans_only_once() {
        let fields = json!({"donor_id": "a", "donor_kind": "civilian", "recipient_id": "x", "recipient_kind": "charity",
            "points": 5});
        let stream = StreamOrigin {
            stream: "transaction-events".to_owned(),
            table: "transactions".to_owned(),
            complete_to: Some("2026-01-02T00:00:00Z".parse().unwrap()),
            gaps: 0,
            totals: ControlTotals::default(),
            expected_rows: None,
            rejected_gone: 0,
        };
        let session = session(&[], &[event("donation", "2026-01-01T12:00:00Z", fields)]).await;
        let session = session.with_origin(Origin { tables: Vec::new(), streams: vec![stream] });
        let catalog = ReportCatalog::embedded().unwrap();
        let report = catalog.get("donations").unwrap();
        let parameters = ReportParameters::new().with("to", "2026-01-01");
        let question = report.question(&parameters).unwrap();
        let mut asked = question.put(&session);
        assert!(asked.completeness().await.unwrap().is_complete);
        assert_eq!(asked.prepared.as_ref().unwrap().query.tables(), ["transactions"]);
        let result = asked.answer().await.unwrap();
        let at_once = report.run(&session, &parameters).await.unwrap();
        assert_eq!(report_csv(&result), report_csv(&at_once));
        assert_eq!(
            serde_json::to_value(&result.provenance).unwrap(),
            serde_json::to_value(&at_once.provenance).unwrap()
        );
        assert_eq!(result.provenance.parameters, at_once.provenance.parameters);
    }
}
