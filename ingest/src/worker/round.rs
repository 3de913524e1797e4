//! One round of a worker: from one state of the table to the next fence, or to the end. It follows the lineage, runs a
//! reader for each readable shard, buffers what they give and commits it, one batch at a time, while reading goes on.

mod ending;
mod listing;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bluelake_lake::{CommitOutcome, ControlTotals, Fence, Heartbeat, ShardId, StreamTable};
use ending::{Ending, Next};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    error::IngestError,
    landing::{
        buffer::Buffer,
        flush::{Draft, Flushed, Uploaders, WrittenAhead, flush, write_ahead},
    },
    reading::{
        chunk::Chunk,
        dedup::window::DedupWindow,
        reader::{ReaderEnd, ShardReader},
    },
    shards::{
        claims::Claims,
        fleet::Fleet,
        lineage::ReadableShard,
        tip::{Listed, Listing},
    },
    worker::stream_worker::StreamWorker,
};

/// Chunks between the readers and the buffer: a page or a part of one each, few, so that a full buffer stops the reading soon.
const CHUNKS_AHEAD: usize = 2;
/// How often the loop looks at the age of what it holds.
const TICK: Duration = Duration::from_millis(250);
/// How often the table is asked whether the parents of waiting shards have ended, when others may read those.
const WAITING_INTERVAL: Duration = Duration::from_secs(3);

/// A shard that Kinesis says is not there, although it is listed, or that may have lost records, is looked at again after
/// so long.
const VANISHED_PAUSE: Duration = Duration::from_secs(5);

type FleetWatch = watch::Receiver<Arc<Vec<Heartbeat>>>;

/// How a round ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RoundEnd {
    /// Told to stop, or every shard is at its tip and committed, but for those that nobody has read so far.
    Done {
        /// Ids of these shards.
        unread: Vec<ShardId>,
    },
    /// The table has moved on, or the batch was too old: what was buffered is dropped.
    Fenced(Option<Fence>),
}

/// A shard, and how its reader ended.
type ReaderOutcome = (ShardId, Result<ReaderEnd, IngestError>);

pub(crate) struct Round<'a> {
    worker: &'a mut StreamWorker,
    buffer: Buffer,
    sender: mpsc::Sender<Chunk>,
    chunks: mpsc::Receiver<Chunk>,
    readers: JoinSet<ReaderOutcome>,
    /// Shards that have or had a reader in this round.
    claims: Claims,
    /// Stops one reader each, as long as it runs.
    stops: BTreeMap<ShardId, CancellationToken>,
    /// Chunks of each shard that are on their way.
    flows: BTreeMap<ShardId, Flow>,
    /// Every shard of the stream, as last listed.
    listing: Listing,
    /// Shards that were read to their tip, in a run that ends there.
    at_tip: BTreeSet<ShardId>,
    /// What a run that ends at the tips waits for.
    ending: Ending,
    /// The gaps that were told of last.
    told_gaps: Vec<ShardId>,
    others: Option<FleetWatch>,
    flushing: Option<JoinHandle<Flushed>>,
    /// The batch that fills, from its first row on; not here while some of its rows are written ahead.
    draft: Option<Draft>,
    writing_ahead: Option<JoinHandle<Result<WrittenAhead, IngestError>>>,
    /// Where files go, while the table is lent to a flush too.
    uploaders: Option<Uploaders>,
    lineage_due: Instant,
    /// That of the table when the round started: rows read since then may not land after an erasure.
    erasure_epoch: u64,
    shard_ended: bool,
    shutdown: &'a CancellationToken,
    stop_readers: CancellationToken,
}

/// The chunks of one shard between its reader and the buffer.
struct Flow {
    sent: Arc<AtomicUsize>,
    taken: usize,
    /// Tells the reader what ListShards says of the shard.
    listed: watch::Sender<Listed>,
}

impl Flow {
    /// Whether all that was sent has been taken. To be asked when the reader has ended.
    fn is_empty(&self) -> bool {
        self.sent.load(Ordering::Acquire) <= self.taken
    }
}

