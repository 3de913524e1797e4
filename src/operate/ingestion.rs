//! One run of the ingest workers, as `bluelake ingest` and the demo start it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use aws_sdk_kinesis::Client;
use bluelake_care::{CompactionOptions, keep_compact};
use bluelake_ingest::{
    Admission, Clock, DedupLimits, Fleet, FleetOptions, FlushLimits, IngestOptions, KinesisStream, MemoryBudget,
    Progress, StreamSummary, StreamWorker, WorkerPhase, run_workers,
};
use bluelake_lake::{Heartbeats, InitOutcome, Lake, ShardId};
use bluelake_schemas::{Contract, Stream};
use bytesize::ByteSize;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::IngestSettings;
use crate::operate::beside::Beside;
use crate::operate::health::Health;
use crate::operate::serve;
use crate::operate::serve::MetricsServer;

/// How often the list of a stream's shards is read again.
const LINEAGE_INTERVAL: Duration = Duration::from_secs(30);
/// The time limit for removing the heartbeat.
const LEAVE: Duration = Duration::from_secs(5);
/// How often progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// The settings of a run: streams, lake and options.
#[derive(Debug)]
pub(crate) struct Ingestion {
    /// Where the streams are.
    pub(crate) kinesis: Client,
    /// The streams, each with its name or ARN in Kinesis.
    pub(crate) streams: Vec<(Stream, String)>,
    /// Where the events go.
    pub(crate) lake: Lake,
    /// What an event is.
    pub(crate) contract: Contract,
    /// How batches are bounded and where reading starts.
    pub(crate) settings: IngestSettings,
    /// Stop at the tip of every shard.
    pub(crate) once: bool,
    /// Make missing parts of the lake.
    pub(crate) init: bool,
    /// How the tables are looked after beside it, if they are.
    pub(crate) compaction: Option<CompactionOptions>,
    /// Whether they are compacted then, or only looked at.
    pub(crate) compacts: bool,
}

/// The result of one stream.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StreamResult {
    pub(crate) stream: Stream,
    pub(crate) table: &'static str,
    /// Version of the table after the last commit.
    pub(crate) table_version: Option<u64>,
    pub(crate) received: u64,
    pub(crate) stored: u64,
    pub(crate) rejected: u64,
    pub(crate) duplicate: u64,
    /// Fields that the contract does not know, kept in `extras`.
    pub(crate) unknown_fields: u64,
    /// Events of aggregated records that hash to another shard than the one they came by.
    pub(crate) misrouted: u64,
    /// Kinesis records read, and their bytes.
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) commits: u64,
    pub(crate) files: u64,
    pub(crate) file_bytes: u64,
    /// Batches that were dropped because another worker had moved the shard.
    pub(crate) fenced: u64,
    /// A deduplication window held too many ids and was shorter than set.
    pub(crate) window_shortened: bool,
    /// Shards that stand still because Kinesis may have discarded records unread.
    pub(crate) open_gaps: usize,
    /// Shards that were not read to their tip, in a run that ends there.
    pub(crate) unread: Vec<ShardId>,
}

/// The result of one run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct IngestResult {
    pub(crate) streams: Vec<StreamResult>,
    /// From the first read to the last commit.
    pub(crate) seconds: f64,
}

impl IngestResult {
    /// The sum of one count over the streams.
    pub(crate) fn total(&self, count: impl Fn(&StreamResult) -> u64) -> u64 {
        self.streams.iter().map(count).sum()
    }
}

