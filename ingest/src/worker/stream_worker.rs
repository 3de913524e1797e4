//! The worker of one stream: opens its table, runs round after round until it is done, and steps aside where it is
//! fenced.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use bluelake_lake::{
    Batch, Chance, CheckpointDocument, CommitOutcome, ControlTotals, Gap, Housekeeper, Lake, Position, ShardId,
    StreamTable, Writer, recent_events,
};
use bluelake_schemas::{Contract, Millis, Stream};
use bluelake_transform::Decoder;
use tokio_util::sync::CancellationToken;

use crate::{
    error::IngestError,
    kinesis::{
        skew::Skew,
        stream::{KinesisStream, StreamDescription},
    },
    landing::{
        flush::{commit, empty_batch},
        retry::{self, Patience},
    },
    progress::{Progress, ProgressSnapshot, Running},
    reading::dedup::{rebuild::Rebuild, window::DedupWindow},
    shards::{
        fleet::Share,
        lineage::ReadableShard,
        pins_and_gaps::{GapRule, PIN_ROUNDS, PinsAndGaps, Readable, Seen},
        tip::Listing,
    },
    worker::{
        agenda::FENCED_PAUSE,
        options::IngestOptions,
        round::{Agenda, Round, RoundEnd},
    },
};

/// The outcome of a worker's run.
#[derive(Clone, Debug)]
pub struct StreamSummary {
    /// The stream.
    pub stream: Stream,
    /// Counts since the worker started.
    pub counts: ProgressSnapshot,
    /// Batches that were dropped because another worker had moved the shard.
    pub fenced: u64,
    /// Version of the event table after the last commit.
    pub table_version: Option<u64>,
    /// Gaps, each of which stops a shard.
    pub open_gaps: Vec<Gap>,
    /// Shards that were not read to their tip, in a run that ends there.
    pub unread: Vec<ShardId>,
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
    pub(crate) skew: Skew,
    pub(crate) progress: Arc<Progress>,
    /// When the worker started, by the later of both clocks.
    pub(crate) began_at: Millis,
    fenced: u64,
    chance: Chance,
}

