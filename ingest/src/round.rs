//! One round of a worker: from one state of the table to the next fence, or to the end. It follows the lineage, runs a
//! reader for each readable shard, buffers what they give and commits it, one batch at a time, while reading goes on.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use bluelake_lake::{CommitOutcome, ControlTotals, StreamTable};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    buffer::{Buffer, Chunk},
    error::IngestError,
    flush::{Flushed, flush},
    lineage::{LineagePlan, ReadableShard},
    reader::{ReaderEnd, ShardReader},
    window::DedupWindow,
    worker::StreamWorker,
};

/// Chunks between the readers and the buffer: a page each, few, so that a full buffer stops the reading soon.
const CHUNKS_AHEAD: usize = 2;
/// How often the loop looks at the age of what it holds.
const TICK: Duration = Duration::from_millis(250);

/// How a round ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RoundEnd {
    /// Told to stop, or every shard is at its tip and committed.
    Done,
    /// Another worker moved these shards: what was buffered is dropped.
    Fenced(Vec<String>),
}

type ReaderOutcome = Result<ReaderEnd, IngestError>;

pub(crate) struct Round<'a> {
    worker: &'a mut StreamWorker,
    buffer: Buffer,
    sender: mpsc::Sender<Chunk>,
    chunks: mpsc::Receiver<Chunk>,
    readers: JoinSet<ReaderOutcome>,
    /// Shards that have or had a reader in this round.
    taken: BTreeSet<String>,
    flushing: Option<JoinHandle<Flushed>>,
    lineage_due: Instant,
    /// That of the table when the round started: rows read since then may not land after an erasure.
    erasure_epoch: u64,
    shard_ended: bool,
    shutdown: &'a CancellationToken,
    stop_readers: CancellationToken,
}

/// What the loop woke up for.
enum Wake {
    Chunk(Chunk),
    Reader(Result<ReaderOutcome, JoinError>),
    Flushed(Box<Result<Flushed, JoinError>>),
    Tick,
}

