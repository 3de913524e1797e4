//! The result of reading the documents: their shards, batches, archives and rejected files. Pure.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use uuid::Uuid;

use super::{
    documents::{expected_rows, totals},
    report::Findings,
};
use crate::checkpoint::{
    document::{CheckpointDocument, Position, Tally},
    sequence::SequenceNumber,
    shard_id::ShardId,
};

/// How far the documents reach back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// To the first commit.
    Whole,
    /// To a document whose predecessors were pruned.
    Pruned(u64),
    /// To a fault; with the reason that keeps the other checks from an answer.
    Broken(String),
}

/// A file that a document gives to `rejected_events`.
#[derive(Debug)]
pub(super) struct NamedFile {
    pub(super) document: u64,
    pub(super) rows: u64,
    pub(super) size: u64,
}

/// The facts of the documents about a shard, for all its incarnations together.
#[derive(Debug, Default)]
pub(super) struct ShardHistory {
    /// Its place among the shards.
    pub(super) index: u32,
    pub(super) parents: BTreeSet<ShardId>,
    /// The highest committed number; `None` without a commit.
    pub(super) highest: Option<SequenceNumber>,
}

/// The facts of the documents after the walk.
#[derive(Debug)]
pub(super) struct History {
    pub(super) documents: u64,
    pub(super) reach: Reach,
    pub(super) shards: BTreeMap<ShardId, ShardHistory>,
    pub(super) rejected: BTreeMap<String, NamedFile>,
    /// The facts of archived objects, by the shard of their rows.
    pub(super) archives: BTreeMap<ShardId, ArchiveHistory>,
    /// What each batch stored.
    pub(super) batches: BTreeMap<Uuid, BatchHistory>,
    /// The facts of documents that name a maintenance record, by the number of the record.
    pub(super) maintained: BTreeMap<u64, MaintainedHistory>,
    /// Rows that the event table must hold, by the number of the document; `None` on overflow.
    pub(super) rows: BTreeMap<u64, Option<u64>>,
}

/// The facts of a document about its maintenance record.
#[derive(Debug)]
pub(super) struct MaintainedHistory {
    pub(super) document: u64,
    /// Digest of the record.
    pub(super) digest: String,
    /// The task.
    pub(super) task: Uuid,
    /// What it counts.
    pub(super) tally: Tally,
}

/// The facts of a document about its batch.
#[derive(Debug)]
pub(super) struct BatchHistory {
    pub(super) document: u64,
    /// Rows in the event table.
    pub(super) stored: u64,
}

/// The part of an archived object that was brought in, by the documents read so far.
#[derive(Debug)]
pub(super) struct ArchiveHistory {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl History {
    pub(super) fn empty() -> Self {
        Self {
            documents: 0,
            reach: Reach::Whole,
            shards: BTreeMap::new(),
            rejected: BTreeMap::new(),
            archives: BTreeMap::new(),
            batches: BTreeMap::new(),
            maintained: BTreeMap::new(),
            rows: BTreeMap::new(),
        }
    }

    pub(super) fn unreadable() -> Self {
        Self { reach: Reach::Broken("the document in force cannot be read".to_owned()), ..Self::empty() }
    }

    /// Why the documents are incomplete; `None` when they are complete.
    pub(super) fn gap(&self) -> Option<String> {
        match &self.reach {
            Reach::Whole => None,
            Reach::Pruned(number) => Some(format!("documents before {number} were pruned")),
            Reach::Broken(reason) => Some(reason.clone()),
        }
    }

    pub(super) fn take_in(
        &mut self,
        document: &CheckpointDocument,
        next: Option<&CheckpointDocument>,
        positions: &mut Findings,
    ) {
        self.documents += 1;
        self.rows.insert(document.head.number, expected_rows(document));
        self.take_in_archives(document, positions);
        for file in &document.commit.rejected_files {
            let named = NamedFile { document: document.head.number, rows: file.rows, size: file.size };
            self.rejected.insert(file.path.clone(), named);
        }
        for (id, state) in &document.shards {
            let later = next.and_then(|next| next.shards.get(id));
            if later.is_some_and(|later| later.starting_sequence == state.starting_sequence) {
                continue;
            }
            let history = self.shards.entry(id.clone()).or_default();
            history.parents.extend(state.parents.iter().cloned());
            if let Position::After(position) = &state.position {
                history.highest = history.highest.take().max(Some(position.clone()));
            }
        }
    }

    /// Takes in the difference of a document from its predecessor.
    pub(super) fn take_in_batch(
        &mut self,
        previous: Option<&CheckpointDocument>,
        document: &CheckpointDocument,
        positions: &mut Findings,
    ) {
        let number = document.head.number;
        if let Some(record) = &document.commit.maintenance {
            let named = MaintainedHistory {
                document: number,
                digest: record.digest.clone(),
                task: document.head.batch_id,
                tally: document.tally,
            };
            if let Some(other) = self.maintained.insert(record.number, named) {
                positions.add(|| format!("documents {number} and {} name one maintenance record", other.document));
            }
            return;
        }
        let stored = |document: &CheckpointDocument| totals(document).unwrap_or_default().stored;
        let stored = stored(document).saturating_sub(previous.map_or(0, stored));
        let batch = BatchHistory { document: document.head.number, stored };
        if let Some(other) = self.batches.insert(document.head.batch_id, batch) {
            positions.add(|| format!("documents {} and {} commit one batch", document.head.number, other.document));
        }
    }

    /// Takes in the ranges of an older document: each part of an object must end where the next begins.
    pub(super) fn take_in_archives(&mut self, document: &CheckpointDocument, positions: &mut Findings) {
        for range in &document.commit.archive_ranges {
            let goes_back = range.from > range.to;
            let joins = match self.archives.entry(range.shard()) {
                Entry::Vacant(entry) => {
                    entry.insert(ArchiveHistory { from: range.from, to: range.to });
                    true
                }
                Entry::Occupied(mut entry) => {
                    let next = std::mem::replace(&mut entry.get_mut().from, range.from);
                    range.to == next && !range.ended
                }
            };
            if goes_back || !joins {
                positions.add(|| {
                    format!("document {}: the parts of {} overlap or leave a hole", document.head.number, range.object)
                });
            }
        }
    }

    /// Checks that every object was read from its beginning.
    pub(super) fn check_archives(&self, positions: &mut Findings) {
        for (shard, archive) in self.archives.iter().filter(|(_, archive)| archive.from > 0) {
            positions.add(|| format!("{shard}: nothing says what became of what lies before byte {}", archive.from));
        }
    }

    pub(super) fn number_shards(&mut self) {
        for (index, shard) in (0..).zip(self.shards.values_mut()) {
            shard.index = index;
        }
    }
}