impl Ingestion {
    /// Checks that the streams exist, opens (or makes) the lake, and reads until it is done or is to stop. `show` is
    /// called now and then with the number of events read.
    ///
    /// # Errors
    /// The first error that is not waited out. Earlier commits stay.
    pub(crate) async fn run(self, shutdown: CancellationToken, show: impl Fn(u64)) -> Result<IngestResult> {
        let streams = self.streams.iter().map(|(stream, _)| *stream).collect();
        let health = Arc::new(Health::new(streams, self.settings.buffer_age));
        let mut background = self.watch_over(&health).await?;
        let started = Instant::now();
        // Before the first read there is nothing to commit: a shutdown ends it at once.
        let stopped = || Ok(IngestResult { streams: Vec::new(), seconds: started.elapsed().as_secs_f64() });
        let worker = self.settings.worker_id.clone().unwrap_or_else(worker_name);
        let fleet = tokio::select! {
            biased;
            () = shutdown.cancelled() => return stopped(),
            joined = self.join(&worker) => joined?,
        };
        let opened = tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            opened = self.open(&worker, fleet.as_ref(), &health) => Some(opened),
        };
        let workers = match opened {
            Some(Ok(workers)) => workers,
            other => {
                leave(fleet).await;
                return other.map_or_else(stopped, |opened| opened.and_then(|_| stopped()));
            }
        };
        if let Some(options) = &self.compaction {
            background.spawn(self.compact(options, &worker, fleet.clone(), health.clone()));
        }
        let progress: Vec<_> = workers.iter().map(StreamWorker::progress).collect();
        let limit = self.settings.shutdown_timeout;
        let out_of_time = out_of_time(shutdown.clone(), limit, &progress);
        let running = async {
            let summaries = watch(run_workers(workers, shutdown), &progress, show).await;
            leave(fleet).await;
            summaries
        };
        let summaries = tokio::select! {
            ended = running => ended?,
            steps = out_of_time => bail!(
                "stopped, and what is buffered could not be committed within {} (--shutdown-timeout): it will be read again{steps}",
                humantime::format_duration(limit)
            ),
        };
        let streams = summaries.iter().map(result).collect();
        Ok(IngestResult { streams, seconds: started.elapsed().as_secs_f64() })
    }

    /// Checks the streams, makes the lake if that is requested, and joins the fleet.
    async fn join(&self, worker: &str) -> Result<Option<Fleet>> {
        // This is before the lake is made or touched: a misspelt stream must not leave an empty lake behind.
        for (_, name) in &self.streams {
            self.source(name).describe().await?;
        }
        if self.init {
            let InitOutcome { tables_created, .. } = self.lake.init(&self.contract).await?;
            tracing::info!(lake = %self.lake.location(), ?tables_created, "the lake is ready");
        }
        self.join_fleet(worker).await
    }

    /// Opens the tables side by side.
    async fn open(&self, worker: &str, fleet: Option<&Fleet>, health: &Health) -> Result<Vec<StreamWorker>> {
        let budget = MemoryBudget(bytes(self.settings.memory_budget));
        // One for all streams: a stream with little to read leaves its room to the other.
        let admission = Admission::new(budget.page_bytes());
        let options = self.options(budget, admission);
        let opening = self.streams.iter().map(|(stream, name)| {
            let options = IngestOptions { fleet: fleet.cloned(), worker: worker.to_owned(), ..options.clone() };
            async move {
                let worker =
                    StreamWorker::open(self.source(name), *stream, &self.lake, &self.contract, options).await?;
                health.watch(worker.progress());
                Ok(worker)
            }
        });
        futures::future::try_join_all(opening).await
    }

    /// A run to the tip reads every shard by itself: when it ends, the share of absent workers would be left unread.
    /// With a name it takes part like any other.
    async fn join_fleet(&self, worker: &str) -> Result<Option<Fleet>> {
        if self.once && self.settings.worker_id.is_none() {
            return Ok(None);
        }
        let streams: Vec<Stream> = self.streams.iter().map(|(stream, _)| *stream).collect();
        let started_at = chrono::Utc::now().into();
        let options =
            FleetOptions { max_shards: self.settings.max_shards, ..FleetOptions::new(worker, &streams, started_at) };
        Ok(Some(Fleet::join(&self.lake, options).await?))
    }

    fn source(&self, name: &str) -> KinesisStream {
        let stream = KinesisStream::new(self.kinesis.clone(), name).with_shard_rate(self.settings.shard_rate.as_u64());
        match &self.settings.fan_out {
            Some(consumer) => stream.with_fan_out(consumer),
            None => stream,
        }
    }

    /// Starts the watchdog and, if set, the server of metrics and health; both end when the set is dropped.
    async fn watch_over(&self, health: &Arc<Health>) -> Result<JoinSet<()>> {
        let mut background = JoinSet::new();
        let recorded = match self.settings.listen {
            Some(address) => {
                let recorded = serve::install_recorder()?;
                let server = MetricsServer::bind(address, health.clone(), recorded.clone()).await?;
                background.spawn(server.run());
                Some(recorded)
            }
            None => None,
        };
        background.spawn(health.clone().run(move || {
            if let Some(recorded) = &recorded {
                recorded.run_upkeep();
            }
        }));
        Ok(background)
    }

    /// Compacts the tables for as long as the task runs.
    fn compact(
        &self,
        options: &CompactionOptions,
        worker: &str,
        fleet: Option<Fleet>,
        health: Arc<Health>,
    ) -> impl Future<Output = ()> + use<> {
        let options = CompactionOptions { worker: worker.to_owned(), ..options.clone() };
        let room = MemoryBudget(bytes(self.settings.memory_budget)).row_bytes(self.streams.len().max(1));
        let beside = Beside::new(self.compacts, fleet, health, room);
        let kept = keep_compact(self.lake.clone(), self.contract.clone(), options, beside);
        async move { match kept.await {} }
    }

    /// The options of one worker: the streams share the limits of the process.
    fn options(&self, budget: MemoryBudget, admission: Admission) -> IngestOptions {
        let streams = self.streams.len().max(1);
        let batch_bytes = match self.settings.buffer_size {
            Some(size) => (bytes(size) / streams).max(1),
            None => usize::MAX,
        };
        let flush = FlushLimits {
            memory: budget.row_bytes(streams),
            batch_bytes,
            file_bytes: bytes(self.settings.file_size),
            age: self.settings.buffer_age,
            ..FlushLimits::default()
        };
        IngestOptions {
            once: self.once,
            start: self.settings.start.into(),
            flush,
            dedup: DedupLimits { max_ids: budget.dedup_ids(streams), span: self.settings.dedup_window },
            lineage_interval: LINEAGE_INTERVAL,
            admission,
            worker: worker_name(),
            clock: Clock::system(),
            fleet: None,
            on_gap: self.settings.on_gap,
        }
    }
}

