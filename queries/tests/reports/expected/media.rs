//! The summary for the media: it shows what its rule says, no run reveals more than another, and a reader cannot pin
//! down what fewer than ten people did. `docs/decisions/2026-11-29-media-summary.md` explains this.

use std::collections::{BTreeMap, BTreeSet};

use bluelake_schemas::Stream;
use chrono::{DateTime, Days, Months, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};

use crate::attack::{GROUP, Published, bounds, twins};
use crate::support::compare::{By, Case, difference, run};
use crate::support::facts::{Facts, Stamp};
use crate::support::numbers::Numbers;
use crate::support::world::{World, small_world};

pub(crate) const REPORT: &str = "media_summary";

/// The events of one place in a month.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell<'a> {
    pub(crate) events: i64,
    pub(crate) people: BTreeSet<&'a str>,
    pub(crate) points: i64,
    /// The events and the points of each participant.
    pub(crate) parts: BTreeMap<&'a str, (i64, i64)>,
}

impl<'a> Cell<'a> {
    /// The first of the parties is counted.
    fn add(&mut self, parties: &[(&'a str, i64)]) {
        self.events += 1;
        self.people.insert(parties[0].0);
        for (party, points) in parties {
            let (events, held) = self.parts.entry(party).or_default();
            *events += 1;
            *held += points;
            self.points += points;
        }
    }

    fn is_shown(&self, least: i64) -> bool {
        let most = |part: fn(&(i64, i64)) -> i64| self.parts.values().map(part).max().unwrap();
        self.people.len() as i64 / 5 * 5 >= least.max(10)
            && most(|part| part.0) * 5 <= self.events * 2
            && most(|part| part.1) * 5 <= self.points * 2
    }
}

/// By month, activity and place.
pub(crate) type Cells<'a> = BTreeMap<(NaiveDate, &'static str, &'a str), Cell<'a>>;

/// Months of UTC that are over, with the arrival time after which an event of the month is left out.
fn closings(facts: &Facts) -> BTreeMap<NaiveDate, DateTime<Utc>> {
    let stamps = || facts.stamps.iter().filter(|stamp| stamp.stream == Stream::TransactionEvents);
    let months: BTreeSet<_> = stamps().map(|stamp| By::Month.first(stamp.at.date_naive())).collect();
    let closed = |month: NaiveDate| {
        let later = month + Months::new(1) + Days::new(7);
        let of_later = stamps().filter(|stamp| stamp.at.date_naive() >= later);
        Some((month, of_later.map(|stamp| stamp.arrival.at).min()? + TimeDelta::hours(1)))
    };
    months.into_iter().filter_map(closed).collect()
}

pub(crate) fn cells(facts: &Facts) -> Cells<'_> {
    let mut cells = Cells::new();
    let closings = closings(facts);
    let mut cell = |activity, stamp: &Stamp, place, parties: &[_]| {
        let month = By::Month.first(stamp.at.date_naive());
        if closings.get(&month).is_some_and(|closed| stamp.arrival.at <= *closed) {
            cells.entry((month, activity, place)).or_default().add(parties);
        }
    };
    for met in &facts.interactions {
        let parties = [(&*met.civilian_id, met.points_civilian), (&*met.officer_id, met.points_officer)];
        cell("interaction", &met.stamp, &*met.zip_code, &parties);
    }
    for gift in &facts.donations {
        let place = gift.zip_code.as_deref().unwrap_or("unknown");
        cell("donation", &gift.stamp, place, &[(&*gift.donor_id, gift.points)]);
    }
    for spent in &facts.redemptions {
        let place = spent.zip_code.as_deref().unwrap_or("unknown");
        cell("redemption", &spent.stamp, place, &[(&*spent.redeemer_id, spent.points)]);
    }
    cells
}

/// The rows by the rule of the header.
fn summary(facts: &Facts, case: &Case) -> Vec<String> {
    let whole = |month: NaiveDate| case.counts(month) && case.counts(month + Months::new(1) - Days::new(1));
    let cells = cells(facts);
    let shown = cells.iter().filter(|((month, ..), cell)| whole(*month) && cell.is_shown(case.number("min_group", 10)));
    let row = |((month, activity, place), cell): (&(NaiveDate, &str, &str), &Cell<'_>)| {
        let (events, people) = (cell.events / 5 * 5, cell.people.len() / 5 * 5);
        format!("{month},{activity},{place},{events},{people},{}", cell.points / 100 * 100)
    };
    shown.map(row).collect()
}

/// Compares summaries of a generated world.
pub(crate) async fn compare(world: &World) -> Vec<String> {
    let first = By::Month.first(world.facts.stamps.iter().map(|stamp| stamp.at.date_naive()).min().unwrap());
    let mut found = Vec::new();
    for days in [
        String::new(),
        format!("from={first} to={}", first + Months::new(1) - Days::new(1)),
        format!("from={} to={}", first + Days::new(1), first + Months::new(2)),
        format!("to={}", first + Months::new(1) - Days::new(2)),
    ] {
        for least in ["", "min_group=10", "min_group=12", "min_group=50", "min_group=100000"] {
            let case = Case::parse(&format!("{days} {least}"));
            let rows = run(&world.session, REPORT, &case).await;
            let difference = difference(&rows, &summary(&world.facts, &case));
            found.extend(difference.map(|fault| format!("{}: {REPORT} [{case}]: {fault}", world.name)));
        }
    }
    found
}

fn closing(at: &str) -> Value {
    json!({"event_type": "transfer", "occurred_at": at, "from_officer_id": "o1", "to_officer_id": "o2", "points": 1})
}

/// The last event of the worlds made here: January and February of 2026 are over a week before it.
pub(crate) const CLOSED: &str = "2026-03-08T00:00:00Z";

/// Events of two months in a few places, by few people and many; some arrive late.
fn random_events(seed: u64) -> Vec<Value> {
    let mut numbers = Numbers::new(seed);
    let mut events = vec![closing(CLOSED)];
    let people = 12 + numbers.below(30);
    for _ in 0..400 {
        // Most in the first places.
        let (one, other) = (numbers.below(5), numbers.below(5));
        let place = (numbers.below(9) > 0).then(|| format!("6060{}", one.min(other)));
        let person = format!("p{}", numbers.below(people));
        let points = [0, 1, 20, 50, 5_000][numbers.below(5) as usize];
        let mut event = match numbers.below(3) {
            0 => {
                json!({"event_type": "interaction", "civilian_id": person, "officer_id": format!("o{}", numbers.below(5)),
                "method": "qr", "points_civilian": points, "points_officer": 2,
                "zip_code": place.unwrap_or("60600".to_owned())})
            }
            1 => json!({"event_type": "donation", "donor_id": person, "donor_kind": "civilian", "recipient_id": "x",
                "recipient_kind": "charity", "points": points, "zip_code": place}),
            _ => json!({"event_type": "redemption", "redeemer_id": person, "redeemer_kind": "civilian",
                "provider_id": "m", "provider_kind": "merchant", "purpose": "goods", "points": points,
                "zip_code": place}),
        };
        let (month, day) = (numbers.below(2) + 1, numbers.below(28) + 1);
        event["occurred_at"] = json!(format!("2026-{month:02}-{day:02}T12:00:00Z"));
        if numbers.below(12) == 0 {
            event["arrived_at"] = json!(format!("2026-03-{:02}T12:00:00Z", numbers.below(20) + 1));
        }
        events.push(event);
    }
    events
}

async fn table(name: &str, events: &[Value], zone: Tz, case: &str) -> Vec<String> {
    let world = small_world(name, zone, events).await;
    run(&world.session, REPORT, &Case::parse(case)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_months_rows_are_stable_across_runs() {
    for seed in 0..8 {
        let events = random_events(seed);
        let whole = table("whole", &events, Tz::UTC, "").await;
        assert!(!whole.is_empty(), "seed {seed} shows nothing");
        // A larger minimum group only leaves rows out.
        for least in [10, 11, 12, 15, 20, 30] {
            let rows = table("least", &events, Tz::UTC, &format!("min_group={least}")).await;
            let people = |row: &&String| row.split(',').nth(4).unwrap().parse::<i64>().unwrap();
            let expected: Vec<_> = whole.iter().filter(|row| people(row) >= least).cloned().collect();
            assert_eq!(rows, expected, "seed {seed}, at least {least}");
        }
        // Days only leave months out.
        for days in
            ["from=2026-01-02", "from=2026-02-01", "to=2026-02-27", "to=2026-01-31", "from=2026-01-10 to=2026-01-20"]
        {
            let rows = table("days", &events, Tz::UTC, days).await;
            let case = Case::parse(days);
            let counts = |row: &&String| {
                let month: NaiveDate = row[..10].parse().unwrap();
                case.counts(month) && case.counts(month + Months::new(1) - Days::new(1))
            };
            assert_eq!(rows, whole.iter().filter(counts).cloned().collect::<Vec<_>>(), "seed {seed}, {days}");
        }
        for zone in [Tz::America__Chicago, Tz::Pacific__Kiritimati] {
            assert_eq!(table("zone", &events, zone, "").await, whole, "seed {seed}, {zone}");
        }
        // The lake on other days, and after more late events.
        for day in 1..=28 {
            let until: DateTime<Utc> = format!("2026-03-{day:02}T18:00:00Z").parse().unwrap();
            let arrived = |event: &&Value| {
                let at = event["arrived_at"].as_str().or(event["occurred_at"].as_str()).unwrap();
                at.parse::<DateTime<Utc>>().unwrap() <= until
            };
            let then: Vec<_> = events.iter().filter(arrived).cloned().collect();
            let rows = table("then", &then, Tz::UTC, "").await;
            let shown: BTreeSet<_> = rows.iter().map(|row| &row[..10]).collect();
            let expected: Vec<_> = whole.iter().filter(|row| shown.contains(&row[..10])).cloned().collect();
            assert_eq!(rows, expected, "seed {seed}, until {until}");
            assert!(day < 8 || rows == whole, "seed {seed}: a month that is over is not shown on day {day}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_cannot_pin_groups_below_ten() {
    let mut attacked = BTreeMap::<String, usize>::new();
    for seed in 0..30 {
        let events = random_events(seed);
        let world = small_world("attacked", Tz::UTC, &events).await;
        let rows = run(&world.session, REPORT, &Case::default()).await;
        // Two worlds that look the same from outside, in which the same people did the least and the most possible.
        let (low, high) = twins(&rows);
        for (name, twin) in [("low", &low), ("high", &high)] {
            let events: Vec<_> = twin.events.iter().cloned().chain([closing(CLOSED)]).collect();
            assert_eq!(table(name, &events, Tz::UTC, "").await, rows, "seed {seed}: the {name} twin looks otherwise");
        }
        let cells = cells(&world.facts);
        for row in &rows {
            let published = Published::parse(row);
            let bounds = bounds(&published);
            let (one_low, one_high) = (low.one[row], high.one[row]);
            // The twins attain the bounds, so an attacker cannot do better; and the truth lies between them.
            assert_eq!((bounds.events, bounds.points), ((one_low.0, one_high.0), (one_low.1, one_high.1)), "{row}");
            assert!(one_high.0 - one_low.0 >= 4, "{row}: one person's events are pinned to {bounds:?}");
            assert!(one_high.1 - one_low.1 >= (published.points * 2 / 5).max(39), "{row}: {bounds:?}");
            let (few_low, few_high) = (low.few[row], high.few[row]);
            assert!(few_high.0 - few_low.0 >= 4 && few_high.1 - few_low.1 >= published.points.max(99), "{row}");
            let key =
                cells.keys().find(|(month, activity, place)| row.starts_with(&format!("{month},{activity},{place},")));
            let cell = &cells[key.unwrap()];
            let counted = cell.parts.iter().filter(|(person, _)| cell.people.contains(*person));
            for (person, (events, points)) in counted {
                let inside = (bounds.events.0..=bounds.events.1).contains(events)
                    && (bounds.points.0..=bounds.points.1).contains(points);
                assert!(inside, "{row}: {person} did {events} for {points}, not within {bounds:?}");
            }
            *attacked.entry(published.activity.clone()).or_default() += 1;
        }
        // A hidden cell may be anything: empty, or nine people with very much.
        assert!(low.hidden.values().all(|hidden| *hidden == 0) && high.hidden.values().all(|hidden| *hidden >= 360));
        assert_eq!(low.hidden.len() + rows.len(), 2 * 3 * 6 - 2, "a place is neither shown nor hidden");
    }
    assert!(attacked.len() == 3 && attacked.values().all(|count| *count > 20), "{attacked:?}");
    const { assert!(GROUP < 10) };
}

#[tokio::test]
async fn worlds_that_exposed_the_old_summary_are_closed() {
    let gift = |donor: &str, place: &str, day: u64| {
        json!({"event_type": "donation", "occurred_at": format!("2026-01-{day:02}T12:00:00Z"), "donor_id": donor,
            "donor_kind": "civilian", "recipient_id": "x", "recipient_kind": "charity", "points": 10, "zip_code": place})
    };
    // A: one gift; B: ten by ten; C: twenty by twenty. No number is a sum that includes A.
    let mut events = vec![closing(CLOSED), gift("a", "10000", 5)];
    events.extend((0..10).map(|number| gift(&format!("b{number}"), "20000", 5)));
    events.extend((0..20).map(|number| gift(&format!("c{number}"), "30000", 5)));
    let rows = ["2026-01-01,donation,20000,10,10,100", "2026-01-01,donation,30000,20,20,200"];
    assert_eq!(table("31 gifts", &events, Tz::UTC, "").await, rows);
    assert_eq!(table("31 gifts", &events, Tz::UTC, "min_group=20").await, rows[1..]);
    assert!(table("31 gifts", &events, Tz::UTC, "to=2026-01-05").await.is_empty());
    // Ten places with one gift each.
    let mut events = vec![closing(CLOSED)];
    events.extend((0..10).map(|number| gift(&format!("d{number}"), &format!("1000{number}"), 5)));
    assert!(table("ten places", &events, Tz::UTC, "").await.is_empty());
    // Eleven people, one of whom gave half; and one who gave by far the most points.
    let mut events = vec![closing(CLOSED)];
    events.extend((0..10).map(|number| gift(&format!("e{number}"), "20000", 5)));
    let mut often = events.clone();
    often.extend((0..10).map(|_| gift("often", "20000", 6)));
    assert!(table("often", &often, Tz::UTC, "").await.is_empty());
    let mut rich = gift("rich", "20000", 5);
    rich["points"] = json!(100);
    events.push(rich);
    assert!(table("rich", &events, Tz::UTC, "").await.is_empty());
    // Two officers met everybody: each would learn what the other did.
    let met = |number: u64, officers: u64| {
        json!({"event_type": "interaction", "occurred_at": "2026-01-05T12:00:00Z", "civilian_id": format!("c{number}"),
            "officer_id": format!("o{}", number % officers), "method": "qr", "points_civilian": 10, "points_officer": 5,
            "zip_code": "60601"})
    };
    for (officers, rows) in [(2, &[][..]), (3, &["2026-01-01,interaction,60601,20,20,300"][..])] {
        let mut events = vec![closing(CLOSED)];
        events.extend((0..21).map(|number| met(number, officers)));
        assert_eq!(table("officers", &events, Tz::UTC, "").await, rows);
    }
}

#[test]
fn only_this_report_is_for_outsiders() {
    let catalog = bluelake_queries::ReportCatalog::embedded().unwrap();
    let outside = ["media", "partner", "charit", "press", "public", "journalist"];
    let shown = catalog.reports().filter(|report| outside.iter().any(|word| report.header().audience.contains(word)));
    assert_eq!(shown.map(|report| report.name()).collect::<Vec<_>>(), [REPORT]);
}
