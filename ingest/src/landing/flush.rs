//! Turns what was buffered into a committed batch: encode, upload, commit. When memory is short, the largest partitions are
//! encoded and uploaded ahead of the commit, as unreferenced files of the coming batch.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bluelake_lake::{Batch, CommitOutcome, DataFile, NewFile, ShardAdvance, StreamTable, Uploader};
use bluelake_schemas::Stream;
use bluelake_transform::{DecodedBatch, EncodedFile, Partitions, TableLayout, TransformError, encode};
use tokio::{sync::mpsc, task::JoinSet};
use uuid::Uuid;

use crate::{
    error::IngestError,
    kinesis::retry::Patience,
    landing::buffer::Buffered,
    memory::admission::RowRoom,
    progress::{CommitTimer, Progress, WorkerStep},
    reading::{
        chunk::{ReadRows, Rows as _},
        decoder::HEAVY_BYTES,
    },
};

/// Files encoded ahead of the uploads: a few, each at most a file's rows in memory.
const ENCODED_AHEAD: usize = 2;
/// Uploads under way at once, and their bytes: many small files, or a few large ones.
const UPLOADS: usize = 16;
const UPLOAD_BYTES: usize = 16 << 20;
/// Rows of a file at most.
const MAX_FILE_ROWS: usize = 1_000_000;

/// A flush that has ended, with the table that was lent to it.
#[derive(Debug)]
pub(crate) struct Flushed {
    pub(crate) table: StreamTable,
    pub(crate) batch: Batch,
    /// Bytes that the rows took which were taken from the buffer, and those of the files that became of them.
    pub(crate) row_bytes: usize,
    pub(crate) file_bytes: usize,
    pub(crate) outcome: Result<CommitOutcome, IngestError>,
}

/// Rows that were written ahead of the commit, and the rest.
#[derive(Debug)]
pub(crate) struct WrittenAhead {
    pub(crate) draft: Draft,
    /// The rows that were not written, if any.
    pub(crate) rest: Option<ReadRows>,
    /// Bytes of the files.
    pub(crate) file_bytes: usize,
}

/// A batch that is not committed yet: its id, and the files that it has so far.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    id: Uuid,
    files: Vec<DataFile>,
    rejected_files: Vec<DataFile>,
    next_number: usize,
    progress: Arc<Progress>,
}

/// Where the files of a stream go.
#[derive(Clone, Debug)]
pub(crate) struct Uploaders {
    stream: Stream,
    events: Uploader,
    rejected: Uploader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Events,
    Rejected,
}

impl Draft {
    /// A new batch without files, whose steps are told to `progress`.
    pub(crate) fn new(progress: &Arc<Progress>) -> Self {
        let (files, rejected_files) = (Vec::new(), Vec::new());
        Self { id: Uuid::now_v7(), files, rejected_files, next_number: 0, progress: progress.clone() }
    }

    fn file_bytes(&self) -> usize {
        let sizes = self.files.iter().chain(&self.rejected_files).map(|file| file.size);
        usize::try_from(sizes.sum::<u64>()).unwrap_or(usize::MAX)
    }
}

impl Uploaders {
    /// Those of this table.
    pub(crate) fn of(table: &StreamTable) -> Self {
        Self { stream: table.stream(), events: table.event_uploader(), rejected: table.rejected_uploader() }
    }

    fn of_target(&self, target: Target) -> Uploader {
        match target {
            Target::Events => self.events.clone(),
            Target::Rejected => self.rejected.clone(),
        }
    }
}

