//! A report: a question with a name, parameters and promised columns, answered by one SQL statement.

use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use serde::Serialize;

use crate::header::{Chart, ReportColumn, ReportHeader};
use crate::parameters::{ReportParameters, ResolvedParameter};
use crate::{QueryError, QuerySession};

/// One report of the catalogue.
#[derive(Clone, Debug)]
pub struct Report {
    name: String,
    header: ReportHeader,
    sql: String,
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
    /// Arrow schema of the batches.
    pub schema: SchemaRef,
    /// The rows, in the report's order; the same rows in the same order each time.
    pub batches: Vec<RecordBatch>,
    /// What the result was computed from, as far as the session knows.
    pub provenance: Provenance,
}

/// What a result was computed from. Table versions and watermarks are the opener's to add.
#[derive(Clone, Debug, Serialize)]
pub struct Provenance {
    /// Name of the report.
    pub report: String,
    /// Its parameters, defaults filled in.
    pub parameters: Vec<ResolvedParameter>,
    /// Zone of the days, weeks and months.
    pub time_zone: String,
    /// Tables of the lake that were read.
    pub tables: Vec<String>,
    /// Version of Bluelake.
    pub bluelake_version: String,
}

impl Provenance {
    /// Everything that the result was computed from, each with its name: what documents show.
    pub fn lines(&self) -> Vec<(String, String)> {
        let line = |name: &str, value: String| (name.to_owned(), value);
        let mut lines = vec![line("Report", self.report.clone())];
        lines.extend(self.parameters.iter().map(|parameter| {
            let mut name = parameter.name.replace('_', " ");
            if let Some(first) = name.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            (name, parameter.in_words())
        }));
        lines.push(line("Time zone", self.time_zone.clone()));
        lines.push(line("Tables read", self.tables.join(", ")));
        lines.push(line("Bluelake version", self.bluelake_version.clone()));
        lines
    }

    /// Period and other parameters as half a sentence: `2026-11-01 to 2026-11-30, by day, days in the time zone UTC`.
    pub(crate) fn scope(&self) -> String {
        let find = |name: &str| self.parameters.iter().find(|parameter| parameter.name == name);
        let mut parts = Vec::new();
        if let (Some(from), Some(to)) = (find("from"), find("to")) {
            parts.push(format!("{} to {}", from.in_words(), to.in_words()));
        }
        let is_period = |name: &str| !parts.is_empty() && ["from", "to"].contains(&name);
        let others = self.parameters.iter().filter(|parameter| !is_period(&parameter.name));
        let others: Vec<String> =
            others.map(|parameter| format!("{} {}", parameter.name.replace('_', " "), parameter.in_words())).collect();
        parts.extend(others);
        parts.push(format!("days in the time zone {}", self.time_zone));
        parts.join(", ")
    }
}

impl Report {
    /// Reads a report from the text of its file; checks that header and SQL name the same parameters.
    pub(crate) fn parse(name: &str, file: &str, text: &str) -> Result<Self, QueryError> {
        let header = ReportHeader::parse(file, text)?;
        check_placeholders(file, text, &header)?;
        Ok(Self { name: name.to_owned(), header, sql: text.to_owned() })
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
        let parameters = parameters.resolve(&self.name, &self.header.parameters)?;
        let values = parameters.iter().map(|parameter| (parameter.name.clone(), parameter.bound.clone())).collect();
        let stream = session.query_with(&self.sql, values).await?;
        let schema = stream.schema();
        self.check_columns(&schema)?;
        let provenance = Provenance {
            report: self.name.clone(),
            parameters,
            time_zone: session.options().time_zone.name().to_owned(),
            tables: stream.tables().to_vec(),
            bluelake_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(ReportResult {
            title: self.header.title.clone(),
            question: self.header.question.clone(),
            audience: self.header.audience.clone(),
            chart: self.header.chart.clone(),
            columns: self.header.columns.clone(),
            schema,
            batches: stream.collect().await?,
            provenance,
        })
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

/// Every `$name` in the SQL is declared, and every declared parameter is used.
fn check_placeholders(file: &str, text: &str, header: &ReportHeader) -> Result<(), QueryError> {
    let fault = |line: usize, fault: String| QueryError::Header { file: file.to_owned(), line, fault };
    let tokens = Tokenizer::new(&GenericDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| fault(usize::try_from(error.location.line).unwrap_or(1), error.message))?;
    let mut used = BTreeSet::new();
    for token in tokens {
        if let Token::Placeholder(placeholder) = token.token {
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
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
