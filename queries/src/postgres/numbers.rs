//! Sums, averages, roundings: exact, or refused.

pub(crate) mod arithmetic;
pub(crate) mod average;
pub(crate) mod casts;
pub(crate) mod ceiling;
pub(crate) mod double_of;
pub(crate) mod narrow_cast;
pub(crate) mod nearest_whole;
pub(crate) mod percentile;
pub(crate) mod round;
pub(crate) mod sum;
pub(crate) mod tally;