/// The readers of settings refuse sizes that an address cannot reach.
fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

/// Removes the heartbeat; if that takes long, the others see it expire.
async fn leave(fleet: Option<Fleet>) {
    if let Some(fleet) = fleet
        && tokio::time::timeout(LEAVE, fleet.leave()).await.is_err()
    {
        tracing::warn!("the heartbeat could not be taken away in time");
    }
}

/// Ends when a shutdown takes too long, and names the steps under way. An end in the middle of a commit is as safe as a
/// kill there.
async fn out_of_time(shutdown: CancellationToken, limit: Duration, progress: &[Arc<Progress>]) -> String {
    shutdown.cancelled().await;
    tokio::time::sleep(limit).await;
    // This is read now: a dropped worker has failed, and has no step.
    under_way(progress)
}

/// The step of each worker that has not left, for the end of a message.
fn under_way(progress: &[Arc<Progress>]) -> String {
    let reports = progress.iter().map(|progress| progress.report());
    let busy = reports.filter(|report| matches!(report.phase, WorkerPhase::Opened | WorkerPhase::Running));
    let steps: Vec<String> = busy.map(|report| format!("{} was {}", report.stream, report.step)).collect();
    if steps.is_empty() { String::new() } else { format!("; {}", steps.join(", ")) }
}

/// A name that people can find: the machine's, if known, and the process's number.
fn worker_name() -> String {
    let machine = std::env::var("HOSTNAME").ok().filter(|name| Heartbeats::is_valid_id(name));
    format!("{}-{}", machine.as_deref().unwrap_or("worker"), std::process::id())
}

async fn watch<T>(running: impl Future<Output = T>, progress: &[Arc<Progress>], show: impl Fn(u64)) -> T {
    let mut running = std::pin::pin!(running);
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    loop {
        tokio::select! {
            ended = &mut running => return ended,
            _ = ticks.tick() => show(progress.iter().map(|progress| progress.snapshot().received).sum()),
        }
    }
}

fn result(summary: &StreamSummary) -> StreamResult {
    let counts = summary.counts;
    StreamResult {
        stream: summary.stream,
        table: summary.stream.table(),
        table_version: summary.table_version,
        received: counts.committed.received,
        stored: counts.committed.stored,
        rejected: counts.committed.rejected,
        duplicate: counts.committed.duplicate,
        unknown_fields: counts.unknown_fields,
        misrouted: counts.misrouted,
        records: counts.records,
        bytes: counts.bytes,
        commits: counts.commits,
        files: counts.files,
        file_bytes: counts.file_bytes,
        fenced: summary.fenced,
        window_shortened: counts.window_shortened,
        open_gaps: summary.open_gaps.len(),
        unread: summary.unread.clone(),
    }
}
