//! Compares control totals with reports, to the event and to the point: the same number by two ways that share as
//! little as possible.

use arrow::array::AsArray as _;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type};
use serde::Serialize;

use crate::error::QueryError;
use crate::report::catalog::ReportCatalog;
use crate::report::error::ReportError;
use crate::report::parameters::ReportParameters;
use crate::report::result::ReportResult;
use crate::session::origin::StreamOrigin;
use crate::session::query_session::QuerySession;
use crate::session::since::Since;

/// Two numbers that must be equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reconciled {
    /// What is counted.
    pub what: String,
    /// The expected number.
    pub expected: i128,
    /// Where the expected number comes from.
    pub expected_from: String,
    /// What was found.
    pub found: i128,
    /// Where.
    pub found_in: String,
}

impl Reconciled {
    /// Whether the two are equal.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.expected == self.found
    }
}

/// A report's column, and the column of the view that adds up to it.
type Sum = (&'static str, &'static str);

/// The events of each type that have a report of their own, with the column that counts them and the sums that must agree.
const COUNTED: [(&str, &str, &[Sum]); 3] = [
    ("interaction", "interactions", &[("points_minted", "CAST(points_civilian AS DECIMAL(38, 0)) + points_officer")]),
    ("donation", "donations", &[("points", "points")]),
    ("redemption", "redemptions", &[("points", "points")]),
];

/// Compares control totals with tables, tables with views and reports, and points with the ledger, over the whole lake.
///
/// # Errors
/// As [`crate::report::definition::Report::run`].
pub async fn reconcile(session: &QuerySession, catalog: &ReportCatalog) -> Result<Vec<Reconciled>, ReportError> {
    let mut found = Vec::new();
    for stream in &session.origin().streams {
        found.extend(of_stream(session, stream).await?);
    }
    let whole = ReportParameters::new().with("by", "month");
    let days = whole_days(session);
    for (event_type, report, sums) in COUNTED {
        let result = catalog.get(report)?.run(session, &whole).await?;
        let table = format!("table transactions, {event_type}");
        let of_type = format!("FROM transactions WHERE event_type = '{event_type}'{days}");
        let rows = number(session, &format!("SELECT count(*) {of_type}")).await?;
        found.push(Reconciled {
            what: format!("{event_type}s"),
            expected: rows,
            expected_from: table.clone(),
            found: sum(&result, report),
            found_in: format!("report {report}"),
        });
        for (column, expression) in sums {
            found.push(Reconciled {
                what: format!("points of {event_type}s"),
                expected: number(session, &format!("SELECT sum(CAST({expression} AS DECIMAL(38, 0))) {of_type}"))
                    .await?,
                expected_from: table.clone(),
                found: sum(&result, column),
                found_in: format!("report {report}"),
            });
        }
    }
    let liability = catalog.get("points_liability")?.run(session, &whole).await?;
    let last = liability.batches.iter().rev().find_map(|batch| values(batch, "liability").last().copied());
    let minted_less_redeemed = "SELECT sum(CASE event_type WHEN 'interaction' THEN \
                                CAST(points_civilian AS DECIMAL(38, 0)) + points_officer \
                                WHEN 'redemption' THEN CAST(-points AS DECIMAL(38, 0)) END) FROM transactions";
    found.push(Reconciled {
        what: "points liability".to_owned(),
        expected: number(session, minted_less_redeemed).await?,
        expected_from: "table transactions, minted less redeemed".to_owned(),
        found: last.unwrap_or(0),
        found_in: "report points_liability, last period".to_owned(),
    });
    found.push(Reconciled {
        what: "points liability".to_owned(),
        expected: last.unwrap_or(0),
        expected_from: "report points_liability, last period".to_owned(),
        found: number(session, "SELECT sum(CAST(points AS DECIMAL(38, 0))) FROM points_ledger").await?,
        found_in: "view points_ledger, all users".to_owned(),
    });
    let users = "SELECT count(DISTINCT user_id) FROM user_events";
    found.push(Reconciled {
        what: "users".to_owned(),
        expected: number(session, users).await?,
        expected_from: "table user_events, different user_id".to_owned(),
        found: number(session, "SELECT count(*) FROM users").await?,
        found_in: "view users".to_owned(),
    });
    Ok(found)
}

