//! The lengths of a period, and the way from one period to another. Pure.

use std::fmt;

use chrono::{Days, Months, NaiveDate};

use crate::header::words::words;

/// How long a period is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeriodLength {
    /// A local day.
    Day,
    /// Monday to Sunday.
    Week,
    /// A month of the calendar.
    Month,
    /// Three months, from January, April, July or October.
    Quarter,
    /// A year of the calendar.
    Year,
}

words!(PeriodLength, "day" = Day, "week" = Week, "month" = Month, "quarter" = Quarter, "year" = Year,);

impl PeriodLength {
    /// From the first day of a period to that of the next.
    pub(crate) fn shift(self) -> Shift {
        match self {
            Self::Day => Shift::Days(1),
            Self::Week => Shift::Days(7),
            Self::Month => Shift::Months(1),
            Self::Quarter => Shift::Months(3),
            Self::Year => Shift::Months(12),
        }
    }
}

/// A move of days in the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shift {
    /// By days.
    Days(u64),
    /// By months: a day that a month lacks becomes its last.
    Months(u32),
}

impl Shift {
    /// The day before, by this much.
    pub(crate) fn earlier(self, day: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Days(days) => day.checked_sub_days(Days::new(days)),
            Self::Months(months) => day.checked_sub_months(Months::new(months)),
        }
    }

    /// The day after, by this much.
    pub(crate) fn later(self, day: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Days(days) => day.checked_add_days(Days::new(days)),
            Self::Months(months) => day.checked_add_months(Months::new(months)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_period_has_one_before_it_and_one_after() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        for (length, first, next, before) in [
            ("day", "2026-11-19", "2026-11-20", "2026-11-18"),
            ("week", "2026-12-28", "2027-01-04", "2026-12-21"),
            ("month", "2026-02-01", "2026-03-01", "2026-01-01"),
            ("quarter", "2026-10-01", "2027-01-01", "2026-07-01"),
            ("year", "2028-01-01", "2029-01-01", "2027-01-01"),
        ] {
            let shift = PeriodLength::parse(length).unwrap().shift();
            assert_eq!(shift.later(day(first)), Some(day(next)), "{length} {first}");
            assert_eq!(shift.earlier(day(first)), Some(day(before)), "{length} {first}");
        }
        assert_eq!(PeriodLength::Month.shift().earlier(day("2026-03-31")), Some(day("2026-02-28")));
        assert_eq!(PeriodLength::Year.shift().earlier(day("2028-02-29")), Some(day("2027-02-28")));
    }
}
