//! When a shard may be called next. Pure: bytes in, durations out.

use std::time::Duration;

/// Kinesis allows five GetRecords calls a second on a shard.
const CALL_INTERVAL: Duration = Duration::from_millis(200);
/// Pause between calls at the tip.
const TIP_INTERVAL: Duration = Duration::from_millis(1_000);
/// Kinesis gives two megabytes a second of a shard, shared by all that poll it.
pub(crate) const SHARD_RATE: u64 = 2_000_000;
/// Limit of the first pause after a failure, and longest pause.
pub(crate) const FAILURE_PAUSES: (Duration, Duration) = (Duration::from_millis(400), LONGEST_PAUSE);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// How long to wait after an answer of `bytes` until the next call, at a rate in bytes a second.
#[must_use]
pub(crate) fn pause_after(bytes: usize, rate: u64, at_tip: bool) -> Duration {
    let millis = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000) / rate.max(1);
    let interval = if at_tip { TIP_INTERVAL } else { CALL_INTERVAL };
    interval.max(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_read_within_its_quotas() {
        assert_eq!(pause_after(0, SHARD_RATE, false), Duration::from_millis(200));
        assert_eq!(pause_after(400_000, SHARD_RATE, false), Duration::from_millis(200));
        assert_eq!(pause_after(10_000_000, SHARD_RATE, false), Duration::from_secs(5));
        assert_eq!(pause_after(10_000_000, SHARD_RATE / 2, false), Duration::from_secs(10));
        assert_eq!(pause_after(0, SHARD_RATE, true), Duration::from_secs(1));
    }
}
