//! When things happen: a plan of hours with daily and weekly rhythm, walked once from start to end.

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};

use super::dice::Dice;
use crate::{Error, GeneratorOptions};

const HOUR_MILLIS: u128 = 3_600_000;
/// Most of the platform's members live this many hours behind UTC.
const HOURS_BEHIND_UTC: i64 = 5;
/// Relative activity by local hour, from midnight.
const BY_HOUR: [u64; 24] = [4, 2, 2, 1, 2, 5, 14, 30, 44, 50, 54, 60, 72, 66, 60, 62, 74, 88, 92, 80, 60, 40, 22, 10];
/// Relative activity by local day of the week, from Monday.
const BY_WEEKDAY: [u64; 7] = [80, 84, 88, 92, 112, 130, 96];

/// Spreads the events over the period. Times never go back from one event to the next.
#[derive(Clone, Debug)]
pub(crate) struct Rhythm {
    start: DateTime<Utc>,
    /// Activity of each hour of the period, at least 1.
    hours: Vec<u64>,
    /// Sum of `hours` × milliseconds of an hour: the length of the period in weighted milliseconds.
    length: u128,
    events: u128,
    /// The current hour, and the weighted milliseconds before it.
    hour: usize,
    before_hour: u128,
}

impl Rhythm {
    pub(crate) fn new(options: &GeneratorOptions, dice: &mut Dice) -> Result<Self, Error> {
        let start = options.checked_start()?;
        let mut hours = Vec::new();
        for day in 0..i64::from(options.days) {
            let mood = u64::try_from(dice.between(85, 115)).unwrap_or(100);
            hours.extend((0..24).map(|hour| weight(start + TimeDelta::hours(day * 24 + hour), mood)));
        }
        let length = hours.iter().map(|weight| u128::from(*weight) * HOUR_MILLIS).sum();
        Ok(Rhythm { start, hours, length, events: u128::from(options.events), hour: 0, before_hour: 0 })
    }

    /// Time of the event with this number, counted from 0. Numbers must ascend from call to call.
    pub(crate) fn at(&mut self, number: u64, dice: &mut Dice) -> DateTime<Utc> {
        let events = self.events.max(1);
        let from = u128::from(number) * self.length / events;
        let to = (u128::from(number) + 1) * self.length / events;
        let point = from + dice.below_wide(to - from);
        loop {
            let weight = self.hours.get(self.hour).copied().unwrap_or(1);
            let after_hour = self.before_hour + u128::from(weight) * HOUR_MILLIS;
            if point < after_hour || self.hour + 1 >= self.hours.len() {
                return self.time((point - self.before_hour) / u128::from(weight));
            }
            self.before_hour = after_hour;
            self.hour += 1;
        }
    }

    fn time(&self, millis_of_hour: u128) -> DateTime<Utc> {
        let hours = i64::try_from(self.hour).unwrap_or(0);
        let millis = i64::try_from(millis_of_hour).unwrap_or(0);
        self.start + TimeDelta::hours(hours) + TimeDelta::milliseconds(millis)
    }
}

fn weight(hour_start: DateTime<Utc>, mood: u64) -> u64 {
    let local = hour_start - TimeDelta::hours(HOURS_BEHIND_UTC);
    let by_hour = usize::try_from(local.hour()).ok().and_then(|hour| BY_HOUR.get(hour)).copied();
    let weekday = usize::try_from(local.weekday().num_days_from_monday()).ok();
    let by_weekday = weekday.and_then(|day| BY_WEEKDAY.get(day)).copied();
    (by_hour.unwrap_or(1) * by_weekday.unwrap_or(1) * mood / 100).max(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn times(events: u64, days: u32) -> Vec<DateTime<Utc>> {
        let end = "2026-11-02T05:00:00Z".parse().unwrap();
        let options = GeneratorOptions { events, seed: 1, days, end, bad_rate: 0.0, duplicate_rate: 0.0 };
        let mut dice = Dice::new(1);
        let mut rhythm = Rhythm::new(&options, &mut dice).unwrap();
        (0..events).map(|number| rhythm.at(number, &mut dice)).collect()
    }

    #[test]
    fn times_ascend_within_the_period_and_fill_it() {
        for events in [1, 2, 10, 5_000] {
            let times = times(events, 14);
            assert!(times.is_sorted());
            assert!(times[0] >= "2026-10-19T05:00:00Z".parse::<DateTime<Utc>>().unwrap());
            assert!(times[times.len() - 1] < "2026-11-02T05:00:00Z".parse::<DateTime<Utc>>().unwrap());
        }
        let all = times(5_000, 14);
        assert!(all[all.len() - 1] - all[0] > TimeDelta::days(13));
    }

    #[test]
    fn evenings_and_saturdays_are_the_busiest_times() {
        let local: Vec<_> = times(20_000, 14).into_iter().map(|at| at - TimeDelta::hours(HOURS_BEHIND_UTC)).collect();
        let hour = |hour: u32| local.iter().filter(|at| at.hour() == hour).count();
        let weekday = |day: u32| local.iter().filter(|at| at.weekday().num_days_from_monday() == day).count();
        assert!(hour(18) > 20 * hour(3).max(1));
        assert!(weekday(5) > weekday(0) * 5 / 4);
    }
}
