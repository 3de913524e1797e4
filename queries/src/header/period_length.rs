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
    /// The day that is this many periods later, or earlier. A day that its month lacks becomes the month's last.
    pub(crate) fn moved(self, day: NaiveDate, periods: i32) -> Option<NaiveDate> {
        let count = periods.unsigned_abs();
        let (days, months) = match self {
            Self::Day => (count, 0),
            Self::Week => (count.checked_mul(7)?, 0),
            Self::Month => (0, count),
            Self::Quarter => (0, count.checked_mul(3)?),
            Self::Year => (0, count.checked_mul(12)?),
        };
        let (days, months) = (Days::new(u64::from(days)), Months::new(months));
        if periods < 0 {
            day.checked_sub_months(months)?.checked_sub_days(days)
        } else {
            day.checked_add_months(months)?.checked_add_days(days)
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
            let length = PeriodLength::parse(length).unwrap();
            assert_eq!(length.moved(day(first), 1), Some(day(next)), "{length} {first}");
            assert_eq!(length.moved(day(first), -1), Some(day(before)), "{length} {first}");
        }
        assert_eq!(PeriodLength::Month.moved(day("2026-03-31"), -1), Some(day("2026-02-28")));
        assert_eq!(PeriodLength::Year.moved(day("2028-02-29"), -1), Some(day("2027-02-28")));
    }
}
