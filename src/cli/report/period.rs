//! `--for`: a period in a word. Pure.

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, Utc, Weekday};
use chrono_tz::Tz;

/// Days from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: NaiveDate,
    pub(super) to: NaiveDate,
}

/// The periods that are told from today.
const WORDS: [&str; 13] = [
    "today",
    "yesterday",
    "this-week",
    "last-week",
    "this-month",
    "last-month",
    "this-quarter",
    "last-quarter",
    "this-year",
    "last-year",
    "last-7-days",
    "last-30-days",
    "last-90-days",
];

/// Reads one of [`WORDS`], a day `2026-11-25`, a month `2026-11`, a week `2026-W47`, a quarter `2026-Q4` or a year `2026`.
/// The last N days are those before today.
///
/// # Errors
/// The allowed forms, in words.
pub(super) fn span(text: &str, now: DateTime<Utc>, zone: Tz) -> Result<Span, String> {
    let today = now.with_timezone(&zone).date_naive();
    let earlier = |months| today.checked_sub_months(Months::new(months));
    let month_of = |day: NaiveDate| months(day.year(), day.month(), 1);
    let quarter_of = |day: NaiveDate| months(day.year(), day.month0() / 3 * 3 + 1, 3);
    let year_of = |day: NaiveDate| months(day.year(), 1, 12);
    let last_days = |count| Some(Span { from: today.checked_sub_days(Days::new(count))?, to: today.pred_opt()? });
    let found = match text {
        "today" => Some(day(today)),
        "yesterday" => today.pred_opt().map(day),
        "this-week" => week_of(today),
        "last-week" => today.checked_sub_days(Days::new(7)).and_then(week_of),
        "this-month" => month_of(today),
        "last-month" => earlier(1).and_then(month_of),
        "this-quarter" => quarter_of(today),
        "last-quarter" => earlier(3).and_then(quarter_of),
        "this-year" => year_of(today),
        "last-year" => earlier(12).and_then(year_of),
        "last-7-days" => last_days(7),
        "last-30-days" => last_days(30),
        "last-90-days" => last_days(90),
        _ => written(text),
    };
    found.ok_or_else(|| {
        let words = WORDS.join(", ");
        format!("{text:?} is no period: write 2026-11-25, 2026-11, 2026-W47, 2026-Q4, 2026, or one of {words}")
    })
}

fn written(text: &str) -> Option<Span> {
    if text.len() == 10 {
        return NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(day);
    }
    let (year, rest) = text.split_once('-').unwrap_or((text, ""));
    let number = |text: &str, digits| {
        let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u32>().ok()).flatten()
    };
    let year = i32::try_from(number(year, 4)?).ok()?;
    match rest.as_bytes().first() {
        None => months(year, 1, 12),
        Some(b'W') => week_of(NaiveDate::from_isoywd_opt(year, number(&rest[1..], 2)?, Weekday::Mon)?),
        Some(b'Q') => {
            let quarter = number(&rest[1..], 1).filter(|quarter| (1..=4).contains(quarter))?;
            months(year, quarter * 3 - 2, 3)
        }
        Some(_) => months(year, number(rest, 2)?, 1),
    }
}

fn day(day: NaiveDate) -> Span {
    Span { from: day, to: day }
}

fn week_of(day: NaiveDate) -> Option<Span> {
    let week = day.week(Weekday::Mon);
    Some(Span { from: week.checked_first_day()?, to: week.checked_last_day()? })
}

fn months(year: i32, month: u32, count: u32) -> Option<Span> {
    let from = NaiveDate::from_ymd_opt(year, month, 1)?;
    Some(Span { from, to: from.checked_add_months(Months::new(count))?.pred_opt()? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_given_by_its_name() {
        let now = "2026-03-01T03:00:00Z".parse().unwrap();
        let days = |text: &str, zone| span(text, now, zone).map(|span| format!("{} {}", span.from, span.to)).unwrap();
        for (text, expected) in [
            ("today", "2026-03-01 2026-03-01"),
            ("this-week", "2026-02-23 2026-03-01"),
            ("this-month", "2026-03-01 2026-03-31"),
            ("this-quarter", "2026-01-01 2026-03-31"),
            ("last-quarter", "2025-10-01 2025-12-31"),
            ("this-year", "2026-01-01 2026-12-31"),
            ("last-year", "2025-01-01 2025-12-31"),
            ("last-7-days", "2026-02-22 2026-02-28"),
            ("last-30-days", "2026-01-30 2026-02-28"),
            ("last-90-days", "2025-12-01 2026-02-28"),
            ("yesterday", "2026-02-28 2026-02-28"),
            ("last-week", "2026-02-16 2026-02-22"),
            ("last-month", "2026-02-01 2026-02-28"),
            ("2026-11-25", "2026-11-25 2026-11-25"),
            ("2028-02", "2028-02-01 2028-02-29"),
            ("2026-W47", "2026-11-16 2026-11-22"),
            ("2026-W01", "2025-12-29 2026-01-04"),
            ("2026-W53", "2026-12-28 2027-01-03"),
            ("2026-Q4", "2026-10-01 2026-12-31"),
            ("2026", "2026-01-01 2026-12-31"),
        ] {
            assert_eq!(days(text, Tz::UTC), expected, "{text}");
        }
        assert!(WORDS.iter().all(|word| span(word, now, Tz::UTC).is_ok()));
        assert_eq!(days("yesterday", Tz::America__Chicago), "2026-02-27 2026-02-27", "it is still the 28th there");
    }

    #[test]
    fn what_is_no_period_is_refused_with_examples() {
        for wrong in [
            "",
            "today?",
            "2026-13",
            "2026-W54",
            "2025-W53",
            "2026-Q5",
            "26",
            "2026-2-1",
            "2026-02-30",
            "2026-W",
            "2026-Ü1",
        ] {
            let message = span(wrong, Utc::now(), Tz::UTC).unwrap_err();
            assert!(message.contains("is no period: write 2026-11-25"), "{wrong}: {message}");
        }
    }
}
