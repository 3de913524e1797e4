//! Reports about spending, and about points as a debt.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::cells;
use crate::expected::interactions::ranks;
use crate::support::compare::{By, Case, Rows, optional};
use crate::support::facts::{Facts, Item, Redemption, Row, distinct};
use crate::support::numbers::share;

pub(crate) type Spendings<'a> = Vec<&'a Row<Redemption>>;

pub(crate) fn spent<'a>(facts: &'a Facts, case: &'a Case) -> impl Iterator<Item = &'a Row<Redemption>> {
    facts.redemptions.iter().filter(|spent| case.counts(spent.stamp.day))
}

/// Worth in US dollars, if any states one.
pub(crate) fn dollars(spent: &Spendings<'_>) -> Option<i64> {
    let dollars = spent.iter().filter(|spent| spent.currency.as_deref().is_none_or(|currency| currency == "USD"));
    dollars.filter_map(|spent| spent.amount_cents).reduce(|sum, cents| sum + cents)
}

/// Of the redemptions that state a worth in US dollars: how many, and their points.
pub(crate) fn with_amount(spent: &Spendings<'_>) -> [String; 2] {
    let is_dollars = |spent: &&&Row<Redemption>| spent.currency.as_deref().is_none_or(|currency| currency == "USD");
    let stated: Vec<_> = spent.iter().filter(is_dollars).filter(|spent| spent.amount_cents.is_some()).collect();
    [stated.len().to_string(), stated.iter().map(|spent| spent.points).sum::<i64>().to_string()]
}

/// Redemptions, points, cents, other currencies, redeemers, those with an amount.
pub(crate) fn totals(spent: &Spendings<'_>) -> Vec<String> {
    let foreign = |spent: &&&Row<Redemption>| {
        spent.amount_cents.is_some() && spent.currency.as_deref().is_some_and(|currency| currency != "USD")
    };
    cells![
        spent.len(),
        spent.iter().map(|spent| spent.points).sum::<i64>(),
        optional(dollars(spent)),
        spent.iter().filter(foreign).count(),
        distinct(spent.iter().map(|spent| &*spent.redeemer_id)),
    ]
    .into_iter()
    .chain(with_amount(spent))
    .collect()
}

pub(crate) fn redemptions(facts: &Facts, case: &Case) -> Rows {
    let by = case.by(By::Day);
    let mut groups = BTreeMap::<_, Spendings<'_>>::new();
    for spent in spent(facts, case) {
        let key = (by.first(spent.stamp.day), &*spent.provider_kind, &*spent.purpose);
        groups.entry(key).or_default().push(spent);
    }
    let row = |((period, kind, purpose), spent): ((NaiveDate, &str, &str), Spendings<'_>)| {
        [cells![period, kind, purpose], totals(&spent)].concat()
    };
    groups.into_iter().map(row).collect()
}

pub(crate) fn redemptions_by_provider(facts: &Facts, case: &Case) -> Rows {
    let (by, users) = (case.by(By::Month), facts.users());
    let mut groups = BTreeMap::<_, Spendings<'_>>::new();
    for spent in spent(facts, case) {
        let key = (by.first(spent.stamp.day), &*spent.provider_id, &*spent.provider_kind, &*spent.purpose);
        groups.entry(key).or_default().push(spent);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|((period, ..), spent)| (*period, -spent.iter().map(|spent| spent.points).sum::<i64>()));
    let row = |((period, id, kind, purpose), spent): ((NaiveDate, &str, &str, &str), Spendings<'_>)| {
        let named = users.get(id).filter(|user| user.kind != "family_in_need");
        let name = named.and_then(|user| user.organization_name.clone());
        [cells![period, id, optional(name), kind, purpose], totals(&spent)].concat()
    };
    groups.into_iter().map(row).collect()
}

