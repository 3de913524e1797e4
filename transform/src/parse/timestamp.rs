//! Times as producers write them, to microseconds since 1970-01-01 UTC.

use chrono::{DateTime, Timelike as _};

/// 2020-01-01T00:00:00Z; nothing happened before it.
const EARLIEST: i64 = 1_577_836_800_000_000;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Whether an event that arrived at `arrived_at` can have happened then: from 2020 to a day after arrival.
pub(crate) fn is_plausible(occurred_at: i64, arrived_at: i64) -> bool {
    occurred_at >= EARLIEST && occurred_at <= arrived_at.saturating_add(MICROS_PER_DAY)
}

/// UTC date of a time, in days since 1970-01-01.
pub(crate) fn date(micros: i64) -> i32 {
    // 64 bits of microseconds are 107 million days at most.
    i32::try_from(micros.div_euclid(MICROS_PER_DAY)).unwrap_or_default()
}

/// A time by RFC 3339, with offset; `None` for any other text and for a time outside of the calendar. Second 60 is
/// refused, and a `T` is required between date and time, as in the RFC's grammar. Digits below a microsecond are cut
/// off.
pub(crate) fn from_rfc3339(text: &str) -> Option<i64> {
    common_form(text.as_bytes()).or_else(|| any_form(text))
}

/// Milliseconds since 1970; `None` when 64 bits of microseconds cannot hold them.
pub(crate) fn from_epoch_milliseconds(milliseconds: i64) -> Option<i64> {
    milliseconds.checked_mul(1000)
}

fn any_form(text: &str) -> Option<i64> {
    // chrono accepts a blank for the `T`, which the RFC leaves to applications; the contract does not.
    let has_separator = text.as_bytes().get(10).is_some_and(|byte| b"Tt".contains(byte));
    if !text.is_ascii() || !has_separator {
        return None;
    }
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    // chrono keeps a leap second as nanoseconds beyond the second.
    (time.nanosecond() < 1_000_000_000).then(|| time.timestamp_micros())
}

/// The form that nearly every producer writes: `2026-11-23T17:05:00Z` or `2026-11-23T17:05:00.123Z`.
fn common_form(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2] = *head else {
        return None;
    };
    let digits = [y1, y2, y3, y4, m1, m2, d1, d2, h1, h2, n1, n2, s1, s2];
    if !digits.iter().fold(true, |all, digit| all & digit.is_ascii_digit()) {
        return None;
    }
    let (year, month, day) = (pair(y1, y2) * 100 + pair(y3, y4), pair(m1, m2), pair(d1, d2));
    let (hour, minute, second) = (pair(h1, h2), pair(n1, n2), pair(s1, s2));
    let in_calendar = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    if !in_calendar || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = match tail {
        [b'Z'] => 0,
        [b'.', f1, f2, f3, b'Z'] if [f1, f2, f3].iter().all(|digit| digit.is_ascii_digit()) => {
            (pair(*f1, *f2) * 10 + i64::from(f3 & 0xF)) * 1000
        }
        [b'.', fraction @ .., b'Z'] => micros_of(fraction)?,
        _ => return None,
    };
    let seconds = (days_since_epoch(year, month, day) * 24 + hour) * 3600 + minute * 60 + second;
    Some(seconds * 1_000_000 + micros)
}

/// The number of two digits.
fn pair(tens: u8, ones: u8) -> i64 {
    i64::from(tens & 0xF) * 10 + i64::from(ones & 0xF)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

/// One to six digits after the point; longer fractions go the long way.
fn micros_of(fraction: &[u8]) -> Option<i64> {
    let missing = 6_usize.checked_sub(fraction.len()).filter(|missing| *missing < 6)?;
    (0..missing).try_fold(number(fraction)?, |micros, _| micros.checked_mul(10))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the Gregorian calendar, by Howard Hinnant's `days_from_civil`.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn the_short_way_agrees_with_chrono(
            year in prop_oneof![2019..2030_i32, 0..10_000],
            (month, day) in (0..14_u32, 0..33_u32),
            (hour, minute, second) in (0..26_u32, 0..62_u32, 0..62_u32),
            fraction in "(\\.[0-9]{0,10})?",
            zone in proptest::sample::select(vec!["Z", "Z", "Z", "z", "+00:00", "-05:30", "", "+24:00", "Z "]),
            separator in proptest::sample::select(vec!["T", "T", "T", " ", "t", "_"]),
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
            let expected = DateTime::parse_from_rfc3339(&text).ok().filter(|_| second < 60 && separator != " ");
            prop_assert_eq!(from_rfc3339(&text), expected.map(|time| time.timestamp_micros()), "{}", text);
        }

        #[test]
        fn no_text_makes_the_time_parser_panic(text in any::<String>(), near in "[0-9TZ:. +-]{0,32}", number in any::<i64>()) {
            from_rfc3339(&text);
            from_rfc3339(&near);
            from_epoch_milliseconds(number);
        }
    }

    #[test]
    fn times_that_do_not_exist_are_none() {
        for text in [
            "2026-02-30T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2026-06-30T23:59:60Z",
            "2026-06-30T23:59:60.5Z",
            "2026-06-30T23:59:60+00:00",
            "2026-11-23T17:05:00",
            "2026-11-23",
            "292277-01-01T00:00:00Z",
            "1764000000000",
            "2026-11-23T24:00:00Z",
            "2026-11-23T17:05:00.Z",
            "2026-11-23 17:05:00Z",
            "2026-11-23 17:05:00.123+01:00",
            "2026-11-23_17:05:00Z",
            "2026-11-23T17:05:00 Z",
            "2026-11-23T17:05:00+0100",
            "2026-11-23T17:05:00+01",
            " 2026-11-23T17:05:00Z",
            "+2026-11-23T17:05:00Z",
            "",
            "2026-11-23T17:05:00\u{2212}05:00",
        ] {
            assert_eq!(from_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn fractions_are_kept_to_the_microsecond() {
        let second = from_rfc3339("2026-11-23T17:05:00Z").unwrap();
        for (text, micros) in [
            ("2026-11-23T17:05:00.1Z", 100_000),
            ("2026-11-23T17:05:00.123456Z", 123_456),
            ("2026-11-23T17:05:00.123456789Z", 123_456),
            ("2026-11-23T18:05:00.000001+01:00", 1),
        ] {
            assert_eq!(from_rfc3339(text), Some(second + micros), "{text}");
        }
        assert_eq!(from_epoch_milliseconds(1_795_453_500_001), Some(second + 1000));
        assert_eq!(from_epoch_milliseconds(i64::MAX), None);
        assert_eq!(from_rfc3339("2026-11-23t17:05:00z"), Some(second), "the RFC has them in lower case too");
    }

    #[test]
    fn plausible_times_end_a_day_after_arrival() {
        let arrived_at = from_rfc3339("2026-11-23T17:05:00Z").unwrap();
        let plausible = |text: &str| is_plausible(from_rfc3339(text).unwrap(), arrived_at);
        assert!(plausible("2020-01-01T00:00:00Z") && plausible("2026-11-24T17:05:00Z"));
        assert!(!plausible("2019-12-31T23:59:59.999Z") && !plausible("2026-11-24T17:05:00.000001Z"));
        assert!(is_plausible(i64::MAX, i64::MAX));
    }

    #[test]
    fn a_date_is_that_of_utc() {
        assert_eq!(date(0), 0);
        assert_eq!(date(-1), -1);
        assert_eq!(date(from_rfc3339("2026-11-23T23:30:00-05:00").unwrap()), 20_781);
        assert!(date(i64::MAX) > 0 && date(i64::MIN) < 0);
    }
}
