//! Recent encounters: a civilian connects with one officer once in a UTC day, except for a small share of cheats.

use std::collections::{HashSet, VecDeque};

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::roster::Member;

/// Days remembered. Events are late by less than a day, so an event belongs to today or yesterday.
const DAYS: usize = 3;
/// Encounters kept for repetition.
const LATEST: usize = 64;

/// Pairs of civilian and officer by day, as indexes of the roster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Encounters {
    days: VecDeque<(NaiveDate, HashSet<(usize, usize)>)>,
    latest: VecDeque<(NaiveDate, usize, usize)>,
}

impl Encounters {
    /// True if the two met on that day.
    pub(crate) fn met(&self, civilian: &Member, officer: &Member, at: DateTime<Utc>) -> bool {
        let date = at.date_naive();
        let day = self.days.iter().find(|(known, _)| *known == date);
        day.is_some_and(|(_, pairs)| pairs.contains(&(civilian.index, officer.index)))
    }

    /// A recent pair of that day: `below` draws a number under its argument.
    pub(crate) fn again(&self, at: DateTime<Utc>, below: impl FnOnce(usize) -> usize) -> Option<(usize, usize)> {
        let (date, civilian, officer) = *self.latest.get(below(self.latest.len()))?;
        (date == at.date_naive()).then_some((civilian, officer))
    }

    /// Remembers an encounter and forgets old ones.
    pub(crate) fn remember(&mut self, civilian: &Member, officer: &Member, at: DateTime<Utc>) {
        let date = at.date_naive();
        let pair = (civilian.index, officer.index);
        match self.days.iter_mut().find(|(known, _)| *known == date) {
            Some((_, pairs)) => {
                pairs.insert(pair);
            }
            None => self.open(date, pair),
        }
        if self.latest.len() == LATEST {
            self.latest.pop_front();
        }
        self.latest.push_back((date, pair.0, pair.1));
    }

    fn open(&mut self, date: NaiveDate, pair: (usize, usize)) {
        self.days.push_back((date, HashSet::from([pair])));
        if self.days.len() > DAYS {
            let newest = self.days.iter().map(|(date, _)| *date).max();
            let oldest_needed = newest.and_then(|date| date.checked_sub_days(Days::new(1)));
            self.days.retain(|(date, _)| oldest_needed.is_none_or(|needed| *date >= needed));
        }
    }
}