/// As a condition: the days that reports count. Where older days expired, a day of the session's zone may be left in part.
fn whole_days(session: &QuerySession) -> String {
    let (transactions, _) = session.origin().of_tables(&["transactions".to_owned()]);
    let since = Since::of(&transactions, session.options().time_zone);
    since.map_or_else(String::new, |since| {
        format!(" AND CAST(CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) >= DATE '{}'", since.first_day)
    })
}

async fn of_stream(session: &QuerySession, origin: &StreamOrigin) -> Result<Vec<Reconciled>, QueryError> {
    let StreamOrigin { stream, table, totals, expected_rows, rejected_gone, .. } = origin;
    let reconciled = |what: &str, expected: u64, from: &str, found: i128, found_in: String| Reconciled {
        what: what.to_owned(),
        expected: i128::from(expected),
        expected_from: format!("control totals of {stream}, {from}"),
        found,
        found_in,
    };
    let rows = number(session, &format!("SELECT count(*) FROM {table}")).await?;
    let rejected = number(session, &format!("SELECT count(*) FROM rejected_events WHERE stream = '{stream}'")).await?;
    let parts = i128::from(totals.stored) + i128::from(totals.rejected) + i128::from(totals.duplicate);
    let sum = format!("control totals of {stream}, stored + rejected + duplicate");
    Ok(vec![
        reconciled("events received", totals.received, "received", parts, sum),
        reconciled(
            "events stored",
            expected_rows.unwrap_or(0),
            "stored less erased and expired",
            rows,
            format!("table {table}"),
        ),
        reconciled(
            "events rejected",
            totals.rejected.saturating_sub(*rejected_gone),
            if *rejected_gone > 0 { "rejected less expired" } else { "rejected" },
            rejected,
            "table rejected_events".to_owned(),
        ),
    ])
}

/// The number that a query gives; 0 for NULL.
async fn number(session: &QuerySession, sql: &str) -> Result<i128, QueryError> {
    let batches = session.collect(sql).await?;
    let name =
        |batch: &arrow::record_batch::RecordBatch| batch.schema().fields().first().map(|field| field.name().clone());
    Ok(batches.iter().filter_map(|batch| Some(values(batch, &name(batch)?).iter().sum::<i128>())).sum())
}

fn sum(result: &ReportResult, column: &str) -> i128 {
    result.batches.iter().flat_map(|batch| values(batch, column)).sum()
}

fn values(batch: &arrow::record_batch::RecordBatch, column: &str) -> Vec<i128> {
    let array = batch.column_by_name(column).and_then(|array| cast(array, &DataType::Decimal128(38, 0)).ok());
    array.map(|array| array.as_primitive::<Decimal128Type>().iter().flatten().collect()).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bluelake_lake::ControlTotals;
    use serde_json::json;

    use super::*;
    use crate::session::origin::{Origin, TableOrigin};
    use crate::testing::{event, session};

    #[tokio::test]
    async fn a_row_more_or_less_is_reported() {
        let gift = |at| {
            let fields = json!({"donor_id": "a", "donor_kind": "civilian", "recipient_id": "x", "recipient_kind": "charity",
                "points": 5});
            event("donation", at, fields)
        };
        let transactions = [gift("2026-01-01T00:00:00Z"), gift("2026-01-02T00:00:00Z")];
        let of = |stored| StreamOrigin {
            stream: "transaction-events".to_owned(),
            table: "transactions".to_owned(),
            complete_to: None,
            gaps: 0,
            totals: ControlTotals { received: stored, stored, ..ControlTotals::default() },
            expected_rows: Some(stored),
            rejected_gone: 0,
        };
        let origin = |stored| Origin { tables: Vec::<TableOrigin>::new(), streams: vec![of(stored)] };
        let catalog = ReportCatalog::embedded().unwrap();
        for (stored, wrong) in [(2, vec![]), (3, vec![("events stored".to_owned(), 3, 2)])] {
            let session = session(&[], &transactions).await.with_origin(origin(stored));
            let found = reconcile(&session, &catalog).await.unwrap();
            let unequal = found.iter().filter(|one| !one.is_equal());
            assert_eq!(unequal.map(|one| (one.what.clone(), one.expected, one.found)).collect::<Vec<_>>(), wrong);
            assert!(found.iter().any(|one| one.what == "points of donations" && one.found == 10), "{found:?}");
        }
    }
}
