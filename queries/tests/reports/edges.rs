//! Small lakes made by hand, with results worked out by hand: cases that generated worlds seldom or never have.

mod counting;

use chrono_tz::Tz;
use serde_json::{Value, json};

use crate::support::compare::{Case, run};
use crate::support::world::small_world;

fn event(event_type: &str, at: &str, fields: Value) -> Value {
    let mut event = json!({"event_type": event_type, "occurred_at": at});
    event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    event
}

fn user(id: &str, kind: &str, at: &str) -> Value {
    event("user_created", at, json!({"user_id": id, "user_kind": kind, "organization_name": null}))
}

fn met(civilian: &str, officer: &str, at: &str, points: [i64; 2]) -> Value {
    let fields = json!({"civilian_id": civilian, "officer_id": officer, "method": "qr", "points_civilian": points[0],
        "points_officer": points[1], "zip_code": "60601"});
    event("interaction", at, fields)
}

fn gift(donor: &str, recipient: [&str; 2], at: &str, points: i64) -> Value {
    let fields = json!({"donor_id": donor, "donor_kind": "civilian", "recipient_id": recipient[0],
        "recipient_kind": recipient[1], "points": points});
    event("donation", at, fields)
}

fn spent(redeemer: [&str; 2], at: &str, points: i64) -> Value {
    let fields = json!({"redeemer_id": redeemer[0], "redeemer_kind": redeemer[1], "provider_id": "shop",
        "provider_kind": "merchant", "purpose": "goods", "points": points});
    event("redemption", at, fields)
}

/// Runs a report on a lake and compares it with rows worked out by hand.
async fn expect(zone: Tz, events: &[Value], report: &str, case: &str, rows: &[&str]) {
    let world = small_world("edge", zone, events).await;
    assert_eq!(run(&world.session, report, &Case::parse(case)).await, rows, "{report} {case}");
}

const CHICAGO: Tz = Tz::America__Chicago;

#[tokio::test]
async fn an_empty_lake_has_no_rows() {
    for report in bluelake_queries::ReportCatalog::embedded().unwrap().reports() {
        let needs = |kind| report.header().parameters.iter().any(|parameter| parameter.kind == kind);
        if !needs(bluelake_queries::ParameterKind::User) {
            expect(Tz::UTC, &[], report.name(), "", &[]).await;
        }
    }
}

#[tokio::test]
async fn a_lake_of_one_meeting() {
    let events = [met("c", "o", "2026-03-04T10:00:00Z", [10, 5])];
    let cases: [(&str, &str, &[&str]); 13] = [
        ("active_users", "", &["2026-03-04,2,1,1,0,0,2"]),
        ("breakage", "", &["0 to 30,15,2,1.0000"]),
        ("cohort_retention", "", &["2026-03-02,0,2,2,1.0000"]),
        ("donated_share", "", &["2026-03-01,15,0,0.0000,15,0,0.0000"]),
        ("interactions", "", &["2026-03-04,qr,1,1,1,10,5,15"]),
        ("interactions_by_zip_code", "", &["60601,1,1,1,10,5,1.0000"]),
        ("lateness", "", &["2026-03-04,interaction,1,0.00,0.00,0.00,0,0,0"]),
        ("new_pairs", "", &["2026-03-02,1,1,1,0,1.0000"]),
        ("officer_connections", "", &["1,o,,1,1,1,5,1.00"]),
        ("points_liability", "", &["2026-03-04,15,0,15,15,0"]),
        ("redemption_rate", "", &["2026-03-01,15,0,0.0000,15,0,0.0000"]),
        (
            "user_statement",
            "user=o",
            &["2026-03-04T10:00:00Z,2026-03-04,minted,c,civilian,5,5,00000000-0000-4000-8000-000000000001"],
        ),
        ("zip_code_summary", "", &["60601,1,15,0,0,0,0,,1,1,,0,0"]),
    ];
    for (report, case, rows) in cases {
        expect(Tz::UTC, &events, report, case, rows).await;
    }
}

