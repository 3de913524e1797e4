//! Turns the buffer into a committed batch: encode, upload, commit. When memory is short, the largest partitions are
//! encoded and uploaded ahead of the commit, as unreferenced files of the coming batch.

use bluelake_lake::{Batch, CommitOutcome, ShardAdvance, StreamTable};
use bluelake_transform::DecodedBatch;
use uuid::Uuid;

use crate::{
    error::IngestError,
    landing::{
        buffer::Buffered,
        draft::{Draft, Uploaders},
        encode::{EncodedFiles, by_target, plan_all, split_largest},
        retry::Patience,
        upload::upload_all,
    },
    memory::admission::RowRoom,
    progress::{CommitTimer, WorkerStep},
    reading::{
        chunk::{ReadRows, Rows as _},
        decoder::HEAVY_BYTES,
    },
};

/// A flush that has ended, with the table that was lent to it.
#[derive(Debug)]
pub(crate) struct Flushed {
    pub(crate) table: StreamTable,
    pub(crate) batch: Batch,
    /// Bytes of the rows that were taken from the buffer, and bytes of their files.
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

/// Encodes, uploads and commits, together with the files that the draft has. Transient faults of the lake are waited
/// out with the same files. `erasure_epoch` is the epoch at which the rows were read.
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
    let encoded = EncodedFiles::of(move || plan_all(by_target(rows)));
    let uploaded = upload_all(&Uploaders::of(&table), &mut draft, encoded, &patience).await;
    drop(room);
    let file_bytes = draft.file_bytes() - before;
    draft.observe_step(WorkerStep::Committing);
    let id = draft.id();
    let files = draft.into_files();
    let batch =
        Batch { id, erasure_epoch, files: files.events, rejected_files: files.rejected, ..empty_batch(&table, shards) };
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
    draft.observe_step(WorkerStep::Encoding);
    let (rows, room) = apart(rows);
    let split = tokio::task::spawn_blocking(move || split_largest(rows)).await;
    let split = split.map_err(|error| IngestError::task(stream, &error))?;
    let (largest, rest) = split.map_err(|source| IngestError::Transform { stream, source })?;
    let before = draft.file_bytes();
    upload_all(&uploaders, &mut draft, EncodedFiles::of(move || Ok(largest)), &patience).await?;
    draft.observe_step(WorkerStep::Reading);
    let file_bytes = draft.file_bytes() - before;
    tracing::debug!(%stream, batch = %draft.id(), file_bytes, "wrote the largest partitions ahead of the commit");
    let rest = rest.map(|decoded| {
        let mut rest = ReadRows { decoded, room };
        let bytes = rest.bytes();
        // The heavy rows are written.
        rest.room = rest.room.take().filter(|_| bytes > HEAVY_BYTES);
        rest.room.iter_mut().for_each(|room| room.shrink(bytes));
        rest
    });
    Ok(WrittenAhead { draft, rest, file_bytes })
}

/// The rows, and the room that they hold together.
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
    let mut tries = patience.tries("commit");
    loop {
        if let Some(outcome) = tries.judge(table.commit(batch).await).await? {
            return Ok(outcome);
        }
    }
}
