//! Ingest as seen by the compaction beside it: whether a partition is this worker's, and whether ingest needs the
//! machine for itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bluelake_care::{FileCounts, Surroundings};
use bluelake_ingest::{Fleet, ProgressReport};

use crate::operate::health::Health;

/// Time between two looks at the lag: a single late page is no trend.
const BETWEEN_LOOKS: Duration = Duration::from_secs(50);
/// The most lag that is ignored: the time of a few pages.
const SMALL_LAG: Duration = Duration::from_secs(10);

/// The ingest workers of this process.
pub(crate) struct Beside {
    /// Whether the tables are compacted, or only looked at.
    compacts: bool,
    fleet: Option<Fleet>,
    health: Arc<Health>,
    /// Bytes of rows that a stream may hold.
    room: usize,
    trend: Mutex<LagTrend>,
}

impl Beside {
    pub(crate) fn new(compacts: bool, fleet: Option<Fleet>, health: Arc<Health>, room: usize) -> Self {
        Self { compacts, fleet, health, room, trend: Mutex::new(LagTrend::default()) }
    }
}

impl Surroundings for Beside {
    fn is_mine(&self, partition: &str) -> bool {
        self.compacts && self.fleet.as_ref().is_none_or(|fleet| fleet.is_first_for(partition))
    }

    fn is_pressed(&self) -> bool {
        let reports = self.health.reports();
        let mut trend = self.trend.lock().unwrap_or_else(PoisonError::into_inner);
        let grows = trend.look(Instant::now(), greatest_lag(&reports));
        grows || reports.iter().any(|report| report.uncommitted_bytes > self.room / 2)
    }

    fn looked(&self, counts: FileCounts) {
        self.health.files().take_in(&counts);
    }
}

fn greatest_lag(reports: &[ProgressReport]) -> Duration {
    let shards = reports.iter().flat_map(|report| &report.shards);
    shards.map(|shard| shard.lag).max().unwrap_or_default()
}

/// Whether the lag was greater at the last look than at the one before it.
#[derive(Debug, Default)]
struct LagTrend {
    last: Option<(Instant, Duration)>,
    grows: bool,
}

impl LagTrend {
    fn look(&mut self, now: Instant, lag: Duration) -> bool {
        match self.last {
            Some((at, _)) if now.saturating_duration_since(at) < BETWEEN_LOOKS => return self.grows,
            Some((_, before)) => self.grows = lag > before && lag > SMALL_LAG,
            None => {}
        }
        self.last = Some((now, lag));
        self.grows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growing_lag_presses_until_it_falls() {
        let start = Instant::now();
        let mut trend = LagTrend::default();
        let steps = [
            // A backlog at the start is no growth, and neither is a lag that stays.
            (0, 3_600, false),
            (60, 3_000, false),
            (120, 3_000, false),
            (180, 3_001, true),
            // It is too soon after the last look: its finding still holds.
            (190, 1, true),
            (240, 2_000, false),
            (300, 0, false),
            // Growth by the time of a page or two.
            (360, 9, false),
            (420, 11, true),
        ];
        for (at, lag, grows) in steps {
            let seen = trend.look(start + Duration::from_secs(at), Duration::from_secs(lag));
            assert_eq!(seen, grows, "at {at} s");
        }
    }
}
