//! Reports about gifts.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};

use crate::cells;
use crate::expected::interactions::ranks;
use crate::support::compare::{By, Case, Rows, optional};
use crate::support::facts::{Donation, Facts, Row, distinct};
use crate::support::numbers::{average, percentile, share};

fn sizes(gifts: &[&Row<Donation>]) -> Vec<i64> {
    let mut sizes: Vec<_> = gifts.iter().map(|gift| gift.points).collect();
    sizes.sort_unstable();
    sizes
}

fn given<'a>(facts: &'a Facts, case: &'a Case) -> impl Iterator<Item = &'a Row<Donation>> {
    facts.donations.iter().filter(|gift| case.counts(gift.stamp.day))
}

pub(crate) fn donations(facts: &Facts, case: &Case) -> Rows {
    let by = case.by(By::Day);
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for gift in given(facts, case) {
        let key = (by.first(gift.stamp.day), &*gift.donor_kind, &*gift.recipient_kind);
        groups.entry(key).or_default().push(gift);
    }
    let row = |((period, donor, recipient), gifts): ((NaiveDate, &str, &str), Vec<&Row<Donation>>)| {
        let sizes = sizes(&gifts);
        let points: i64 = sizes.iter().sum();
        cells![
            period,
            donor,
            recipient,
            gifts.len(),
            points,
            distinct(gifts.iter().map(|gift| &*gift.donor_id)),
            distinct(gifts.iter().map(|gift| &*gift.recipient_id)),
            average(points, gifts.len()),
            percentile(&sizes, 50, 1),
        ]
    };
    groups.into_iter().map(row).collect()
}

pub(crate) fn gift_sizes(facts: &Facts, case: &Case) -> Rows {
    let by = case.by(By::Month);
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for gift in given(facts, case) {
        groups.entry((by.first(gift.stamp.day), &*gift.donor_kind)).or_default().push(gift);
    }
    let row = |((period, donor), gifts): ((NaiveDate, &str), Vec<&Row<Donation>>)| {
        let sizes = sizes(&gifts);
        let donors = distinct(gifts.iter().map(|gift| &*gift.donor_id));
        cells![
            period,
            donor,
            gifts.len(),
            donors,
            average(sizes.iter().sum(), gifts.len()),
            percentile(&sizes, 25, 1),
            percentile(&sizes, 50, 1),
            percentile(&sizes, 90, 1),
            sizes[sizes.len() - 1],
            average(gifts.len() as i64, donors),
        ]
    };
    groups.into_iter().map(row).collect()
}

pub(crate) fn top_recipients(facts: &Facts, case: &Case) -> Rows {
    let users = facts.users();
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    let mut all = 0;
    for gift in given(facts, case) {
        let recipient = &*gift.recipient_id;
        let is_family = [Some(&*gift.recipient_kind), users.get(recipient).map(|user| &*user.kind)];
        // All families together are after every id.
        let key = if is_family.contains(&Some("family_in_need")) { (true, "") } else { (false, recipient) };
        groups.entry((key, &*gift.recipient_kind)).or_default().push(gift);
        all += gift.points;
    }
    let points = |gifts: &[&Row<Donation>]| gifts.iter().map(|gift| gift.points).sum::<i64>();
    let groups: Vec<_> = groups.into_iter().collect();
    let ranked = ranks(groups, case.number("top", 20), |(_, gifts)| points(gifts));
    let row = |(rank, (((_, recipient), kind), gifts)): (usize, (((bool, &str), &str), Vec<&Row<Donation>>))| {
        let name = users.get(recipient).and_then(|user| user.organization_name.clone());
        cells![
            rank,
            recipient,
            optional(name),
            kind,
            gifts.len(),
            points(&gifts),
            distinct(gifts.iter().map(|gift| &*gift.donor_id)),
            share(points(&gifts), all),
        ]
    };
    ranked.into_iter().map(row).collect()
}

pub(crate) fn donor_retention(facts: &Facts, case: &Case) -> Rows {
    let by = case.by(By::Month);
    let mut days = BTreeMap::<&str, BTreeSet<NaiveDate>>::new();
    for gift in &facts.donations {
        days.entry(&gift.donor_id).or_default().insert(gift.stamp.day);
    }
    let Some(last_day) = facts.last_day() else { return Rows::new() };
    let mut groups = BTreeMap::<NaiveDate, Vec<&BTreeSet<NaiveDate>>>::new();
    for days in days.values().filter(|days| case.counts(*days.first().unwrap())) {
        groups.entry(by.first(*days.first().unwrap())).or_default().push(days);
    }
    let row = |(period, donors): (NaiveDate, Vec<&BTreeSet<NaiveDate>>)| {
        let mut row = cells![period, donors.len()];
        for length in [30, 60, 90] {
            let end = |days: &BTreeSet<NaiveDate>| *days.first().unwrap() + Days::new(length);
            let observed: Vec<_> = donors.iter().filter(|days| end(days) < last_day).collect();
            let again = observed.iter().filter(|days| days.iter().nth(1).is_some_and(|day| *day <= end(days)));
            let again = again.count();
            row.extend(cells![observed.len(), again, share(again as i64, observed.len() as i64)]);
        }
        row
    };
    groups.into_iter().map(row).collect()
}

pub(crate) fn donated_share(facts: &Facts, case: &Case) -> Rows {
    let gifts = facts.donations.iter().map(|gift| (gift.stamp.day, gift.points));
    crate::expected::redemptions::shares_of_minted(facts, case, gifts.collect())
}
