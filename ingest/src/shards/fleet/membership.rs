//! Who is alive, by an observer's own monotonic clock. Pure: heartbeats as found and the time in, the living out.

use std::{collections::BTreeMap, time::Duration};

use bluelake_lake::{FoundHeartbeat, Heartbeat};

/// What one worker knows of the others.
#[derive(Debug)]
pub(crate) struct Membership {
    me: String,
    expiry: Duration,
    seen: BTreeMap<String, Sighting>,
}

#[derive(Debug)]
struct Sighting {
    heartbeat: Heartbeat,
    /// When the heartbeat last changed, on the observer's clock; `None`: it was old when it was first seen.
    changed_at: Option<Duration>,
}

impl Membership {
    /// A worker is taken for gone when its heartbeat has not changed for `expiry`.
    pub(crate) fn new(me: &str, expiry: Duration) -> Self {
        Self { me: me.to_owned(), expiry, seen: BTreeMap::new() }
    }

    /// Takes the heartbeats as found at `now` (any monotonic clock). A worker without a heartbeat has left.
    ///
    /// A heartbeat that is seen for the first time is judged by the store's clock alone: if it was written long before
    /// the observer's own last heartbeat, its worker died before the observer came.
    pub(crate) fn observe(&mut self, found: Vec<FoundHeartbeat>, now: Duration) {
        let own_written_at = found.iter().find(|found| found.heartbeat.worker == self.me).map(|found| found.written_at);
        let mut before = std::mem::take(&mut self.seen);
        for FoundHeartbeat { heartbeat, written_at } in found {
            let changed_at = match before.remove(&heartbeat.worker) {
                Some(known) if same_beat(&known.heartbeat, &heartbeat) => known.changed_at,
                Some(_) => Some(now),
                None => {
                    let old = own_written_at.is_some_and(|own| own.since(written_at) > self.expiry);
                    (!old).then_some(now)
                }
            };
            self.seen.insert(heartbeat.worker.clone(), Sighting { heartbeat, changed_at });
        }
    }

    /// The other workers that are alive.
    pub(crate) fn others(&self, now: Duration) -> Vec<&Heartbeat> {
        let living = |sighting: &&Sighting| {
            let fresh = sighting.changed_at.is_some_and(|at| now.saturating_sub(at) <= self.expiry);
            sighting.heartbeat.worker != self.me && fresh
        };
        self.seen.values().filter(living).map(|sighting| &sighting.heartbeat).collect()
    }

    /// Workers that have been gone for `age`: their heartbeats may be removed.
    pub(crate) fn long_gone(&self, age: Duration, now: Duration) -> Vec<String> {
        let gone = |sighting: &&Sighting| {
            sighting.heartbeat.worker != self.me
                && sighting.changed_at.is_some_and(|at| now.saturating_sub(at) > age.max(self.expiry))
        };
        self.seen.values().filter(gone).map(|sighting| sighting.heartbeat.worker.clone()).collect()
    }

    /// Whether another process writes heartbeats under the observer's own id.
    pub(crate) fn has_double(&self, own: &Heartbeat) -> bool {
        self.seen.get(&self.me).is_some_and(|sighting| sighting.heartbeat.incarnation != own.incarnation)
    }
}

fn same_beat(left: &Heartbeat, right: &Heartbeat) -> bool {
    left.incarnation == right.incarnation && left.beat == right.beat
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use bluelake_schemas::Millis;
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;

    const EXPIRY: Duration = Duration::from_secs(10);

    pub(crate) fn heartbeat(worker: &str, beat: u64) -> Heartbeat {
        Heartbeat {
            worker: worker.to_owned(),
            incarnation: Uuid::nil(),
            beat,
            started_at: Millis::new(0),
            version: String::new(),
            streams: BTreeSet::from(["user-events".to_owned()]),
            max_shards: None,
            holds: BTreeMap::new(),
        }
    }

    fn found(worker: &str, beat: u64, written_at: i64) -> FoundHeartbeat {
        FoundHeartbeat { heartbeat: heartbeat(worker, beat), written_at: Millis::new(written_at) }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn names(membership: &Membership, now: u64) -> Vec<&str> {
        membership.others(seconds(now)).into_iter().map(|heartbeat| heartbeat.worker.as_str()).collect()
    }

    #[test]
    fn a_worker_with_a_stale_heartbeat_is_gone() {
        let mut membership = Membership::new("me", EXPIRY);
        membership.observe(vec![found("a", 1, 0), found("b", 1, 0)], seconds(0));
        membership.observe(vec![found("a", 2, 0), found("b", 1, 0)], seconds(6));
        assert_eq!(names(&membership, 10), ["a", "b"]);
        assert_eq!(names(&membership, 11), ["a"], "b stands still since 0");
        membership.observe(vec![found("a", 2, 0), found("b", 2, 0)], seconds(12));
        assert_eq!(names(&membership, 12), ["a", "b"], "b is back");
    }

    #[test]
    fn a_removed_heartbeat_means_gone_at_once() {
        let mut membership = Membership::new("me", EXPIRY);
        membership.observe(vec![found("a", 1, 0)], seconds(0));
        membership.observe(vec![], seconds(1));
        assert!(names(&membership, 1).is_empty());
    }

    #[test]
    fn membership_ignores_the_clocks_of_other_workers() {
        let mut membership = Membership::new("me", EXPIRY);
        let mut hour_off = found("a", 1, 100_000);
        hour_off.heartbeat.started_at = Millis::new(-3_600_000);
        membership.observe(vec![found("me", 1, 100_000), hour_off, found("died-before", 9, 80_000)], seconds(0));
        assert_eq!(names(&membership, 1), ["a"], "the one that died before is not waited for");
        membership.observe(
            vec![found("me", 2, 102_000), found("a", 2, 102_000), found("died-before", 10, 102_000)],
            seconds(2),
        );
        assert_eq!(names(&membership, 2), ["a", "died-before"], "it beats, so it lives");
    }

    #[test]
    fn a_restart_beats_and_a_double_is_found() {
        let mut membership = Membership::new("me", EXPIRY);
        membership.observe(vec![found("a", 5, 0)], seconds(0));
        let mut restarted = found("a", 5, 0);
        restarted.heartbeat.incarnation = Uuid::from_u128(1);
        let mut double = found("me", 1, 0);
        double.heartbeat.incarnation = Uuid::from_u128(2);
        membership.observe(vec![restarted, double], seconds(9));
        assert_eq!(names(&membership, 18), ["a"]);
        assert!(membership.has_double(&heartbeat("me", 1)));
    }

    #[test]
    fn what_the_dead_left_is_cleared_away_late() {
        let mut membership = Membership::new("me", EXPIRY);
        membership.observe(vec![found("me", 1, 0), found("a", 1, 0)], seconds(0));
        assert!(membership.long_gone(seconds(600), seconds(600)).is_empty());
        assert_eq!(membership.long_gone(seconds(600), seconds(601)), ["a"]);
    }
}
