//! Reports across all kinds of transactions: activity, cohorts, funnel, statements, places.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, Utc};

use crate::cells;
use crate::expected::redemptions::{dollars, with_amount};
use crate::support::compare::{By, Case, Rows, instant, optional};
use crate::support::facts::{Facts, Interaction, Redemption, Row, distinct};
use crate::support::numbers::{DAY, percentile, share};

pub(crate) fn active_users(facts: &Facts, case: &Case) -> Rows {
    let (by, first) = (case.by(By::Day), facts.first_active());
    let mut groups = BTreeMap::<NaiveDate, BTreeSet<(&str, &str)>>::new();
    for (stamp, user, kind) in facts.acts() {
        if case.counts(stamp.day) {
            groups.entry(by.first(stamp.day)).or_default().insert((kind, user));
        }
    }
    let row = |(period, users): (NaiveDate, BTreeSet<(&str, &str)>)| {
        let of = |wanted: &str| users.iter().filter(|(kind, _)| *kind == wanted).count();
        let start = case.date("from").map_or(period, |from| from.max(period));
        let all: BTreeSet<_> = users.iter().map(|(_, user)| *user).collect();
        cells![
            period,
            all.len(),
            of("civilian"),
            of("police_officer"),
            of("charity"),
            of("family_in_need"),
            all.iter().filter(|user| first[**user] >= start).count(),
        ]
    };
    groups.into_iter().map(row).collect()
}

pub(crate) fn cohort_retention(facts: &Facts, case: &Case) -> Rows {
    let weeks = case.number("weeks", 8) as u64;
    let Some(last_day) = facts.last_day() else { return Rows::new() };
    let mut active = BTreeSet::new();
    for (stamp, user, _) in facts.acts() {
        active.insert((By::Week.first(stamp.day), user));
    }
    let mut cohorts = BTreeMap::<NaiveDate, Vec<&str>>::new();
    for (user, day) in facts.first_active() {
        if case.counts(day) {
            cohorts.entry(By::Week.first(day)).or_default().push(user);
        }
    }
    let mut rows = Rows::new();
    for (cohort, users) in cohorts {
        for week in 0..=weeks {
            let monday = cohort + Days::new(7 * week);
            if monday > last_day {
                break;
            }
            let count = users.iter().filter(|user| active.contains(&(monday, **user))).count();
            rows.push(cells![cohort, week, users.len(), count, share(count as i64, users.len() as i64)]);
        }
    }
    rows
}

/// The times of each user's steps: created, first met, and first used points at or after that.
fn steps(facts: &Facts, case: &Case) -> Vec<(DateTime<Utc>, Option<DateTime<Utc>>, Option<DateTime<Utc>>)> {
    let kind = case.get("kind").unwrap_or("civilian");
    let (mut met, mut used) = (BTreeMap::<&str, Vec<_>>::new(), BTreeMap::<&str, Vec<_>>::new());
    for (entry, user, at) in facts.ledger().iter().map(|entry| (entry, entry.user, entry.stamp.at)) {
        if entry.entry == "minted" {
            met.entry(user).or_default().push(at);
        } else if entry.is_own_act {
            used.entry(user).or_default().push(at);
        }
    }
    let mut all = Vec::new();
    for (id, user) in facts.users() {
        let Some(created) = user.created_at.filter(|at| user.kind == kind && case.counts(facts.day(*at))) else {
            continue;
        };
        let meetings = met.get(id).into_iter().flatten();
        let first_met = meetings.filter(|at| **at >= created).min().copied();
        let uses = used.get(id).into_iter().flatten();
        let first_use = first_met.and_then(|met| uses.filter(|at| **at >= met).min()).copied();
        all.push((created, first_met, first_use));
    }
    all
}

