//! The metrics of ingest: their names and meanings, and how a report becomes them.
//!
//! A whole [`ProgressReport`] is published at every request, into the recorder of the caller's choice, so that series
//! of shards that are no longer read disappear. Only durations and faults are recorded when they happen.

use std::time::{Duration, Instant};

use bluelake_schemas::Stream;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::{ProgressReport, WorkerPhase};

/// With more shards than this in one worker, only series of the stream as a whole are published.
const MAX_SHARD_SERIES: usize = 1_000;

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only rises; starts at zero with the process.
    Counter,
    /// As it is now.
    Gauge,
    /// Durations, in buckets.
    Histogram,
}

/// A metric's name and meaning.
#[derive(Clone, Copy, Debug)]
pub struct MetricDescription {
    /// Its name, with the unit at the end.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// Its unit.
    pub unit: Unit,
    /// One line for people.
    pub meaning: &'static str,
}

const fn metric(name: &'static str, kind: MetricKind, unit: Unit, meaning: &'static str) -> MetricDescription {
    MetricDescription { name, kind, unit, meaning }
}

use MetricKind::{Counter, Gauge, Histogram};

/// Every metric of ingest.
pub const METRICS: &[MetricDescription] = &[
    metric("bluelake_records_total", Counter, Unit::Count, "Kinesis records read"),
    metric("bluelake_read_bytes_total", Counter, Unit::Bytes, "Bytes of the records read"),
    metric("bluelake_events_read_total", Counter, Unit::Count, "Events read, those read again included"),
    metric("bluelake_events_received_total", Counter, Unit::Count, "Events of committed batches"),
    metric("bluelake_events_stored_total", Counter, Unit::Count, "Committed rows of the event table"),
    metric("bluelake_events_rejected_total", Counter, Unit::Count, "Committed rows of rejected_events, by reason"),
    metric("bluelake_events_duplicate_total", Counter, Unit::Count, "Events dropped as duplicates, committed"),
    metric("bluelake_unknown_fields_total", Counter, Unit::Count, "Fields that the contract does not know, read"),
    metric("bluelake_misrouted_events_total", Counter, Unit::Count, "Events read by another shard than they hash to"),
    metric("bluelake_commits_total", Counter, Unit::Count, "Commits, those of positions alone included"),
    metric("bluelake_files_total", Counter, Unit::Count, "Parquet files committed"),
    metric("bluelake_file_bytes_total", Counter, Unit::Bytes, "Bytes of the files committed"),
    metric("bluelake_fenced_batches_total", Counter, Unit::Count, "Batches dropped: another worker moved a shard"),
    metric("bluelake_answers_total", Counter, Unit::Count, "Answers of Kinesis to a reader, with or without records"),
    metric("bluelake_kinesis_faults_total", Counter, Unit::Count, "Calls for records that failed, by call and fault"),
    metric("bluelake_retries_total", Counter, Unit::Count, "Operations tried again after a fault that may pass"),
    metric("bluelake_commit_duration_seconds", Histogram, Unit::Seconds, "A commit, with its tries"),
    metric("bluelake_flush_duration_seconds", Histogram, Unit::Seconds, "From the buffer to the commit of a batch"),
    metric("bluelake_lag_seconds", Gauge, Unit::Seconds, "Greatest lag of a shard that is read"),
    metric("bluelake_shard_lag_seconds", Gauge, Unit::Seconds, "How far a shard is behind the tip"),
    metric("bluelake_retention_headroom_seconds", Gauge, Unit::Seconds, "Least headroom of a shard that is read"),
    metric(
        "bluelake_shard_retention_headroom_seconds",
        Gauge,
        Unit::Seconds,
        "Time until Kinesis may discard unread records",
    ),
    metric(
        "bluelake_answer_age_seconds",
        Gauge,
        Unit::Seconds,
        "Longest time without an answer of Kinesis for a shard",
    ),
    metric(
        "bluelake_oldest_uncommitted_age_seconds",
        Gauge,
        Unit::Seconds,
        "Age of the oldest read that is not committed",
    ),
    metric("bluelake_uncommitted_rows", Gauge, Unit::Count, "Rows read and not committed"),
    metric("bluelake_uncommitted_bytes", Gauge, Unit::Bytes, "Bytes of the rows read and not committed, as decoded"),
    metric("bluelake_page_budget_bytes", Gauge, Unit::Bytes, "Memory for pages on their way from Kinesis"),
    metric("bluelake_page_budget_used_bytes", Gauge, Unit::Bytes, "The part of it that is taken"),
    metric("bluelake_dedup_ids", Gauge, Unit::Count, "Event ids that the deduplication windows hold"),
    metric(
        "bluelake_dedup_window_shortened",
        Gauge,
        Unit::Count,
        "1 when a window held too many ids and was shortened",
    ),
    metric("bluelake_shards", Gauge, Unit::Count, "Shards of this worker by state"),
    metric("bluelake_gaps_open", Gauge, Unit::Count, "Shards that stand still behind a gap"),
    metric("bluelake_workers_alive", Gauge, Unit::Count, "Workers that share the streams, as this one sees it"),
    metric("bluelake_worker_running", Gauge, Unit::Count, "1 while the stream's worker reads and commits"),
    metric("bluelake_table_files", Gauge, Unit::Count, "Files of a table"),
    metric("bluelake_table_small_files", Gauge, Unit::Count, "Files of a table that are not full and can be merged"),
    metric("bluelake_table_bytes", Gauge, Unit::Bytes, "Bytes of the files of a table"),
    metric(
        "bluelake_table_last_compaction_timestamp_seconds",
        Gauge,
        Unit::Seconds,
        "When a compaction last wrote a file of a table, Unix time",
    ),
    metric("bluelake_last_commit_timestamp_seconds", Gauge, Unit::Seconds, "When the last commit happened, Unix time"),
];