#[tokio::test]
async fn an_event_belongs_to_its_local_hour() {
    // Midnight in Chicago on the last day of October, a microsecond before it, and one before the end of the month.
    let events = [
        met("a", "o", "2026-10-31T04:59:59.999999Z", [1, 0]),
        met("b", "o", "2026-10-31T05:00:00Z", [2, 0]),
        met("c", "o", "2026-11-01T04:59:59.999999Z", [4, 0]),
        met("d", "o", "2026-11-01T05:00:00Z", [8, 0]),
    ];
    let rows = ["2026-10-30,qr,1,1,1,1,0,1", "2026-10-31,qr,2,2,1,6,0,6", "2026-11-01,qr,1,1,1,8,0,8"];
    expect(CHICAGO, &events, "interactions", "", &rows).await;
    let rows = ["2026-10-01,qr,3,3,1,7,0,7", "2026-11-01,qr,1,1,1,8,0,8"];
    expect(CHICAGO, &events, "interactions", "by=month", &rows).await;
    let rows = ["2026-10-26,qr,3,3,1,14,0,14"];
    expect(CHICAGO, &events, "interactions", "by=week from=2026-10-31 to=2026-11-01", &rows).await;
}

#[tokio::test]
async fn a_leap_day_is_februarys_last() {
    let events = [
        met("a", "o", "2028-02-29T00:00:00Z", [1, 0]),
        met("b", "o", "2028-02-29T23:59:59.999999Z", [2, 0]),
        met("c", "o", "2028-03-01T00:00:00Z", [4, 0]),
    ];
    let rows = ["2028-02-29,3,0,3,3,0", "2028-03-01,4,0,4,7,0"];
    expect(Tz::UTC, &events, "points_liability", "", &rows).await;
    expect(Tz::UTC, &events, "points_liability", "by=month", &["2028-02-01,3,0,3,3,0", "2028-03-01,4,0,4,7,0"]).await;
    expect(Tz::UTC, &events, "points_liability", "from=2028-02-29 to=2028-02-29 by=month", &["2028-02-01,3,0,3,3,0"])
        .await;
}

#[tokio::test]
async fn days_of_23_and_25_hours_are_right() {
    // The hour from one to two comes twice on 2026-11-01, and the hour from two to three is skipped on 2026-03-08.
    let events = [
        met("a", "o", "2026-03-08T07:59:59Z", [1, 0]),
        met("a", "o", "2026-03-08T08:00:00Z", [1, 0]),
        met("a", "o", "2026-11-01T05:00:00Z", [1, 0]),
        met("a", "o", "2026-11-01T06:30:00Z", [1, 0]),
        met("a", "o", "2026-11-01T07:30:00Z", [1, 0]),
        met("a", "o", "2026-11-02T05:59:59Z", [1, 0]),
        met("a", "o", "2026-11-02T06:00:00Z", [1, 0]),
    ];
    let rows = ["1,0,1,0.1429", "7,0,1,0.1429", "7,1,3,0.4286", "7,3,1,0.1429", "7,23,1,0.1429"];
    let world = small_world("edge", CHICAGO, &events).await;
    let hours = run(&world.session, "interaction_hours", &Case::default()).await;
    assert_eq!(hours.len(), 7 * 24);
    let busy: Vec<_> = hours.into_iter().filter(|row| !row.ends_with(",0,0.0000")).collect();
    assert_eq!(busy, rows);
    let rows = [
        "2026-11-01,a,o,4,3,2026-11-01T05:00:00Z,2026-11-02T05:59:59Z,4",
        "2026-03-08,a,o,2,1,2026-03-08T07:59:59Z,2026-03-08T08:00:00Z,2",
    ];
    expect(CHICAGO, &events, "repeat_connections", "", &rows).await;
}

#[tokio::test]
async fn all_who_share_the_last_rank_are_shown() {
    let at = "2026-01-05T10:00:00Z";
    let events = [
        met("a", "second", at, [1, 1]),
        met("b", "first", at, [1, 1]),
        met("c", "first", at, [1, 1]),
        met("d", "second", at, [1, 1]),
        met("e", "third", at, [1, 1]),
    ];
    let both = ["1,first,,2,2,1,2,2.00", "1,second,,2,2,1,2,2.00"];
    expect(Tz::UTC, &events, "officer_connections", "top=1", &both).await;
    expect(Tz::UTC, &events, "officer_connections", "top=2", &both).await;
    let three = [both[0], both[1], "3,third,,1,1,1,1,1.00"];
    expect(Tz::UTC, &events, "officer_connections", "top=3", &three).await;
}