pub(crate) fn onboarding_funnel(facts: &Facts, case: &Case) -> Rows {
    let steps = steps(facts, case);
    if steps.is_empty() {
        return Rows::new();
    }
    let created = steps.len() as i64;
    let mut previous = None;
    let mut rows = Rows::new();
    let names = ["created", "first_interaction", "first_use"];
    for (number, name) in (1..).zip(names) {
        let reached = steps.iter().filter_map(|(created, met, used)| {
            let at = [Some(*created), *met, *used][number - 1]?;
            Some((at - created).num_microseconds().unwrap())
        });
        let mut waits: Vec<_> = reached.collect();
        waits.sort_unstable();
        let count = waits.len() as i64;
        let days = |percent| optional((count > 0).then(|| percentile(&waits, percent, DAY)));
        let of_previous = optional(previous.map(|previous| share(count, previous)));
        rows.push(cells![number, name, count, share(count, created), of_previous, days(50), days(90)]);
        previous = Some(count);
    }
    rows
}

pub(crate) fn user_statement(facts: &Facts, case: &Case) -> Rows {
    let user = case.get("user").unwrap();
    let mut entries: Vec<_> = facts.ledger().into_iter().filter(|entry| entry.user == user).collect();
    entries.sort_by_key(|entry| (entry.stamp.at, &entry.stamp.id, -entry.points, entry.entry, entry.kind));
    let mut balance = 0;
    let mut rows = Rows::new();
    for entry in entries {
        balance += entry.points;
        if case.counts(entry.stamp.day) {
            rows.push(cells![
                instant(entry.stamp.at),
                entry.stamp.day,
                entry.entry,
                entry.other,
                entry.other_kind,
                entry.points,
                balance,
                entry.stamp.id,
            ]);
        }
    }
    rows
}

/// What happened in one place.
#[derive(Default)]
struct Place<'a> {
    met: Vec<&'a Row<Interaction>>,
    gifts: Vec<i64>,
    spent: Vec<&'a Row<Redemption>>,
    people: Vec<(&'a str, &'a str)>,
}

pub(crate) fn zip_code_summary(facts: &Facts, case: &Case) -> Rows {
    let mut places = BTreeMap::<Option<&str>, Place<'_>>::new();
    for met in facts.interactions.iter().filter(|met| case.counts(met.stamp.day)) {
        let place = places.entry(Some(&met.zip_code)).or_default();
        place.met.push(met);
        place.people.extend([("civilian", &*met.civilian_id), ("police_officer", &*met.officer_id)]);
    }
    for gift in facts.donations.iter().filter(|gift| case.counts(gift.stamp.day)) {
        let place = places.entry(gift.zip_code.as_deref()).or_default();
        place.gifts.push(gift.points);
        place.people.push((&gift.donor_kind, &gift.donor_id));
    }
    for spent in facts.redemptions.iter().filter(|spent| case.counts(spent.stamp.day)) {
        let place = places.entry(spent.zip_code.as_deref()).or_default();
        place.spent.push(spent);
        place.people.push((&spent.redeemer_kind, &spent.redeemer_id));
    }
    let redeemed = |place: &Place<'_>| place.spent.iter().map(|spent| spent.points).sum::<i64>();
    let all = places.values().map(redeemed).sum();
    let row = |(zip_code, place): (&Option<&str>, &Place<'_>)| {
        let people =
            |wanted: &str| distinct(place.people.iter().filter(|(kind, _)| *kind == wanted).map(|(_, id)| *id));
        cells![
            optional(*zip_code),
            place.met.len(),
            place.met.iter().map(|met| met.points_civilian + met.points_officer).sum::<i64>(),
            place.gifts.len(),
            place.gifts.iter().sum::<i64>(),
            place.spent.len(),
            redeemed(place),
            optional(dollars(&place.spent)),
            people("civilian"),
            people("police_officer"),
            share(redeemed(place), all),
        ]
        .into_iter()
        .chain(with_amount(&place.spent))
        .collect()
    };
    // Unknown places come last.
    let (known, unknown): (Vec<_>, Vec<_>) = places.iter().partition(|(zip_code, _)| zip_code.is_some());
    known.into_iter().chain(unknown).map(row).collect()
}
