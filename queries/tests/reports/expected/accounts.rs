//! Balances of holders and accounts, and what is owed to those who accept points.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use crate::cells;
use crate::expected::redemptions::{Spendings, periods, spent, totals};
use crate::support::compare::{By, Case, Rows, instant, optional};
use crate::support::facts::{Entry, Facts, distinct};

/// Points of the entries of a kind.
fn points(entries: &[&Entry<'_>], kind: &str) -> i64 {
    entries.iter().filter(|entry| entry.entry == kind).map(|entry| entry.points).sum()
}

/// Dollars in cents, half a cent away from zero.
fn cents(points: i64, per_dollar: i64) -> String {
    if per_dollar == 0 {
        return String::new();
    }
    let (hundredfold, sign) = (points.abs() * 100, points.signum());
    (sign * ((2 * hundredfold + per_dollar) / (2 * per_dollar))).to_string()
}

pub(crate) fn month_end(facts: &Facts, case: &Case) -> Rows {
    let (by, ledger, rate) = (case.by(By::Month), facts.ledger(), case.number("points_per_dollar", 0));
    let until = |entry: &&Entry<'_>| case.date("to").is_none_or(|to| entry.stamp.day <= to);
    let kinds: BTreeSet<&str> = ledger.iter().filter(until).map(|entry| entry.kind).collect();
    let mut rows = Rows::new();
    for (period, end) in periods(facts, case, by) {
        for kind in &kinds {
            let own = |wanted: &dyn Fn(NaiveDate) -> bool| -> Vec<&Entry<'_>> {
                ledger.iter().filter(|entry| entry.kind == *kind && wanted(entry.stamp.day)).collect()
            };
            let within = own(&|day| case.counts(day) && by.first(day) == period);
            let all = own(&|day| day <= end);
            let closing: i64 = all.iter().map(|entry| entry.points).sum();
            let opening = closing - within.iter().map(|entry| entry.points).sum::<i64>();
            rows.push(cells![
                period,
                kind,
                opening,
                points(&within, "minted"),
                -points(&within, "redeemed"),
                points(&within, "received"),
                -points(&within, "donated"),
                points(&within, "transferred"),
                closing,
                cents(opening, rate),
                cents(closing, rate),
            ]);
        }
    }
    rows
}

pub(crate) fn account_statement(facts: &Facts, case: &Case) -> Rows {
    let (by, account, ledger) = (case.by(By::Month), case.get("account").unwrap(), facts.ledger());
    let own: Vec<&Entry<'_>> = ledger.iter().filter(|entry| entry.user == account).collect();
    let row = |(period, end): (NaiveDate, NaiveDate)| {
        let is_within = |day| case.counts(day) && by.first(day) == period;
        let within: Vec<_> = own.iter().copied().filter(|entry| is_within(entry.stamp.day)).collect();
        let gifts: Vec<_> = within.iter().filter(|entry| entry.entry == "received").collect();
        let closing: i64 = own.iter().filter(|entry| entry.stamp.day <= end).map(|entry| entry.points).sum();
        cells![
            period,
            closing - within.iter().map(|entry| entry.points).sum::<i64>(),
            points(&within, "received"),
            gifts.len(),
            distinct(gifts.iter().map(|entry| entry.other)),
            points(&within, "minted"),
            points(&within, "transferred"),
            -points(&within, "donated"),
            -points(&within, "redeemed"),
            closing,
        ]
    };
    periods(facts, case, by).into_iter().map(row).collect()
}

pub(crate) fn settlement(facts: &Facts, case: &Case) -> Rows {
    let provider = case.get("provider").unwrap();
    let mut own: Vec<_> = spent(facts, case).filter(|spent| spent.provider_id == provider).collect();
    own.sort_by_key(|spent| (spent.stamp.at, &spent.stamp.id, spent.points));
    let row = |spent: &crate::support::facts::Row<crate::support::facts::Redemption>| {
        let is_dollars = spent.currency.as_deref().is_none_or(|currency| currency == "USD");
        let amount = spent.amount_cents.filter(|_| is_dollars);
        let (with, without) = if amount.is_some() { (spent.points, 0) } else { (0, spent.points) };
        cells![
            instant(spent.stamp.at),
            spent.stamp.day,
            spent.purpose,
            optional(spent.zip_code.as_deref()),
            spent.points,
            optional(amount),
            with,
            without,
            spent.stamp.id,
        ]
    };
    own.into_iter().map(row).collect()
}

pub(crate) fn fines_and_fees(facts: &Facts, case: &Case) -> Rows {
    let (by, users) = (case.by(By::Month), facts.users());
    let mut groups = BTreeMap::<_, Spendings<'_>>::new();
    let is_meant = |kind: &str, purpose: &str| kind == "municipality" && ["fine", "fee"].contains(&purpose);
    for spent in spent(facts, case).filter(|spent| is_meant(&spent.provider_kind, &spent.purpose)) {
        groups.entry((by.first(spent.stamp.day), &*spent.provider_id, &*spent.purpose)).or_default().push(spent);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|((period, ..), spent)| (*period, -spent.iter().map(|spent| spent.points).sum::<i64>()));
    let row = |((period, id, purpose), spent): ((NaiveDate, &str, &str), Spendings<'_>)| {
        let named = users.get(id).filter(|user| user.kind != "family_in_need");
        let name = named.and_then(|user| user.organization_name.clone());
        [cells![period, optional(name), id, purpose], totals(&spent)].concat()
    };
    groups.into_iter().map(row).collect()
}
