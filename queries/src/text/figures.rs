//! Numbers for people: with thousands separators, and the decimals of the unit.

use std::fmt::Display;

/// `unscaled` / 10^`scale` with all its digits: `-1,234.50`.
pub(crate) fn grouped(unscaled: i128, scale: u32) -> String {
    let scale = usize::try_from(scale).unwrap_or_default();
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if unscaled < 0 { "-" } else { "" };
    format!("{sign}{}{point}{fraction}", separated(whole))
}

/// A whole number with separators that is not negative: `1,234`.
pub fn whole(count: impl Display) -> String {
    separated(&count.to_string())
}

/// A number that is not exact, with N decimals, or with as many as distinguish it from its neighbours.
pub(crate) fn grouped_float(value: f64, decimals: Option<usize>) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let digits = decimals.map_or_else(|| value.abs().to_string(), |decimals| format!("{:.decimals$}", value.abs()));
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let point = if fraction.is_empty() { "" } else { "." };
    let is_zero = !digits.chars().any(|digit| matches!(digit, '1'..='9'));
    let sign = if value < 0.0 && !is_zero { "-" } else { "" };
    format!("{sign}{}{point}{fraction}", separated(whole))
}

/// The same number with another scale, rounded half away from zero; `None` when it has too many digits.
pub(crate) fn rescaled(unscaled: i128, from: u32, to: u32) -> Option<i128> {
    if to >= from {
        return unscaled.checked_mul(10_i128.checked_pow(to - from)?);
    }
    let divisor = 10_i128.checked_pow(from - to)?;
    let (quotient, remainder) = (unscaled / divisor, unscaled % divisor);
    let away = if remainder.unsigned_abs() * 2 >= divisor.unsigned_abs() { unscaled.signum() } else { 0 };
    Some(quotient + away)
}

fn separated(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated_and_no_digit_is_lost() {
        for (unscaled, scale, text) in [
            (0, 0, "0"),
            (-5, 2, "-0.05"),
            (123_450, 2, "1,234.50"),
            (9_007_199_254_740_993, 0, "9,007,199,254,740,993"),
            (-1_000, 0, "-1,000"),
            (i128::MIN, 0, "-170,141,183,460,469,231,731,687,303,715,884,105,728"),
        ] {
            assert_eq!(grouped(unscaled, scale), text);
        }
    }

    #[test]
    fn floats_keep_their_sign_and_decimals() {
        for (value, decimals, text) in [
            (1234.5, None, "1,234.5"),
            (-0.004, Some(2), "0.00"),
            (-1234.567, Some(2), "-1,234.57"),
            (1e15, None, "1,000,000,000,000,000"),
            (f64::NAN, Some(1), "NaN"),
        ] {
            assert_eq!(grouped_float(value, decimals), text);
        }
    }

    #[test]
    fn half_is_rounded_away_from_zero() {
        for (unscaled, from, to, expected) in [
            (12_345, 3, 2, Some(1_235)),
            (-12_345, 3, 2, Some(-1_235)),
            (12_344, 3, 2, Some(1_234)),
            (5, 0, 2, Some(500)),
            (i128::MAX, 0, 2, None),
        ] {
            assert_eq!(rescaled(unscaled, from, to), expected);
        }
    }
}
