//! Moments in the two units of Kinesis, Delta and Arrow. The unit is part of the type, so that they cannot be confused.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A moment in milliseconds since 1970-01-01T00:00:00Z: the unit of Kinesis, of the Delta log and of the checkpoint
/// documents. In JSON it is the bare number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(i64);

/// A moment in microseconds since 1970-01-01T00:00:00Z: the unit of the tables' columns. In JSON it is the bare number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(i64);

impl Millis {
    /// Before everything.
    pub const MIN: Self = Self(i64::MIN);
    /// After everything.
    pub const MAX: Self = Self(i64::MAX);

    /// The moment N milliseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn new(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The moment `span` later, at most [`Millis::MAX`].
    #[must_use]
    pub fn later(self, span: Duration) -> Self {
        Self(self.0.saturating_add(whole(span.as_millis())))
    }

    /// The moment `span` earlier, at least [`Millis::MIN`].
    #[must_use]
    pub fn earlier(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(whole(span.as_millis())))
    }

    /// The time from `before` to here; zero when `before` is later.
    #[must_use]
    pub fn since(self, before: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(before.0)).unwrap_or(0))
    }

    /// The same moment in microseconds, limited to their range.
    #[must_use]
    pub fn micros(self) -> Micros {
        Micros(self.0.saturating_mul(1_000))
    }

    /// The same moment as a date and time; `None` beyond what that can hold.
    #[must_use]
    pub fn time(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.0)
    }
}

impl Micros {
    /// Before everything.
    pub const MIN: Self = Self(i64::MIN);
    /// After everything.
    pub const MAX: Self = Self(i64::MAX);

    /// The moment N microseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn new(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The moment `span` later, at most [`Micros::MAX`].
    #[must_use]
    pub fn later(self, span: Duration) -> Self {
        Self(self.0.saturating_add(whole(span.as_micros())))
    }

    /// The moment `span` earlier, at least [`Micros::MIN`].
    #[must_use]
    pub fn earlier(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(whole(span.as_micros())))
    }

    /// The whole millisecond in which the moment lies.
    #[must_use]
    pub fn millis(self) -> Millis {
        Millis(self.0.div_euclid(1_000))
    }

    /// The same moment as a date and time; `None` beyond what that can hold.
    #[must_use]
    pub fn time(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.0)
    }
}

impl From<DateTime<Utc>> for Millis {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_millis())
    }
}

impl From<DateTime<Utc>> for Micros {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_micros())
    }
}

impl fmt::Debug for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

fn whole(units: u128) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_millisecond_before_1970_holds_its_microseconds() {
        for (micros, millis) in [(0, 0), (999, 0), (1_000, 1), (-1, -1), (-1_000, -1), (-1_001, -2)] {
            assert_eq!(Micros::new(micros).millis(), Millis::new(millis), "{micros}");
        }
        assert_eq!(Millis::new(-2).micros(), Micros::new(-2_000));
    }

    #[test]
    fn no_span_leads_past_the_ends_of_time() {
        let span = Duration::MAX;
        assert_eq!((Millis::new(5).later(span), Millis::new(-5).earlier(span)), (Millis::MAX, Millis::MIN));
        assert_eq!((Micros::MAX.later(span), Micros::MIN.earlier(span)), (Micros::MAX, Micros::MIN));
        assert_eq!(Millis::MAX.micros(), Micros::MAX);
        assert_eq!(Millis::MIN.micros(), Micros::MIN);
        assert_eq!(Millis::MAX.time(), None);
    }

    #[test]
    fn a_later_moment_is_no_time_ago() {
        assert_eq!(Millis::new(1_500).since(Millis::new(1_000)), Duration::from_millis(500));
        assert_eq!(Millis::new(1_000).since(Millis::new(1_500)), Duration::ZERO);
        assert_eq!(Millis::MAX.since(Millis::MIN), Duration::from_millis(i64::MAX.unsigned_abs()));
    }
}
