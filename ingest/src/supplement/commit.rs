//! Lands rows beside the shards' progress: those of a replay or a backfill. Encodes, uploads and commits them as one
//! supplement, which moves no position and is fenced by any other supplement and by an erasure.

use arrow::array::RecordBatch;
use bluelake_lake::{
    ArchiveRange, Batch, CommitOutcome, ControlTotals, DataFile, NewFile, StreamTable, Supplement, Uploader,
};
use bluelake_transform::{EncodedFile, Partitions, TableLayout, TransformError, encode};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{error::IngestError, kinesis::retry::Patience, landing::flush::commit};

/// Files encoded ahead of the uploads.
const ENCODED_AHEAD: usize = 2;
/// Uploads under way at once.
const UPLOADS: usize = 4;
/// Rows of a file at most.
const MAX_FILE_ROWS: usize = 1_000_000;

/// The state of the table that a supplement was planned against: what was missing then is missing as long as it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SupplementBase {
    number: u64,
    supplements: u64,
    erasure_epoch: u64,
}

impl SupplementBase {
    /// That of the table as last loaded.
    pub(crate) fn of(table: &StreamTable) -> Self {
        let document = table.document();
        Self {
            number: document.map_or(0, |document| document.head.number),
            supplements: document.map_or(0, |document| document.tally.supplements),
            erasure_epoch: document.map_or(0, |document| document.head.erasure_epoch),
        }
    }

    /// Whether no other supplement came since `before`: commits of workers and erasures may have.
    pub(crate) fn follows(self, before: Self) -> bool {
        self.supplements == before.supplements
    }

    /// What holds after a commit of one's own on this base. The epoch stays: what was found missing before an erasure must
    /// not land after it.
    pub(crate) fn after_own_commit(self, table: &StreamTable) -> Self {
        let number = table.document().map_or(self.number, |document| document.head.number);
        Self { number, supplements: self.supplements + 1, erasure_epoch: self.erasure_epoch }
    }
}

/// Rows that are missing, with what they amount to.
#[derive(Debug, Default)]
pub(crate) struct SupplementRows {
    pub(crate) events: Vec<RecordBatch>,
    pub(crate) rejected: Vec<RecordBatch>,
    pub(crate) counts: ControlTotals,
    pub(crate) archive_ranges: Vec<ArchiveRange>,
}

/// Commits the rows as one supplement. Transient faults of the lake are waited out with the same files.
pub(crate) async fn commit_supplement(
    table: &mut StreamTable,
    base: SupplementBase,
    rows: SupplementRows,
    patience: &Patience,
) -> Result<CommitOutcome, IngestError> {
    let SupplementRows { events, rejected, counts, archive_ranges } = rows;
    let id = Uuid::now_v7();
    let (mut files, mut rejected_files) = (Vec::new(), Vec::new());
    for (is_event, file) in upload_all(table, id, events, rejected, patience).await? {
        if is_event { files.push(file) } else { rejected_files.push(file) }
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    rejected_files.sort_by(|left, right| left.path.cmp(&right.path));
    let batch = Batch {
        id,
        base: base.number,
        erasure_epoch: base.erasure_epoch,
        shards: Vec::new(),
        retire: Vec::new(),
        supplement: Some(Supplement { base: base.supplements, counts, archive_ranges }),
        files,
        rejected_files,
    };
    commit(table, &batch, patience).await
}

async fn upload_all(
    table: &StreamTable,
    id: Uuid,
    events: Vec<RecordBatch>,
    rejected: Vec<RecordBatch>,
    patience: &Patience,
) -> Result<Vec<(bool, DataFile)>, IngestError> {
    let stream = table.stream();
    let encoded = encode_all(events, rejected);
    let numbered = futures::stream::unfold((encoded, 0_usize), |(mut encoded, number)| async move {
        encoded.recv().await.map(|file| ((number, file), (encoded, number + 1)))
    });
    numbered
        .map(|(number, file)| async move {
            let (is_event, file) = file.map_err(|source| IngestError::Transform { stream, source })?;
            let uploader = if is_event { table.event_uploader() } else { table.rejected_uploader() };
            let path = file.path(id, number);
            Ok((is_event, upload(uploader, path, file, patience).await?))
        })
        .buffer_unordered(UPLOADS)
        .try_collect()
        .await
}

type Encoded = Result<(bool, EncodedFile), TransformError>;

async fn upload(
    uploader: Uploader,
    path: String,
    file: EncodedFile,
    patience: &Patience,
) -> Result<DataFile, IngestError> {
    let file = NewFile {
        path,
        partition_values: file.partition_values,
        bytes: file.bytes,
        rows: file.rows,
        statistics: file.statistics,
    };
    let mut pauses = patience.pauses();
    loop {
        match uploader.upload(file.clone()).await {
            Ok(uploaded) => return Ok(uploaded),
            Err(error) => pauses.wait_after("upload", error.into()).await?,
        }
    }
}

/// Encodes on a thread of its own, a file at a time, no further ahead than the channel holds. Gives whether a file is one
/// of events.
fn encode_all(events: Vec<RecordBatch>, rejected: Vec<RecordBatch>) -> mpsc::Receiver<Encoded> {
    let (sender, receiver) = mpsc::channel(ENCODED_AHEAD);
    tokio::task::spawn_blocking(move || {
        for (is_event, batches) in [(true, events), (false, rejected)] {
            let layout = if is_event { TableLayout::EVENTS } else { TableLayout::REJECTED };
            let partitions = match Partitions::plan(batches, layout, MAX_FILE_ROWS) {
                Ok(partitions) => partitions,
                Err(error) => {
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
            };
            for rows in partitions {
                let file = rows.and_then(|rows| encode(&rows, layout)).map(|file| (is_event, file));
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
