//! Reports about the quality of the data.

use std::collections::BTreeMap;

use bluelake_schemas::Stream;
use chrono::NaiveDate;

use crate::cells;
use crate::support::compare::{By, Case, Rows, optional};
use crate::support::facts::{Facts, Stamp, distinct};
use crate::support::numbers::{DAY, HOUR, percentile, share, units};

/// The delay of an event; zero if its time is after its arrival.
fn micros(stamp: &Stamp) -> i64 {
    (stamp.arrival.at - stamp.at).num_microseconds().unwrap().max(0)
}

pub(crate) fn lateness(facts: &Facts, case: &Case) -> Rows {
    let by = case.by(By::Day);
    let mut groups = BTreeMap::<_, Vec<&Stamp>>::new();
    for stamp in facts.stamps.iter().filter(|stamp| case.counts(stamp.arrival_day)) {
        groups.entry((by.first(stamp.arrival_day), &*stamp.event_type)).or_default().push(stamp);
    }
    let row = |((period, event_type), stamps): ((NaiveDate, &str), Vec<&Stamp>)| {
        let mut late: Vec<_> = stamps.iter().map(|stamp| micros(stamp)).collect();
        late.sort_unstable();
        let over = |limit| late.iter().filter(|late| **late > limit).count();
        cells![
            period,
            event_type,
            stamps.len(),
            percentile(&late, 50, HOUR),
            percentile(&late, 99, HOUR),
            units(late[late.len() - 1], HOUR),
            over(HOUR),
            over(DAY),
            stamps.iter().filter(|stamp| stamp.arrival_day > stamp.day).count(),
        ]
    };
    groups.into_iter().map(row).collect()
}

pub(crate) fn duplicates(facts: &Facts, case: &Case) -> Rows {
    let mut ids = BTreeMap::<_, Vec<&Stamp>>::new();
    for stamp in facts.stamps.iter().filter(|stamp| case.counts(stamp.day)) {
        ids.entry((stamp.stream.name(), &*stamp.id)).or_default().push(stamp);
    }
    let mut groups = BTreeMap::<_, Vec<Vec<&Stamp>>>::new();
    for ((stream, _), stamps) in ids.into_iter().filter(|(_, stamps)| stamps.len() > 1) {
        let event_type = stamps.iter().map(|stamp| &*stamp.event_type).min().unwrap();
        groups.entry((stream, event_type)).or_default().push(stamps);
    }
    let row = |((stream, event_type), ids): ((&str, &str), Vec<Vec<&Stamp>>)| {
        let across = ids.iter().filter(|stamps| distinct(stamps.iter().map(|stamp| &*stamp.arrival.shard)) > 1);
        let apart = ids.iter().map(|stamps| {
            let arrivals = || stamps.iter().map(|stamp| stamp.arrival.at);
            (arrivals().max().unwrap() - arrivals().min().unwrap()).num_microseconds().unwrap()
        });
        let extra = ids.iter().map(|stamps| stamps.len() - 1).sum::<usize>();
        cells![stream, event_type, ids.len(), extra, across.count(), units(apart.max().unwrap(), HOUR)]
    };
    groups.into_iter().map(row).collect()
}

pub(crate) fn rejected_events(facts: &Facts, case: &Case) -> Rows {
    let by = case.by(By::Day);
    let mut arrived = BTreeMap::<(NaiveDate, Stream), i64>::new();
    let stored = facts.stamps.iter().map(|stamp| (stamp.arrival_day, stamp.stream));
    let rejected = facts.rejections.iter().map(|rejection| (rejection.arrival_day, rejection.stream));
    for (day, stream) in stored.chain(rejected).filter(|(day, _)| case.counts(*day)) {
        *arrived.entry((by.first(day), stream)).or_default() += 1;
    }
    let mut groups = BTreeMap::<_, i64>::new();
    for rejection in facts.rejections.iter().filter(|rejection| case.counts(rejection.arrival_day)) {
        let period = by.first(rejection.arrival_day);
        let field = (rejection.field_path.is_none(), optional(rejection.field_path.as_deref()));
        let key = (period, rejection.stream.name(), &*rejection.reason, field, rejection.stream);
        *groups.entry(key).or_default() += 1;
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|((period, name, ..), count)| (*period, *name, -count));
    let row = |((period, name, reason, (_, field), stream), count): (
        (NaiveDate, &str, &str, (bool, String), Stream),
        i64,
    )| { cells![period, name, reason, field, count, share(count, arrived[&(period, stream)])] };
    groups.into_iter().map(row).collect()
}
