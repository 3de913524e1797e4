//! Pauses between tries, and their source of randomness.

use std::{
    fmt,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// First limit and longest pause of writers that wait for each other's commits.
const CONFLICT_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(6_400));

/// The randomness of pauses. It is passed in, so that a test can repeat the same pauses. Clones share it.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<StdRng>>);

/// Pauses after failures in a row. Their limit doubles with each, up to the longest.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    at_least_half: bool,
    failures: u32,
    chance: Chance,
}

impl Chance {
    /// The same numbers for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A number of the range, uniformly distributed.
    #[must_use]
    pub fn number(&self, range: RangeInclusive<u32>) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random_range(range)
    }

    /// A time of the range.
    #[must_use]
    pub fn duration(&self, range: RangeInclusive<Duration>) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random_range(range)
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(StdRng::from_os_rng())))
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chance")
    }
}

impl Backoff {
    /// Pauses anywhere from zero to the limit (full jitter): for many callers that would come back together.
    #[must_use]
    pub fn spread(first: Duration, longest: Duration, chance: &Chance) -> Self {
        Self { first, longest, at_least_half: false, failures: 0, chance: chance.clone() }
    }

    /// Pauses of at least half of the limit: for a fault that needs time to pass.
    #[must_use]
    pub fn steady(first: Duration, longest: Duration, chance: &Chance) -> Self {
        Self { at_least_half: true, ..Self::spread(first, longest, chance) }
    }

    /// Pauses of writers that wait for each other's commits.
    #[must_use]
    pub fn of_conflicts(chance: &Chance) -> Self {
        let (first, longest) = CONFLICT_PAUSES;
        Self::spread(first, longest, chance)
    }

    /// The pause after one more failure.
    pub fn pause(&mut self) -> Duration {
        let limit = self.first.saturating_mul(2_u32.saturating_pow(self.failures)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let least = if self.at_least_half { limit / 2 } else { Duration::ZERO };
        self.chance.duration(least..=limit)
    }

    /// Waits before a try, counted from 0; there is no wait before the first.
    pub async fn before(&mut self, attempt: usize) {
        if attempt > 0 {
            tokio::time::sleep(self.pause()).await;
        }
    }

    /// Failures since the last success.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// A try went well.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(400);
    const LONGEST: Duration = Duration::from_secs(20);

    /// Shortest and longest of 500 pauses after each number of failures.
    fn pauses(mut backoff: Backoff) -> [(Duration, Duration); 12] {
        let mut seen = [(Duration::MAX, Duration::ZERO); 12];
        for _ in 0..500 {
            for (shortest, longest) in &mut seen {
                let pause = backoff.pause();
                *shortest = pause.min(*shortest);
                *longest = pause.max(*longest);
            }
            assert_eq!(backoff.failures(), 12);
            backoff.reset();
        }
        seen
    }

    #[test]
    fn pauses_double_to_a_limit_and_spread() {
        let chance = Chance::seeded(5);
        let spread = pauses(Backoff::spread(FIRST, LONGEST, &chance));
        let steady = pauses(Backoff::steady(FIRST, LONGEST, &chance));
        for index in 0..12 {
            let limit = Duration::from_millis(400 << index).min(LONGEST);
            for (_, longest) in [spread[index], steady[index]] {
                assert!(longest <= limit && longest > limit.mul_f64(0.9), "{index}: {longest:?}");
            }
            assert!(spread[index].0 < limit.mul_f64(0.1), "{index}: {:?}", spread[index]);
            let half = steady[index].0;
            assert!(half >= limit / 2 && half < limit.mul_f64(0.6), "{index}: {half:?}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_pauses_again() {
        let twice = [(); 2].map(|()| pauses(Backoff::of_conflicts(&Chance::seeded(7))));
        assert_eq!(twice[0], twice[1]);
    }
}
