//! The counts and the state of a worker: for progress bars, summaries, metrics and the watchdog. Any thread may ask at
//! any time, and asking cannot hold up the work.
//!
//! `ledger` decides what follows from the observations; this shell holds it and passes it the time.

mod ledger;
mod metrics;
mod report;
mod tables;
pub(crate) mod watchdog;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bluelake_lake::{Batch, ControlTotals, ShardId};
use bluelake_schemas::{Millis, Stream};
use ledger::Ledger;

use crate::{clock::Clock, memory::admission::Admission, reading::chunk::Chunk};

pub(crate) use metrics::{CommitTimer, count_fault, count_retry};
pub use metrics::{METRICS, MetricDescription, MetricKind, describe_metrics, publish_metrics};
pub(crate) use report::ReadCounts;
pub use report::{ProgressReport, ProgressSnapshot, ShardReport, WorkerPhase, WorkerStep};
pub use tables::publish_table;

/// One moment by both clocks: the monotonic one measures ages, the wall clock positions in a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) monotonic: Instant,
    pub(crate) wall: Millis,
}

impl Moment {
    fn since(self, earlier: Self) -> Duration {
        self.monotonic.saturating_duration_since(earlier.monotonic)
    }
}

/// How the worker of one stream stands.
#[derive(Debug)]
pub struct Progress {
    stream: Stream,
    retention: Duration,
    admission: Admission,
    clock: Clock,
    ledger: Mutex<Ledger>,
}

impl Progress {
    pub(crate) fn new(stream: Stream, retention: Duration, admission: Admission, clock: Clock) -> Self {
        Self { stream, retention, admission, clock, ledger: Mutex::default() }
    }

    fn now(&self) -> Moment {
        Moment { monotonic: Instant::now(), wall: self.clock.now().into() }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A round begins: records that were read before it and are not committed are read again.
    pub(crate) fn observe_round(&self) {
        self.ledger().drop_pending();
    }

    /// The readers of the first shards have started.
    pub(crate) fn observe_start(&self) {
        self.ledger().set_phase(WorkerPhase::Running);
    }

    /// The number of shards that wait for a parent, and of those that stand still behind a gap.
    pub(crate) fn observe_lineage(&self, waiting: usize, stopped: usize) {
        self.ledger().set_lineage(waiting, stopped);
    }

    /// Kinesis answered for a shard: its milliseconds behind the tip, and whether the answer had no records.
    pub(crate) fn observe_answer(&self, shard: &ShardId, millis_behind: Option<i64>, empty: bool) {
        self.ledger().answer(shard, millis_behind, empty, self.now());
    }

    /// Records were read and decoded.
    pub(crate) fn observe_read(&self, read: ReadCounts) {
        self.ledger().read(read);
    }

    /// The number of ids in a shard's deduplication window.
    pub(crate) fn observe_window(&self, shard: &ShardId, ids: usize, shortened: bool) {
        if self.ledger().set_window(shard, ids, shortened) {
            tracing::warn!(%shard, "the deduplication window holds too many ids and is shortened");
        }
    }

    /// A chunk went into the buffer.
    pub(crate) fn observe_buffered(&self, chunk: &Chunk) {
        let reasons = report::reasons(&chunk.rows.decoded.rejected);
        let batches = [&chunk.rows.decoded.events, &chunk.rows.decoded.rejected];
        let rows = batches.iter().map(|batch| batch.num_rows()).sum();
        let bytes =
            batches.iter().filter(|batch| batch.num_rows() > 0).map(|batch| batch.get_array_memory_size()).sum();
        self.ledger().buffer(rows, bytes, reasons, self.now());
    }

    /// The buffer was emptied for a commit.
    pub(crate) fn observe_flush(&self) {
        self.ledger().flush(self.now());
    }

    /// The worker goes on to another step of landing its rows.
    pub(crate) fn observe_step(&self, step: WorkerStep) {
        self.ledger().set_step(step);
    }

    /// A commit: of a batch, or of positions alone.
    pub(crate) fn observe_commit(&self, counts: ControlTotals, files: u64, file_bytes: u64) {
        self.ledger().commit(counts, files, file_bytes, self.now());
    }

    /// The batch of the last flush is committed.
    pub(crate) fn observe_batch(&self, batch: &Batch) {
        let flushed = self.ledger().land(&batch.shards, self.now());
        if let Some(duration) = flushed {
            metrics::record_flush(self.stream, duration);
        }
    }

    /// A batch was dropped because another worker had moved a shard.
    pub(crate) fn observe_fenced(&self) {
        self.ledger().fence();
    }

    /// The number of workers that share the streams, this one included.
    pub fn observe_fleet(&self, living: usize) {
        self.ledger().set_fleet(living);
    }

    /// The counts now.
    #[must_use]
    pub fn snapshot(&self) -> ProgressSnapshot {
        self.ledger().counts()
    }

    /// Everything that is known now. Lags and ages grow up to this moment, even if no answer came for long.
    #[must_use]
    pub fn report(&self) -> ProgressReport {
        let mut report = self.ledger().report(self.stream, self.retention, self.now());
        (report.budget_bytes, report.budget_used_bytes) = self.admission.usage();
        report
    }
}

/// A shard is read as long as this value lives.
#[derive(Debug)]
pub(crate) struct Reading {
    progress: Arc<Progress>,
    shard: ShardId,
    token: u64,
}

impl Reading {
    /// `known_until`: the time up to which the shard is committed or was seen drained.
    pub(crate) fn start(progress: &Arc<Progress>, shard: &ShardId, known_until: Option<Millis>, ids: usize) -> Self {
        let token = progress.ledger().start_reading(shard, known_until, ids, progress.now());
        Self { progress: progress.clone(), shard: shard.to_owned(), token }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.progress.ledger().stop_reading(&self.shard, self.token);
    }
}

/// A worker runs as long as this value lives. If it is dropped without [`Running::leave`], for example by a panic, the
/// worker has failed.
#[derive(Debug)]
pub(crate) struct Running(Arc<Progress>);

impl Running {
    /// The phase stays [`WorkerPhase::Opened`]: the worker does not read before [`Progress::observe_start`].
    pub(crate) fn start(progress: &Arc<Progress>) -> Self {
        progress.ledger().set_phase(WorkerPhase::Opened);
        Self(progress.clone())
    }

