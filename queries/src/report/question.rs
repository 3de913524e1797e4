//! A report: a question with a name, parameters and promised columns, answered by one SQL statement.

use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, NaiveDate, Utc};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::QueryError;
use crate::header::chart::Chart;
use crate::header::column::ReportColumn;
use crate::header::parameter::ParameterKind;
use crate::header::report::ReportHeader;
use crate::report::origin::{LakeDays, Period, PeriodOrigin, is_complete};
use crate::report::parameters::{ReportParameters, ResolvedParameter};
use crate::report::provenance::Provenance;
use crate::session::origin::StreamOrigin;
use crate::session::origin::in_words;
use crate::session::query_session::QuerySession;

/// One report of the catalogue.
#[derive(Clone, Debug)]
pub struct Report {
    name: String,
    header: ReportHeader,
    sql: String,
    is_cut: bool,
}

/// The answer to a report's question.
#[derive(Clone, Debug)]
pub struct ReportResult {
    /// Title of the report.
    pub title: String,
    /// The question that it answers.
    pub question: String,
    /// Who asks it.
    pub audience: String,
    /// How it is drawn, if it can be.
    pub chart: Option<Chart>,
    /// The columns, with units, in the order of the batches.
    pub columns: Vec<ReportColumn>,
    /// Whether the rows are the first of more, by a rank or a LIMIT: what is added up of them is no sum of all.
    pub is_cut: bool,
    /// Arrow schema of the batches.
    pub schema: SchemaRef,
    /// The rows, in the report's order; the same rows in the same order each time.
    pub batches: Vec<RecordBatch>,
    /// What the result was computed from, as far as the session knows.
    pub provenance: Provenance,
}

/// Whether a period is complete, and what that rests on.
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

impl Report {
    /// Reads a report from the text of its file; checks that header and SQL name the same parameters.
    pub(crate) fn parse(name: &str, file: &str, text: &str) -> Result<Self, QueryError> {
        // Editors of Windows put a byte order mark before the text.
        let text = text.trim_start_matches('\u{feff}');
        let header = ReportHeader::parse(file, text)?;
        let tokens = check_placeholders(file, text, &header)?;
        Ok(Self { name: name.to_owned(), is_cut: is_cut(&tokens, &header), header, sql: text.to_owned() })
    }

    /// Name by which the report is run: its file's, without the ending.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the report says about itself.
    pub fn header(&self) -> &ReportHeader {
        &self.header
    }

