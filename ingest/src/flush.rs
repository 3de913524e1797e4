//! Turns what was buffered into a committed batch: encode, upload, commit.

use bluelake_lake::{Batch, CommitOutcome, DataFile, NewFile, ShardAdvance, StreamTable, Uploader};
use bluelake_schemas::Stream;
use bluelake_transform::{EncodedFile, Partitions, TableLayout, TransformError, encode};
use tokio::{sync::mpsc, task::JoinSet};
use uuid::Uuid;

use crate::{buffer::Buffered, error::IngestError, progress::CommitTimer, retry::Patience};

/// Files encoded ahead of the uploads: a few, each at most a file's rows in memory.
const ENCODED_AHEAD: usize = 2;
/// Uploads under way at once.
const UPLOADS: usize = 4;
/// Rows of a file at most.
const MAX_FILE_ROWS: usize = 1_000_000;

/// A flush that has ended, with the table that was lent to it.
#[derive(Debug)]
pub(crate) struct Flushed {
    pub(crate) table: StreamTable,
    pub(crate) batch: Batch,
    pub(crate) outcome: Result<CommitOutcome, IngestError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Events,
    Rejected,
}

/// Encodes, uploads and commits. Transient faults of the lake are waited out with the same files. `erasure_epoch` is that
/// of the time when the rows were read.
pub(crate) async fn flush(
    mut table: StreamTable,
    buffered: Buffered,
    erasure_epoch: u64,
    patience: Patience,
) -> Flushed {
    let Buffered { events, rejected, shards } = buffered;
    let mut batch = Batch { erasure_epoch, ..empty_batch(&table, shards) };
    let outcome = async {
        let encoded = encode_all(vec![(Target::Events, events), (Target::Rejected, rejected)]);
        upload_all(&table, &mut batch, encoded, &patience).await?;
        commit(&mut table, &batch, &patience).await
    }
    .await;
    Flushed { table, batch, outcome }
}

/// A batch of positions alone.
pub(crate) fn empty_batch(table: &StreamTable, shards: Vec<ShardAdvance>) -> Batch {
    Batch {
        id: Uuid::now_v7(),
        base: table.document().map_or(0, |document| document.number),
        erasure_epoch: table.document().map_or(0, |document| document.erasure_epoch),
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

/// Encodes on a thread of its own, a file at a time, no further ahead than the channel holds.
fn encode_all(rows: Vec<(Target, Vec<arrow::array::RecordBatch>)>) -> EncodedFiles {
    let (sender, receiver) = mpsc::channel(ENCODED_AHEAD);
    tokio::task::spawn_blocking(move || {
        for (target, batches) in rows {
            let layout = layout_of(target);
            let partitions = match Partitions::plan(batches, layout, MAX_FILE_ROWS) {
                Ok(partitions) => partitions,
                Err(error) => {
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
            };
            for rows in partitions {
                let file = rows.and_then(|rows| encode(&rows, layout)).map(|file| (target, file));
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

fn layout_of(target: Target) -> TableLayout {
    match target {
        Target::Events => TableLayout::EVENTS,
        Target::Rejected => TableLayout::REJECTED,
    }
}

async fn upload_all(
    table: &StreamTable,
    batch: &mut Batch,
    mut encoded: EncodedFiles,
    patience: &Patience,
) -> Result<(), IngestError> {
    let stream = table.stream();
    let mut uploads: JoinSet<Result<(Target, DataFile), IngestError>> = JoinSet::new();
    let mut number = 0;
    while let Some(file) = encoded.recv().await {
        let (target, file) = file.map_err(|source| IngestError::Transform { stream, source })?;
        while uploads.len() >= UPLOADS {
            take_upload(stream, &mut uploads, batch).await?;
        }
        let uploader = match target {
            Target::Events => table.event_uploader(),
            Target::Rejected => table.rejected_uploader(),
        };
        let path = file.path(batch.id, number);
        number += 1;
        let file = NewFile {
            path,
            partition_values: file.partition_values,
            bytes: file.bytes,
            rows: file.rows,
            statistics: file.statistics,
        };
        let patience = patience.clone();
        uploads.spawn(async move { Ok((target, upload(uploader, file, patience).await?)) });
    }
    while !uploads.is_empty() {
        take_upload(stream, &mut uploads, batch).await?;
    }
    batch.files.sort_by(|left, right| left.path.cmp(&right.path));
    batch.rejected_files.sort_by(|left, right| left.path.cmp(&right.path));
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

async fn take_upload(
    stream: Stream,
    uploads: &mut JoinSet<Result<(Target, DataFile), IngestError>>,
    batch: &mut Batch,
) -> Result<(), IngestError> {
    match uploads.join_next().await {
        Some(Ok(uploaded)) => {
            let (target, file) = uploaded?;
            match target {
                Target::Events => batch.files.push(file),
                Target::Rejected => batch.rejected_files.push(file),
            }
            Ok(())
        }
        Some(Err(error)) => Err(IngestError::Task { stream, reason: error.to_string() }),
        None => Ok(()),
    }
}
