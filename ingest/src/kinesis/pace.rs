//! When a shard may be called next. Pure: bytes, failures and chance in, durations out.

use std::time::Duration;

use rand::Rng;

/// Kinesis allows five GetRecords calls a second on a shard.
const CALL_INTERVAL: Duration = Duration::from_millis(200);
/// Pause between calls at the tip.
const TIP_INTERVAL: Duration = Duration::from_millis(1_000);
/// Kinesis gives two megabytes a second of a shard, to all that poll it together.
pub(crate) const SHARD_RATE: u64 = 2_000_000;
/// Longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// How long to wait after an answer of so many bytes until the next call, at a rate in bytes a second.
#[must_use]
pub(crate) fn pause_after(bytes: usize, rate: u64, at_tip: bool) -> Duration {
    let millis = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000) / rate.max(1);
    let interval = if at_tip { TIP_INTERVAL } else { CALL_INTERVAL };
    interval.max(Duration::from_millis(millis))
}

/// Pauses after failures in a row, with full jitter: anything between nothing and a limit that doubles each time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after one more failure.
    pub(crate) fn pause(&mut self, chance: &mut impl Rng) -> Duration {
        let limit = CALL_INTERVAL.saturating_mul(2_u32.saturating_pow(self.failures.saturating_add(1)));
        self.failures = self.failures.saturating_add(1);
        chance.random_range(Duration::ZERO..=limit.min(LONGEST_PAUSE))
    }

    /// Failures since the last success.
    #[must_use]
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// A call went well.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn a_shard_is_called_five_times_a_second_and_gives_two_megabytes_a_second() {
        assert_eq!(pause_after(0, SHARD_RATE, false), Duration::from_millis(200));
        assert_eq!(pause_after(400_000, SHARD_RATE, false), Duration::from_millis(200));
        assert_eq!(pause_after(10_000_000, SHARD_RATE, false), Duration::from_secs(5));
        assert_eq!(pause_after(10_000_000, SHARD_RATE / 2, false), Duration::from_secs(10));
        assert_eq!(pause_after(0, SHARD_RATE, true), Duration::from_secs(1));
    }

    #[test]
    fn pauses_grow_with_each_failure_are_spread_and_start_over_after_a_success() {
        let mut chance = StdRng::seed_from_u64(5);
        let mut longest = [Duration::ZERO; 12];
        let mut shortest = [LONGEST_PAUSE; 12];
        for _ in 0..500 {
            let mut backoff = Backoff::default();
            for (longest, shortest) in longest.iter_mut().zip(&mut shortest) {
                let pause = backoff.pause(&mut chance);
                *longest = pause.max(*longest);
                *shortest = pause.min(*shortest);
            }
            assert_eq!(backoff.failures(), 12);
            backoff.reset();
            assert!(backoff.pause(&mut chance) <= Duration::from_millis(400));
        }
        assert!(longest.is_sorted() || longest.iter().rev().take(5).all(|pause| *pause > LONGEST_PAUSE.mul_f64(0.95)));
        for (index, longest) in longest.iter().enumerate() {
            let limit = Duration::from_millis(400 << index).min(LONGEST_PAUSE);
            assert!(*longest <= limit && *longest > limit.mul_f64(0.9), "{index}: {longest:?}");
        }
        assert!(shortest.iter().all(|pause| *pause < Duration::from_secs(1)), "full jitter: {shortest:?}");
    }
}