/// Encodes, uploads and commits, together with the files that the draft has. Transient faults of the lake are waited out
/// with the same files. `erasure_epoch` is that of the time when the rows were read.
pub(crate) async fn flush(
    mut table: StreamTable,
    mut draft: Draft,
    buffered: Buffered,
    erasure_epoch: u64,
    patience: Patience,
) -> Flushed {
    let Buffered { rows, row_bytes, shards } = buffered;
    let before = draft.file_bytes();
    let (rows, room) = apart(rows);
    let encoded = encode_all(move || plan_all(rows));
    let uploaded = upload_all(&Uploaders::of(&table), &mut draft, encoded, &patience).await;
    drop(room);
    let file_bytes = draft.file_bytes() - before;
    draft.files.sort_by(|left, right| left.path.cmp(&right.path));
    draft.rejected_files.sort_by(|left, right| left.path.cmp(&right.path));
    draft.progress.observe_step(WorkerStep::Committing);
    let batch = Batch {
        id: draft.id,
        erasure_epoch,
        files: draft.files,
        rejected_files: draft.rejected_files,
        ..empty_batch(&table, shards)
    };
    let outcome = match uploaded {
        Ok(()) => commit(&mut table, &batch, &patience).await,
        Err(error) => Err(error),
    };
    Flushed { table, batch, row_bytes, file_bytes, outcome }
}

/// Writes the largest partitions, about half of the rows, as files of the draft.
///
/// # Errors
/// When rows cannot be encoded, or the lake has failed for too long.
pub(crate) async fn write_ahead(
    uploaders: Uploaders,
    mut draft: Draft,
    rows: Vec<ReadRows>,
    patience: Patience,
) -> Result<WrittenAhead, IngestError> {
    let stream = uploaders.stream;
    draft.progress.observe_step(WorkerStep::Encoding);
    let (rows, room) = apart(rows);
    let split = tokio::task::spawn_blocking(move || split_largest(rows)).await;
    let split = split.map_err(|error| IngestError::task(stream, &error))?;
    let (largest, rest) = split.map_err(|source| IngestError::Transform { stream, source })?;
    let before = draft.file_bytes();
    upload_all(&uploaders, &mut draft, encode_all(move || Ok(largest)), &patience).await?;
    draft.progress.observe_step(WorkerStep::Reading);
    let file_bytes = draft.file_bytes() - before;
    tracing::debug!(%stream, batch = %draft.id, file_bytes, "wrote the largest partitions ahead of the commit");
    let rest = rest.map(|decoded| {
        let mut rest = ReadRows { decoded, room };
        let bytes = rest.bytes();
        // What was heavy is written.
        rest.room = rest.room.take().filter(|_| bytes > HEAVY_BYTES);
        rest.room.iter_mut().for_each(|room| room.shrink(bytes));
        rest
    });
    Ok(WrittenAhead { draft, rest, file_bytes })
}

/// The rows, and the room that they take together.
fn apart(rows: Vec<ReadRows>) -> (Vec<DecodedBatch>, Option<RowRoom>) {
    let (rows, rooms): (Vec<_>, Vec<_>) = rows.into_iter().map(|rows| (rows.decoded, rows.room)).unzip();
    (rows, RowRoom::joined(rooms.into_iter().flatten()))
}

/// A batch of positions alone.
pub(crate) fn empty_batch(table: &StreamTable, shards: Vec<ShardAdvance>) -> Batch {
    Batch {
        id: Uuid::now_v7(),
        base: table.document().map_or(0, |document| document.head.number),
        erasure_epoch: table.document().map_or(0, |document| document.head.erasure_epoch),
        shards,
        retire: Vec::new(),
        supplement: None,
        files: Vec::new(),
        rejected_files: Vec::new(),
    }
}

/// Commits a batch, waiting out transient faults.
pub(crate) async fn commit(
    table: &mut StreamTable,
    batch: &Batch,
    patience: &Patience,
) -> Result<CommitOutcome, IngestError> {
    let _timer = CommitTimer::start(table.stream());
    let mut pauses = patience.pauses();
    loop {
        match table.commit(batch).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => pauses.wait_after("commit", error.into()).await?,
        }
    }
}

type EncodedFiles = mpsc::Receiver<Result<(Target, EncodedFile), TransformError>>;
type Planned = Vec<(Target, Partitions)>;

