//! The worker of one stream: opens its table, runs round after round until it is done, and steps aside where it is
//! fenced.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bluelake_lake::{
    CheckpointDocument, CommitOutcome, ControlTotals, Lake, Position, RecentRanges, StreamTable, Writer, recent_events,
};
use bluelake_schemas::{Contract, Stream};
use bluelake_transform::Decoder;
use rand::Rng as _;
use tokio_util::sync::CancellationToken;

use crate::{
    error::IngestError,
    flush::{commit, empty_batch},
    kinesis::{KinesisStream, StreamDescription},
    lineage::{LineagePlan, ReadableShard, ancestry, plan},
    options::{IngestOptions, StartPosition},
    progress::{Progress, ProgressSnapshot, Running},
    retry::Patience,
    round::{Round, RoundEnd},
    window::{DedupWindow, EventPosition},
};

/// Rounds of pinning before it is given up; each loses only to another worker that pins.
const PIN_ROUNDS: usize = 10;
/// A shard that another worker took is left alone for up to this long.
const FENCED_PAUSE: Duration = Duration::from_secs(15);

/// What a worker did.
#[derive(Clone, Copy, Debug)]
pub struct StreamSummary {
    /// The stream.
    pub stream: Stream,
    /// Counts since the worker started.
    pub counts: ProgressSnapshot,
    /// Batches that were dropped because another worker had moved the shard.
    pub fenced: u64,
    /// Version of the event table after the last commit.
    pub table_version: Option<u64>,
}

/// The worker of one stream.
#[derive(Debug)]
pub struct StreamWorker {
    pub(crate) source: KinesisStream,
    pub(crate) description: StreamDescription,
    pub(crate) stream: Stream,
    /// `None` only while a flush has it.
    pub(crate) table: Option<StreamTable>,
    pub(crate) decoder: Arc<Decoder>,
    pub(crate) options: IngestOptions,
    start: Position,
    pub(crate) progress: Arc<Progress>,
    pub(crate) avoided: BTreeMap<String, Instant>,
    fenced: u64,
}

impl StreamWorker {
    /// Describes the stream and opens its table, with every check that comes before the first read.
    ///
    /// # Errors
    /// When the stream or the table cannot be used.
    pub async fn open(
        source: KinesisStream,
        stream: Stream,
        lake: &Lake,
        contract: &Contract,
        options: IngestOptions,
    ) -> Result<Self, IngestError> {
        let description = source.describe().await?;
        let writer = Writer {
            worker: options.worker.clone(),
            stream_arn: description.arn.clone(),
            contract_version: contract.version(),
        };
        let table = StreamTable::open(lake, contract, stream, writer).await?;
        let decoder = Decoder::new(contract, stream).map_err(|source| IngestError::Transform { stream, source })?;
        let start = match options.start {
            StartPosition::TrimHorizon => Position::TrimHorizon,
            StartPosition::Latest => Position::AtTimestamp(options.clock.now().timestamp_millis()),
            StartPosition::AtTimestamp(time) => Position::AtTimestamp(time.timestamp_millis()),
        };
        let budget = options.admission.clone();
        let progress = Progress::new(stream, description.retention, budget, options.clock.clone());
        Ok(Self {
            progress: Arc::new(progress),
            source,
            description,
            stream,
            table: Some(table),
            decoder: Arc::new(decoder),
            options,
            start,
            avoided: BTreeMap::new(),
            fenced: 0,
        })
    }

