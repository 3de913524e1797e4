//! One round of a worker: from one state of the table to the next fence, or to the end. It carries out the acts of the
//! agenda with tasks and channels: a reader for each readable shard, and one batch at a time on its way into the table
//! while reading goes on.

mod look;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bluelake_lake::{Batch, CommitOutcome, ControlTotals, Fence, Heartbeat, ShardId, StreamTable};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    error::IngestError,
    landing::{
        draft::{Draft, Uploaders},
        flush::{Flushed, WrittenAhead, flush, write_ahead},
    },
    progress::WorkerStep,
    reading::{
        chunk::{Chunk, ReadRows},
        reader::ReaderEnd,
    },
    shards::{
        fleet::Fleet,
        tip::{Listed, Listing},
    },
    worker::{
        agenda::{self, Act, CHUNKS_AHEAD},
        stream_worker::StreamWorker,
    },
};

/// How often the agenda is asked without an event.
const TICK: Duration = Duration::from_millis(250);

/// The agenda of a worker with rows of Arrow.
pub(crate) type Agenda = agenda::Agenda<ReadRows, Draft>;

type FleetWatch = watch::Receiver<Arc<Vec<Heartbeat>>>;

/// How a round ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RoundEnd {
    /// The worker was stopped, or every shard is at its tip and committed, except for those left unread.
    Done {
        /// Ids of these shards.
        unread: Vec<ShardId>,
    },
    /// The table has moved on, or the batch was too old: the buffer is dropped.
    Fenced(Option<Fence>),
}

/// A shard, and how its reader ended.
type ReaderOutcome = (ShardId, Result<ReaderEnd, IngestError>);

pub(crate) struct Round<'a> {
    worker: &'a mut StreamWorker,
    agenda: &'a mut Agenda,
    sender: mpsc::Sender<Chunk>,
    chunks: mpsc::Receiver<Chunk>,
    readers: JoinSet<ReaderOutcome>,
    /// The state of the reader of a shard.
    reads: BTreeMap<ShardId, Read>,
    /// Every shard of the stream, as last listed.
    listing: Listing,
    /// The gaps that were reported last.
    reported_gaps: Vec<ShardId>,
    others: Option<FleetWatch>,
    flushing: Option<JoinHandle<Flushed>>,
    writing_ahead: Option<JoinHandle<Result<WrittenAhead, IngestError>>>,
    /// Where files go, also while the table is lent to a flush.
    uploaders: Option<Uploaders>,
    /// The epoch of the table when the round started: rows read since then may not land after an erasure.
    erasure_epoch: u64,
    shutdown: &'a CancellationToken,
    stop_readers: CancellationToken,
}

/// The state of a reader.
struct Read {
    /// Stops it.
    stop: CancellationToken,
    /// Counts the chunks that it sent.
    sent: Arc<AtomicUsize>,
    /// Passes it the answers of ListShards about the shard.
    listed: watch::Sender<Listed>,
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
    pub(crate) fn new(worker: &'a mut StreamWorker, agenda: &'a mut Agenda, shutdown: &'a CancellationToken) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let document = worker.table.as_ref().and_then(StreamTable::document);
        let erasure_epoch = document.map_or(0, |document| document.head.erasure_epoch);
        let others = worker.options.fleet.as_ref().map(Fleet::watch);
        let uploaders = worker.table.as_ref().map(Uploaders::of);
        worker.progress.observe_round();
        let round = Self {
            worker,
            agenda,
            sender,
            chunks,
            readers: JoinSet::new(),
            reads: BTreeMap::new(),
            listing: Listing::nothing(),
            reported_gaps: Vec::new(),
            others,
            flushing: None,
            writing_ahead: None,
            uploaders,
            erasure_epoch,
            shutdown,
            stop_readers: shutdown.child_token(),
        };
        round.publish_holds();
        round
    }

