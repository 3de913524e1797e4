//! The summary for the media: what it shows is true, and what it hides cannot be computed from what it shows.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;
use serde_json::json;

use crate::compare::{Case, difference, run};
use crate::facts::Facts;
use crate::numbers::Numbers;
use crate::world::{World, small_world};

pub(crate) const REPORT: &str = "media_summary";
const ALL: &str = "all";

/// What happened in one place.
#[derive(Clone, Debug, Default)]
struct Cell<'a> {
    events: i64,
    people: BTreeSet<&'a str>,
    points: i64,
}

impl<'a> Cell<'a> {
    fn add(&mut self, people: &[&'a str], points: i64) {
        self.events += 1;
        self.people.extend(people);
        self.points += points;
    }

    fn join(&mut self, other: &Cell<'a>) {
        self.events += other.events;
        self.people.extend(&other.people);
        self.points += other.points;
    }
}

/// Activity, then place; `unknown` for those that do not tell.
type Cells<'a> = BTreeMap<&'static str, BTreeMap<&'a str, Cell<'a>>>;

fn cells<'a>(facts: &'a Facts, case: &Case) -> Cells<'a> {
    let mut cells = Cells::new();
    let mut cell = |activity, zip_code: Option<&'a str>, people: &[&'a str], points| {
        let place = zip_code.unwrap_or("unknown");
        cells.entry(activity).or_default().entry(place).or_default().add(people, points);
    };
    for met in facts.interactions.iter().filter(|met| case.counts(met.stamp.day)) {
        let people = [&*met.civilian_id, &*met.officer_id];
        cell("interaction", Some(&met.zip_code), &people, met.points_civilian + met.points_officer);
    }
    for gift in facts.donations.iter().filter(|gift| case.counts(gift.stamp.day)) {
        cell("donation", gift.zip_code.as_deref(), &[&gift.donor_id], gift.points);
    }
    for spent in facts.redemptions.iter().filter(|spent| case.counts(spent.stamp.day)) {
        cell("redemption", spent.zip_code.as_deref(), &[&spent.redeemer_id], spent.points);
    }
    cells
}

fn together<'a>(cells: &[&Cell<'a>]) -> Cell<'a> {
    let mut together = Cell::default();
    cells.iter().for_each(|cell| together.join(cell));
    together
}

fn row(activity: &str, place: &str, cell: &Cell<'_>, suppressed: &str) -> String {
    match suppressed {
        "" => format!("{activity},{place},{},{},{},", cell.events, cell.people.len(), cell.points),
        reason => format!("{activity},{place},,,,{reason}"),
    }
}