/// Describes every metric to the recorder in charge.
pub fn describe_metrics() {
    for MetricDescription { name, kind, unit, meaning } in METRICS.iter().copied() {
        match kind {
            Counter => describe_counter!(name, unit, meaning),
            Gauge => describe_gauge!(name, unit, meaning),
            Histogram => describe_histogram!(name, unit, meaning),
        }
    }
}

/// Publishes the whole report to the recorder in charge. Meant for a fresh recorder each time: a series that is not
/// published again is gone.
pub fn publish_metrics(report: &ProgressReport) {
    publish_counters(report);
    publish_gauges(report);
    publish_shards(report);
}

fn publish_counters(report: &ProgressReport) {
    let stream = report.stream.name();
    let counts = &report.counts;
    for (name, value) in [
        ("bluelake_records_total", counts.records),
        ("bluelake_read_bytes_total", counts.bytes),
        ("bluelake_events_read_total", counts.received),
        ("bluelake_events_received_total", counts.committed.received),
        ("bluelake_events_stored_total", counts.committed.stored),
        ("bluelake_events_duplicate_total", counts.committed.duplicate),
        ("bluelake_unknown_fields_total", counts.unknown_fields),
        ("bluelake_misrouted_events_total", counts.misrouted),
        ("bluelake_commits_total", counts.commits),
        ("bluelake_files_total", counts.files),
        ("bluelake_file_bytes_total", counts.file_bytes),
        ("bluelake_fenced_batches_total", report.fenced),
        ("bluelake_answers_total", report.answers),
    ] {
        counter!(name, "stream" => stream).absolute(value);
    }
    for (reason, count) in &report.rejected {
        counter!("bluelake_events_rejected_total", "stream" => stream, "reason" => reason.clone()).absolute(*count);
    }
}

fn publish_gauges(report: &ProgressReport) {
    let stream = report.stream.name();
    let running = report.phase == WorkerPhase::Running;
    let ids: usize = report.shards.iter().map(|shard| shard.dedup_ids).sum();
    for (name, value) in [
        ("bluelake_oldest_uncommitted_age_seconds", report.oldest_uncommitted.unwrap_or_default().as_secs_f64()),
        ("bluelake_uncommitted_rows", number(report.uncommitted_rows)),
        ("bluelake_uncommitted_bytes", number(report.uncommitted_bytes)),
        ("bluelake_page_budget_bytes", number(report.budget_bytes)),
        ("bluelake_page_budget_used_bytes", number(report.budget_used_bytes)),
        ("bluelake_dedup_ids", number(ids)),
        ("bluelake_dedup_window_shortened", f64::from(u8::from(report.counts.window_shortened))),
        ("bluelake_gaps_open", number(report.stopped)),
        ("bluelake_worker_running", f64::from(u8::from(running))),
    ] {
        gauge!(name, "stream" => stream).set(value);
    }
    for (state, shards) in [("reading", report.shards.len()), ("waiting", report.waiting), ("gap", report.stopped)] {
        gauge!("bluelake_shards", "stream" => stream, "state" => state).set(number(shards));
    }
    let silence = report.shards.iter().map(|shard| shard.silence).max();
    for (name, known) in [
        ("bluelake_lag_seconds", report.lag()),
        ("bluelake_retention_headroom_seconds", report.headroom()),
        ("bluelake_answer_age_seconds", silence),
    ] {
        if let Some(value) = known {
            gauge!(name, "stream" => stream).set(value.as_secs_f64());
        }
    }
    if let Some(at) = report.last_commit {
        gauge!("bluelake_last_commit_timestamp_seconds", "stream" => stream).set(seconds(at.get()));
    }
    if let Some(living) = report.fleet {
        gauge!("bluelake_workers_alive", "stream" => stream).set(number(living));
    }
}

