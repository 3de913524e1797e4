#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::*;
use crate::header::column::Unit;
use crate::report::catalog::ReportCatalog;
use crate::report::error::ReportError;
use crate::report::parameters::ReportParameters;
use crate::report::result::ReportResult;
use crate::session::query_session::QuerySession;
use crate::testing::{event, report_csv, session};

fn gift(at: &str, kind: &str, points: u64) -> Value {
    let fields = json!({"donor_id": "a", "donor_kind": "civilian", "recipient_id": "x", "recipient_kind": kind,
        "points": points});
    event("donation", at, fields)
}

async fn compared(
    session: &QuerySession,
    name: &str,
    compare: Compare,
    parameters: &[(&str, &str)],
) -> Result<ReportResult, ReportError> {
    let catalog = ReportCatalog::embedded().unwrap();
    let report = catalog.get(name).unwrap();
    let given = parameters.iter().fold(ReportParameters::new(), |given, (name, value)| given.with(*name, *value));
    let question = report.question(&given).unwrap().compared_with(compare)?;
    question.put(session).answer().await
}

/// The columns of these names, line by line.
fn picked(result: &ReportResult, names: &[&str]) -> Vec<String> {
    let lines = report_csv(result);
    let header: Vec<&str> = lines[0].split(',').collect();
    let places: Vec<usize> = names.iter().map(|name| header.iter().position(|known| known == name).unwrap()).collect();
    let cells = |line: &String| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    lines[1..]
        .iter()
        .map(|line| places.iter().map(|at| cells(line)[*at].clone()).collect::<Vec<_>>().join(","))
        .collect()
}

#[tokio::test]
async fn each_period_stands_beside_the_one_before() {
    let events = [
        gift("2026-01-01T12:00:00Z", "charity", 10),
        gift("2026-01-31T12:00:00Z", "charity", 5),
        gift("2026-02-03T12:00:00Z", "charity", 20),
        gift("2026-02-03T12:00:00Z", "family_in_need", 7),
        gift("2026-03-10T12:00:00Z", "charity", 8),
        gift("2026-03-20T12:00:00Z", "charity", 100),
    ];
    let session = session(&[], &events).await;
    let names = [
        "period",
        "recipient_kind",
        "points",
        "points_before",
        "points_change",
        "points_change_share",
        "donations_before",
    ];
    let days = [("by", "month"), ("from", "2026-02-01"), ("to", "2026-03-15")];
    let result = compared(&session, "donations", Compare::Previous, &days).await.unwrap();
    assert_eq!(
        picked(&result, &names),
        [
            // February beside January; March to the 15th beside February to the 15th.
            "2026-02-01,charity,20,15,5,0.3333,2",
            "2026-02-01,family_in_need,7,0,7,,0",
            "2026-03-01,charity,8,20,-12,-0.6000,1",
            "2026-03-01,family_in_need,0,7,-7,-1.0000,1",
        ]
    );
    assert_eq!(
        result.figures.iter().map(|one| (one.value.as_deref(), one.before.as_deref())).collect::<Vec<_>>(),
        [(Some("3"), Some("4")), (Some("35"), Some("42"))]
    );
    let provenance = &result.provenance;
    assert!(provenance.scope().contains("compared with 2026-01-01 to 2026-02-15"), "{}", provenance.scope());
    assert_eq!(provenance.parameters.last().unwrap().value.as_deref(), Some("previous"));
    let units: Vec<Unit> = result.columns.iter().map(|column| column.unit).collect();
    assert_eq!(units.len(), result.schema.fields().len());
    assert_eq!(units[units.len() - 2..], [Unit::Share, Unit::Days], "the counted days come last");
    // A period that the lake does not have yet is not told as one without gifts.
    let days_to_come = [("by", "month"), ("from", "2026-02-01"), ("to", "2026-04-30")];
    let result = compared(&session, "donations", Compare::Previous, &days_to_come).await.unwrap();
    assert!(picked(&result, &["period"]).iter().all(|period| period.as_str() < "2026-04-01"));
    // A year before the lake: nothing is known, and nothing is made up.
    let result = compared(&session, "donations", Compare::Year, &days).await.unwrap();
    assert_eq!(picked(&result, &names)[0], "2026-02-01,charity,20,,,,");
    assert!(result.figures.iter().all(|one| one.before.is_none()));
    assert!(!result.provenance.compared.unwrap().whole);
    // Without days, those of the lake are meant: the first period has none before it.
    let result = compared(&session, "donations", Compare::Previous, &[("by", "month")]).await.unwrap();
    assert_eq!(picked(&result, &names)[..2], ["2026-01-01,charity,15,,,,", "2026-02-01,charity,20,15,5,0.3333,2"]);
}