    /// The worker has finished its work.
    pub(crate) fn leave(self) {
        self.0.ledger().set_phase(WorkerPhase::Left);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ledger().fail_unless_left();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn progress() -> Arc<Progress> {
        let day = Duration::from_secs(24 * 3600);
        Arc::new(Progress::new(Stream::UserEvents, day, Admission::new(1 << 20), Clock::system()))
    }

    #[test]
    fn a_worker_that_panics_or_exits_has_failed() {
        let progress = progress();
        assert_eq!(progress.report().phase, WorkerPhase::Opened);
        let running = Running::start(&progress);
        assert_eq!(progress.report().phase, WorkerPhase::Opened, "it does not read yet");
        progress.observe_start();
        assert_eq!(progress.report().phase, WorkerPhase::Running);
        running.leave();
        assert_eq!(progress.report().phase, WorkerPhase::Left);
        let again = progress.clone();
        let ended = std::thread::spawn(move || {
            let _running = Running::start(&again);
            std::panic::resume_unwind(Box::new("for the test"));
        });
        assert!(ended.join().is_err());
        assert_eq!(progress.report().phase, WorkerPhase::Failed);
    }

    #[test]
    fn a_late_reader_end_keeps_its_successor_listed() {
        let progress = progress();
        let first = Reading::start(&progress, &ShardId::from("shardId-0"), None, 0);
        let second = Reading::start(&progress, &ShardId::from("shardId-0"), None, 0);
        drop(first);
        assert_eq!(progress.report().shards.len(), 1);
        drop(second);
        assert!(progress.report().shards.is_empty());
    }

    #[tokio::test]
    async fn room_taken_from_the_budget_is_reported() {
        let progress = progress();
        let room = progress.admission.admit(Some(256 << 10)).await;
        let report = progress.report();
        assert_eq!((report.budget_bytes, report.budget_used_bytes), (1 << 20, 256 << 10));
        drop(room);
        assert_eq!(progress.report().budget_used_bytes, 0);
    }
}
