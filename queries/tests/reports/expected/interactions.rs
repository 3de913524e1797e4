//! Reports about meetings.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, NaiveDate};

use crate::cells;
use crate::support::compare::{By, Case, Rows, instant, optional};
use crate::support::facts::{Facts, Interaction, Row, distinct};
use crate::support::numbers::{average, share};

type Meetings<'a> = Vec<&'a Row<Interaction>>;

/// Rows by a number, greatest first and then in the given order. Rows with the same number share their rank. Ranks up
/// to `top` are kept.
pub(crate) fn ranks<T>(mut rows: Vec<T>, top: i64, number: impl Fn(&T) -> i64) -> Vec<(usize, T)> {
    rows.sort_by_key(|row| std::cmp::Reverse(number(row)));
    let numbers: Vec<_> = rows.iter().map(&number).collect();
    let place = |row: &T| 1 + numbers.iter().filter(|other| **other > number(row)).count();
    rows.into_iter().map(|row| (place(&row), row)).filter(|(place, _)| *place as i64 <= top).collect()
}

fn met<'a>(facts: &'a Facts, case: &'a Case) -> impl Iterator<Item = &'a Row<Interaction>> {
    facts.interactions.iter().filter(|met| case.counts(met.stamp.day))
}

fn civilians(met: &Meetings<'_>) -> usize {
    distinct(met.iter().map(|met| &*met.civilian_id))
}

fn officers(met: &Meetings<'_>) -> usize {
    distinct(met.iter().map(|met| &*met.officer_id))
}

/// Points minted for civilians, and for officers.
fn minted(met: &Meetings<'_>) -> (i64, i64) {
    met.iter().fold((0, 0), |sums, met| (sums.0 + met.points_civilian, sums.1 + met.points_officer))
}

pub(crate) fn interactions(facts: &Facts, case: &Case) -> Rows {
    let by = case.by(By::Day);
    let mut groups = BTreeMap::<_, Meetings<'_>>::new();
    for met in met(facts, case) {
        groups.entry((by.first(met.stamp.day), &*met.method)).or_default().push(met);
    }
    let row = |((period, method), met): ((NaiveDate, &str), Meetings<'_>)| {
        let (civilian, officer) = minted(&met);
        cells![period, method, met.len(), civilians(&met), officers(&met), civilian, officer, civilian + officer]
    };
    groups.into_iter().map(row).collect()
}

pub(crate) fn interactions_by_zip_code(facts: &Facts, case: &Case) -> Rows {
    let mut groups = BTreeMap::<_, Meetings<'_>>::new();
    for met in met(facts, case) {
        groups.entry(&*met.zip_code).or_default().push(met);
    }
    let all = met(facts, case).count() as i64;
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, met)| std::cmp::Reverse(met.len()));
    let row = |(zip_code, met): (&str, Meetings<'_>)| {
        let (civilian, officer) = minted(&met);
        let part = share(met.len() as i64, all);
        cells![zip_code, met.len(), civilians(&met), officers(&met), civilian, officer, part]
    };
    groups.into_iter().map(row).collect()
}

pub(crate) fn interaction_hours(facts: &Facts, case: &Case) -> Rows {
    let mut groups = BTreeMap::<_, i64>::new();
    for met in met(facts, case) {
        *groups.entry((met.stamp.day.weekday().number_from_monday(), met.stamp.hour)).or_default() += 1;
    }
    let all: i64 = groups.values().sum();
    if all == 0 {
        return Rows::new();
    }
    let hours = (1..=7).flat_map(|weekday| (0..24).map(move |hour| (weekday, hour)));
    let row = |(weekday, hour)| {
        let count = groups.get(&(weekday, hour)).copied().unwrap_or(0);
        cells![weekday, hour, count, share(count, all)]
    };
    hours.map(row).collect()
}

pub(crate) fn new_pairs(facts: &Facts, case: &Case) -> Rows {
    let by = case.by(By::Week);
    let mut first = BTreeMap::new();
    for met in &facts.interactions {
        let day = first.entry((&*met.civilian_id, &*met.officer_id)).or_insert(met.stamp.day);
        *day = met.stamp.day.min(*day);
    }
    let mut groups = BTreeMap::<_, Meetings<'_>>::new();
    for met in met(facts, case) {
        groups.entry(by.first(met.stamp.day)).or_default().push(met);
    }
    let row = |(period, met): (NaiveDate, Meetings<'_>)| {
        let start = case.date("from").map_or(period, |from| from.max(period));
        let pairs: BTreeSet<_> = met.iter().map(|met| (&*met.civilian_id, &*met.officer_id)).collect();
        let new = pairs.iter().filter(|pair| first[*pair] >= start).count();
        cells![period, met.len(), pairs.len(), new, pairs.len() - new, share(new as i64, pairs.len() as i64)]
    };
    groups.into_iter().map(row).collect()
}

pub(crate) fn officer_connections(facts: &Facts, case: &Case) -> Rows {
    let users = facts.users();
    let mut groups = BTreeMap::<_, Meetings<'_>>::new();
    for met in met(facts, case) {
        groups.entry(&*met.officer_id).or_default().push(met);
    }
    let ranked = ranks(groups.into_iter().collect(), case.number("top", 50), |(_, met)| met.len() as i64);
    let row = |(rank, (officer, met)): (usize, (&str, Meetings<'_>))| {
        let days = met.iter().map(|met| met.stamp.day).collect::<BTreeSet<_>>().len();
        let zip_code = users.get(officer).and_then(|user| user.zip_code.clone());
        let per_day = average(met.len() as i64, days);
        cells![rank, officer, optional(zip_code), met.len(), civilians(&met), days, minted(&met).1, per_day]
    };
    ranked.into_iter().map(row).collect()
}

pub(crate) fn repeat_connections(facts: &Facts, case: &Case) -> Rows {
    let mut groups = BTreeMap::<_, Meetings<'_>>::new();
    for met in met(facts, case) {
        groups.entry((met.stamp.day, &*met.civilian_id, &*met.officer_id)).or_default().push(met);
    }
    let least = case.number("least", 2).max(2);
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, met)| std::cmp::Reverse(met.len()));
    let row = |((day, civilian, officer), met): ((NaiveDate, &str, &str), Meetings<'_>)| {
        let times = || met.iter().map(|met| met.stamp.at);
        let (civilian_points, officer_points) = minted(&met);
        cells![
            day,
            civilian,
            officer,
            met.len(),
            met.len() - 1,
            instant(times().min().unwrap()),
            instant(times().max().unwrap()),
            civilian_points + officer_points,
        ]
    };
    groups.into_iter().filter(|(_, met)| met.len() as i64 >= least).map(row).collect()
}