fn publish_shards(report: &ProgressReport) {
    if report.shards.len() > MAX_SHARD_SERIES {
        return;
    }
    let stream = report.stream.name();
    for shard in &report.shards {
        let id = &shard.shard;
        gauge!("bluelake_shard_lag_seconds", "stream" => stream, "shard" => id.to_string())
            .set(shard.lag.as_secs_f64());
        if let Some(headroom) = shard.headroom {
            let name = "bluelake_shard_retention_headroom_seconds";
            gauge!(name, "stream" => stream, "shard" => id.to_string()).set(headroom.as_secs_f64());
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; beyond 2^53 it may be rounded")]
fn number(count: usize) -> f64 {
    count as f64
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds since the epoch are far below 2^53")]
pub(super) fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}

/// Records how long a batch took from the buffer to its commit.
pub(super) fn record_flush(stream: Stream, duration: Duration) {
    histogram!("bluelake_flush_duration_seconds", "stream" => stream.name()).record(duration.as_secs_f64());
}

/// Records the duration of a commit when it is dropped, whatever the outcome.
#[derive(Debug)]
pub(crate) struct CommitTimer {
    stream: Stream,
    started: Instant,
}

impl CommitTimer {
    pub(crate) fn start(stream: Stream) -> Self {
        Self { stream, started: Instant::now() }
    }
}

impl Drop for CommitTimer {
    fn drop(&mut self) {
        let duration = self.started.elapsed().as_secs_f64();
        histogram!("bluelake_commit_duration_seconds", "stream" => self.stream.name()).record(duration);
    }
}

/// Counts a call for records that failed.
pub(crate) fn count_fault(operation: &'static str, fault: &'static str) {
    counter!("bluelake_kinesis_faults_total", "call" => operation, "fault" => fault).increment(1);
}

/// Counts an operation that is tried again.
pub(crate) fn count_retry(operation: &'static str) {
    counter!("bluelake_retries_total", "operation" => operation).increment(1);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use bluelake_schemas::Millis;
    use std::{
        collections::{BTreeMap, BTreeSet},
        sync::{Arc, Mutex},
    };

    use bluelake_lake::ControlTotals;
    use metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString,
        with_local_recorder,
    };

    use super::*;
    use crate::progress::{ProgressSnapshot, ShardReport, WorkerStep, publish_table};

    /// Keeps what is published, as `name{label=value,…}`.
    #[derive(Clone, Debug, Default)]
    struct Published(Arc<Mutex<BTreeMap<String, f64>>>);

    struct Series(Published, String);

    impl Series {
        fn change(&self, change: impl FnOnce(f64) -> f64) {
            let mut published = self.0.0.lock().unwrap();
            let value = published.entry(self.1.clone()).or_default();
            *value = change(*value);
        }
    }

    #[allow(clippy::cast_precision_loss)]
    impl CounterFn for Series {
        fn increment(&self, value: u64) {
            self.change(|before| before + value as f64);
        }
        fn absolute(&self, value: u64) {
            self.change(|_| value as f64);
        }
    }

    impl GaugeFn for Series {
        fn increment(&self, value: f64) {
            self.change(|before| before + value);
        }
        fn decrement(&self, value: f64) {
            self.change(|before| before - value);
        }
        fn set(&self, value: f64) {
            self.change(|_| value);
        }
    }

    impl metrics::HistogramFn for Series {
        fn record(&self, _: f64) {
            self.change(|before| before + 1.0);
        }
    }

    impl Published {
        fn series(&self, key: &Key) -> Arc<Series> {
            let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            Arc::new(Series(self.clone(), format!("{}{{{}}}", key.name(), labels.join(","))))
        }

        fn of(publish: impl FnOnce()) -> BTreeMap<String, f64> {
            let published = Self::default();
            with_local_recorder(&published, publish);
            published.0.lock().unwrap().clone()
        }
    }

    impl Recorder for Published {
        fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
            self.0.lock().unwrap().insert(name.as_str().to_owned(), 0.0);
        }
        fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
            self.describe_counter(name, unit, text);
        }
        fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
            self.describe_counter(name, unit, text);
        }
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.series(key))
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.series(key))
        }
        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(self.series(key))
        }
    }

    fn shard(number: usize) -> ShardReport {
        ShardReport {
            shard: format!("shardId-{number}").into(),
            lag: Duration::from_millis(1_500),
            silence: Duration::from_secs(2),
            headroom: Some(Duration::from_secs(3_600)),
            dedup_ids: 7,
        }
    }

    fn publish_files() {
        publish_table("transactions", 7, 3, 900, Some(Millis::new(5_500)));
    }

    #[test]
    fn table_files_become_metrics() {
        let published = Published::of(publish_files);
        for (name, value) in [
            ("bluelake_table_files", 7.0),
            ("bluelake_table_small_files", 3.0),
            ("bluelake_table_bytes", 900.0),
            ("bluelake_table_last_compaction_timestamp_seconds", 5.5),
        ] {
            assert_eq!(published.get(&format!("{name}{{table=transactions}}")), Some(&value), "{name}");
        }
    }

    fn report(shards: usize) -> ProgressReport {
        let committed = ControlTotals { received: 10, stored: 6, rejected: 3, duplicate: 1, suppressed: 0 };
        ProgressReport {
            stream: Stream::TransactionEvents,
            phase: WorkerPhase::Running,
            step: WorkerStep::Reading,
            counts: ProgressSnapshot { records: 12, received: 12, committed, ..ProgressSnapshot::default() },
            rejected: BTreeMap::from([("not_json".to_owned(), 2), ("bad_uuid".to_owned(), 1)]),
            fenced: 4,
            answers: 5,
            shards: (0..shards).map(shard).collect(),
            waiting: 2,
            stopped: 1,
            uncommitted_rows: 8,
            uncommitted_bytes: 800,
            oldest_uncommitted: Some(Duration::from_secs(9)),
            last_commit: Some(Millis::new(1_790_000_000_500)),
            fleet: Some(3),
            budget_bytes: 1_000,
            budget_used_bytes: 100,
        }
    }

    #[test]
    fn a_report_becomes_series_by_stream_and_shard() {
        let published = Published::of(|| publish_metrics(&report(2)));
        for (series, value) in [
            ("bluelake_events_received_total{stream=transaction-events}", 10.0),
            ("bluelake_events_read_total{stream=transaction-events}", 12.0),
            ("bluelake_events_rejected_total{stream=transaction-events,reason=not_json}", 2.0),
            ("bluelake_shards{stream=transaction-events,state=waiting}", 2.0),
            ("bluelake_gaps_open{stream=transaction-events}", 1.0),
            ("bluelake_dedup_ids{stream=transaction-events}", 14.0),
            ("bluelake_shard_lag_seconds{stream=transaction-events,shard=shardId-1}", 1.5),
            ("bluelake_lag_seconds{stream=transaction-events}", 1.5),
            ("bluelake_last_commit_timestamp_seconds{stream=transaction-events}", 1_790_000_000.5),
            ("bluelake_workers_alive{stream=transaction-events}", 3.0),
        ] {
            assert_eq!(published.get(series), Some(&value), "{series} of {published:#?}");
        }
    }

    #[test]
    fn a_thousand_shards_are_reported_as_a_stream() {
        let per_shard =
            |published: &BTreeMap<String, f64>| published.keys().filter(|key| key.contains("shard=")).count();
        assert_eq!(per_shard(&Published::of(|| publish_metrics(&report(1_000)))), 2_000);
        let many = Published::of(|| publish_metrics(&report(1_001)));
        assert_eq!(per_shard(&many), 0);
        assert_eq!(many["bluelake_lag_seconds{stream=transaction-events}"], 1.5);
    }

    #[test]
    fn every_metric_has_its_description_and_vice_versa() {
        let described: BTreeSet<String> = Published::of(describe_metrics).into_keys().collect();
        let published = Published::of(|| {
            publish_metrics(&report(1));
            publish_files();
            count_fault("GetRecords", "expired_iterator");
            count_retry("commit");
            record_flush(Stream::UserEvents, Duration::from_secs(1));
            drop(CommitTimer::start(Stream::UserEvents));
        });
        let names = published.keys().filter_map(|series| Some(series.split_once('{')?.0.to_owned()));
        assert_eq!(names.collect::<BTreeSet<_>>(), described);
        assert_eq!(described.len(), METRICS.len());
    }

    #[test]
    fn the_manual_explains_every_metric() {
        let manual = include_str!("../../../docs/operating.md");
        for metric in METRICS {
            assert!(manual.contains(&format!("| `{}`", metric.name)), "docs/operating.md lacks {}", metric.name);
        }
    }
}