/// The rows by the rule of the header: places of few people are hidden, and with them the smallest others until at least
/// two are hidden and at least `min_group` different people are in them.
fn summary(facts: &Facts, case: &Case) -> Vec<String> {
    let least = case.number("min_group", 10) as usize;
    let mut rows = Vec::new();
    for (activity, places) in cells(facts, case) {
        let whole = together(&places.values().collect::<Vec<_>>());
        let small = |cell: &Cell<'_>| cell.people.len() < least;
        rows.push(row(activity, ALL, &whole, if small(&whole) { "small" } else { "" }));
        let mut by_size: Vec<_> = places.iter().collect();
        by_size.sort_by_key(|(place, cell)| (cell.people.len(), cell.events, cell.points, **place));
        let mut hidden = Vec::new();
        let mut suppressed = BTreeMap::new();
        for (place, cell) in by_size {
            let unsafe_yet = hidden.len() < 2 || together(&hidden).people.len() < least;
            if small(cell) {
                suppressed.insert(*place, "small");
            } else if !hidden.is_empty() && unsafe_yet {
                suppressed.insert(*place, "complement");
            } else {
                continue;
            }
            hidden.push(cell);
        }
        let of_place =
            |(place, cell): (&&str, &Cell<'_>)| row(activity, place, cell, suppressed.get(place).unwrap_or(&""));
        rows.extend(places.iter().map(of_place));
    }
    rows
}

/// What the shown totals less the shown places give away of places that are not shown. Knows nothing of the rule.
fn leaks(facts: &Facts, case: &Case, rows: &[String]) -> Vec<String> {
    let least = case.number("min_group", 10) as usize;
    let mut leaks = Vec::new();
    for (activity, places) in cells(facts, case) {
        let hidden = |place: &str| {
            !rows.iter().any(|row| row.starts_with(&format!("{activity},{place},")) && row.ends_with(','))
        };
        let rest: Vec<_> = places.iter().filter(|(place, _)| hidden(place)).collect();
        let people = together(&rest.iter().map(|(_, cell)| *cell).collect::<Vec<_>>()).people.len();
        if !hidden(ALL) && !rest.is_empty() && (rest.len() < 2 || people < least) {
            leaks.push(format!("{activity}: the total less what is shown leaves {rest:?}"));
        }
        let told = places.iter().filter(|(place, cell)| !hidden(place) && cell.people.len() < least);
        leaks.extend(told.map(|(place, cell)| format!("{activity} {place} is shown: {cell:?}")));
    }
    leaks
}

/// Compares summaries of a generated world.
pub(crate) async fn compare(world: &World) -> Vec<String> {
    let first = world.facts.stamps.iter().map(|stamp| stamp.day).min().unwrap();
    let day = |number| first + chrono::Days::new(number);
    let mut found = Vec::new();
    for days in [String::new(), format!("from={} to={}", day(4), day(9)), format!("from={0} to={0}", day(5))] {
        for least in [1, 2, 10, 50, 100_000] {
            let case = Case::parse(&format!("{days} min_group={least}"));
            let rows = run(&world.session, REPORT, &case).await;
            let difference = difference(&rows, &summary(&world.facts, &case));
            let faults = leaks(&world.facts, &case, &rows).into_iter().take(1).chain(difference);
            found.extend(faults.map(|fault| format!("{}: {REPORT} [{case}]: {fault}", world.name)));
        }
    }
    found
}

/// A handful of events in up to five places, each of few people.
async fn random_world(seed: u64) -> World {
    let mut numbers = Numbers::new(seed);
    let places = numbers.below(5) + 1;
    let mut events = Vec::new();
    for _ in 0..numbers.below(30) + 1 {
        let zip_code = (numbers.below(6) > 0).then(|| format!("6060{}", numbers.below(places)));
        let person = format!("p{}", numbers.below(9));
        let fields = match numbers.below(3) {
            0 => json!({"event_type": "interaction", "civilian_id": person, "officer_id": "o", "method": "qr",
                "points_civilian": 5, "points_officer": 2, "zip_code": zip_code.unwrap_or("60600".to_owned())}),
            1 => json!({"event_type": "donation", "donor_id": person, "donor_kind": "civilian", "recipient_id": "x",
                "recipient_kind": "charity", "points": numbers.below(9), "zip_code": zip_code}),
            _ => json!({"event_type": "redemption", "redeemer_id": person, "redeemer_kind": "civilian",
                "provider_id": "m", "provider_kind": "merchant", "purpose": "goods", "points": numbers.below(9),
                "zip_code": zip_code}),
        };
        let mut event = fields;
        event["occurred_at"] = json!("2026-01-05T12:00:00Z");
        events.push(event);
    }
    small_world("random", Tz::UTC, &events).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_summary_hides_can_be_computed_from_what_it_shows() {
    let mut found = Vec::new();
    for seed in 0..300 {
        let world = random_world(seed).await;
        for least in [2, 3, 5] {
            let case = Case::parse(&format!("min_group={least}"));
            let rows = run(&world.session, REPORT, &case).await;
            let difference = difference(&rows, &summary(&world.facts, &case));
            let faults = leaks(&world.facts, &case, &rows).into_iter().chain(difference);
            found.extend(faults.map(|fault| format!("seed {seed}, {case}: {fault}\n    {}", rows.join("\n    "))));
        }
    }
    assert!(found.is_empty(), "{} faults, the first: {}", found.len(), found[..found.len().min(3)].join("\n"));
}
