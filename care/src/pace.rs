//! Limits the rate of reading.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

/// A rate that all readers of a task share.
pub(crate) struct Pace {
    /// Bytes a second; `None`: unlimited.
    rate: Option<u64>,
    /// When the next bytes may be read.
    next: Mutex<Instant>,
}

impl Pace {
    pub(crate) fn new(rate: Option<u64>) -> Self {
        Self { rate: rate.map(|rate| rate.max(1)), next: Mutex::new(Instant::now()) }
    }

    /// Waits until `bytes` may be read.
    pub(crate) async fn admit(&self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let mut next = self.next.lock().await;
        tokio::time::sleep_until(*next).await;
        *next = (*next).max(Instant::now()) + time_of(bytes, rate);
    }
}

/// The time of `bytes` at a rate in bytes a second.
fn time_of(bytes: u64, rate: u64) -> Duration {
    let micros = u128::from(bytes) * 1_000_000 / u128::from(rate);
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time() {
        for (bytes, rate, millis) in [(0, 1, 0), (1 << 20, 32 << 20, 31), (64 << 20, 32 << 20, 2_000)] {
            assert_eq!(time_of(bytes, rate).as_millis(), millis, "{bytes} at {rate}");
        }
    }

    #[tokio::test]
    async fn only_a_task_with_a_rate_is_slowed() {
        let (slow, free) = (Pace::new(Some(1_000)), Pace::new(None));
        let started = Instant::now();
        for _ in 0..1_000 {
            free.admit(u64::MAX).await;
        }
        for _ in 0..3 {
            slow.admit(50).await;
        }
        // The third waits for the first two.
        assert!(started.elapsed() >= Duration::from_millis(100), "{:?}", started.elapsed());
    }
}
