//! Compares totals of the lake with the generator's truth.

use std::fmt;

use anyhow::{Context, Result};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use bluelake_generate::{EventType, Truth};
use bluelake_queries::{QuerySession, ReportResult};
use bluelake_schemas::Stream;
use serde::Serialize;

/// One total: expected and found.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    name: String,
    expected: i64,
    found: i64,
    /// It is part of another check, and shown to people only if it differs.
    #[serde(skip)]
    detail: bool,
}

impl Check {
    /// Whether it is shown to people.
    pub(crate) fn is_worth_showing(&self) -> bool {
        !self.detail || !self.holds()
    }

    /// Whether the total is right.
    pub(crate) fn holds(&self) -> bool {
        self.expected == self.found
    }
}

impl fmt::Display for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, expected, found, .. } = self;
        if self.holds() {
            write!(formatter, "  equal    {name}: {found}")
        } else {
            write!(formatter, "  DIFFERS  {name}: {found}, but {expected} were generated")
        }
    }
}

/// Compares tables, rejected events, duplicates and reports with the truth.
///
/// # Errors
/// When a total cannot be computed.
pub(crate) async fn run(
    queries: &QuerySession,
    reports: &[ReportResult],
    truth: &Truth,
    duplicate: Option<u64>,
) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for stream in Stream::ALL {
        let totals = truth.streams.get(&stream).cloned().unwrap_or_default();
        let rows = one_number(queries, &format!("SELECT count(*) FROM {}", stream.table())).await?;
        checks.push(check(format!("rows of {}", stream.table()), totals.good, rows)?);
        for (reason, expected) in &totals.bad {
            let sql = format!("SELECT count(*) FROM rejected_events WHERE stream = '{stream}' AND reason = '{reason}'");
            let found = one_number(queries, &sql).await?;
            let check = check(format!("rejected from {stream} as {reason}"), *expected, found)?;
            checks.push(Check { detail: true, ..check });
        }
    }
    let bad: u64 = truth.streams.values().flat_map(|totals| totals.bad.values()).sum();
    let rejected = one_number(queries, "SELECT count(*) FROM rejected_events").await?;
    checks.push(check("rejected events, in all and by each reason".to_owned(), bad, rejected)?);
    if let Some(found) = duplicate {
        let expected: u64 = truth.streams.values().map(|totals| totals.duplicate).sum();
        checks.push(check("duplicates counted and dropped".to_owned(), expected, i64::try_from(found)?)?);
    }
    for report in reports {
        checks.extend(of_report(report, truth)?);
    }
    Ok(checks)
}

fn of_report(report: &ReportResult, truth: &Truth) -> Result<Vec<Check>> {
    let name = report.provenance.report.as_str();
    let (event_type, columns): (_, &[&str]) = match name {
        "interactions" => (EventType::Interaction, &["interactions", "points_civilian", "points_officer"]),
        "donations" => (EventType::Donation, &["donations", "points"]),
        "redemptions" => (EventType::Redemption, &["redemptions", "points", "amount_cents"]),
        other => anyhow::bail!("the generator knows no totals for the report {other}"),
    };
    let totals = truth.totals(event_type);
    let expected = |column: &str| match column {
        "points" => Ok(totals.points),
        "points_civilian" => Ok(totals.points_civilian),
        "points_officer" => Ok(totals.points_officer),
        "amount_cents" => Ok(totals.amount_cents),
        _ => i64::try_from(totals.count),
    };
    columns
        .iter()
        .map(|column| {
            let found = sum(&report.batches, column).with_context(|| format!("report {name}"))?;
            Ok(Check {
                name: format!("{column} of the report {name}"),
                expected: expected(column)?,
                found,
                detail: false,
            })
        })
        .collect()
}

fn check(name: String, expected: u64, found: i64) -> Result<Check> {
    Ok(Check { name, expected: i64::try_from(expected)?, found, detail: false })
}

async fn one_number(queries: &QuerySession, sql: &str) -> Result<i64> {
    let batches = queries.collect(sql).await?;
    let first = batches.iter().find(|batch| batch.num_rows() > 0).context("the query gave no row")?;
    let column = first.columns().first().context("the query gave no column")?;
    let numbers = column.as_primitive_opt::<Int64Type>().context("the query gave no whole number")?;
    numbers.iter().flatten().next().context("the query gave no number")
}

fn sum(batches: &[RecordBatch], column: &str) -> Result<i64> {
    let mut sum: i64 = 0;
    for batch in batches {
        let values = batch.column_by_name(column).with_context(|| format!("has no column {column}"))?;
        // Counts are 64 bits wide; sums of points and cents are decimals, because a lake may hold more.
        let values = cast(values, &DataType::Decimal128(38, 0)).with_context(|| format!("{column} is no number"))?;
        for value in values.as_primitive::<Decimal128Type>().iter().flatten() {
            let added = i64::try_from(value).ok().and_then(|value| sum.checked_add(value));
            sum = added.with_context(|| format!("the sum of {column} is too large"))?;
        }
    }
    Ok(sum)
}
