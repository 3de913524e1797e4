//! Counting: transfers, first uses, days without events, debts, users of two kinds.

use super::*;

fn handed_on(from: &str, to: &str, at: &str, points: i64) -> Value {
    event("transfer", at, json!({"from_officer_id": from, "to_officer_id": to, "points": points}))
}

#[tokio::test]
async fn handing_on_nothing_takes_part_receiving_does_not() {
    let at = "2026-03-04T10:00:00Z";
    let events = [handed_on("o", "p", at, 0)];
    expect(Tz::UTC, &events, "active_users", "", &["2026-03-04,1,0,1,0,0,1"]).await;
    expect(Tz::UTC, &events, "active_users", "by=month", &["2026-03-01,1,0,1,0,0,1"]).await;
    expect(Tz::UTC, &events, "cohort_retention", "", &["2026-03-02,0,1,1,1.0000"]).await;
    for zero in [gift("c", ["x", "charity"], at, 0), spent(["c", "civilian"], at, 0), met("c", "o", at, [0, 0])] {
        let rows =
            if zero["event_type"] == "interaction" { "2026-03-04,2,1,1,0,0,2" } else { "2026-03-04,1,1,0,0,0,1" };
        expect(Tz::UTC, &[zero], "active_users", "", &[rows]).await;
    }
}

#[tokio::test]
async fn a_first_use_may_be_of_no_points() {
    let uses = [
        ("civilian", gift("u", ["x", "charity"], "2026-01-03T00:00:00Z", 0)),
        ("civilian", spent(["u", "civilian"], "2026-01-03T00:00:00Z", 0)),
        ("police_officer", handed_on("u", "p", "2026-01-03T00:00:00Z", 0)),
    ];
    for (kind, used) in uses {
        let meeting = if kind == "civilian" { ["u", "o"] } else { ["c", "u"] };
        let events = [
            user("u", kind, "2026-01-01T00:00:00Z"),
            met(meeting[0], meeting[1], "2026-01-02T00:00:00Z", [1, 1]),
            used,
        ];
        let rows = [
            "1,created,1,1.0000,,0.00,0.00",
            "2,first_interaction,1,1.0000,1.0000,1.00,1.00",
            "3,first_use,1,1.0000,1.0000,2.00,2.00",
        ];
        expect(Tz::UTC, &events, "onboarding_funnel", &format!("kind={kind}"), &rows).await;
    }
    // Receiving points is no use of them.
    let events = [
        user("u", "police_officer", "2026-01-01T00:00:00Z"),
        met("c", "u", "2026-01-02T00:00:00Z", [1, 1]),
        handed_on("o", "u", "2026-01-03T00:00:00Z", 0),
    ];
    let rows = [
        "1,created,1,1.0000,,0.00,0.00",
        "2,first_interaction,1,1.0000,1.0000,1.00,1.00",
        "3,first_use,0,0.0000,0.0000,,",
    ];
    expect(Tz::UTC, &events, "onboarding_funnel", "kind=police_officer", &rows).await;
}

#[tokio::test]
async fn families_in_need_are_one_anonymous_row() {
    let at = "2026-01-05T10:00:00Z";
    let mut doe = user("doe", "family_in_need", at);
    doe["organization_name"] = json!("House of Doe");
    let mut poor = user("poor", "family_in_need", at);
    poor["organization_name"] = json!("House of Poor");
    let events = [
        doe,
        poor,
        gift("a", ["doe", "family_in_need"], at, 30),
        gift("b", ["poor", "family_in_need"], at, 20),
        gift("a", ["unknown", "family_in_need"], at, 10),
        gift("a", ["bank", "charity"], at, 40),
    ];
    let rows = ["1,,,family_in_need,3,60,2,0.6000", "2,bank,,charity,1,40,1,0.4000"];
    expect(Tz::UTC, &events, "top_recipients", "", &rows).await;
    expect(Tz::UTC, &events, "top_recipients", "top=1", &rows[..1]).await;
    // The gift says charity, the newest event of the user says family: it is not named.
    let events = [events[0].clone(), gift("a", ["doe", "charity"], at, 30)];
    expect(Tz::UTC, &events, "top_recipients", "", &["1,,,charity,1,30,1,1.0000"]).await;
    // Nor is it named as one who accepts points.
    let mut shop = user("shop", "family_in_need", at);
    shop["organization_name"] = json!("House of Shop");
    let rows = ["2026-01-01,shop,,merchant,goods,1,3,,0,1,0,0"];
    expect(Tz::UTC, &[shop, spent(["x", "charity"], at, 3)], "redemptions_by_provider", "", &rows).await;
}