impl StreamWorker {
    /// Describes the stream and opens its table, with every check before the first read.
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
        let skew = Skew::of(options.clock.now(), description.server_time);
        let writer = Writer {
            worker: options.worker.clone(),
            stream_arn: description.arn.clone(),
            stream_created_at: description.created_at,
            contract_version: contract.version(),
        };
        let open = || StreamTable::open(lake, contract, stream, writer.clone());
        let table = retry::until("open the table", &Patience::few(lake.chance()), open).await?;
        let table = match options.fleet.clone() {
            Some(fleet) => table.with_housekeeper(Housekeeper::new(move |table| fleet.is_first_for(table))),
            None => table,
        };
        let decoder = Decoder::new(contract, stream).map_err(|source| IngestError::Transform { stream, source })?;
        let start = options.start.position(&description, options.clock.now());
        let budget = options.admission.clone();
        let progress = Progress::new(stream, description.retention, budget, options.clock.clone());
        Ok(Self {
            began_at: skew.latest(options.clock.now()),
            progress: Arc::new(progress),
            source,
            description,
            stream,
            table: Some(table),
            decoder: Arc::new(decoder),
            options,
            start,
            skew,
            fenced: 0,
            chance: lake.chance().clone(),
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

    /// Runs until the shutdown, or until every shard is at its tip if the run ends there; then flushes and commits.
    ///
    /// # Errors
    /// The first error that is not waited out. Earlier commits stay.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<StreamSummary, IngestError> {
        let running = Running::start(&self.progress);
        let IngestOptions { flush, once, lineage_interval, .. } = self.options.clone();
        let mut agenda = Agenda::new(flush, once, lineage_interval, Instant::now());
        loop {
            match Round::new(&mut self, &mut agenda, &shutdown).run().await? {
                RoundEnd::Done { unread } => {
                    running.leave();
                    let open = |document: &CheckpointDocument| {
                        document.gaps.iter().filter(|gap| !gap.accepted).cloned().collect()
                    };
                    return Ok(StreamSummary {
                        open_gaps: self.table()?.document().map(open).unwrap_or_default(),
                        stream: self.stream,
                        counts: self.progress.snapshot(),
                        fenced: self.fenced,
                        table_version: self.table()?.delta_table().version(),
                        unread,
                    });
                }
                RoundEnd::Fenced(fence) => {
                    if let Some(fence) = &fence {
                        tracing::warn!(stream = %self.stream, %fence, "fenced: the table has moved on; going on from there");
                        self.fenced += 1;
                        self.progress.observe_fenced();
                    }
                    let now = Instant::now();
                    let until = now + self.chance.duration(FENCED_PAUSE / 5..=FENCED_PAUSE);
                    let moved = fence.into_iter().flat_map(|fence| fence.shards).map(|moved| moved.shard);
                    agenda = agenda.next_round(moved, until, now);
                    let mut tries = self.patience(&shutdown).tries("load the table");
                    while tries.judge(self.table()?.reload().await).await?.is_none() {}
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
        let few = Patience::few(&self.chance);
        if self.options.once { few } else { few.and_until(shutdown) }
    }

    /// The shards that this worker may read now, and all listed ones. Before that it commits pins of shards new to the
    /// table, gaps, and retired entries. A shard with uncommitted reads has not vanished.
    pub(crate) async fn readable(
        &mut self,
        held: &BTreeSet<ShardId>,
        shutdown: &CancellationToken,
    ) -> Result<(Readable, Listing), IngestError> {
        let patience = self.patience(shutdown);
        for _ in 0..PIN_ROUNDS {
            if self.options.fleet.is_some() {
                // The others commit too.
                self.table()?.reload().await?;
            }
            // The shards are listed anew each time: a pin must not be older than the document that it is made against.
            let at = self.skew.earliest(self.options.clock.now());
            let listing = Listing { shards: self.source.list_shards().await?, at };
            let now = self.options.clock.now();
            let rule = GapRule {
                retention: self.description.retention,
                window: self.options.dedup.span,
                on_gap: self.options.on_gap,
                now: self.skew.latest(now),
            };
            let seen = Seen {
                listed: &listing.shards,
                document: self.table.as_ref().and_then(StreamTable::document),
                start: &self.start,
                held,
                earliest: self.skew.earliest(now),
            };
            let first = PinsAndGaps::of(&seen, rule, |wanting| self.share(wanting));
            if first.is_empty() {
                return Ok((first.readable, listing));
            }
            let table = self.table()?;
            let batch = Batch { retire: first.retire, ..empty_batch(table, first.acts) };
            if let CommitOutcome::Committed { .. } = commit(table, &batch, &patience).await? {
                self.progress.observe_commit(ControlTotals::default(), 0, 0);
                for gap in batch.shards.into_iter().filter_map(|step| step.gap) {
                    tracing::error!(stream = %self.stream, shard = %gap.shard, cause = ?gap.cause, from = ?gap.from,
                        until = ?gap.until, accepted = gap.accepted, "gap: Kinesis may have discarded records unread");
                }
            }
        }
        Err(IngestError::Protocol {
            stream: self.source.name().to_owned(),
            shard: "all".into(),
            reason: format!("new shards could not be pinned in {PIN_ROUNDS} rounds: too many workers at once"),
        })
    }

    /// This worker's share of the shards that need a worker.
    fn share(&self, wanting: BTreeSet<ShardId>) -> Share {
        match &self.options.fleet {
            Some(fleet) => fleet.share(self.stream, wanting),
            None => Share { mine: wanting, ..Share::default() },
        }
    }

    /// Deduplication windows of shards about to be read, rebuilt from the table in one scan.
    pub(crate) async fn windows(
        &mut self,
        shards: &[ReadableShard],
    ) -> Result<BTreeMap<ShardId, DedupWindow>, IngestError> {
        let (dedup, name) = (self.options.dedup, self.stream.table());
        let table = self.table()?;
        let mut rebuild = Rebuild::plan(shards, table.document(), dedup);
        if !rebuild.wanted().is_empty() {
            let wanted = rebuild.wanted().clone();
            recent_events(name, table.delta_table(), &wanted, &mut |event| rebuild.remember(event)).await?;
        }
        Ok(rebuild.finish())
    }
}

/// Runs the workers of several streams side by side. When one fails, the others flush, commit and leave; when a shard stands
/// still behind a gap, they go on to their end.
///
/// # Errors
/// The first error of any worker, after all have ended.
pub async fn run_workers(
    workers: Vec<StreamWorker>,
    shutdown: CancellationToken,
) -> Result<Vec<StreamSummary>, IngestError> {
    let shutdown = shutdown.child_token();
    let mut running = tokio::task::JoinSet::new();
    let mut streams = HashMap::new();
    for worker in workers {
        let stream = worker.stream;
        let run = worker.run(shutdown.clone());
        streams.insert(running.spawn(async move { (stream, run.await) }).id(), stream);
    }
    let mut summaries = Vec::new();
    let mut first_error = None;
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok((_, Ok(summary))) => summaries.push(summary),
            Ok((stream, Err(error))) => {
                tracing::error!(%stream, error = bluelake_lake::causes(&error), "the worker failed; the others flush and leave");
                first_error.get_or_insert(error);
                shutdown.cancel();
            }
            Err(error) => {
                let stream = streams.get(&error.id()).copied().unwrap_or(Stream::UserEvents);
                let error = IngestError::task(stream, &error);
                tracing::error!(%stream, error = bluelake_lake::causes(&error), "the others flush and leave");
                first_error.get_or_insert(error);
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
