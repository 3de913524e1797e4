//! The options of a generator.

use chrono::{DateTime, Datelike, TimeDelta, Utc};

use crate::Error;

/// The longest period, in days: keeps the plan of hours small.
const MAX_DAYS: u32 = 3_660;

/// The options of a [`crate::Generator`]. Equal options give equal bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeneratorOptions {
    /// Events to make, bad ones and duplicates included.
    pub events: u64,
    /// Seed of everything random.
    pub seed: u64,
    /// Length of the period in days of 24 hours, at least 1.
    pub days: u32,
    /// End of the period, exclusive: no good event occurs at or after it.
    pub end: DateTime<Utc>,
    /// Share of bad events, from 0 to 1.
    pub bad_rate: f64,
    /// Share of duplicates, from 0 to 1; both rates together at most 1.
    pub duplicate_rate: f64,
}

impl GeneratorOptions {
    /// Start of the period.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if a rate, the length or an end of the period is out of range.
    pub(crate) fn checked_start(&self) -> Result<DateTime<Utc>, Error> {
        check_rate("bad_rate", self.bad_rate)?;
        check_rate("duplicate_rate", self.duplicate_rate)?;
        if self.bad_rate + self.duplicate_rate > 1.0 {
            return Err(invalid("bad_rate", "and duplicate_rate together must not exceed 1"));
        }
        if !(1..=MAX_DAYS).contains(&self.days) {
            return Err(invalid("days", format!("must be from 1 to {MAX_DAYS}")));
        }
        if self.end.year() > 9_999 {
            return Err(invalid("end", "must not be after the year 9999"));
        }
        let start = self.end.checked_sub_signed(TimeDelta::days(i64::from(self.days)));
        match start.filter(|start| start.year() >= 2020) {
            Some(start) => Ok(start),
            None => Err(invalid("days", "must not reach back before 2020: such events are implausible")),
        }
    }
}

fn check_rate(option: &'static str, rate: f64) -> Result<(), Error> {
    if (0.0..=1.0).contains(&rate) { Ok(()) } else { Err(invalid(option, "must be from 0 to 1")) }
}

fn invalid(option: &'static str, problem: impl Into<String>) -> Error {
    Error::InvalidOption { option, problem: problem.into() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn options() -> GeneratorOptions {
        GeneratorOptions {
            events: 10,
            seed: 1,
            days: 30,
            end: "2026-11-01T00:00:00Z".parse().unwrap(),
            bad_rate: 0.0,
            duplicate_rate: 0.0,
        }
    }

    #[test]
    fn the_period_starts_n_days_before_its_end() {
        assert_eq!(options().checked_start().unwrap().to_rfc3339(), "2026-10-02T00:00:00+00:00");
    }

    #[test]
    fn options_out_of_range_are_refused_by_name() {
        let cases = [
            ("bad_rate", GeneratorOptions { bad_rate: f64::NAN, ..options() }),
            ("bad_rate", GeneratorOptions { bad_rate: 0.6, duplicate_rate: 0.6, ..options() }),
            ("duplicate_rate", GeneratorOptions { duplicate_rate: -0.1, ..options() }),
            ("days", GeneratorOptions { days: 0, ..options() }),
            ("days", GeneratorOptions { days: 3_000, ..options() }),
            ("days", GeneratorOptions { days: u32::MAX, ..options() }),
            ("end", GeneratorOptions { end: DateTime::<Utc>::MAX_UTC, ..options() }),
        ];
        for (option, options) in cases {
            let message = options.checked_start().unwrap_err().to_string();
            assert!(message.starts_with(option), "{message}");
        }
    }
}