    /// Asks the agenda and carries out its acts, until the end.
    pub(crate) async fn run(mut self) -> Result<RoundEnd, IngestError> {
        loop {
            self.observe_the_world();
            match self.agenda.next(Instant::now(), self.room_is_awaited()) {
                Some(Act::Commit { draft, buffered }) => self.start_flush(draft, buffered)?,
                Some(Act::WriteAhead { draft, rows }) => self.start_writing_ahead(draft, rows),
                Some(Act::Look(look)) => self.look(look).await?,
                Some(Act::Judge) => self.judge().await?,
                Some(Act::Finish { unread }) => return self.finish(unread).await,
                Some(Act::Leave) => return Ok(self.leave(Vec::new())),
                None => {
                    if let Some(end) = self.wait().await? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    /// Takes in events without a report: a stop request, and a change of the fleet.
    fn observe_the_world(&mut self) {
        if self.shutdown.is_cancelled() {
            self.agenda.leave();
        }
        if let Some(others) = self.others.as_mut().filter(|others| others.has_changed().unwrap_or(false)) {
            others.mark_unchanged();
            self.agenda.fleet_changed();
        }
    }

    fn room_is_awaited(&self) -> bool {
        self.agenda.holds_room() && self.worker.options.admission.rows_are_awaited()
    }

    /// Waits for the next event, and takes it in.
    async fn wait(&mut self) -> Result<Option<RoundEnd>, IngestError> {
        match self.wake().await {
            Wake::Chunk(chunk) => self.take_chunk(*chunk)?,
            Wake::Reader(ended) => self.take_reader(ended)?,
            Wake::Flushed(flushed) => return self.take_flushed(*flushed),
            Wake::WrittenAhead(written) => self.take_written_ahead(*written)?,
            Wake::Tick => {}
        }
        Ok(None)
    }

    async fn wake(&mut self) -> Wake {
        let takes_chunks = self.agenda.takes_chunks();
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
            Some(chunk) = self.chunks.recv(), if takes_chunks => Wake::Chunk(Box::new(chunk)),
            Some(ended) = self.readers.join_next(), if !self.readers.is_empty() => Wake::Reader(ended),
            () = tokio::time::sleep(TICK) => Wake::Tick,
        }
    }

    fn take_chunk(&mut self, chunk: Chunk) -> Result<(), IngestError> {
        let shard = chunk.advance.shard.clone();
        self.worker.progress.observe_buffered(&chunk);
        let draft = || Draft::reported_to(&self.worker.progress);
        self.agenda.take_chunk(chunk, draft, Instant::now()).map_err(|fault| IngestError::Protocol {
            stream: self.worker.source.name().to_owned(),
            shard,
            reason: fault.to_string(),
        })
    }

    fn take_reader(&mut self, ended: Result<ReaderOutcome, JoinError>) -> Result<(), IngestError> {
        let stream = self.worker.stream;
        let (shard, outcome) = ended.map_err(|error| IngestError::task(stream, &error))?;
        let sent = self.reads.remove(&shard).map_or(0, |read| read.sent.load(Ordering::Acquire));
        self.agenda.reader_ended(&shard, outcome?, sent, Instant::now());
        self.publish_holds();
        Ok(())
    }

    /// Publishes which shards the others should not read.
    fn publish_holds(&self) {
        if let Some(fleet) = &self.worker.options.fleet {
            fleet.hold(self.worker.stream, self.agenda.held().clone());
        }
    }

    fn start_flush(
        &mut self,
        draft: Option<Draft>,
        buffered: crate::landing::buffer::Buffered,
    ) -> Result<(), IngestError> {
        // Fails when the table is lent already.
        self.worker.table()?;
        let Some(table) = self.worker.table.take() else { return Ok(()) };
        self.worker.progress.observe_flush();
        let patience = self.worker.patience(self.shutdown);
        let draft = draft.unwrap_or_else(|| Draft::reported_to(&self.worker.progress));
        self.flushing = Some(tokio::spawn(flush(table, draft, buffered, self.erasure_epoch, patience)));
        Ok(())
    }

    fn start_writing_ahead(&mut self, draft: Draft, rows: Vec<ReadRows>) {
        let Some(uploaders) = self.uploaders.clone() else { return };
        let patience = self.worker.patience(self.shutdown);
        self.writing_ahead = Some(tokio::spawn(write_ahead(uploaders, draft, rows, patience)));
    }

    fn take_written_ahead(
        &mut self,
        written: Result<Result<WrittenAhead, IngestError>, JoinError>,
    ) -> Result<(), IngestError> {
        let stream = self.worker.stream;
        let written = written.map_err(|error| IngestError::task(stream, &error))?;
        let WrittenAhead { draft, rest, file_bytes } = written?;
        self.agenda.written_ahead(draft, rest, file_bytes);
        Ok(())
    }

    fn take_flushed(&mut self, flushed: Result<Flushed, JoinError>) -> Result<Option<RoundEnd>, IngestError> {
        let stream = self.worker.stream;
        let Flushed { table, batch, row_bytes, file_bytes, outcome } =
            flushed.map_err(|error| IngestError::task(stream, &error))?;
        self.worker.table = Some(table);
        match outcome? {
            CommitOutcome::Committed { version } => {
                self.observe_commit(&batch, version);
                self.agenda.committed(&batch.shards, row_bytes, file_bytes, Instant::now());
                self.publish_holds();
                Ok(None)
            }
            CommitOutcome::Fenced(fence) => Ok(Some(RoundEnd::Fenced(Some(fence)))),
            CommitOutcome::Expired => {
                tracing::warn!(%stream, batch = %batch.id, "a batch waited for over an hour and was dropped; reading again");
                Ok(Some(RoundEnd::Fenced(None)))
            }
        }
    }

    fn observe_commit(&self, batch: &Batch, version: u64) {
        let mut counts = ControlTotals::default();
        for step in &batch.shards {
            counts += step.counts;
        }
        let files = batch.files.iter().chain(&batch.rejected_files);
        let (number, bytes) = files.fold((0, 0), |(number, bytes), file| (number + 1, bytes + file.size));
        self.worker.progress.observe_commit(counts, number, bytes);
        self.worker.progress.observe_batch(batch);
        tracing::info!(
            stream = %self.worker.stream, version, batch = %batch.id, files = number, bytes,
            stored = counts.stored, rejected = counts.rejected, duplicate = counts.duplicate, "committed"
        );
    }

    /// Everything is committed. `rejected_events` must not stay behind, because no later commit may follow.
    async fn finish(self, unread: Vec<ShardId>) -> Result<RoundEnd, IngestError> {
        self.worker.progress.observe_step(WorkerStep::Following);
        let mut tries = self.worker.patience(self.shutdown).tries("bring rejected_events up to date");
        while tries.judge(self.worker.table()?.follow_rejected().await).await?.is_none() {}
        Ok(self.leave(unread))
    }

    /// Lets go of every shard.
    fn leave(&self, unread: Vec<ShardId>) -> RoundEnd {
        if let Some(fleet) = &self.worker.options.fleet {
            fleet.hold(self.worker.stream, std::collections::BTreeSet::new());
        }
        RoundEnd::Done { unread }
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
