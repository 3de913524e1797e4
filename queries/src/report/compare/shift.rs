//! By how much days are moved, to come to those that they are compared with. Pure.

use chrono::{Datelike as _, NaiveDate};

use super::Compare;
use crate::header::period_length::{PeriodLength, Shift};

/// From days to those they are compared with. `by`: the length of the periods, if the report has any. `are_given`: the days
/// were asked for; then all of them are compared with as many before, where those are whole periods.
pub(super) fn shift(
    compare: Compare,
    by: Option<PeriodLength>,
    first_day: NaiveDate,
    last_day: NaiveDate,
    are_given: bool,
) -> Option<Shift> {
    let days = last_day.signed_duration_since(first_day).num_days();
    let days = u64::try_from(days).ok().and_then(|days| days.checked_add(1));
    let months = whole_months(first_day, last_day);
    Some(match (compare, by) {
        // Weeks begin on Mondays: 52 of them are nearest to a year.
        (Compare::Year, Some(PeriodLength::Week)) => Shift::Days(364),
        (Compare::Year, _) => Shift::Months(12),
        (Compare::Previous, None) => match months {
            Some(months) => Shift::Months(months),
            None => Shift::Days(days?),
        },
        (Compare::Previous, Some(by)) if are_given => match (by.shift(), months) {
            (Shift::Days(length), _) if days?.is_multiple_of(length) => Shift::Days(days?),
            (Shift::Months(length), Some(months)) if months.is_multiple_of(length) => Shift::Months(months),
            (one, _) => one,
        },
        (Compare::Previous, Some(by)) => by.shift(),
    })
}

/// The last day that a last day is compared with: the end of a month is compared with the end of a month.
pub(super) fn earlier_last(shift: Shift, day: NaiveDate) -> Option<NaiveDate> {
    match shift {
        Shift::Months(_) if is_end_of_month(day) => shift.earlier(day.succ_opt()?)?.pred_opt(),
        _ => shift.earlier(day),
    }
}

fn is_end_of_month(day: NaiveDate) -> bool {
    day.succ_opt().is_none_or(|next| next.day() == 1)
}

/// How many months these days are, when they are whole ones.
fn whole_months(first_day: NaiveDate, last_day: NaiveDate) -> Option<u32> {
    if first_day.day() != 1 || !is_end_of_month(last_day) || last_day < first_day {
        return None;
    }
    let count = |day: NaiveDate| i64::from(day.year()) * 12 + i64::from(day.month0());
    u32::try_from(count(last_day) - count(first_day) + 1).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn days_are_moved_to_those_they_are_compared_with() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        use Compare::{Previous, Year};
        for (compare, by, days, expected) in [
            (Previous, Some(PeriodLength::Month), ("2026-03-01", "2026-03-31"), ("2026-02-01", "2026-02-28")),
            (Previous, Some(PeriodLength::Month), ("2026-03-01", "2026-03-30"), ("2026-02-01", "2026-02-28")),
            (Previous, Some(PeriodLength::Month), ("2026-02-01", "2026-02-28"), ("2026-01-01", "2026-01-31")),
            (Previous, Some(PeriodLength::Month), ("2026-01-15", "2026-03-17"), ("2025-12-15", "2026-02-17")),
            (Previous, Some(PeriodLength::Day), ("2026-03-01", "2026-03-31"), ("2026-01-29", "2026-02-28")),
            (Previous, Some(PeriodLength::Day), ("2026-11-23", "2026-11-29"), ("2026-11-16", "2026-11-22")),
            (Previous, Some(PeriodLength::Week), ("2026-03-02", "2026-03-15"), ("2026-02-16", "2026-03-01")),
            (Previous, Some(PeriodLength::Week), ("2026-03-02", "2026-03-11"), ("2026-02-23", "2026-03-04")),
            (Previous, Some(PeriodLength::Month), ("2026-01-01", "2026-06-30"), ("2025-07-01", "2025-12-31")),
            (Previous, Some(PeriodLength::Quarter), ("2026-01-01", "2026-02-28"), ("2025-10-01", "2025-11-30")),
            (Previous, Some(PeriodLength::Quarter), ("2026-01-01", "2026-03-31"), ("2025-10-01", "2025-12-31")),
            (Previous, Some(PeriodLength::Year), ("2026-01-01", "2026-12-31"), ("2025-01-01", "2025-12-31")),
            (Previous, None, ("2026-02-01", "2026-02-28"), ("2026-01-01", "2026-01-31")),
            (Previous, None, ("2026-04-01", "2026-06-30"), ("2026-01-01", "2026-03-31")),
            (Previous, None, ("2026-02-03", "2026-02-09"), ("2026-01-27", "2026-02-02")),
            (Previous, None, ("2026-02-03", "2026-02-03"), ("2026-02-02", "2026-02-02")),
            (Year, None, ("2028-02-01", "2028-02-29"), ("2027-02-01", "2027-02-28")),
            (Year, Some(PeriodLength::Month), ("2027-02-01", "2027-02-28"), ("2026-02-01", "2026-02-28")),
            (Year, Some(PeriodLength::Month), ("2029-02-01", "2029-02-28"), ("2028-02-01", "2028-02-29")),
            (Year, Some(PeriodLength::Week), ("2026-11-16", "2026-11-22"), ("2025-11-17", "2025-11-23")),
        ] {
            let (first, last) = (day(days.0), day(days.1));
            let shift = shift(compare, by, first, last, true).unwrap();
            let found = (shift.earlier(first).unwrap(), earlier_last(shift, last).unwrap());
            assert_eq!(found, (day(expected.0), day(expected.1)), "{compare:?} {by:?} {days:?}");
        }
        assert_eq!(shift(Previous, None, day("2026-02-03"), day("2026-02-01"), true), None, "no day");
        // Of the whole lake each period stands beside the one before it.
        for (by, expected) in [
            (PeriodLength::Day, Shift::Days(1)),
            (PeriodLength::Week, Shift::Days(7)),
            (PeriodLength::Month, Shift::Months(1)),
            (PeriodLength::Year, Shift::Months(12)),
        ] {
            let found = shift(Previous, Some(by), day("2026-01-01"), day("2026-12-31"), false);
            assert_eq!(found, Some(expected), "{by}");
        }
    }
}