    /// Running counts, for a progress bar.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// Runs until the shutdown, or until every shard is at its tip when only that is wanted; then flushes and commits.
    ///
    /// # Errors
    /// The first error that is not waited out. What was committed before it stays committed.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<StreamSummary, IngestError> {
        let running = Running::start(&self.progress);
        loop {
            match Round::new(&mut self, &shutdown).run().await? {
                RoundEnd::Done => {
                    running.leave();
                    return Ok(StreamSummary {
                        stream: self.stream,
                        counts: self.progress.snapshot(),
                        fenced: self.fenced,
                        table_version: self.table()?.delta_table().version(),
                    });
                }
                RoundEnd::Fenced(shards) => {
                    if !shards.is_empty() {
                        tracing::warn!(stream = %self.stream, ?shards, "fenced: another worker moved these shards; going on from the table");
                        self.fenced += 1;
                        self.progress.observe_fenced();
                    }
                    let until = Instant::now() + FENCED_PAUSE.mul_f64(rand::rng().random_range(0.2..1.0));
                    self.avoided.extend(shards.into_iter().map(|shard| (shard, until)));
                    let mut pauses = self.patience(&shutdown).pauses();
                    while let Err(error) = self.table()?.reload().await {
                        pauses.wait_after("load the table", error.into()).await?;
                    }
                }
            }
        }
    }

    pub(crate) fn table(&mut self) -> Result<&mut StreamTable, IngestError> {
        let stream = self.stream;
        self.table
            .as_mut()
            .ok_or_else(|| IngestError::Task { stream, reason: "the table is lent to a flush".to_owned() })
    }

    pub(crate) fn patience(&self, shutdown: &CancellationToken) -> Patience {
        if self.options.once { Patience::Few } else { Patience::Until(shutdown.clone()) }
    }

    /// Pins shards that are new to the table and gives the plan of those to read now.
    pub(crate) async fn readable(&mut self, shutdown: &CancellationToken) -> Result<LineagePlan, IngestError> {
        for _ in 0..PIN_ROUNDS {
            // Listed anew each time: what is pinned must not be older than the document that it is pinned against.
            let listed = self.source.list_shards().await?;
            let (start, patience) = (self.start.clone(), self.patience(shutdown));
            let table = self.table()?;
            let plan = plan(&listed, table.document(), &start);
            if plan.pins.is_empty() {
                return Ok(plan);
            }
            let batch = empty_batch(table, plan.pins);
            if let CommitOutcome::Committed { .. } = commit(table, &batch, &patience).await? {
                self.progress.observe_commit(ControlTotals::default(), 0, 0);
            }
        }
        Err(IngestError::Protocol {
            stream: self.source.name().to_owned(),
            shard: "all".to_owned(),
            reason: format!("new shards could not be pinned in {PIN_ROUNDS} rounds: too many workers at once"),
        })
    }

    /// Deduplication windows of shards about to be read, rebuilt from the table in one scan.
    pub(crate) async fn windows(
        &mut self,
        shards: &[ReadableShard],
    ) -> Result<BTreeMap<String, DedupWindow>, IngestError> {
        // The limit is the worker's; each shard gets its share.
        let mut dedup = self.options.dedup;
        dedup.max_ids = (dedup.max_ids / shards.len().max(1)).max(1);
        let mut windows: BTreeMap<String, DedupWindow> =
            shards.iter().map(|shard| (shard.shard.id.clone(), DedupWindow::new(dedup))).collect();
        let name = self.stream.table();
        let table = self.table()?;
        let Some(document) = table.document() else {
            return Ok(windows);
        };
        let span = i64::try_from(dedup.span.as_micros()).unwrap_or(i64::MAX);
        let mut heirs: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
        let mut wanted = RecentRanges::new();
        for shard in shards {
            let family = ancestry(&shard.shard.id, document);
            let Some(newest) = newest_arrival(&family, document) else { continue };
            let since = newest.saturating_sub(span);
            for member in family {
                let Some(last) = document.shards.get(&member).and_then(|state| state.arrived_at) else { continue };
                let earliest = wanted.get(&member).map_or(since, |range| since.min(*range.start()));
                wanted.insert(member.clone(), earliest..=last);
                heirs.entry(member).or_default().push((shard.shard.id.clone(), since));
            }
        }
        wanted.retain(|_, range| !range.is_empty());
        if wanted.is_empty() {
            return Ok(windows);
        }
        recent_events(name, table.delta_table(), &wanted, &mut |event| {
            for (heir, since) in heirs.get(event.shard).into_iter().flatten() {
                if let Some(window) = windows.get_mut(heir).filter(|_| event.arrived_at >= *since) {
                    let position = EventPosition { sequence: event.sequence, sub_sequence: event.sub_sequence };
                    window.remember(event.event_id, position, event.arrived_at);
                }
            }
        })
        .await?;
        Ok(windows)
    }
}

fn newest_arrival(family: &[String], document: &CheckpointDocument) -> Option<i64> {
    family.iter().filter_map(|shard| document.shards.get(shard)?.arrived_at).max()
}

/// Runs the workers of several streams side by side. When one fails, the others flush, commit and leave.
///
/// # Errors
/// The first error of a worker, after all have ended.
pub async fn run_workers(
    workers: Vec<StreamWorker>,
    shutdown: CancellationToken,
) -> Result<Vec<StreamSummary>, IngestError> {
    let shutdown = shutdown.child_token();
    let mut running = tokio::task::JoinSet::new();
    for worker in workers {
        let stream = worker.stream;
        let run = worker.run(shutdown.clone());
        running.spawn(async move { (stream, run.await) });
    }
    let mut summaries = Vec::new();
    let mut first_error = None;
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok((_, Ok(summary))) => summaries.push(summary),
            Ok((stream, Err(error))) => {
                tracing::error!(%stream, error = &error as &dyn std::error::Error, "the worker failed; the others flush and leave");
                first_error.get_or_insert(error);
                shutdown.cancel();
            }
            Err(error) => {
                let reason = error.to_string();
                first_error.get_or_insert(IngestError::Task { stream: Stream::UserEvents, reason });
                shutdown.cancel();
            }
        }
    }
    summaries.sort_by_key(|summary| summary.stream);
    match first_error {
        Some(error) => Err(error),
        None => Ok(summaries),
    }
}