/// What the loop woke up for.
enum Wake {
    Chunk(Box<Chunk>),
    Reader(Result<ReaderOutcome, JoinError>),
    Flushed(Box<Result<Flushed, JoinError>>),
    WrittenAhead(Box<Result<Result<WrittenAhead, IngestError>, JoinError>>),
    Tick,
}

impl<'a> Round<'a> {
    pub(crate) fn new(worker: &'a mut StreamWorker, shutdown: &'a CancellationToken) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let document = worker.table.as_ref().and_then(StreamTable::document);
        let erasure_epoch = document.map_or(0, |document| document.head.erasure_epoch);
        let others = worker.options.fleet.as_ref().map(Fleet::watch);
        if let Some(fleet) = &worker.options.fleet {
            fleet.hold(worker.stream, BTreeSet::new());
        }
        let uploaders = worker.table.as_ref().map(Uploaders::of);
        worker.progress.observe_round();
        Self {
            worker,
            buffer: Buffer::default(),
            sender,
            chunks,
            readers: JoinSet::new(),
            claims: Claims::default(),
            stops: BTreeMap::new(),
            flows: BTreeMap::new(),
            listing: Listing::nothing(),
            at_tip: BTreeSet::new(),
            ending: Ending::default(),
            told_gaps: Vec::new(),
            others,
            flushing: None,
            draft: None,
            writing_ahead: None,
            uploaders,
            lineage_due: Instant::now(),
            erasure_epoch,
            shard_ended: false,
            shutdown,
            stop_readers: shutdown.child_token(),
        }
    }

    pub(crate) async fn run(mut self) -> Result<RoundEnd, IngestError> {
        let mut pauses = self.worker.patience(self.shutdown).pauses();
        loop {
            let shutdown = self.shutdown.clone();
            let followed = tokio::select! {
                biased;
                // Nothing is read yet, so there is nothing to commit.
                () = shutdown.cancelled() => return Ok(self.leave(Vec::new())),
                followed = self.follow_lineage() => followed,
            };
            match followed {
                Ok(_) => break,
                Err(error) => pauses.wait_after("follow the shards", error).await?,
            }
        }
        self.worker.progress.observe_start();
        loop {
            self.start_flush_if_due();
            if self.is_idle()
                && let Next::End { unread } = self.go_on().await?
            {
                return self.finish(unread).await;
            }
            match self.wake().await {
                Wake::Chunk(chunk) => self.take_chunk(*chunk)?,
                Wake::Reader(ended) => self.take_reader(ended)?,
                Wake::Flushed(flushed) => {
                    if let Some(end) = self.take_flushed(*flushed).await? {
                        return Ok(end);
                    }
                }
                Wake::WrittenAhead(written) => self.take_written_ahead(*written)?,
                Wake::Tick => self.refresh_lineage().await?,
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        let limits = &self.worker.options.flush;
        let full = self.buffer.is_full(limits) || (self.flushing.is_some() && self.buffer.is_half_full(limits));
        let flushing = ended(self.flushing.as_mut());
        let writing_ahead = ended(self.writing_ahead.as_mut());
        tokio::select! {
            flushed = flushing => {
                self.flushing = None;
                Wake::Flushed(Box::new(flushed))
            }
            written = writing_ahead => {
                self.writing_ahead = None;
                Wake::WrittenAhead(Box::new(written))
            }
            Some(chunk) = self.chunks.recv(), if !full => Wake::Chunk(Box::new(chunk)),
            Some(ended) = self.readers.join_next(), if !self.readers.is_empty() => Wake::Reader(ended),
            () = tokio::time::sleep(TICK) => Wake::Tick,
        }
    }

    fn take_chunk(&mut self, chunk: Chunk) -> Result<(), IngestError> {
        self.shard_ended |= chunk.advance.ended;
        if self.writing_ahead.is_none() {
            self.draft.get_or_insert_with(|| Draft::new(&self.worker.progress));
        }
        let shard = chunk.advance.shard.clone();
        if let Some(flow) = self.flows.get_mut(&shard) {
            flow.taken += 1;
        }
        self.worker.progress.observe_buffered(&chunk);
        self.buffer.add(chunk, Instant::now()).map_err(|fault| IngestError::Protocol {
            stream: self.worker.source.name().to_owned(),
            shard,
            reason: fault.to_string(),
        })
    }

    fn take_reader(&mut self, ended: Result<ReaderOutcome, JoinError>) -> Result<(), IngestError> {
        let stream = self.worker.stream;
        let (shard, outcome) = ended.map_err(|error| IngestError::task(stream, &error))?;
        self.stops.remove(&shard);
        let end = outcome?;
        if end == ReaderEnd::AtTip {
            self.at_tip.insert(shard.clone());
        }
        if matches!(end, ReaderEnd::ShardVanished | ReaderEnd::MayHaveLost) {
            // The lineage tells what became of it, once everything that was read of it is committed.
            self.lineage_due = Instant::now();
            self.worker.avoided.insert(shard.clone(), Instant::now() + VANISHED_PAUSE);
            self.claims.release(&shard);
        }
        self.let_go();
        Ok(())
    }

    /// Stops the readers of shards that are another worker's now.
    fn release_all_but(&mut self, mine: &BTreeSet<ShardId>) {
        for (shard, stop) in &self.stops {
            if !mine.contains(shard) && self.claims.release(shard) {
                tracing::info!(stream = %self.worker.stream, %shard, "handing the shard over to another worker");
                stop.cancel();
            }
        }
    }

    /// Lets go of the shards that are handed over and of which everything is committed.
    fn let_go(&mut self) {
        if self.flushing.is_some() {
            return;
        }
        let mut claims = std::mem::take(&mut self.claims);
        claims.let_go(|shard| self.has_come_in(shard) && !self.buffer.holds(shard));
        self.claims = claims;
        self.tell_holds();
    }

    /// Whether nobody reads the shard and everything that was read of it is in the buffer, or further.
    fn has_come_in(&self, shard: &ShardId) -> bool {
        !self.stops.contains_key(shard) && self.flows.get(shard).is_none_or(Flow::is_empty)
    }

    fn tell_holds(&self) {
        if let Some(fleet) = &self.worker.options.fleet {
            fleet.hold(self.worker.stream, self.claims.held().clone());
        }
    }

    /// Starts a flush when one is due and the table is here.
    fn start_flush_if_due(&mut self) {
        let drained = self.readers.is_empty() && self.chunks.is_empty();
        let held = |shard: &ShardId| self.has_come_in(shard) && self.buffer.holds(shard);
        let handing_over = self.claims.releasing().iter().any(held);
        let due = self.buffer.is_due(&self.worker.options.flush, Instant::now());
        let due = due || self.shard_ended || drained || handing_over;
        if self.buffer.is_empty() || self.writing_ahead.is_some() {
            return;
        }
        if !due {
            self.write_ahead_if_short_of_memory();
        } else if let Some(table) = self.worker.table.take() {
            self.shard_ended = false;
            let buffered = self.buffer.take();
            self.worker.progress.observe_flush();
            let patience = self.worker.patience(self.shutdown);
            let draft = self.draft.take().unwrap_or_else(|| Draft::new(&self.worker.progress));
            self.flushing = Some(tokio::spawn(flush(table, draft, buffered, self.erasure_epoch, patience)));
        }
    }

    /// While an earlier batch is on its way, its rows are in memory too: reading waits for that instead.
    fn write_ahead_if_short_of_memory(&mut self) {
        let options = &self.worker.options;
        let room_is_awaited = self.buffer.holds_room() && options.admission.rows_are_awaited();
        if self.flushing.is_some() || !(room_is_awaited || self.buffer.is_half_full(&options.flush)) {
            return;
        }
        if let (Some(draft), Some(uploaders)) = (self.draft.take(), self.uploaders.clone()) {
            let rows = self.buffer.lend(Instant::now());
            let patience = self.worker.patience(self.shutdown);
            self.writing_ahead = Some(tokio::spawn(write_ahead(uploaders, draft, rows, patience)));
        }
    }

    fn take_written_ahead(
        &mut self,
        written: Result<Result<WrittenAhead, IngestError>, JoinError>,
    ) -> Result<(), IngestError> {
        let stream = self.worker.stream;
        let written = written.map_err(|error| IngestError::task(stream, &error))?;
        let WrittenAhead { draft, rest, file_bytes } = written?;
        self.draft = Some(draft);
        self.buffer.give_back(rest, file_bytes);
        Ok(())
    }

    async fn take_flushed(&mut self, flushed: Result<Flushed, JoinError>) -> Result<Option<RoundEnd>, IngestError> {
        let stream = self.worker.stream;
        let Flushed { table, batch, row_bytes, file_bytes, outcome } =
            flushed.map_err(|error| IngestError::task(stream, &error))?;
        self.worker.table = Some(table);
        match outcome? {
            CommitOutcome::Committed { version } => {
                self.buffer.learn(row_bytes, file_bytes);
                let mut counts = ControlTotals::default();
                for step in &batch.shards {
                    counts += step.counts;
                }
                let files = batch.files.iter().chain(&batch.rejected_files);
                let (number, bytes) = files.fold((0, 0), |(number, bytes), file| (number + 1, bytes + file.size));
                self.worker.progress.observe_commit(counts, number, bytes);
                self.worker.progress.observe_batch(&batch);
                tracing::info!(
                    %stream, version, batch = %batch.id, files = number, bytes,
                    stored = counts.stored, rejected = counts.rejected, duplicate = counts.duplicate, "committed"
                );
                self.let_go();
                if batch.shards.iter().any(|step| step.ended) {
                    self.lineage_due = Instant::now();
                    self.refresh_lineage().await?;
                }
                Ok(None)
            }
            CommitOutcome::Fenced(fence) => Ok(Some(RoundEnd::Fenced(Some(fence)))),
            CommitOutcome::Expired => {
                tracing::warn!(%stream, batch = %batch.id, "a batch waited for over an hour and was dropped; reading again");
                Ok(Some(RoundEnd::Fenced(None)))
            }
        }
    }

    /// Nothing is read, held or under way.
    fn is_idle(&self) -> bool {
        self.readers.is_empty() && self.chunks.is_empty() && self.buffer.is_empty() && self.flushing.is_none()
    }

    fn spawn_reader(&mut self, shard: ReadableShard, window: DedupWindow) {
        tracing::debug!(stream = %self.worker.stream, shard = %shard.shard.id, position = ?shard.position, ids = window.len(), "reading");
        let id = shard.shard.id.clone();
        let stop = self.stop_readers.child_token();
        self.stops.insert(id.clone(), stop.clone());
        let sent = Arc::default();
        let (listed, listings) = watch::channel(Listed::of(&shard.shard, self.listing.at));
        self.flows.insert(id.clone(), Flow { sent: Arc::clone(&sent), taken: 0, listed });
        let reader = ShardReader {
            source: self.worker.source.clone(),
            stream: self.worker.stream,
            shard,
            decoder: self.worker.decoder.clone(),
            window,
            chunks: self.sender.clone(),
            sent,
            stop_at_tip: self.worker.options.once,
            listed: listings,
            retention: self.worker.description.retention,
            admission: self.worker.options.admission.clone(),
            clock: self.worker.options.clock.clone(),
            skew: self.worker.skew,
            progress: self.worker.progress.clone(),
        };
        self.readers.spawn(async move { (id, reader.run(stop).await) });
    }
}

/// Waits for a task, if there is one.
async fn ended<T>(task: Option<&mut JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.stop_readers.cancel();
    }
}
