//! Whether the workers of this process are ready and healthy: answered on request, and logged once for each change.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bluelake_ingest::{Concern, Progress, ProgressReport, WatchdogLimits, WorkerPhase, examine};
use bluelake_schemas::Stream;

use crate::operate::files::FilesSeen;

/// How often the workers are checked.
const INTERVAL: Duration = Duration::from_secs(5);

/// The workers of this process.
#[derive(Debug)]
pub(crate) struct Health {
    expected: Vec<Stream>,
    limits: WatchdogLimits,
    workers: Mutex<Vec<Arc<Progress>>>,
    files: FilesSeen,
}

impl Health {
    /// The health of workers for these streams, which should commit their reads within `commit_interval`.
    pub(crate) fn new(expected: Vec<Stream>, commit_interval: Duration) -> Self {
        Self {
            expected,
            limits: WatchdogLimits::of(commit_interval),
            workers: Mutex::default(),
            files: FilesSeen::default(),
        }
    }

    /// Watches a worker that has opened its table.
    pub(crate) fn watch(&self, worker: Arc<Progress>) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
    }

    /// The files of the tables.
    pub(crate) fn files(&self) -> &FilesSeen {
        &self.files
    }

    /// How each worker stands now.
    pub(crate) fn reports(&self) -> Vec<ProgressReport> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        workers.iter().map(|worker| worker.report()).collect()
    }

    /// The present concerns; none when all is well.
    pub(crate) fn concerns(&self) -> Vec<Concern> {
        self.reports().iter().flat_map(|report| examine(report, &self.limits)).collect()
    }

    /// Why it is not ready now; empty when every stream's worker has opened its table and runs.
    pub(crate) fn unready(&self) -> Vec<String> {
        let reports = self.reports();
        let missing = |stream: &Stream| {
            let report = reports.iter().find(|report| report.stream == *stream);
            match report.map(|report| report.phase) {
                Some(WorkerPhase::Running | WorkerPhase::Left) => None,
                Some(WorkerPhase::Failed) => Some(format!("{stream}: the worker ended before its time")),
                Some(WorkerPhase::Opened) => Some(format!("{stream}: the worker does not read yet")),
                None => Some(format!("{stream}: the table is not open yet")),
            }
        };
        self.expected.iter().filter_map(missing).collect()
    }

    /// Checks the workers from time to time and logs changes. `each_time` is called each time.
    pub(crate) async fn run(self: Arc<Self>, each_time: impl Fn()) {
        let mut ticks = tokio::time::interval(INTERVAL);
        let mut known = Vec::new();
        loop {
            ticks.tick().await;
            each_time();
            known = log_changes(known, self.concerns());
        }
    }
}

/// Logs new concerns and those that have passed, and gives the present ones.
fn log_changes(known: Vec<Concern>, now: Vec<Concern>) -> Vec<Concern> {
    let (new, passed) = changes(&known, &now);
    for concern in new {
        tracing::error!(%concern, "unhealthy");
    }
    for concern in passed {
        tracing::warn!(was = %concern, "healthy again");
    }
    now
}

/// New concerns, and those that have passed. A lasting concern is neither.
fn changes<'a>(known: &'a [Concern], now: &'a [Concern]) -> (Vec<&'a Concern>, Vec<&'a Concern>) {
    let without = |these: &'a [Concern], others: &[Concern]| {
        these.iter().filter(|concern| !others.iter().any(|other| other.is_like(concern))).collect()
    };
    (without(now, known), without(known, now))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_concern_is_logged_once() {
        let waiting =
            |seconds| Concern::NotCommitting { stream: Stream::UserEvents, oldest: Duration::from_secs(seconds) };
        let ended = Concern::Ended { stream: Stream::UserEvents };
        let (before, now) = (vec![waiting(181)], vec![waiting(500), ended.clone()]);
        assert_eq!(changes(&[], &before), (vec![&before[0]], vec![]));
        assert_eq!(changes(&before, &now), (vec![&ended], vec![]));
        assert_eq!(changes(&now, &[]).1.len(), 2);
    }

    #[test]
    fn readiness_waits_until_every_table_is_open() {
        let health = Health::new(Stream::ALL.to_vec(), Duration::from_secs(60));
        let reasons = health.unready();
        assert_eq!(reasons.len(), Stream::ALL.len());
        assert!(reasons[0].contains("not open yet"), "{reasons:?}");
        assert_eq!(health.concerns(), [], "but that is no illness");
    }
}
