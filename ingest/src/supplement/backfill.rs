//! Backfill: brings archived records into a stream's table, by the same decoder as the stream's own.
//!
//! Guarantees: each byte of an object's content is taken once, by the object's name and version, however often a run is
//! killed or repeated; an event whose id the table has, of the same type and day, is counted as a duplicate and not
//! added, and so is one of a day that expired. Leaves to the caller: up to which time the stream was ingested, so that ingest cannot bring the same events later.

mod blocks;
mod decoding;
mod gather;
mod object;
mod plan;
mod unseen;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bluelake_lake::{
    Archive, ArchivedObject, Chance, CommitOutcome, ControlTotals, Lake, StreamTable, UnreadableObject, Writer,
    event_ids, other_stream,
};
use bluelake_schemas::{Contract, Millis, Stream};
use bluelake_transform::{Decoder, TransformError};
use chrono::{DateTime, Utc};
use tokio::{sync::mpsc, task::JoinSet};

use self::{
    gather::{Gathered, gather},
    object::{Fault, ObjectSource},
    plan::plan,
    unseen::{Ids, Pending},
};
use crate::{
    error::IngestError,
    landing::retry::{self, Patience},
    memory::{admission::Admission, budget::PAGE_COPIES},
    supplement::{
        commit::{SupplementBase, commit_supplement},
        kept::KeptDays,
    },
};

/// Chunks that are decoded ahead of the batch; each is a few MiB.
const CHUNKS_AHEAD: usize = 4;
/// Rounds in a row that may be fenced before the run fails.
const ATTEMPTS: usize = 10;

/// What to bring in, and how.
#[derive(Clone, Debug)]
pub struct BackfillOptions {
    /// Objects written at this time or later are left: ingest is not that far, and may bring the same events. `None`
    /// takes all.
    pub written_before: Option<DateTime<Utc>>,
    /// Name or ARN of the stream in Kinesis: a table that holds another one is refused.
    pub kinesis: String,
    /// Rows are committed at this many bytes in memory.
    pub buffer_bytes: usize,
    /// Name of the writer in the checkpoint documents.
    pub worker: String,
    /// Counts the events as they are committed, for a progress bar.
    pub received: Arc<AtomicU64>,
}

/// An object that could not be read, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedObject {
    /// Its URL or path.
    pub object: String,
    /// Byte of the decompressed content up to which it was read. Everything before it is in the tables.
    pub offset: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// What a backfill found and did.
#[derive(Clone, Debug)]
pub struct BackfillSummary {
    /// The stream.
    pub stream: Stream,
    /// Objects of the archive.
    pub objects: usize,
    /// Of those, read to their end by this run.
    pub read: usize,
    /// Of those, read before.
    pub present: usize,
    /// Of those, left because ingest is not that far.
    pub left: Vec<String>,
    /// Of those, damaged, denied or of a form that is not read.
    pub damaged: Vec<DamagedObject>,
    /// Bytes of decompressed content that were committed.
    pub bytes: u64,
    /// Control totals of all commits.
    pub counts: ControlTotals,
    /// Commits.
    pub commits: u64,
    /// Version of the event table afterwards.
    pub table_version: Option<u64>,
}

/// Brings in the events of an archive that the table does not have.
///
/// # Errors
/// The first permanent error. Earlier commits stay, and a new run goes on from there. A damaged or unreadable object is
/// no error: the summary names it.
pub async fn backfill(
    archive: &Archive,
    stream: Stream,
    lake: &Lake,
    contract: &Contract,
    options: BackfillOptions,
) -> Result<BackfillSummary, IngestError> {
    let listing = archive.list().await?;
    // A table that was ingested keeps the ARN of its stream; another one has none yet.
    let writer = Writer {
        worker: options.worker.clone(),
        stream_arn: String::new(),
        stream_created_at: None,
        contract_version: contract.version(),
    };
    let table = StreamTable::open(lake, contract, stream, writer).await?;
    let other = table.document().and_then(|document| document.other_stream_by_name(&options.kinesis));
    if let Some(check) = other {
        return Err(other_stream(stream.table(), check).into());
    }
    let decoder = Decoder::new(contract, stream).map_err(|source| IngestError::Transform { stream, source })?;
    let summary = BackfillSummary {
        stream,
        objects: listing.objects.len() + listing.unreadable.len(),
        read: 0,
        present: 0,
        left: Vec::new(),
        damaged: Vec::new(),
        bytes: 0,
        counts: ControlTotals::default(),
        commits: 0,
        table_version: None,
    };
    let admission = Admission::new(options.buffer_bytes / PAGE_COPIES);
    let chance = lake.chance().clone();
    let source = ObjectSource {
        archive: archive.clone(),
        stream,
        decoder: Arc::new(decoder),
        admission,
        chance: chance.clone(),
    };
    let unreadable = listing.unreadable.into_iter().map(DamagedObject::from).collect();
    Backfill { source, objects: listing.objects, unreadable, table, chance, options, summary }.run().await
}

impl From<UnreadableObject> for DamagedObject {
    fn from(object: UnreadableObject) -> Self {
        Self { object: object.name, offset: 0, reason: object.reason }
    }
}