    /// The text of the file.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Runs the report.
    ///
    /// # Errors
    /// [`QueryError::UnknownParameter`] and [`QueryError::Parameter`] before anything runs,
    /// [`QueryError::ReportColumns`] when header and SQL disagree, and everything that a query can fail with.
    pub async fn run(&self, session: &QuerySession, parameters: &ReportParameters) -> Result<ReportResult, QueryError> {
        let mut parameters = parameters.resolve(&self.name, &self.header.parameters)?;
        self.check_users(session, &parameters).await?;
        let stream = session.query_with(&self.sql, values_of(&parameters)).await?;
        let schema = stream.schema();
        self.check_columns(&schema)?;
        let read = stream.tables().to_vec();
        let batches = stream.collect().await?;
        let (tables, streams) = session.origin().of_tables(&read);
        let period = match Period::of(&parameters) {
            Some(period) => Some(period.origin(session, &read, &streams).await?),
            None => None,
        };
        if let Some(period) = &period {
            name_days(&mut parameters, period);
        }
        let provenance = Provenance {
            report: self.name.clone(),
            parameters,
            time_zone: session.options().time_zone.name().to_owned(),
            as_of: session.origin().as_of(),
            tables,
            streams,
            period,
            bluelake_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(ReportResult {
            title: self.header.title.clone(),
            question: self.header.question.clone(),
            audience: self.header.audience.clone(),
            chart: self.header.chart.clone(),
            columns: self.header.columns.clone(),
            is_cut: self.is_cut,
            schema,
            batches,
            provenance,
        })
    }

    /// Checks values for the parameters without running anything.
    ///
    /// # Errors
    /// [`QueryError::UnknownParameter`] and [`QueryError::Parameter`].
    pub fn check(&self, parameters: &ReportParameters) -> Result<(), QueryError> {
        parameters.resolve(&self.name, &self.header.parameters).map(|_| ())
    }

    /// Whether every record that arrived before the end of the report's last day is in the lake. Late events may still come.
    ///
    /// # Errors
    /// [`QueryError::Parameter`] when the report has no last day, or none was given; otherwise as [`Report::run`].
    pub async fn completeness(
        &self,
        session: &QuerySession,
        parameters: &ReportParameters,
    ) -> Result<Completeness, QueryError> {
        let parameters = parameters.resolve(&self.name, &self.header.parameters)?;
        let period = Period::of(&parameters);
        let ends_at = period.and_then(|period| period.ends_at(session.options().time_zone));
        let ends_at = ends_at.ok_or_else(|| QueryError::Parameter {
            report: self.name.clone(),
            name: "to".to_owned(),
            fault: match period {
                Some(_) => "must be given, to know when the period is complete".to_owned(),
                None => "is not there: the report covers no period that could be complete".to_owned(),
            },
        })?;
        let read = session.tables_of(&self.sql, values_of(&parameters)).await?;
        let (_, streams) = session.origin().of_tables(&read);
        let lake = LakeDays::of(session).await?;
        let begins_later = lake.first.filter(|_| lake.begin_after(period.and_then(|period| period.last_day)));
        let is_complete = begins_later.is_none() && is_complete(&streams, ends_at);
        Ok(Completeness { is_complete, ends_at, streams, begins_later })
    }

    /// A user whom the lake does not know has no empty statement: somebody mistyped an id.
    async fn check_users(&self, session: &QuerySession, parameters: &[ResolvedParameter]) -> Result<(), QueryError> {
        let is_user = |name: &str| {
            let mut declared = self.header.parameters.iter();
            declared.any(|known| known.name == name && known.kind == ParameterKind::User)
        };
        for parameter in parameters.iter().filter(|parameter| is_user(&parameter.name)) {
            if !is_known_user(session, &parameter.bound).await? {
                let user = parameter.value.as_deref().unwrap_or_default();
                return Err(QueryError::Parameter {
                    report: self.name.clone(),
                    name: parameter.name.clone(),
                    fault: format!("the lake has no user {user:?}"),
                });
            }
        }
        Ok(())
    }

    fn check_columns(&self, schema: &SchemaRef) -> Result<(), QueryError> {
        let found: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let declared: Vec<String> = self.header.columns.iter().map(|column| column.name.clone()).collect();
        if found == declared {
            Ok(())
        } else {
            Err(QueryError::ReportColumns { report: self.name.clone(), found, declared })
        }
    }
}

/// Whether the lake has an event about a user or of a user. The events about users are looked at first: nearly all users have one.
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

/// Says which days are meant by the first and the last of the lake.
fn name_days(parameters: &mut [ResolvedParameter], period: &PeriodOrigin) {
    for parameter in parameters.iter_mut().filter(|parameter| parameter.value.is_none()) {
        parameter.meant = if parameter.is_first_day() { period.lake_first_day } else { period.lake_last_day };
    }
}

/// The values for the placeholders, by name.
fn values_of(parameters: &[ResolvedParameter]) -> Vec<(String, ScalarValue)> {
    parameters.iter().map(|parameter| (parameter.name.clone(), parameter.bound.clone())).collect()
}

/// Every `$name` in the SQL is declared, and every declared parameter is used.
fn check_placeholders(file: &str, text: &str, header: &ReportHeader) -> Result<Vec<Token>, QueryError> {
    let fault = |line: usize, fault: String| QueryError::Header { file: file.to_owned(), line, fault };
    let tokens = Tokenizer::new(&GenericDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| fault(usize::try_from(error.location.line).unwrap_or(1), error.message))?;
    let mut used = BTreeSet::new();
    for token in &tokens {
        if let Token::Placeholder(placeholder) = &token.token {
            let name = placeholder.trim_start_matches('$').to_owned();
            if !header.parameters.iter().any(|parameter| parameter.name == name) {
                let line = usize::try_from(token.span.start.line).unwrap_or(1);
                return Err(fault(line, format!("the SQL uses {placeholder}, which the header does not declare")));
            }
            used.insert(name);
        }
    }
    match header.parameters.iter().find(|parameter| !used.contains(&parameter.name)) {
        Some(unused) => Err(fault(1, format!("the SQL does not use the parameter {}", unused.name))),
        None => Ok(tokens.into_iter().map(|token| token.token).collect()),
    }
}

/// Whether the result may lack rows: by its last rank, or by a word that keeps some rows only.
fn is_cut(tokens: &[Token], header: &ReportHeader) -> bool {
    let cuts = [Keyword::LIMIT, Keyword::FETCH, Keyword::QUALIFY, Keyword::OFFSET];
    let has_cut = tokens.iter().any(|token| matches!(token, Token::Word(word) if cuts.contains(&word.keyword)));
    has_cut || header.parameters.iter().any(|parameter| parameter.name == "top")
}

#[cfg(test)]
mod tests;
