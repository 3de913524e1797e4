//! `bluelake report run … --destination postgres://…`: a report as rows of a table.

use anyhow::{Context as _, Result};
use bluelake_deliver::{PostgresOptions, ReportRows, put_report};
use bluelake_queries::{ReportResult, export_folder};
use serde::Serialize;

use crate::session::secrets;
use crate::terminal::failure::WrongUsage;
use crate::terminal::output;

/// The schema when the destination names none.
const SCHEMA: &str = "reports";

/// A database that takes reports.
pub(super) struct Database {
    options: PostgresOptions,
    lake: String,
}

/// Rows of a report in a database.
#[derive(Serialize)]
pub(super) struct Written {
    /// Where the database is.
    pub(super) database: String,
    /// The schema.
    pub(super) schema: String,
    /// The table: the name of the report.
    pub(super) table: String,
    /// The question, as the column `bluelake_question` has it.
    pub(super) question: String,
    /// Rows.
    pub(super) rows: u64,
}

impl Written {
    /// The table, for people.
    pub(super) fn place(&self) -> String {
        format!("{}, table {}.{}", self.database, self.schema, self.table)
    }

    pub(super) fn described(&self) -> String {
        let rows = output::grouped(self.rows);
        format!("Wrote {rows} rows to {}, question '{}'.", self.place(), self.question)
    }
}

impl Database {
    /// Whether a destination is a database.
    pub(super) fn is_meant(destination: &str) -> bool {
        ["postgres://", "postgresql://"].iter().any(|scheme| destination.starts_with(scheme))
    }

    /// # Errors
    /// [`WrongUsage`] for an address that cannot be used; when the configuration of AWS cannot be read.
    pub(super) async fn new(destination: &str, lake: String) -> Result<Self> {
        let (address, schema) = split(destination);
        let wrong = |problem: &str| WrongUsage::new(format!("cannot export to a database: {problem}"));
        let address = secrets::postgres(&address, wrong).await?;
        let options = PostgresOptions { name: "the destination".to_owned(), address, schema, read_role: None };
        Ok(Self { options, lake })
    }

    /// Writes the rows in place of those of the same question; `is_as_of`: of a requested older state.
    ///
    /// # Errors
    /// When the database cannot be reached or written.
    pub(super) async fn run(&self, result: &ReportResult, is_as_of: bool) -> Result<Written> {
        let folder = export_folder(&result.provenance, is_as_of);
        let question = folder.split_once('/').map_or(folder.as_str(), |(_, question)| question).to_owned();
        let provenance = serde_json::to_string(&result.provenance).context("cannot write the provenance")?;
        let table = result.provenance.report.clone();
        let rows = ReportRows {
            report: &table,
            question: &question,
            lake: &self.lake,
            provenance: &provenance,
            schema: &result.schema,
            batches: &result.batches,
        };
        let rows = put_report(&self.options, &rows).await.context("the report was not exported")?;
        let (database, schema) = (self.options.address.to_string(), self.options.schema.clone());
        Ok(Written { database, schema, table, question, rows })
    }
}

/// The address of the database, and the schema that stands behind the database's name.
fn split(destination: &str) -> (String, String) {
    let (url, query) = destination.split_once('?').map_or((destination, None), |(url, query)| (url, Some(query)));
    let usual = || (destination.to_owned(), SCHEMA.to_owned());
    let Some((scheme, rest)) = url.split_once("://") else { return usual() };
    let Some((database, schema)) = rest.rsplit_once('/') else { return usual() };
    if !database.contains('/') || schema.is_empty() {
        let address = if schema.is_empty() { format!("{scheme}://{database}") } else { url.to_owned() };
        return (with(address, query), SCHEMA.to_owned());
    }
    (with(format!("{scheme}://{database}"), query), schema.to_owned())
}

fn with(address: String, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{address}?{query}"),
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_stands_behind_the_database() {
        for (destination, address, schema) in [
            ("postgres://me@host/points", "postgres://me@host/points", "reports"),
            ("postgres://me@host/points/", "postgres://me@host/points", "reports"),
            ("postgres://me@host/points/monthly", "postgres://me@host/points", "monthly"),
            (
                "postgres://me@host/points/monthly?sslmode=disable",
                "postgres://me@host/points?sslmode=disable",
                "monthly",
            ),
            ("postgres://me@host:5433", "postgres://me@host:5433", "reports"),
        ] {
            assert_eq!(split(destination), (address.to_owned(), schema.to_owned()), "{destination}");
        }
    }
}