#[tokio::test]
async fn a_report_without_periods_stands_beside_as_many_days() {
    let spent = |at: &str, zip: &str, points: u64, cents: u64| {
        let fields = json!({"redeemer_id": "a", "redeemer_kind": "civilian", "provider_id": "p", "provider_kind": "merchant",
            "purpose": "goods", "points": points, "amount_cents": cents, "currency": "USD", "zip_code": zip});
        event("redemption", at, fields)
    };
    let events = [
        spent("2026-01-01T12:00:00Z", "1", 1, 1),
        spent("2026-02-05T12:00:00Z", "1", 10, 250),
        spent("2026-02-06T12:00:00Z", "2", 20, 300),
        spent("2026-02-12T12:00:00Z", "1", 40, 1_000),
        spent("2026-02-12T12:00:00Z", "3", 5, 50),
    ];
    let session = session(&[], &events).await;
    let days = [("from", "2026-02-08"), ("to", "2026-02-14")];
    let result = compared(&session, "zip_code_summary", Compare::Previous, &days).await.unwrap();
    let names =
        ["zip_code", "redeemed", "redeemed_before", "redeemed_change", "amount_before_cents", "amount_change_cents"];
    assert_eq!(picked(&result, &names), ["1,40,10,30,250,750", "3,5,0,5,0,50", "2,0,20,-20,300,-300"]);
    assert!(result.provenance.scope().contains("compared with 2026-02-01 to 2026-02-07"));
}

#[tokio::test]
async fn the_state_at_the_end_is_compared_with_the_state_before() {
    let met = |at: &str, points: u64| {
        let fields = json!({"civilian_id": "c", "officer_id": "o", "method": "qr", "points_civilian": points,
            "points_officer": 0, "zip_code": "1"});
        event("interaction", at, fields)
    };
    let session = session(&[], &[met("2026-01-05T12:00:00Z", 10), met("2026-02-05T12:00:00Z", 30)]).await;
    let days = [("by", "month"), ("from", "2026-02-01"), ("to", "2026-02-28")];
    let result = compared(&session, "points_liability", Compare::Previous, &days).await.unwrap();
    let names = ["period", "minted", "minted_before", "liability", "liability_before", "liability_change"];
    // The lake begins within January, so what January was is not told.
    assert_eq!(picked(&result, &names), ["2026-02-01,30,,40,,"]);
    let days = [("by", "month"), ("from", "2026-03-01"), ("to", "2026-03-31")];
    let result = compared(&session, "points_liability", Compare::Previous, &days).await.unwrap();
    assert_eq!(picked(&result, &names), ["2026-03-01,0,30,40,40,0"]);
}

#[tokio::test]
async fn what_cannot_be_compared_is_refused() {
    let session = session(&[], &[]).await;
    for (name, expected) in [
        ("top_recipients", "has the first of its rows only"),
        ("breakage", "is not about the days from one to another"),
        ("donor_retention", "names no figures to compare"),
    ] {
        let message = compared(&session, name, Compare::Previous, &[]).await.unwrap_err().to_string();
        assert!(message.starts_with(&format!("parameter compare of the report {name}: ")), "{message}");
        assert!(message.contains(expected), "{message}");
    }
    let result = compared(&session, "donations", Compare::Previous, &[]).await.unwrap();
    assert_eq!(report_csv(&result).len(), 1, "a lake without events has nothing to compare");
    assert_eq!(result.columns.len(), result.schema.fields().len());
}