impl<'a> Round<'a> {
    pub(crate) fn new(worker: &'a mut StreamWorker, shutdown: &'a CancellationToken) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let document = worker.table.as_ref().and_then(StreamTable::document);
        let erasure_epoch = document.map_or(0, |document| document.erasure_epoch);
        worker.progress.observe_round();
        Self {
            worker,
            buffer: Buffer::default(),
            sender,
            chunks,
            readers: JoinSet::new(),
            taken: BTreeSet::new(),
            flushing: None,
            lineage_due: Instant::now(),
            erasure_epoch,
            shard_ended: false,
            shutdown,
            stop_readers: shutdown.child_token(),
        }
    }

    pub(crate) async fn run(mut self) -> Result<RoundEnd, IngestError> {
        let mut pauses = self.worker.patience(self.shutdown).pauses();
        while let Err(error) = self.follow_lineage().await {
            pauses.wait_after("follow the shards", error).await?;
        }
        loop {
            self.start_flush_if_due();
            if self.is_idle() && !self.go_on().await? {
                return self.finish().await;
            }
            match self.wake().await {
                Wake::Chunk(chunk) => self.take_chunk(chunk)?,
                Wake::Reader(ended) => self.take_reader(ended)?,
                Wake::Flushed(flushed) => {
                    if let Some(end) = self.take_flushed(*flushed).await? {
                        return Ok(end);
                    }
                }
                Wake::Tick => self.refresh_lineage().await?,
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        let limits = &self.worker.options.flush;
        let full = self.buffer.is_full(limits) || (self.flushing.is_some() && self.buffer.is_well_filled(limits));
        let flushing = async {
            match self.flushing.as_mut() {
                Some(task) => task.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            flushed = flushing => {
                self.flushing = None;
                Wake::Flushed(Box::new(flushed))
            }
            Some(chunk) = self.chunks.recv(), if !full => Wake::Chunk(chunk),
            Some(ended) = self.readers.join_next(), if !self.readers.is_empty() => Wake::Reader(ended),
            () = tokio::time::sleep(TICK) => Wake::Tick,
        }
    }

    fn take_chunk(&mut self, chunk: Chunk) -> Result<(), IngestError> {
        self.shard_ended |= chunk.advance.ended;
        let shard = chunk.advance.shard.clone();
        self.worker.progress.observe_buffered(&chunk);
        self.buffer.add(chunk, Instant::now()).map_err(|fault| IngestError::Protocol {
            stream: self.worker.source.name().to_owned(),
            shard,
            reason: fault.to_string(),
        })
    }

    fn take_reader(&mut self, ended: Result<ReaderOutcome, JoinError>) -> Result<(), IngestError> {
        let stream = self.worker.stream;
        let outcome = ended.map_err(|error| IngestError::Task { stream, reason: error.to_string() })?;
        outcome.map(|_| ())
    }

    /// Starts a flush when one is due and the table is here.
    fn start_flush_if_due(&mut self) {
        let drained = self.readers.is_empty() && self.chunks.is_empty();
        let due = self.buffer.is_due(&self.worker.options.flush, Instant::now()) || self.shard_ended || drained;
        if !due || self.buffer.is_empty() {
            return;
        }
        if let Some(table) = self.worker.table.take() {
            self.shard_ended = false;
            let buffered = self.buffer.take();
            self.worker.progress.observe_flush();
            let patience = self.worker.patience(self.shutdown);
            self.flushing = Some(tokio::spawn(flush(table, buffered, self.erasure_epoch, patience)));
        }
    }

    async fn take_flushed(&mut self, flushed: Result<Flushed, JoinError>) -> Result<Option<RoundEnd>, IngestError> {
        let stream = self.worker.stream;
        let Flushed { table, batch, outcome } =
            flushed.map_err(|error| IngestError::Task { stream, reason: error.to_string() })?;
        self.worker.table = Some(table);
        match outcome? {
            CommitOutcome::Committed { version } => {
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
                if batch.shards.iter().any(|step| step.ended) {
                    self.lineage_due = Instant::now();
                    self.refresh_lineage().await?;
                }
                Ok(None)
            }
            CommitOutcome::Fenced { shards } => Ok(Some(RoundEnd::Fenced(shards))),
            CommitOutcome::Expired => {
                tracing::warn!(%stream, batch = %batch.id, "a batch waited for over an hour and was dropped; reading again");
                Ok(Some(RoundEnd::Fenced(Vec::new())))
            }
        }
    }

    /// Nothing is read, held or under way.
    fn is_idle(&self) -> bool {
        self.readers.is_empty() && self.chunks.is_empty() && self.buffer.is_empty() && self.flushing.is_none()
    }

    /// Whether an idle round has more to do; starts it.
    async fn go_on(&mut self) -> Result<bool, IngestError> {
        if self.shutdown.is_cancelled() {
            return Ok(false);
        }
        if !self.worker.options.once {
            return Ok(true);
        }
        let avoiding = self.worker.avoided.values().any(|until| *until > Instant::now());
        if avoiding && self.lineage_due > Instant::now() {
            return Ok(true);
        }
        let orphaned = self.follow_lineage().await?;
        if self.readers.is_empty() && !avoiding && !orphaned.is_empty() {
            return Err(IngestError::Gap { stream: self.worker.source.name().to_owned(), waiting: orphaned });
        }
        Ok(!self.readers.is_empty() || avoiding)
    }

    /// Everything is committed; what follows the commits must not stay behind when nobody comes after.
    async fn finish(self) -> Result<RoundEnd, IngestError> {
        let mut pauses = self.worker.patience(self.shutdown).pauses();
        while let Err(error) = self.worker.table()?.follow_rejected().await {
            pauses.wait_after("bring rejected_events up to date", error.into()).await?;
        }
        Ok(RoundEnd::Done)
    }

    /// Follows the lineage when it is time to; a fault that may pass is no reason to stop reading.
    async fn refresh_lineage(&mut self) -> Result<(), IngestError> {
        if self.lineage_due > Instant::now() || self.worker.table.is_none() || self.shutdown.is_cancelled() {
            return Ok(());
        }
        let stream = self.worker.stream;
        match self.follow_lineage().await {
            Ok(orphaned) if orphaned.is_empty() => Ok(()),
            Ok(orphaned) => {
                tracing::error!(%stream, shards = ?orphaned, "gap: these shards wait for a parent whose records are gone");
                Ok(())
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%stream, error = &error as &dyn std::error::Error, "the shards could not be followed");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Starts a reader for each shard that may be read now and has none. Gives the shards that wait for ever.
    async fn follow_lineage(&mut self) -> Result<Vec<String>, IngestError> {
        self.lineage_due = Instant::now() + self.worker.options.lineage_interval;
        let now = Instant::now();
        self.worker.avoided.retain(|_, until| *until > now);
        if let Some(first) = self.worker.avoided.values().min() {
            self.lineage_due = self.lineage_due.min(*first);
        }
        let LineagePlan { mut readable, waiting, orphaned, .. } = self.worker.readable(self.shutdown).await?;
        self.worker.progress.observe_lineage(waiting.len(), orphaned.len());
        readable.retain(|readable| {
            let id = &readable.shard.id;
            !self.taken.contains(id) && !self.worker.avoided.contains_key(id)
        });
        if readable.is_empty() {
            return Ok(orphaned);
        }
        let mut windows = self.worker.windows(&readable).await?;
        for shard in readable {
            let window = windows.remove(&shard.shard.id).unwrap_or_else(|| DedupWindow::new(self.worker.options.dedup));
            self.spawn_reader(shard, window);
        }
        Ok(orphaned)
    }

    fn spawn_reader(&mut self, shard: ReadableShard, window: DedupWindow) {
        tracing::debug!(stream = %self.worker.stream, shard = shard.shard.id, position = ?shard.position, ids = window.len(), "reading");
        self.taken.insert(shard.shard.id.clone());
        let reader = ShardReader {
            source: self.worker.source.clone(),
            stream: self.worker.stream,
            shard,
            decoder: self.worker.decoder.clone(),
            window,
            chunks: self.sender.clone(),
            stop_at_tip: self.worker.options.once,
            drained_interval: self.worker.description.retention / 8,
            admission: self.worker.options.admission.clone(),
            clock: self.worker.options.clock.clone(),
            progress: self.worker.progress.clone(),
        };
        self.readers.spawn(reader.run(self.stop_readers.clone()));
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.stop_readers.cancel();
    }
}