/// Rows of both tables, each with where they go.
fn by_target(rows: Vec<DecodedBatch>) -> [(Target, Vec<RecordBatch>); 2] {
    let (events, rejected) = rows.into_iter().map(|rows| (rows.events, rows.rejected)).unzip();
    [(Target::Events, events), (Target::Rejected, rejected)]
}

/// The largest partitions of each table, with half of its rows or more, and all other rows.
fn split_largest(rows: Vec<DecodedBatch>) -> Result<(Planned, Option<DecodedBatch>), TransformError> {
    let mut rest = rows.first().map(|first| DecodedBatch {
        events: RecordBatch::new_empty(first.events.schema()),
        rejected: RecordBatch::new_empty(first.rejected.schema()),
        unknown_fields: 0,
    });
    let mut largest = Vec::new();
    for (target, batches) in by_target(rows) {
        let partitions = Partitions::plan(batches, layout_of(target), MAX_FILE_ROWS)?;
        let half = partitions.bytes().div_ceil(2);
        let (partitions, others) = partitions.split_largest(half)?;
        largest.push((target, partitions));
        if let (Some(rest), Some(others)) = (&mut rest, others) {
            match target {
                Target::Events => rest.events = others,
                Target::Rejected => rest.rejected = others,
            }
        }
    }
    Ok((largest, rest))
}

/// Encodes on a thread of its own, a file at a time, no further ahead than the channel holds.
fn encode_all(rows: impl FnOnce() -> Result<Planned, TransformError> + Send + 'static) -> EncodedFiles {
    let (sender, receiver) = mpsc::channel(ENCODED_AHEAD);
    tokio::task::spawn_blocking(move || {
        let planned = match rows() {
            Ok(planned) => planned,
            Err(error) => {
                let _ = sender.blocking_send(Err(error));
                return;
            }
        };
        for (target, partitions) in planned {
            for rows in partitions {
                let file = rows.and_then(|rows| encode(&rows, layout_of(target))).map(|file| (target, file));
                let failed = file.is_err();
                // A receiver that is gone has met an error of its own and tells of it.
                if sender.blocking_send(file).is_err() || failed {
                    return;
                }
            }
        }
    });
    receiver
}

fn plan_all(rows: Vec<DecodedBatch>) -> Result<Planned, TransformError> {
    let plan = |(target, batches)| Ok((target, Partitions::plan(batches, layout_of(target), MAX_FILE_ROWS)?));
    by_target(rows).into_iter().map(plan).collect()
}

fn layout_of(target: Target) -> TableLayout {
    match target {
        Target::Events => TableLayout::EVENTS,
        Target::Rejected => TableLayout::REJECTED,
    }
}

/// Uploads files as they come and adds them to the draft.
async fn upload_all(
    uploaders: &Uploaders,
    draft: &mut Draft,
    mut encoded: EncodedFiles,
    patience: &Patience,
) -> Result<(), IngestError> {
    let stream = uploaders.stream;
    let mut uploads: JoinSet<Result<(Target, DataFile), IngestError>> = JoinSet::new();
    let mut bytes_under_way = 0;
    while let Some(file) = encoded.recv().await {
        let (target, file) = file.map_err(|source| IngestError::Transform { stream, source })?;
        draft.progress.observe_step(WorkerStep::Uploading);
        while uploads.len() >= UPLOADS || (!uploads.is_empty() && bytes_under_way + file.bytes.len() > UPLOAD_BYTES) {
            bytes_under_way -= take_upload(stream, &mut uploads, draft).await?.min(bytes_under_way);
        }
        bytes_under_way += file.bytes.len();
        let path = file.path(draft.id, draft.next_number);
        draft.next_number += 1;
        let file = NewFile {
            path,
            partition_values: file.partition_values,
            bytes: file.bytes,
            rows: file.rows,
            statistics: file.statistics,
        };
        let (uploader, patience) = (uploaders.of_target(target), patience.clone());
        uploads.spawn(async move { Ok((target, upload(uploader, file, patience).await?)) });
    }
    while !uploads.is_empty() {
        take_upload(stream, &mut uploads, draft).await?;
    }
    Ok(())
}

