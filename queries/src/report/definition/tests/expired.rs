//! Reports over a lake of which days expired: none tells a number of days that are not there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use chrono_tz::Tz;
use serde_json::{Value, json};

use super::*;
use crate::header::parameter::ParameterKind;
use crate::output::format::OutputFormat;
use crate::output::writer::write_report;
use crate::report::catalog::ReportCatalog;
use crate::session::options::QueryOptions;
use crate::session::origin::{Origin, TableOrigin};
use crate::testing::{event, options, report_csv, tables};

/// The first day that is kept. The world begins on 2026-02-20.
const FIRST: &str = "2026-03-01";

/// Users of the world, created before and after the day.
fn users() -> Vec<Value> {
    let user = |number: u32| {
        let day = if number.is_multiple_of(2) { "2026-02-20" } else { "2026-03-02" };
        event("user_created", &format!("{day}T00:00:00Z"), json!({"user_id": format!("c{number}")}))
    };
    (0..15).map(user).collect()
}

/// The world; with `expired` without the transactions before the day, and said to be so.
async fn lake(expired: bool, zone: Tz) -> QuerySession {
    let mut transactions = world().transactions;
    if expired {
        transactions.retain(|event| event["event_date"].as_str().unwrap() >= FIRST);
    }
    let origin =
        |name: &str, expired_before| TableOrigin { name: name.to_owned(), version: None, rows: None, expired_before };
    let before = expired.then(|| FIRST.parse().unwrap());
    let tables_of = vec![origin("user_events", None), origin("transactions", before)];
    let options = QueryOptions { time_zone: zone, ..options() };
    let session = QuerySession::new(tables(&users(), &transactions), options).await.unwrap();
    session.with_origin(Origin { tables: tables_of, streams: Vec::new() })
}

/// Values for the parameters that have no default.
fn required(report: &Report) -> ReportParameters {
    let users = report.header().parameters.iter().filter(|parameter| parameter.kind == ParameterKind::User);
    users.fold(ReportParameters::new(), |given, parameter| given.with(&parameter.name, "c1"))
}

fn has(report: &Report, parameter: &str) -> bool {
    report.header().parameters.iter().any(|known| known.name == parameter)
}

#[tokio::test]
async fn a_report_that_covers_its_period_needs_no_earlier_day() {
    let (whole, expired) = (lake(false, Tz::UTC).await, lake(true, Tz::UTC).await);
    let catalog = ReportCatalog::embedded().unwrap();
    let mut covered = 0;
    for report in catalog.reports().filter(|report| report.header().covers_period) {
        let parameters = required(report).with("from", FIRST);
        let left = report.run(&expired, &parameters).await.unwrap();
        let all = report.run(&whole, &parameters).await.unwrap();
        assert_eq!(report_csv(&left), report_csv(&all), "{}", report.name());
        assert_eq!(left.provenance.since, None, "{}: the days are whole", report.name());
        covered += 1;
    }
    assert_eq!(covered, 17);
}

#[tokio::test]
async fn what_needs_the_whole_ledger_says_since_when_it_counts() {
    let expired = lake(true, Tz::UTC).await;
    let catalog = ReportCatalog::embedded().unwrap();
    for report in catalog.reports().filter(|report| report.name() != "rejected_events") {
        // Of what covers a period this is so as long as nobody says where it begins.
        let result = report.run(&expired, &required(report)).await.unwrap();
        let name = report.name();
        assert!(result.headline().contains("since 2026-03-01"), "{name}: {}", result.headline());
        let line = ("Since".to_owned(), "2026-03-01: transactions of days before 2026-03-01 (UTC) expired".to_owned());
        assert!(result.provenance.foundation().contains(&line), "{name}");
        let described = result.described().unwrap();
        assert_eq!(described["provenance"]["since"]["first_day"], FIRST, "{name}");
        for format in [OutputFormat::Markdown, OutputFormat::Html] {
            let mut text = Vec::new();
            write_report(&result, format, &mut text).unwrap();
            assert!(String::from_utf8(text).unwrap().contains("since 2026-03-01"), "{name} as {format}");
        }
        let mut bytes = Vec::new();
        write_report(&result, OutputFormat::Parquet, &mut bytes).unwrap();
        assert!(bytes.windows(14).any(|part| part == b"bluelake.since"), "{name}");
        if has(report, "from") && !report.header().covers_period {
            let later = report.run(&expired, &required(report).with("from", "2026-03-05")).await.unwrap();
            assert!(later.headline().contains("since 2026-03-01"), "{name}");
        }
    }
}

#[tokio::test]
async fn days_that_expired_are_refused() {
    let expired = lake(true, Tz::UTC).await;
    let catalog = ReportCatalog::embedded().unwrap();
    for report in catalog.reports().filter(|report| report.name() != "rejected_events") {
        for parameter in ["from", "to"].into_iter().filter(|parameter| has(report, parameter)) {
            let parameters = required(report).with(parameter, "2026-02-28");
            let error = report.run(&expired, &parameters).await.unwrap_err().to_string();
            let expected =
                format!("parameter {parameter} of the report {}: 2026-02-28 is before 2026-03-01", report.name());
            assert!(error.starts_with(&expected) && error.contains("transactions of days before"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_period_without_a_beginning_begins_after_what_expired() {
    let catalog = ReportCatalog::embedded().unwrap();
    for (zone, first) in
        [(Tz::UTC, "2026-03-01"), (Tz::Asia__Tokyo, "2026-03-02"), (Tz::America__Chicago, "2026-03-01")]
    {
        let expired = lake(true, zone).await;
        for name in ["points_liability", "donations"] {
            let report = catalog.get(name).unwrap();
            let parameters = ReportParameters::new().with("by", "day");
            let result = report.run(&expired, &parameters).await.unwrap();
            let rows = report_csv(&result);
            assert!(rows[1].starts_with(first), "{name} in {zone}: {}", rows[1]);
            assert!(result.provenance.scope().starts_with(&format!("{first} to ")), "{}", result.provenance.scope());
            assert_eq!(result.provenance.period.as_ref().unwrap().first_day.unwrap().to_string(), first);
            let given = report.run(&expired, &parameters.with("from", first)).await.unwrap();
            assert_eq!(rows, report_csv(&given), "{name} in {zone}");
        }
    }
}
