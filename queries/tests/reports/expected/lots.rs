//! Reports that follow points from earning to spending, the oldest first.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};

use crate::cells;
use crate::support::compare::{By, Case, Rows, optional};
use crate::support::facts::{Entry, Facts};
use crate::support::numbers::{DAY, share, units, weighted_percentile};

/// Age of points in days, each up to and including its bound.
const AGES: [(&str, i64); 5] =
    [("0 to 30", 30), ("31 to 90", 90), ("91 to 180", 180), ("181 to 365", 365), ("over 365", i64::MAX)];

/// Gains and spendings of each user, each in order of time.
fn accounts(facts: &Facts) -> BTreeMap<&str, (Vec<Entry<'_>>, Vec<Entry<'_>>)> {
    let mut accounts = BTreeMap::<&str, (Vec<_>, Vec<_>)>::new();
    let mut ledger = facts.ledger();
    ledger.sort_by_key(|entry| (entry.stamp.at, entry.stamp.id.clone()));
    for entry in ledger {
        let (gains, spendings) = accounts.entry(entry.user).or_default();
        if entry.points < 0 { spendings.push(entry) } else { gains.push(entry) }
    }
    accounts
}

pub(crate) fn breakage(facts: &Facts, case: &Case) -> Rows {
    let Some(last_day) = facts.last_day() else { return Rows::new() };
    let end = case.date("to").map_or(last_day, |to| to.min(last_day));
    let mut held = BTreeMap::<usize, (i64, BTreeSet<&str>)>::new();
    for (user, (gains, spendings)) in accounts(facts) {
        let by_then = |entry: &&Entry<'_>| entry.stamp.day <= end;
        let mut spent: i64 = spendings.iter().filter(by_then).map(|entry| -entry.points).sum();
        for gain in gains.iter().filter(by_then) {
            let used = spent.min(gain.points);
            spent -= used;
            if gain.points > used {
                let days = (end - gain.stamp.day).num_days();
                let age = AGES.iter().position(|(_, bound)| days <= *bound).unwrap();
                let (points, holders) = held.entry(age).or_default();
                *points += gain.points - used;
                holders.insert(user);
            }
        }
    }
    let all = held.values().map(|(points, _)| points).sum();
    held.iter()
        .map(|(age, (points, holders))| cells![AGES[*age].0, points, holders.len(), share(*points, all)])
        .collect()
}

/// The points redeemed in a period by one kind of redeemer.
#[derive(Default)]
struct Redeemed {
    /// Microseconds kept, and points.
    kept: Vec<(i64, i64)>,
    unearned: i64,
}

pub(crate) fn earning_to_redeeming(facts: &Facts, case: &Case) -> Rows {
    let by = case.by(By::Month);
    let mut groups = BTreeMap::<(NaiveDate, &str), Redeemed>::new();
    for (gains, spendings) in accounts(facts).values() {
        let mut lots: Vec<(DateTime<Utc>, i64)> = gains.iter().map(|gain| (gain.stamp.at, gain.points)).collect();
        for spending in spendings {
            // Later points are neither earned by then nor used for it.
            let matched = take(&mut lots, spending.stamp.at, -spending.points);
            if spending.entry != "redeemed" || !case.counts(spending.stamp.day) {
                continue;
            }
            let group = groups.entry((by.first(spending.stamp.day), spending.kind)).or_default();
            let since = |at: DateTime<Utc>| (spending.stamp.at - at).num_microseconds().unwrap();
            let kept = matched.into_iter().map(|(at, points)| (since(at), points));
            let before = group.kept.len();
            group.kept.extend(kept);
            group.unearned -= spending.points + group.kept[before..].iter().map(|(_, points)| points).sum::<i64>();
        }
    }
    let row = |((period, kind), mut group): ((NaiveDate, &str), Redeemed)| {
        group.kept.sort_unstable();
        let points = group.kept.iter().map(|(_, points)| points).sum::<i64>();
        let days = |percent| optional(weighted_percentile(&group.kept, percent).map(|kept| units(kept, DAY)));
        cells![period, kind, points, group.unearned, days(50), days(90)]
    };
    groups.into_iter().map(row).collect()
}

/// Takes points from the oldest lots that exist by then.
fn take(lots: &mut Vec<(DateTime<Utc>, i64)>, by: DateTime<Utc>, mut wanted: i64) -> Vec<(DateTime<Utc>, i64)> {
    let mut taken = Vec::new();
    let mut empty = 0;
    for (at, points) in lots.iter_mut() {
        if wanted == 0 || *at > by {
            break;
        }
        let part = wanted.min(*points);
        taken.push((*at, part));
        *points -= part;
        wanted -= part;
        empty += usize::from(*points == 0);
    }
    lots.drain(..empty);
    taken
}