pub(crate) fn top_items(facts: &Facts, case: &Case) -> Rows {
    let mut groups = BTreeMap::<(&str, &str), Vec<(&str, &Item)>>::new();
    for spent in spent(facts, case) {
        for item in spent.items.iter().flatten() {
            groups.entry((&spent.provider_id, &item.sku)).or_default().push((&spent.stamp.id, item));
        }
    }
    let points = |items: &[(&str, &Item)]| items.iter().map(|(_, item)| item.points).sum::<i64>();
    let ranked = ranks(groups.into_iter().collect(), case.number("top", 20), |(_, items)| points(items));
    let row = |(rank, ((provider, sku), items)): (usize, ((&str, &str), Vec<(&str, &Item)>))| {
        let name = items.iter().map(|(_, item)| &*item.name).max().unwrap();
        let quantity = items.iter().map(|(_, item)| item.quantity).sum::<i64>();
        let redemptions = distinct(items.iter().map(|(id, _)| *id));
        cells![rank, provider, sku, name, quantity, points(&items), redemptions]
    };
    ranked.into_iter().map(row).collect()
}

/// Points minted by each meeting, with its day.
pub(crate) fn minted(facts: &Facts) -> Vec<(NaiveDate, i64)> {
    facts.interactions.iter().map(|met| (met.stamp.day, met.points_civilian + met.points_officer)).collect()
}

/// Periods with their last counted day: the days from `from` to `to`, whatever the lake's days are; without them, the
/// lake's.
pub(crate) fn periods(facts: &Facts, case: &Case, by: By) -> BTreeMap<NaiveDate, NaiveDate> {
    let days = || facts.stamps.iter().map(|stamp| stamp.day);
    let (Some(first_day), Some(last_day)) = (days().min(), days().max()) else { return BTreeMap::new() };
    let (from, to) = (case.date("from").unwrap_or(first_day), case.date("to").unwrap_or(last_day));
    from.iter_days().take_while(|day| *day <= to).map(|day| (by.first(day), day)).collect()
}

fn sum(points: &[(NaiveDate, i64)], counts: impl Fn(NaiveDate) -> bool) -> i64 {
    points.iter().filter(|(day, _)| counts(*day)).map(|(_, points)| points).sum()
}

/// Points minted, points of another kind, and their ratio: of each period, and up to its end.
pub(crate) fn shares_of_minted(facts: &Facts, case: &Case, used: Vec<(NaiveDate, i64)>) -> Rows {
    let (by, minted) = (case.by(By::Month), minted(facts));
    let row = |(period, end): (NaiveDate, NaiveDate)| {
        let within = |day| case.counts(day) && by.first(day) == period;
        let until = |day| day <= end;
        let (made, spent) = (sum(&minted, within), sum(&used, within));
        let (made_to_date, spent_to_date) = (sum(&minted, until), sum(&used, until));
        cells![period, made, spent, share(spent, made), made_to_date, spent_to_date, share(spent_to_date, made_to_date)]
    };
    periods(facts, case, by).into_iter().map(row).collect()
}

pub(crate) fn redemption_rate(facts: &Facts, case: &Case) -> Rows {
    shares_of_minted(facts, case, facts.redemptions.iter().map(|spent| (spent.stamp.day, spent.points)).collect())
}

pub(crate) fn points_liability(facts: &Facts, case: &Case) -> Rows {
    let (by, minted) = (case.by(By::Day), minted(facts));
    let burned: Vec<_> = facts.redemptions.iter().map(|spent| (spent.stamp.day, spent.points)).collect();
    let given: Vec<_> = facts.donations.iter().map(|gift| (gift.stamp.day, gift.points)).collect();
    let row = |(period, end): (NaiveDate, NaiveDate)| {
        let within = |day| case.counts(day) && by.first(day) == period;
        let until = |day| day <= end;
        let (made, spent) = (sum(&minted, within), sum(&burned, within));
        let liability = sum(&minted, until) - sum(&burned, until);
        cells![period, made, spent, made - spent, liability, sum(&given, within)]
    };
    periods(facts, case, by).into_iter().map(row).collect()
}
