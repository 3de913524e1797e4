//! The worker of one stream: opens its table, runs round after round until it is done, and steps aside where it is
//! fenced.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use bluelake_lake::{
    Batch, CheckpointDocument, CommitOutcome, ControlTotals, Gap, Lake, Position, RecentRanges, ShardAdvance,
    ShardState, StreamTable, Writer, recent_events,
};
use bluelake_schemas::{Contract, Stream};
use bluelake_transform::Decoder;
use rand::Rng as _;
use tokio_util::sync::CancellationToken;

use crate::{
    error::IngestError,
    fleet::Share,
    flush::{commit, empty_batch},
    gap,
    kinesis::{KinesisStream, StreamDescription},
    lineage::{LineagePlan, ReadableShard, ancestry, plan},
    options::{IngestOptions, OnGap, StartPosition},
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
    /// Gaps that stop a shard.
    pub open_gaps: usize,
}

/// Which shards a worker may read.
#[derive(Debug, Default)]
pub(crate) struct Readable {
    /// Shards to read now.
    pub(crate) shards: Vec<ReadableShard>,
    /// All shards that are this worker's by the assignment.
    pub(crate) mine: BTreeSet<String>,
    /// Gaps that stop a shard of this worker each.
    pub(crate) stopped: Vec<Gap>,
    /// Shards that wait for a parent.
    pub(crate) waiting: usize,
}

/// What has to be committed before anything is read, and what may be read then.
struct FirstActs {
    acts: Vec<ShardAdvance>,
    retire: Vec<String>,
    readable: Readable,
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
        let mut pauses = Patience::Few.pauses();
        let table = loop {
            match StreamTable::open(lake, contract, stream, writer.clone()).await {
                Ok(table) => break table,
                Err(error) => pauses.wait_after("open the table", error.into()).await?,
            }
        };
        let decoder = Decoder::new(contract, stream).map_err(|source| IngestError::Transform { stream, source })?;
        let start = match options.start {
            StartPosition::TrimHorizon => Position::TrimHorizon,
            StartPosition::Latest => Position::AtTimestamp(description.now(options.clock.now()).timestamp_millis()),
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
                    let open = |document: &CheckpointDocument| document.gaps.iter().filter(|gap| !gap.accepted).count();
                    return Ok(StreamSummary {
                        open_gaps: self.table()?.document().map_or(0, open),
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

    /// Which shards this worker may read now, after the commits that must come before: pins of shards new to the table,
    /// gaps, and entries that retire. A shard of which something read is not committed yet has not vanished.
    pub(crate) async fn readable(
        &mut self,
        reading: &BTreeSet<String>,
        shutdown: &CancellationToken,
    ) -> Result<Readable, IngestError> {
        let patience = self.patience(shutdown);
        for _ in 0..PIN_ROUNDS {
            if self.options.fleet.is_some() {
                // The others commit too.
                self.table()?.reload().await?;
            }
            // Listed anew each time: what is pinned must not be older than the document that it is pinned against.
            let listed = self.source.list_shards().await?;
            let now = self.options.clock.now().timestamp_millis();
            let start = self.start.clone();
            let mut plan = plan(&listed, self.table()?.document(), &start, now);
            plan.vanished.retain(|shard| !reading.contains(shard));
            let share = self.share(&plan);
            let mut first = self.first_acts(plan, &share, now)?;
            if first.acts.is_empty() && first.retire.is_empty() {
                first.readable.shards.retain(|readable| !share.held.contains(&readable.shard.id));
                return Ok(first.readable);
            }
            let table = self.table()?;
            let batch = Batch { retire: first.retire, ..empty_batch(table, first.acts) };
            if let CommitOutcome::Committed { .. } = commit(table, &batch, &patience).await? {
                self.progress.observe_commit(ControlTotals::default(), 0, 0);
                for gap in batch.shards.into_iter().filter_map(|step| step.gap) {
                    tracing::error!(stream = %self.stream, shard = gap.shard, cause = ?gap.cause, from = ?gap.from,
                        until = ?gap.until, accepted = gap.accepted, "gap: Kinesis may have discarded records unread");
                }
            }
        }
        Err(IngestError::Protocol {
            stream: self.source.name().to_owned(),
            shard: "all".to_owned(),
            reason: format!("new shards could not be pinned in {PIN_ROUNDS} rounds: too many workers at once"),
        })
    }

    /// This worker's share of the shards that want a worker.
    fn share(&self, plan: &LineagePlan) -> Share {
        let wanting = plan.pins.iter().map(|pin| &pin.shard);
        let wanting = wanting.chain(plan.readable.iter().map(|readable| &readable.shard.id)).chain(&plan.vanished);
        let wanting = wanting.cloned().collect();
        match &self.options.fleet {
            Some(fleet) => fleet.share(self.stream, wanting),
            None => Share { mine: wanting, ..Share::default() },
        }
    }

    fn first_acts(&mut self, plan: LineagePlan, share: &Share, now: i64) -> Result<FirstActs, IngestError> {
        let (retention, on_gap) = (self.description.retention, self.options.on_gap);
        let document = self.table()?.document();
        let state_of = |id: &str| document.and_then(|document| document.shards.get(id));
        let mut acts: Vec<ShardAdvance> = plan.pins.into_iter().filter(|pin| share.mine.contains(&pin.shard)).collect();
        let mut readable = Readable { mine: share.mine.clone(), waiting: plan.waiting.len(), ..Readable::default() };
        // Gives whether the shard may be read.
        let mut settle = |id: &str, state: &ShardState, found: Option<Gap>, listed: bool| {
            let open = document.and_then(|document| document.open_gap(id));
            match (open, found, on_gap) {
                (None, None, _) => return true,
                (Some(open), _, OnGap::Stop) => readable.stopped.push(open.clone()),
                (Some(open), _, OnGap::Continue) => {
                    acts.push(gap::advance(state, Gap { accepted: true, ..open.clone() }, listed, now));
                }
                (None, Some(found), _) => {
                    let accepted = on_gap == OnGap::Continue;
                    acts.push(gap::advance(state, Gap { accepted, ..found }, listed, now));
                }
            }
            false
        };
        let mine = plan.readable.into_iter().filter(|readable| share.mine.contains(&readable.shard.id));
        let shards = mine
            .filter(|shard| {
                let found = gap::by_retention(&shard.shard.id, &shard.state, retention, now);
                settle(&shard.shard.id, &shard.state, found, true)
            })
            .collect();
        for id in plan.vanished.iter().filter(|id| share.mine.contains(*id)) {
            if let Some(state) = state_of(id) {
                settle(id, state, Some(gap::by_vanishing(id, state, retention, now)), false);
            }
        }
        readable.shards = shards;
        let out_of_reach = |id: &String| {
            let known = state_of(id).and_then(gap::known_until).unwrap_or(now);
            u64::try_from(now.saturating_sub(known)).is_ok_and(|age| Duration::from_millis(age) > retention)
        };
        let retire = plan.retirable.into_iter().filter(out_of_reach).collect();
        Ok(FirstActs { acts, retire, readable })
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
                tracing::error!(%stream, error = &error as &dyn std::error::Error, "the worker failed; the others flush and leave");
                first_error.get_or_insert(error);
                shutdown.cancel();
            }
            Err(error) => {
                let stream = streams.get(&error.id()).copied().unwrap_or(Stream::UserEvents);
                tracing::error!(%stream, %error, "the worker ended unexpectedly; the others flush and leave");
                first_error.get_or_insert(IngestError::Task { stream, reason: error.to_string() });
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