async fn upload(uploader: Uploader, file: NewFile, patience: Patience) -> Result<DataFile, IngestError> {
    let mut pauses = patience.pauses();
    loop {
        match uploader.upload(file.clone()).await {
            Ok(uploaded) => return Ok(uploaded),
            Err(error) => pauses.wait_after("upload", error.into()).await?,
        }
    }
}

/// Adds an uploaded file to the draft; gives its bytes.
async fn take_upload(
    stream: Stream,
    uploads: &mut JoinSet<Result<(Target, DataFile), IngestError>>,
    draft: &mut Draft,
) -> Result<usize, IngestError> {
    match uploads.join_next().await {
        Some(Ok(uploaded)) => {
            let (target, file) = uploaded?;
            let bytes = usize::try_from(file.size).unwrap_or(usize::MAX);
            match target {
                Target::Events => draft.files.push(file),
                Target::Rejected => draft.rejected_files.push(file),
            }
            Ok(bytes)
        }
        Some(Err(error)) => Err(IngestError::task(stream, &error)),
        None => Ok(0),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::Arc;

    use bluelake_schemas::{Contract, Micros};
    use bluelake_transform::{Decoder, RecordPosition};

    use super::*;

    /// Events on so many days, one on the first, two on the second and so on; and as many rejected ones as days.
    fn rows(days: u32) -> DecodedBatch {
        let decoder = Arc::new(Decoder::new(&Contract::embedded().unwrap(), Stream::UserEvents).unwrap());
        let mut batch = decoder.batch();
        let arrived_at = 1_790_000_000_000_000;
        let mut number = 0;
        for day in 1..=days {
            for _ in 0..day {
                number += 1;
                let event = format!(
                    r#"{{"event_id":"{}","event_type":"user_created","occurred_at":"2026-01-{day:02}T00:00:00Z",
                    "source":"onboarding","channel":"web","user_id":"u{number}","user_kind":"civilian"}}"#,
                    Uuid::now_v7()
                );
                let sequence = number.to_string();
                let position = RecordPosition {
                    shard: "s",
                    sequence: &sequence,
                    arrived_at: Micros::new(arrived_at),
                    hash_keys: None,
                };
                let counts = batch.push(&position, event.as_bytes(), &mut |_, _| false);
                assert_eq!(counts.stored, 1, "{event}");
            }
            batch.push(
                &RecordPosition { shard: "s", sequence: "1", arrived_at: Micros::new(arrived_at), hash_keys: None },
                b"not json",
                &mut |_, _| false,
            );
        }
        batch.finish().unwrap()
    }

    #[test]
    fn the_largest_partitions_go_ahead_and_every_row_is_in_one_part() {
        let (largest, rest) = split_largest(vec![rows(4), rows(3)]).unwrap();
        let rest = rest.unwrap();
        let mut written = Vec::new();
        for (target, partitions) in largest {
            let files = partitions.map(|rows| encode(&rows.unwrap(), layout_of(target)).unwrap());
            written.extend(files.map(|file| (target, file.partition_values[1].1.clone(), file.rows)));
        }
        // Of 16 events, days 1 to 4 have 2, 4, 6 and 4; the rejected are one partition.
        assert_eq!(written.len(), 3, "{written:?}");
        assert_eq!(written[0], (Target::Events, "2026-01-03".to_owned(), 6));
        // Days 2 and 4 have as many rows; a few bytes decide.
        assert_eq!((written[1].0, written[1].2), (Target::Events, 4), "{written:?}");
        assert_eq!((written[2].0, written[2].2), (Target::Rejected, 7));
        assert_eq!((rest.events.num_rows(), rest.rejected.num_rows()), (6, 0));
        let days = plan_all(vec![rest]).unwrap().into_iter().flat_map(|(_, partitions)| partitions);
        assert_eq!(days.map(|rows| rows.unwrap().rows.num_rows()).collect::<Vec<_>>(), [2, 4]);
    }
}
