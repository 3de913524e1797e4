//! Lands the rows of a replay or a backfill beside the shards' progress. Encodes, uploads and commits them as one
//! supplement, which moves no position and is fenced by any other supplement and by an erasure.

use arrow::array::RecordBatch;
use bluelake_lake::{ArchiveRange, Batch, CommitOutcome, ControlTotals, StreamTable, Supplement};

use crate::{
    error::IngestError,
    landing::{
        draft::{Draft, Target, Uploaders},
        encode::{EncodedFiles, plan_all},
        flush::commit,
        retry::Patience,
        upload::upload_all,
    },
};

/// The state of the table that a supplement was planned against. As long as it holds, the missing rows stay missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SupplementBase {
    number: u64,
    supplements: u64,
    erasure_epoch: u64,
}

impl SupplementBase {
    /// The base of the table as last loaded.
    pub(crate) fn of(table: &StreamTable) -> Self {
        let document = table.document();
        Self {
            number: document.map_or(0, |document| document.head.number),
            supplements: document.map_or(0, |document| document.tally.supplements),
            erasure_epoch: document.map_or(0, |document| document.head.erasure_epoch),
        }
    }

    /// Whether no other supplement committed since `before`; workers and erasures may have.
    pub(crate) fn follows(self, before: Self) -> bool {
        self.supplements == before.supplements
    }

    /// The base after a commit of one's own on this one. The epoch stays: rows found missing before an erasure must not
    /// land after it.
    pub(crate) fn after_own_commit(self, table: &StreamTable) -> Self {
        let number = table.document().map_or(self.number, |document| document.head.number);
        Self { number, supplements: self.supplements + 1, erasure_epoch: self.erasure_epoch }
    }
}

/// Missing rows, with their totals.
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
    let mut draft = Draft::new();
    let encoded = EncodedFiles::of(move || plan_all([(Target::Events, events), (Target::Rejected, rejected)]));
    upload_all(&Uploaders::of(table), &mut draft, encoded, patience).await?;
    let id = draft.id();
    let files = draft.into_files();
    let batch = Batch {
        id,
        base: base.number,
        erasure_epoch: base.erasure_epoch,
        shards: Vec::new(),
        retire: Vec::new(),
        supplement: Some(Supplement { base: base.supplements, counts, archive_ranges }),
        files: files.events,
        rejected_files: files.rejected,
    };
    commit(table, &batch, patience).await
}