#[tokio::test]
async fn unknown_users_and_all_recipients_are_listed() {
    let at = "2026-01-05T10:00:00Z";
    let mut charity = user("known", "charity", at);
    charity["organization_name"] = json!("Food Bank, North");
    let events = [
        charity,
        user("family", "family_in_need", at),
        gift("a", ["known", "charity"], at, 30),
        gift("b", ["known", "charity"], at, 20),
        gift("a", ["family", "family_in_need"], at, 25),
        gift("a", ["stranger", "charity"], at, 25),
    ];
    let rows = [
        "1,known,\"Food Bank, North\",charity,2,50,2,0.5000",
        "2,stranger,,charity,1,25,1,0.2500",
        "2,,,family_in_need,1,25,1,0.2500",
    ];
    expect(Tz::UTC, &events, "top_recipients", "", &rows).await;
    let rows =
        ["2026-01-05,civilian,charity,3,75,2,2,25.00,25.00", "2026-01-05,civilian,family_in_need,1,25,1,1,25.00,25.00"];
    expect(Tz::UTC, &events, "donations", "", &rows).await;
    expect(
        Tz::UTC,
        &[spent(["x", "charity"], at, 3)],
        "redemptions_by_provider",
        "",
        &["2026-01-01,shop,,merchant,goods,1,3,,0,1,0,0"],
    )
    .await;
}

#[tokio::test]
async fn inactive_and_departed_users_count_correctly() {
    let events = [
        user("idle", "civilian", "2026-01-01T00:00:00Z"),
        user("gone", "civilian", "2026-01-01T00:00:00Z"),
        met("gone", "o", "2026-01-02T12:00:00Z", [10, 5]),
        gift("gone", ["x", "charity"], "2026-01-04T00:00:00Z", 4),
        event("user_deactivated", "2026-01-05T00:00:00Z", json!({"user_id": "gone", "user_kind": "civilian"})),
    ];
    let rows = [
        "1,created,2,1.0000,,0.00,0.00",
        "2,first_interaction,1,0.5000,0.5000,1.50,1.50",
        "3,first_use,1,0.5000,1.0000,3.00,3.00",
    ];
    expect(Tz::UTC, &events, "onboarding_funnel", "", &rows).await;
    expect(Tz::UTC, &events, "user_statement", "user=idle", &[]).await;
    let rows = [
        "2026-01-02T12:00:00Z,2026-01-02,minted,o,police_officer,10,10,00000000-0000-4000-8000-000000000003",
        "2026-01-04T00:00:00Z,2026-01-04,donated,x,charity,-4,6,00000000-0000-4000-8000-000000000004",
    ];
    expect(Tz::UTC, &events, "user_statement", "user=gone", &rows).await;
    expect(Tz::UTC, &events, "breakage", "", &["0 to 30,15,3,1.0000"]).await;
    // A day after the lake's last counts as that day: later events are not known.
    expect(Tz::UTC, &events, "breakage", "to=2026-12-31", &["0 to 30,15,3,1.0000"]).await;
    expect(Tz::UTC, &events, "breakage", "to=2026-01-03", &["0 to 30,15,2,1.0000"]).await;
}

#[tokio::test]
async fn points_are_spent_oldest_first() {
    let events = [
        met("a", "o", "2026-01-01T00:00:00Z", [10, 0]),
        met("a", "o", "2026-01-03T00:00:00Z", [10, 0]),
        gift("a", ["x", "charity"], "2026-01-04T00:00:00Z", 5),
        spent(["a", "civilian"], "2026-01-05T00:00:00Z", 10),
        spent(["x", "charity"], "2026-01-06T12:00:00Z", 8),
        spent(["stranger", "civilian"], "2026-01-07T00:00:00Z", 1),
    ];
    // a: five points kept 4 days, five kept 2 days; x: five kept two and a half days, three that it never gained.
    let rows = ["2026-01-01,charity,5,3,2.50,2.50", "2026-01-01,civilian,10,1,2.00,4.00"];
    expect(Tz::UTC, &events, "earning_to_redeeming", "", &rows).await;
}

#[tokio::test]
async fn donors_are_observed_when_their_days_are_over() {
    let to = ["x", "charity"];
    let events = [
        gift("again", to, "2026-01-01T00:00:00Z", 1),
        gift("again", to, "2026-01-31T23:00:00Z", 1),
        gift("late", to, "2026-01-01T00:00:00Z", 1),
        gift("late", to, "2026-02-01T00:00:00Z", 1),
        gift("same_day", to, "2026-01-02T01:00:00Z", 1),
        gift("same_day", to, "2026-01-02T02:00:00Z", 1),
    ];
    // The last day of the lake is 2026-02-01: the 30 days after 2026-01-01 are over, those after 2026-01-02 are not.
    let rows = ["2026-01-01,3,2,1,0.5000,0,0,,0,0,"];
    expect(Tz::UTC, &events, "donor_retention", "", &rows).await;
}

