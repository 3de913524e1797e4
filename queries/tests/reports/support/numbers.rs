//! Exact arithmetic as text, and a small seeded generator.

/// The same numbers each time.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number under a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A quotient with N decimals, rounded half away from zero; empty for a division by zero.
pub(crate) fn quotient(dividend: i128, divisor: i128, decimals: u32) -> String {
    if divisor == 0 {
        return String::new();
    }
    let unit = 10_i128.pow(decimals);
    let scaled = (dividend.abs() * unit * 2 + divisor) / (divisor * 2);
    let sign = if dividend < 0 && scaled > 0 { "-" } else { "" };
    format!("{sign}{}.{:0width$}", scaled / unit, scaled % unit, width = decimals as usize)
}

/// A part of a whole.
pub(crate) fn share(part: i64, whole: i64) -> String {
    quotient(i128::from(part), i128::from(whole), 4)
}

/// An average.
pub(crate) fn average(sum: i64, count: usize) -> String {
    quotient(i128::from(sum), count as i128, 2)
}

/// The percentile of sorted numbers, interpolated between two of them, in units of the last argument, with two
/// decimals.
pub(crate) fn percentile(sorted: &[i64], percent: usize, unit: i64) -> String {
    let (place, rest) = ((sorted.len() - 1) * percent / 100, (sorted.len() - 1) * percent % 100);
    let low = i128::from(sorted[place]);
    let high = i128::from(sorted[(place + 1).min(sorted.len() - 1)]);
    quotient(low * 100 + (high - low) * rest as i128, i128::from(unit) * 100, 2)
}

/// The smallest number of (number, weight) in ascending order that a percentage of the weight does not exceed.
pub(crate) fn weighted_percentile(sorted: &[(i64, i64)], percent: i64) -> Option<i64> {
    let total: i64 = sorted.iter().map(|(_, weight)| weight).sum();
    let mut reached = 0;
    sorted.iter().filter(|_| total > 0).find_map(|(number, weight)| {
        reached += weight;
        (reached * 100 >= total * percent).then_some(*number)
    })
}

/// Microseconds as a number of units, with two decimals.
pub(crate) fn units(micros: i64, micros_of_unit: i64) -> String {
    quotient(i128::from(micros), i128::from(micros_of_unit), 2)
}

/// Microseconds of an hour.
pub(crate) const HOUR: i64 = 3_600_000_000;
/// Microseconds of a day of 24 hours.
pub(crate) const DAY: i64 = 24 * HOUR;

#[test]
fn quotients_are_rounded_half_away_from_zero() {
    let cases = [(1, 8, "0.13"), (-1, 8, "-0.13"), (1, 3, "0.33"), (-1, 1_000, "0.00"), (5, 1, "5.00"), (1, 0, "")];
    for (dividend, divisor, expected) in cases {
        assert_eq!(quotient(dividend, divisor, 2), expected, "{dividend} / {divisor}");
    }
    assert_eq!(percentile(&[1, 2, 3, 5], 50, 1), "2.50");
    assert_eq!(percentile(&[1, 2, 3, 5], 90, 1), "4.40");
    assert_eq!(percentile(&[7], 99, 2), "3.50");
    assert_eq!(weighted_percentile(&[(1, 9), (2, 1)], 90), Some(1));
    assert_eq!(weighted_percentile(&[(1, 9), (2, 1)], 91), Some(2));
}