#[tokio::test]
async fn requested_days_outside_the_lake_have_rows() {
    let events = [met("c", "o", "2026-06-10T10:00:00Z", [10, 5])];
    let days = "from=2026-07-01 to=2026-07-05";
    let rows = ["01", "02", "03", "04", "05"].map(|day| format!("2026-07-{day},0,0,0,15,0"));
    let rows: Vec<_> = rows.iter().map(String::as_str).collect();
    expect(Tz::UTC, &events, "points_liability", days, &rows).await;
    let rows = ["2026-06-29,0,0,,15,0,0.0000"];
    expect(Tz::UTC, &events, "redemption_rate", &format!("{days} by=week"), &rows).await;
    let rows = ["2026-05-01,0,0,,0,0,", "2026-06-01,15,0,0.0000,15,0,0.0000", "2026-07-01,0,0,,15,0,0.0000"];
    expect(Tz::UTC, &events, "donated_share", "from=2026-05-31 to=2026-07-05", &rows).await;
    // Before the lake, and from the lake's own end on.
    expect(Tz::UTC, &events, "points_liability", "from=2026-06-08 to=2026-06-09 by=week", &["2026-06-08,0,0,0,0,0"])
        .await;
    expect(
        Tz::UTC,
        &events,
        "points_liability",
        "to=2026-06-11",
        &["2026-06-10,15,0,15,15,0", "2026-06-11,0,0,0,15,0"],
    )
    .await;
    expect(Tz::UTC, &events, "points_liability", "from=2026-06-11", &[]).await;
}

#[tokio::test]
async fn a_percentile_is_exact_for_distant_values() {
    let at = "2026-01-05T10:00:00Z";
    let mut events: Vec<_> = (0..7).map(|_| gift("a", ["x", "charity"], at, 0)).collect();
    events.push(gift("a", ["x", "charity"], at, 1_000_000));
    let rows = ["2026-01-05,civilian,8,1,125000.00,0.00,0.00,300000.00,1000000,8.00"];
    expect(Tz::UTC, &events, "gift_sizes", "by=day", &rows).await;
    let rows = ["2026-01-05,civilian,charity,8,1000000,1,1,125000.00,0.00"];
    expect(Tz::UTC, &events, "donations", "", &rows).await;
    // 0, 1, 2 and 2,000,000: three quarters of the way from 0; 1.5; seven tenths of the way from 2.
    let sizes = [2_000_000, 1, 0, 2].map(|size| gift("a", ["x", "charity"], at, size));
    let rows = ["2026-01-05,civilian,4,1,500000.75,0.75,1.50,1400000.60,2000000,4.00"];
    expect(Tz::UTC, &sizes, "gift_sizes", "by=day", &rows).await;
    // Seven arrive at once, one 10,000 hours late: 0.93 of the way.
    let mut events: Vec<_> = (0..7).map(|_| met("a", "o", "2026-02-21T16:00:00Z", [1, 0])).collect();
    events.push(met("a", "o", "2025-01-01T00:00:00Z", [1, 0]));
    events[7]["arrived_at"] = json!("2026-02-21T16:00:00Z");
    expect(Tz::UTC, &events, "lateness", "", &["2026-02-21,interaction,8,0.00,9300.00,10000.00,1,1,1"]).await;
    // No days for seven users, 2,000 for the eighth: 0.3 of the way.
    let mut events = Vec::new();
    for number in 0..8 {
        let id = format!("u{number}");
        events.push(user(&id, "civilian", "2020-06-01T00:00:00Z"));
        let at = if number == 7 { "2025-11-22T00:00:00Z" } else { "2020-06-01T00:00:00Z" };
        events.push(met(&id, "o", at, [1, 0]));
    }
    let rows = [
        "1,created,8,1.0000,,0.00,0.00",
        "2,first_interaction,8,1.0000,1.0000,0.00,600.00",
        "3,first_use,0,0.0000,0.0000,,",
    ];
    expect(Tz::UTC, &events, "onboarding_funnel", "", &rows).await;
}