#[tokio::test]
async fn a_worth_is_in_dollars_by_default() {
    let priced = |cents: Option<i64>, currency: Option<&str>| {
        let mut event = spent(["a", "civilian"], "2026-01-05T00:00:00Z", 1);
        event["amount_cents"] = json!(cents);
        event["currency"] = json!(currency);
        event
    };
    let events =
        [priced(Some(100), None), priced(Some(20), Some("USD")), priced(Some(3), Some("CAD")), priced(None, None)];
    expect(Tz::UTC, &events, "redemptions", "", &["2026-01-05,merchant,goods,4,4,120,1,1,2,2"]).await;
    expect(Tz::UTC, &events[2..], "redemptions", "", &["2026-01-05,merchant,goods,2,2,,1,1,0,0"]).await;
    expect(Tz::UTC, &events, "zip_code_summary", "", &[",0,0,0,0,4,4,120,1,0,1.0000,2,2"]).await;
}

#[tokio::test]
async fn duplicates_are_counted_and_late_events_moved() {
    let id = "00000000-0000-4000-8000-00000000abcd";
    let mut first = met("a", "o", "2026-01-01T23:00:00Z", [1, 0]);
    first["event_id"] = json!(id);
    let mut again = first.clone();
    again["arrived_at"] = json!("2026-01-02T23:30:00Z");
    again["shard"] = json!(1);
    let events = [first, again];
    expect(Tz::UTC, &events, "duplicates", "", &["transaction-events,interaction,1,1,1,24.50"]).await;
    let rows = ["2026-01-01,interaction,1,0.00,0.00,0.00,0,0,0", "2026-01-02,interaction,1,24.50,24.50,24.50,1,1,1"];
    expect(Tz::UTC, &events, "lateness", "", &rows).await;
}

#[tokio::test]
async fn halves_are_rounded_away_from_zero() {
    let day = |number: u32| format!("2026-{:02}-{:02}T12:00:00Z", 1 + number / 20, 1 + number % 20);
    let mut events: Vec<_> = (0..40).map(|number| met("a", "o", &day(number), [1, 1])).collect();
    events.push(met("b", "o", &day(0), [1, 1]));
    // 41 meetings on 40 days: 1.025 a day.
    expect(Tz::UTC, &events, "officer_connections", "", &["1,o,,41,2,40,41,1.03"]).await;
    // 23 of 160 points: 0.14375.
    let at = "2026-01-05T10:00:00Z";
    let gifts = [gift("a", ["x", "charity"], at, 137), gift("a", ["y", "charity"], at, 23)];
    let rows = ["1,x,,charity,1,137,1,0.8563", "2,y,,charity,1,23,1,0.1438"];
    expect(Tz::UTC, &gifts, "top_recipients", "", &rows).await;
}

#[tokio::test]
async fn a_share_may_be_far_above_one() {
    let at = "2026-01-05T10:00:00Z";
    let events =
        [met("a", "o", at, [1, 0]), gift("b", ["x", "charity"], at, 300_000), spent(["b", "civilian"], at, 200_000)];
    let rows = ["2026-01-01,1,300000,300000.0000,1,300000,300000.0000"];
    expect(Tz::UTC, &events, "donated_share", "", &rows).await;
    let rows = ["2026-01-01,1,200000,200000.0000,1,200000,200000.0000"];
    expect(Tz::UTC, &events, "redemption_rate", "", &rows).await;
}

#[tokio::test]
async fn exactly_an_hour_late_is_not_more() {
    let mut events = Vec::new();
    for (occurred, arrived) in [("00.000", "00.000"), ("00.000", "00.001"), ("00.900", "01.100"), ("00.100", "00.100")]
    {
        let mut event = met("a", "o", &format!("2026-01-05T10:00:{occurred}Z"), [1, 0]);
        event["arrived_at"] = json!(format!("2026-01-05T11:00:{arrived}Z"));
        events.push(event);
    }
    expect(Tz::UTC, &events, "lateness", "", &["2026-01-05,interaction,4,1.00,1.00,1.00,2,0,0"]).await;
}

#[tokio::test]
async fn empty_periods_stand_between_others() {
    let events =
        [met("a", "o", "2026-01-05T10:00:00Z", [10, 0]), gift("a", ["x", "charity"], "2026-01-07T10:00:00Z", 4)];
    let rows = ["2026-01-05,10,0,10,10,0", "2026-01-06,0,0,0,10,0", "2026-01-07,0,0,0,10,4"];
    expect(Tz::UTC, &events, "points_liability", "", &rows).await;
    let rows = ["2026-01-06,0,0,,10,0,0.0000", "2026-01-07,0,4,,10,4,0.4000"];
    expect(Tz::UTC, &events, "donated_share", "by=day from=2026-01-06", &rows).await;
}
