//! What a reader can learn from a published summary for the media and its rule.
//!
//! Each published number is rounded down and is not part of a sum with another published number. So knowledge of a
//! person in a place is bounded by that place's row alone: `bounds` takes the extremes over all numbers that round to
//! the row and keep the rule. `twins` builds whole worlds that attain them, so the bounds are exact: an attacker cannot
//! come closer.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The most people that are fewer than a group.
pub(crate) const GROUP: i64 = 9;
const EVENTS_STEP: i64 = 5;
const POINTS_STEP: i64 = 100;
const MONTHS: [&str; 2] = ["2026-01", "2026-02"];
const PLACES: [&str; 6] = ["60600", "60601", "60602", "60603", "60604", "unknown"];

/// A row as a reader sees it.
pub(crate) struct Published {
    pub(crate) month: String,
    pub(crate) activity: String,
    pub(crate) place: String,
    pub(crate) events: i64,
    pub(crate) people: i64,
    pub(crate) points: i64,
}

impl Published {
    pub(crate) fn parse(row: &str) -> Self {
        let cells: Vec<_> = row.split(',').collect();
        let number = |place: usize| cells[place].parse().unwrap();
        Self {
            month: cells[0][..7].to_owned(),
            activity: cells[1].to_owned(),
            place: cells[2].to_owned(),
            events: number(3),
            people: number(4),
            points: number(5),
        }
    }
}

/// The least and the most that one person of a place may have done.
#[derive(Debug)]
pub(crate) struct Bounds {
    pub(crate) events: (i64, i64),
    pub(crate) points: (i64, i64),
}

/// The extremes over all worlds that give this row: events and people that round down to it, at least one event for
/// each person, and at most two fifths for one person.
pub(crate) fn bounds(published: &Published) -> Bounds {
    let mut most = 0;
    for events in published.events..published.events + EVENTS_STEP {
        for people in published.people..(published.people + EVENTS_STEP).min(events + 1) {
            most = most.max((events * 2 / 5).min(events - people + 1));
        }
    }
    Bounds { events: (1, most), points: (0, (published.points + POINTS_STEP - 1) * 2 / 5) }
}

/// A world that looks like a published table.
pub(crate) struct Twin {
    pub(crate) events: Vec<Value>,
    /// By row: events and points of one of its people.
    pub(crate) one: BTreeMap<String, (i64, i64)>,
    /// By row: events and points of the most people that are fewer than a group, the one included.
    pub(crate) few: BTreeMap<String, (i64, i64)>,
    /// By month, activity and place: events of cells that are not shown.
    pub(crate) hidden: BTreeMap<(String, String, String), i64>,
}

/// Two worlds with this table, in which the same few people did the least and the most possible.
pub(crate) fn twins(rows: &[String]) -> (Twin, Twin) {
    (twin(rows, least_of_few, |_| Vec::new()), twin(rows, most_of_few, |_| vec![(40, 5_000); GROUP as usize]))
}

/// Events and points of each person of a place, the few first.
type Shares = Vec<(i64, i64)>;

fn twin(rows: &[String], shares: fn(&Published) -> Shares, hidden: fn(&str) -> Shares) -> Twin {
    let mut twin = Twin { events: Vec::new(), one: BTreeMap::new(), few: BTreeMap::new(), hidden: BTreeMap::new() };
    let mut shown = BTreeMap::new();
    for row in rows {
        let published = Published::parse(row);
        let shares = shares(&published);
        let few = shares[..GROUP as usize].iter().fold((0, 0), |sum, share| (sum.0 + share.0, sum.1 + share.1));
        twin.one.insert(row.clone(), shares[0]);
        twin.few.insert(row.clone(), few);
        shown.insert((published.month, published.activity, published.place), shares);
    }
    for month in MONTHS {
        for activity in ["interaction", "donation", "redemption"] {
            for place in PLACES.iter().filter(|place| activity != "interaction" || **place != "unknown") {
                let key = (month.to_owned(), activity.to_owned(), (*place).to_owned());
                let shares = shown.remove(&key).unwrap_or_else(|| {
                    let shares = hidden(place);
                    twin.hidden.insert(key, shares.iter().map(|share| share.0).sum());
                    shares
                });
                twin.events.extend(acts(month, activity, place, &shares));
            }
        }
    }
    assert!(shown.is_empty(), "not all rows are of this world's places");
    twin
}

/// The few have one event and no points each. The most possible others share the rest.
fn least_of_few(published: &Published) -> Shares {
    let people = published.people + EVENTS_STEP - 1;
    let events = published.events.max(people);
    let others = people - GROUP;
    let few = (0..GROUP).map(|_| (1, 0));
    few.chain(spread(events - GROUP, others).into_iter().zip(spread(published.points, others))).collect()
}

/// The few have all points and the most possible events, the first of them most. There are as few others as possible.
fn most_of_few(published: &Published) -> Shares {
    let (people, events) = (published.people, published.events + EVENTS_STEP - 1);
    let points = published.points + POINTS_STEP - 1;
    let one = ((events * 2 / 5).min(events - people + 1), points * 2 / 5);
    let rest = spread(events - one.0 - (people - GROUP), GROUP - 1).into_iter().zip(spread(points - one.1, GROUP - 1));
    std::iter::once(one).chain(rest).chain((GROUP..people).map(|_| (1, 0))).collect()
}

/// A number in `parts` parts that differ by at most one.
fn spread(total: i64, parts: i64) -> Vec<i64> {
    (0..parts).map(|part| total / parts + i64::from(part < total % parts)).collect()
}

/// The events of a place: the first event of each person has all points of that person.
fn acts(month: &str, activity: &str, place: &str, shares: &[(i64, i64)]) -> Vec<Value> {
    let zip_code = (place != "unknown").then_some(place);
    let mut acts = Vec::new();
    for (number, (events, points)) in shares.iter().enumerate() {
        let person = format!("{activity} {place} {number}");
        for event in 0..*events {
            let points = if event == 0 { *points } else { 0 };
            let mut act = match activity {
                "interaction" => json!({"civilian_id": person, "officer_id": format!("o{}", acts.len() % 5),
                    "method": "qr", "points_civilian": points, "points_officer": 0}),
                "donation" => json!({"donor_id": person, "donor_kind": "civilian", "recipient_id": "x",
                    "recipient_kind": "charity", "points": points}),
                _ => json!({"redeemer_id": person, "redeemer_kind": "civilian", "provider_id": "m",
                    "provider_kind": "merchant", "purpose": "goods", "points": points}),
            };
            act["event_type"] = json!(activity);
            act["occurred_at"] = json!(format!("{month}-10T12:00:00Z"));
            act["zip_code"] = json!(zip_code);
            acts.push(act);
        }
    }
    acts
}

#[test]
fn bounds_are_as_worked_out_by_hand() {
    // Ten gifts by ten people may be fourteen by ten: one of them gave five times. Points: 0 to two fifths of 199.
    let found = bounds(&Published::parse("2026-01-01,donation,60601,10,10,100"));
    assert_eq!((found.events, found.points), ((1, 5), (0, 79)));
    // Of 104 gifts by 10 people nobody gave more than 41.
    let found = bounds(&Published::parse("2026-01-01,donation,60601,100,10,0"));
    assert_eq!((found.events, found.points), ((1, 41), (0, 39)));
}
