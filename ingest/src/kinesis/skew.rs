//! How far the local clock is from the service's. Pure.
//!
//! A wrong clock may cost false alarms, never records: what is claimed to be known ends at the earlier of both clocks,
//! and what may be lost ends at the later.

use bluelake_schemas::Millis;
use chrono::{DateTime, Utc};

/// The service gives its time in whole seconds, rounded down.
const CUT: i64 = 1_000;

/// The local clock against the service's, as measured once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Skew {
    /// Milliseconds that the local clock is ahead, at most; a second less, at least.
    ahead: i64,
}

impl Skew {
    /// Measures by the service's time in an answer that came just now. Without one, the local clock is taken as right.
    #[must_use]
    pub(crate) fn of(local: DateTime<Utc>, service: Option<DateTime<Utc>>) -> Self {
        Self { ahead: service.map_or(0, |service| (local - service).num_milliseconds()) }
    }

    /// Not later than the local clock, which says `local`, nor than the service's.
    #[must_use]
    pub(crate) fn earliest(self, local: DateTime<Utc>) -> Millis {
        Millis::new(local.timestamp_millis().saturating_sub(self.ahead.max(0)))
    }

    /// Not earlier than either.
    #[must_use]
    pub(crate) fn latest(self, local: DateTime<Utc>) -> Millis {
        Millis::new(local.timestamp_millis().saturating_sub(self.ahead.saturating_sub(CUT).min(0)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).unwrap()
    }

    #[test]
    fn the_true_time_lies_between_both_bounds() {
        for (off, cut) in [(0, 0), (0, 999), (3_600_000, 500), (-3_600_000, 500), (300, 0), (-300, 999)] {
            let (measured, later) = (7_200_000 + cut, 9_000_000);
            let skew = Skew::of(at(measured + off), Some(at(7_200_000)));
            let (earliest, latest) = (skew.earliest(at(later + off)), skew.latest(at(later + off)));
            assert!(earliest.get() <= later && later <= latest.get(), "off by {off}: {earliest:?} to {latest:?}");
            assert!(latest.get() - earliest.get() <= off.abs() + CUT, "off by {off}: no wider than it must be");
        }
    }

    #[test]
    fn without_the_services_time_the_local_clock_counts() {
        let skew = Skew::of(at(5), None);
        assert_eq!(skew.earliest(at(9_000)), Millis::new(9_000));
    }
}
