//! All randomness from one seed, in integers only: the same draws on every machine.

use chrono::TimeDelta;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

/// Resolution of a ranked draw.
const ONE: u64 = 1 << 20;
/// Flattens the top of the ranking, so that the first ranks do not get absurd shares.
const SHIFT: u64 = ONE / 10;

/// The seeded source of every random choice.
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    rng: ChaCha8Rng,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice { rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Evenly from `0..bound`; 0 if there is nothing to draw from.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.rng.random_range(0..bound) }
    }

    /// Evenly from `low..=high`; `low` if they are out of order.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        if low >= high { low } else { self.rng.random_range(low..=high) }
    }

    /// Evenly from `0..bound`, for wide numbers; 0 if there is nothing to draw from.
    pub(crate) fn below_wide(&mut self, bound: u128) -> u128 {
        if bound == 0 { 0 } else { u128::from(self.rng.random::<u64>()) % bound }
    }

    /// True in `per_mille` of a thousand draws.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        self.rng.random_range(0..1_000) < per_mille
    }

    /// Evenly from `0.0..1.0`, to compare with a rate.
    pub(crate) fn share(&mut self) -> f64 {
        self.rng.random()
    }

    /// One of a list that is known not to be empty (of an empty one: the default).
    pub(crate) fn pick<T: Copy + Default>(&mut self, list: &[T]) -> T {
        list.get(self.below(list.len())).copied().unwrap_or_default()
    }

    /// A rank from `0..bound` that favours low ranks: the law of Zipf and Mandelbrot with exponent 2/3, by inverting
    /// its distribution (a shifted cube). The top hundredth gets a seventh of the draws, the top tenth two fifths.
    pub(crate) fn ranked(&mut self, bound: usize) -> usize {
        const FLOOR: u64 = SHIFT * SHIFT * SHIFT;
        const SPAN: u64 = ((ONE + SHIFT) * (ONE + SHIFT) * (ONE + SHIFT) - FLOOR) >> 28;
        let point = self.rng.random_range(0..ONE) + SHIFT;
        let reached = (point * point * point - FLOOR) >> 28;
        let wide = u128::from(reached) * u128::try_from(bound).unwrap_or(0);
        let rank = usize::try_from(wide / u128::from(SPAN)).unwrap_or(0);
        rank.min(bound.saturating_sub(1))
    }

    /// A version 4 UUID.
    pub(crate) fn uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng.random()).into_uuid()
    }

    /// The delay of a late event: mostly minutes, sometimes hours, at most twelve hours.
    pub(crate) fn lateness(&mut self) -> TimeDelta {
        let seconds = if self.chance(800) { self.between(30, 3_600) } else { self.between(3_600, 43_200) };
        TimeDelta::seconds(seconds)
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn ranks_stay_in_bounds_and_favour_low() {
        let mut dice = Dice::new(7);
        let mut hits = vec![0_u32; 1_000];
        for _ in 0..100_000 {
            hits[dice.ranked(1_000)] += 1;
        }
        let share = |ranks: std::ops::Range<usize>| f64::from(hits[ranks].iter().sum::<u32>()) / 100_000.0;
        assert!((0.11..0.17).contains(&share(0..10)), "{}", share(0..10));
        assert!((0.36..0.46).contains(&share(0..100)), "{}", share(0..100));
        assert!(share(900..1_000) > 0.03, "{}", share(900..1_000));
    }

    #[test]
    fn nothing_to_draw_from_gives_zero() {
        let mut dice = Dice::new(7);
        assert_eq!((dice.below(0), dice.ranked(0), dice.ranked(1), dice.below_wide(0)), (0, 0, 0, 0));
        assert_eq!(dice.between(3, 1), 3);
    }

    #[test]
    fn uuids_are_of_version_four() {
        assert_eq!(Dice::new(7).uuid().get_version_num(), 4);
    }
}