struct Backfill {
    source: ObjectSource,
    objects: Vec<ArchivedObject>,
    /// Objects that were listed and cannot be requested.
    unreadable: Vec<DamagedObject>,
    table: StreamTable,
    chance: Chance,
    options: BackfillOptions,
    summary: BackfillSummary,
}

/// How a round ended.
#[derive(PartialEq, Eq)]
enum RoundEnd {
    Done,
    /// A replay or another backfill came between: the plan may be out of date.
    Fenced,
}

impl Backfill {
    async fn run(mut self) -> Result<BackfillSummary, IngestError> {
        let mut outrun = 0;
        loop {
            let before = self.summary.commits;
            if self.round().await? == RoundEnd::Done {
                self.summary.table_version = self.table.delta_table().version();
                return Ok(self.summary);
            }
            outrun = if self.summary.commits > before { 0 } else { outrun + 1 };
            if outrun == ATTEMPTS {
                return Err(IngestError::Outrun { stream: self.summary.stream, times: outrun });
            }
            tokio::time::sleep(retry::pause_after_fence(&self.chance)).await;
        }
    }

    /// Plans from the table as it is, and reads on.
    async fn round(&mut self) -> Result<RoundEnd, IngestError> {
        self.reload().await?;
        let committed = self.table.archive_ranges().await?;
        let mut base = SupplementBase::of(&self.table);
        let limit = self.options.written_before.map(Millis::from);
        let plan = plan(&self.objects, &committed, limit);
        self.summary.present = plan.present - self.summary.read;
        self.summary.left = plan.left;
        self.summary.damaged.clone_from(&self.unreadable);
        let (sender, messages) = mpsc::channel(CHUNKS_AHEAD);
        let (batches, mut gathered) = gather::channel();
        // Both end with the round, whatever its outcome.
        let mut tasks = JoinSet::new();
        tasks.spawn(self.source.clone().read_all(plan.tasks, sender));
        tasks.spawn(gather(messages, batches, self.options.buffer_bytes));
        while let Some(Gathered { batch, fault }) = gathered.recv().await {
            if !batch.is_empty() && !self.commit(batch, &mut base).await? {
                return Ok(RoundEnd::Fenced);
            }
            match fault {
                Some(Fault::Damaged { object, offset, reason }) => {
                    tracing::warn!(stream = %self.summary.stream, object, offset, reason, "an archived object was not read to its end");
                    self.summary.damaged.push(DamagedObject { object, offset, reason });
                }
                Some(Fault::Failed(error)) => return Err(error),
                None => {}
            }
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| IngestError::task(self.summary.stream, &error))?;
        }
        Ok(RoundEnd::Done)
    }

    /// Commits the events that the table does not have; false when fenced.
    async fn commit(&mut self, mut pending: Pending, base: &mut SupplementBase) -> Result<bool, IngestError> {
        let _rooms = pending.take_rooms();
        self.reload().await?;
        let now = SupplementBase::of(&self.table);
        if !now.follows(*base) {
            return Ok(false);
        }
        let stream = self.summary.stream;
        let transform = |source: TransformError| IngestError::Transform { stream, source };
        let stored = self.stored(&pending, &pending.folders().map_err(transform)?).await?;
        let kept = KeptDays { events: self.table.expired_before(), rejected: None };
        let rows = pending.unseen(stored, kept).map_err(transform)?;
        let (counts, ranges) = (rows.counts, rows.archive_ranges.clone());
        match commit_supplement(&mut self.table, now, rows, &Patience::few(&self.chance)).await? {
            CommitOutcome::Committed { version } => {
                *base = now.after_own_commit(&self.table);
                self.summary.counts += counts;
                self.summary.commits += 1;
                self.summary.read += ranges.iter().filter(|range| range.ended).count();
                self.summary.bytes += ranges.iter().map(|range| range.to - range.from).sum::<u64>();
                self.options.received.fetch_add(counts.received, Ordering::Relaxed);
                tracing::info!(
                    %stream, version, objects = ranges.len(), stored = counts.stored, rejected = counts.rejected,
                    duplicate = counts.duplicate, "committed"
                );
                Ok(true)
            }
            CommitOutcome::Fenced { .. } | CommitOutcome::Expired => Ok(false),
        }
    }

    /// The ids of the batch that the table has.
    async fn stored(&self, pending: &Pending, folders: &BTreeSet<String>) -> Result<Ids, IngestError> {
        let name = self.summary.stream.table();
        // Most partitions of an archive are new, and have no ids to compare with.
        let ids = LazyLock::new(|| pending.ids());
        let ids = &ids;
        let read = || async {
            let mut stored = Ids::default();
            let mut found = |id| {
                if ids.contains(&id) {
                    stored.insert(id);
                }
            };
            event_ids(name, self.table.delta_table(), folders, &mut found).await.map(|()| stored)
        };
        retry::until("read the table's event ids", &Patience::few(&self.chance), read).await
    }

    async fn reload(&mut self) -> Result<(), IngestError> {
        let mut tries = Patience::few(&self.chance).tries("load the table");
        while tries.judge(self.table.reload().await).await?.is_none() {}
        Ok(())
    }
}
