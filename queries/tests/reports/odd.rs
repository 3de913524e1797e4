//! Small worlds of allowed rarities: zero points, users of several kinds, spending before earning, several events at
//! one moment, transfers to oneself. Every report is compared on them too.

use chrono_tz::Tz;
use serde_json::{Value, json};

use crate::cases::compare;
use crate::support::numbers::Numbers;
use crate::support::world::{World, small_world};

const SIZES: [i64; 6] = [0, 0, 1, 7, 100, 1_000_000];

/// Users whose ids do not depend on their kinds, and who act in all kinds.
async fn odd_world(seed: u64, zone: Tz) -> World {
    let mut numbers = Numbers::new(seed);
    let kinds = ["civilian", "police_officer", "merchant", "charity", "family_in_need", "municipality"];
    let mut events = Vec::new();
    for (number, kind) in kinds.iter().chain(&kinds).enumerate() {
        let day = numbers.below(28) + 1;
        events.push(json!({"event_type": "user_created", "occurred_at": format!("2026-01-{day:02}T00:00:00Z"),
            "user_id": format!("u{number}"), "user_kind": kind, "organization_name": format!("Name {number}"),
            "zip_code": "60601"}));
    }
    for _ in 0..200 {
        let mut event = transaction(&mut numbers);
        // Moments are few, so that many events share one.
        let (month, day, hour) = (numbers.below(3) + 1, numbers.below(28) + 1, numbers.below(3) * 11);
        event["occurred_at"] = json!(format!("2026-{month:02}-{day:02}T{hour:02}:00:00Z"));
        events.push(event);
    }
    small_world(&format!("odd {seed}"), zone, &events).await
}

fn transaction(numbers: &mut Numbers) -> Value {
    let user = |numbers: &mut Numbers| format!("u{}", numbers.below(12));
    let (one, other) = (user(numbers), user(numbers));
    let mut pick = |words: &[&str]| words[numbers.below(words.len() as u64) as usize].to_owned();
    let (donor, recipient) = (pick(&["civilian", "police_officer"]), pick(&["charity", "family_in_need"]));
    let redeemer = pick(&["civilian", "family_in_need", "charity"]);
    let (purpose, zip_code) = (pick(&["goods", "fine"]), pick(&["60601", "60602"]));
    let provider = if purpose == "goods" { "merchant" } else { "municipality" };
    let mut size = || SIZES[numbers.below(6) as usize];
    let (points, more) = (size(), size());
    match numbers.below(4) {
        0 => json!({"event_type": "interaction", "civilian_id": one, "officer_id": other, "method": "qr",
            "points_civilian": points, "points_officer": more, "zip_code": zip_code}),
        1 => json!({"event_type": "donation", "donor_id": one, "donor_kind": donor, "recipient_id": other,
            "recipient_kind": recipient, "points": points}),
        2 => json!({"event_type": "redemption", "redeemer_id": one, "redeemer_kind": redeemer, "provider_id": other,
            "provider_kind": provider, "purpose": purpose, "points": points, "zip_code": zip_code}),
        _ => json!({"event_type": "transfer", "from_officer_id": one, "to_officer_id": other, "points": points}),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_report_agrees_on_worlds_of_rarities() {
    let (mut differences, mut in_debt) = (Vec::new(), 0);
    for (seed, zone) in [(1, Tz::UTC), (2, Tz::America__Chicago), (3, Tz::Asia__Kolkata), (4, Tz::UTC)] {
        let world = odd_world(seed, zone).await;
        let (of_world, compared) = compare(&world).await;
        assert!(compared > 150, "{compared}");
        differences.extend(of_world);
        in_debt += held_points_are_the_balances(&world).await;
    }
    assert!(in_debt > 3, "{in_debt} users have spent more than they had");
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

/// Checks that breakage has exactly the balances above zero. Gives the number below zero.
async fn held_points_are_the_balances(world: &World) -> usize {
    let ledger = world.facts.ledger();
    let mut balances = std::collections::BTreeMap::<&str, i64>::new();
    ledger.iter().for_each(|entry| *balances.entry(entry.user).or_default() += entry.points);
    let rows =
        crate::support::compare::run(&world.session, "breakage", &crate::support::compare::Case::default()).await;
    let held: i64 = rows.iter().map(|row| row.split(',').nth(1).unwrap().parse::<i64>().unwrap()).sum();
    assert_eq!(held, balances.values().filter(|balance| **balance > 0).sum::<i64>(), "{}", world.name);
    balances.values().filter(|balance| **balance < 0).count()
}