#[tokio::test]
async fn early_spending_takes_nothing_from_later_points() {
    let events = [
        spent(["a", "civilian"], "2026-01-01T00:00:00Z", 100),
        met("a", "o", "2026-01-02T00:00:00Z", [100, 0]),
        spent(["a", "civilian"], "2026-01-03T00:00:00Z", 100),
    ];
    expect(Tz::UTC, &events, "earning_to_redeeming", "", &["2026-01-01,civilian,100,100,1.00,1.00"]).await;
    expect(Tz::UTC, &events[..2], "earning_to_redeeming", "", &["2026-01-01,civilian,0,100,,"]).await;
    // The balances are -100 and 0: no points are left.
    expect(Tz::UTC, &events, "breakage", "", &[]).await;
    expect(Tz::UTC, &events[..2], "breakage", "", &[]).await;
    // 30 of 80 had been earned; then 100 come, of which 50 pay the debt and 50 are left.
    let events = [
        met("a", "o", "2026-01-01T00:00:00Z", [30, 0]),
        spent(["a", "civilian"], "2026-01-02T00:00:00Z", 80),
        met("a", "o", "2026-01-03T00:00:00Z", [100, 0]),
    ];
    expect(Tz::UTC, &events, "earning_to_redeeming", "", &["2026-01-01,civilian,30,50,1.00,1.00"]).await;
    expect(Tz::UTC, &events, "breakage", "", &["0 to 30,50,1,1.0000"]).await;
    // Points earned at the moment of spending can be spent.
    let at = "2026-01-01T00:00:00Z";
    let events = [spent(["a", "civilian"], at, 100), met("a", "o", at, [100, 0])];
    expect(Tz::UTC, &events, "earning_to_redeeming", "", &["2026-01-01,civilian,100,0,0.00,0.00"]).await;
    // A gift of points that the giver did not have takes nothing from later earnings, and has no row of its own.
    let events = [
        gift("a", ["x", "charity"], "2026-01-01T00:00:00Z", 70),
        met("a", "o", "2026-01-02T00:00:00Z", [100, 0]),
        spent(["a", "civilian"], "2026-01-04T00:00:00Z", 100),
    ];
    expect(Tz::UTC, &events, "earning_to_redeeming", "", &["2026-01-01,civilian,100,0,2.00,2.00"]).await;
    let nothing = [spent(["a", "civilian"], at, 0)];
    expect(Tz::UTC, &nothing, "earning_to_redeeming", "", &[]).await;
}

#[tokio::test]
async fn a_user_of_two_kinds_totals_once() {
    let mut as_officer = gift("u", ["x", "charity"], "2026-01-05T10:00:00Z", 1);
    as_officer["donor_kind"] = json!("police_officer");
    let events = [gift("u", ["x", "charity"], "2026-01-05T09:00:00Z", 1), as_officer];
    for (by, period) in [("day", "2026-01-05"), ("week", "2026-01-05"), ("month", "2026-01-01")] {
        let row = format!("{period},1,1,1,0,0,1");
        expect(Tz::UTC, &events, "active_users", &format!("by={by}"), &[&row]).await;
    }
}

#[tokio::test]
async fn a_repeated_id_is_its_first_types_duplicate() {
    let at = "2026-01-05T10:00:00Z";
    let mut events = [met("a", "o", at, [1, 0]), gift("a", ["x", "charity"], at, 1)];
    for (shard, event) in events.iter_mut().enumerate() {
        event["event_id"] = json!("00000000-0000-4000-8000-00000000abcd");
        event["shard"] = json!(shard);
    }
    expect(Tz::UTC, &events, "duplicates", "", &["transaction-events,donation,1,1,1,0.00"]).await;
}

#[tokio::test]
async fn weeks_after_the_lake_are_left_out() {
    let events = [
        gift("a", ["x", "charity"], "2026-11-03T10:00:00Z", 10),
        gift("a", ["x", "charity"], "2026-11-16T10:00:00Z", 10),
    ];
    let rows = ["2026-11-02,0,1,1,1.0000", "2026-11-02,1,1,0,0.0000", "2026-11-02,2,1,1,1.0000"];
    for weeks in ["8", "520"] {
        expect(Tz::UTC, &events, "cohort_retention", &format!("weeks={weeks}"), &rows).await;
    }
}
