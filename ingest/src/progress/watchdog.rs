//! Whether a worker does its work: a decision over a report. Pure; the report holds ages at one moment.

use std::{fmt, time::Duration};

use bluelake_lake::ShardId;
use bluelake_schemas::Stream;

use crate::progress::{ProgressReport, WorkerPhase};

/// A commit takes its time even if the interval is very short.
const LEAST_PATIENCE: Duration = Duration::from_secs(10);

/// The limits of a healthy worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchdogLimits {
    /// Records that were read should be committed within this.
    pub commit: Duration,
    /// Kinesis should answer for each shard within this.
    pub answer: Duration,
}

impl WatchdogLimits {
    /// The limits for a commit interval: three times that for a commit, five minutes for an answer.
    #[must_use]
    pub fn of(commit_interval: Duration) -> Self {
        Self { commit: (commit_interval * 3).max(LEAST_PATIENCE), answer: Duration::from_secs(300) }
    }
}

/// Why a worker is not healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// It reads, but does not commit.
    NotCommitting {
        /// The stream.
        stream: Stream,
        /// Age of the oldest read that is not committed.
        oldest: Duration,
    },
    /// Kinesis does not answer, or is not asked.
    NoAnswer {
        /// The stream.
        stream: Stream,
        /// The shard that has waited longest.
        shard: ShardId,
        /// How long.
        silence: Duration,
        /// Shards that wait too long.
        shards: usize,
    },
    /// The worker ended before its time.
    Ended {
        /// The stream.
        stream: Stream,
    },
}

impl Concern {
    /// Whether the other is about the same fault, however long it has lasted.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::NotCommitting { stream, .. }, Self::NotCommitting { stream: other, .. })
            | (Self::NoAnswer { stream, .. }, Self::NoAnswer { stream: other, .. })
            | (Self::Ended { stream }, Self::Ended { stream: other }) => stream == other,
            _ => false,
        }
    }
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCommitting { stream, oldest } => {
                write!(f, "{stream}: reading but not committing: the oldest read has waited for {} s", oldest.as_secs())
            }
            Self::NoAnswer { stream, shard, silence, shards } => write!(
                f,
                "{stream}: no answer from Kinesis for {} s (shard {shard}; {shards} of the shards wait too long)",
                silence.as_secs()
            ),
            Self::Ended { stream } => write!(f, "{stream}: the worker ended before its time"),
        }
    }
}

/// The faults of the worker of one stream; none when it is healthy.
#[must_use]
pub fn examine(report: &ProgressReport, limits: &WatchdogLimits) -> Vec<Concern> {
    let stream = report.stream;
    let mut concerns = Vec::new();
    if report.phase == WorkerPhase::Failed {
        concerns.push(Concern::Ended { stream });
    }
    if let Some(oldest) = report.oldest_uncommitted.filter(|oldest| *oldest > limits.commit) {
        concerns.push(Concern::NotCommitting { stream, oldest });
    }
    let silent = || report.shards.iter().filter(|shard| shard.silence > limits.answer);
    if let Some(worst) = silent().max_by_key(|shard| shard.silence) {
        let (shard, silence) = (worst.shard.clone(), worst.silence);
        concerns.push(Concern::NoAnswer { stream, shard, silence, shards: silent().count() });
    }
    concerns
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::progress::{ProgressSnapshot, ShardReport, WorkerStep};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn report(phase: WorkerPhase, oldest: Option<u64>, silences: &[u64]) -> ProgressReport {
        let shard = |(number, silence): (usize, &u64)| ShardReport {
            shard: format!("shardId-{number}").into(),
            lag: Duration::ZERO,
            silence: seconds(*silence),
            headroom: None,
            dedup_ids: 0,
        };
        ProgressReport {
            stream: Stream::UserEvents,
            phase,
            step: WorkerStep::Reading,
            counts: ProgressSnapshot::default(),
            rejected: BTreeMap::new(),
            fenced: 0,
            answers: 0,
            shards: silences.iter().enumerate().map(shard).collect(),
            waiting: 0,
            stopped: 0,
            uncommitted_rows: 0,
            uncommitted_bytes: 0,
            oldest_uncommitted: oldest.map(seconds),
            last_commit: None,
            fleet: None,
            budget_bytes: 0,
            budget_used_bytes: 0,
        }
    }

    #[test]
    fn reading_without_commits_becomes_a_concern() {
        let limits = WatchdogLimits::of(seconds(60));
        let after = |oldest| examine(&report(WorkerPhase::Running, oldest, &[1]), &limits);
        assert_eq!(after(None), []);
        assert_eq!(after(Some(180)), [], "three intervals, not more");
        assert_eq!(after(Some(181)), [Concern::NotCommitting { stream: Stream::UserEvents, oldest: seconds(181) }]);
        assert!(after(Some(181))[0].to_string().contains("not committing"));
    }

    #[test]
    fn a_short_interval_leaves_commits_their_time() {
        let limits = WatchdogLimits::of(seconds(1));
        assert_eq!(examine(&report(WorkerPhase::Running, Some(10), &[]), &limits), []);
        assert_eq!(examine(&report(WorkerPhase::Running, Some(11), &[]), &limits).len(), 1);
    }

    #[test]
    fn the_shard_waiting_longest_is_named() {
        let limits = WatchdogLimits::of(seconds(60));
        assert_eq!(examine(&report(WorkerPhase::Running, None, &[1, 300]), &limits), []);
        let concerns = examine(&report(WorkerPhase::Running, None, &[1, 400, 900]), &limits);
        let expected = Concern::NoAnswer {
            stream: Stream::UserEvents,
            shard: "shardId-2".into(),
            silence: seconds(900),
            shards: 2,
        };
        assert_eq!(concerns, [expected]);
    }

    #[test]
    fn only_a_worker_that_failed_is_a_concern() {
        let limits = WatchdogLimits::of(seconds(60));
        assert_eq!(examine(&report(WorkerPhase::Left, None, &[]), &limits), []);
        let failed = examine(&report(WorkerPhase::Failed, None, &[]), &limits);
        assert_eq!(failed, [Concern::Ended { stream: Stream::UserEvents }]);
    }

    #[test]
    fn a_lasting_concern_stays_the_same_concern() {
        let concern = |oldest| Concern::NotCommitting { stream: Stream::UserEvents, oldest: seconds(oldest) };
        assert!(concern(181).is_like(&concern(500)));
        assert!(!concern(181).is_like(&Concern::Ended { stream: Stream::UserEvents }));
    }
}
