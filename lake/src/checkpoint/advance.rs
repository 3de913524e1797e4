//! The checkpoint algebra: the claims of a batch, and how it moves a document forward or is fenced. Pure.
//!
//! | the shard in the document | the batch starts from | result |
//! | --- | --- | --- |
//! | nothing | nothing (a pin) | pinned |
//! | an older incarnation | nothing (a pin) | pinned; its totals retire |
//! | position P, open | P | moved |
//! | position Q ≠ P, or ended, or nothing | P | fenced |
//! | this incarnation, or a newer one | nothing (a pin) | fenced |
//! | any state, other erasure epoch | any | fenced |
//!
//! A gap is an advance to the shard's present position. A gap that is found stops the shard; an accepted one lets it go
//! on, or ends it when the shard has vanished. A replay or backfill moves no shard; it is fenced by any other of its
//! kind.

use std::{collections::BTreeMap, fmt};

use bluelake_schemas::{Micros, Millis};
use uuid::Uuid;

use crate::checkpoint::{
    data_file::DataFile,
    document::{
        ArchiveRange, CheckpointDocument, Commit, DOCUMENT_FORMAT, Gap, Head, Links, Position, ShardRange, ShardState,
    },
    numbered::Predecessor,
    sequence::SequenceNumber,
    shard_id::ShardId,
    totals::ControlTotals,
};

/// The effect of one batch on one shard.
#[derive(Clone, Debug)]
pub struct ShardAdvance {
    /// Shard id.
    pub shard: ShardId,
    /// StartingSequenceNumber of the incarnation.
    pub starting_sequence: SequenceNumber,
    /// Shard ids of the parents.
    pub parents: Vec<ShardId>,
    /// Where the batch started; `None` pins a shard that is new to the table.
    pub from_exclusive: Option<Position>,
    /// Where it ended.
    pub to_inclusive: Position,
    /// The shard is closed and was read to its end.
    pub ended: bool,
    /// Arrival time of the newest record read.
    pub arrived_at: Option<Micros>,
    /// When the shard was known to be drained ([`ShardState::drained_at`]).
    pub drained_at: Option<Millis>,
    /// For a pin or an accepted gap: the time from which the shard's age counts ([`ShardState::pinned_at`]).
    pub pinned_at: Option<Millis>,
    /// Control totals of the range.
    pub counts: ControlTotals,
    /// A gap that was found here, or accepted.
    pub gap: Option<Box<Gap>>,
}

/// Rows that a replay or a backfill adds beside the shards' progress.
#[derive(Clone, Debug)]
pub struct Supplement {
    /// [`CheckpointDocument::supplements`] at the time of planning.
    pub base: u64,
    /// Control totals of the rows.
    pub counts: ControlTotals,
    /// Parts of archived objects that the rows come from; empty for a replay.
    pub archive_ranges: Vec<ArchiveRange>,
}

/// The content of one commit: positions and files together, so that they cannot drift apart.
#[derive(Clone, Debug)]
pub struct Batch {
    /// UUIDv7; part of the name of every file of the batch.
    pub id: Uuid,
    /// Number of the document that the batch started from; 0 before the first.
    pub base: u64,
    /// Erasure epoch of that document.
    pub erasure_epoch: u64,
    /// One entry a shard.
    pub shards: Vec<ShardAdvance>,
    /// Shards whose entries may be folded into the retired totals: ended, their children under way, and unlisted.
    pub retire: Vec<ShardId>,
    /// The supplement of a replay or a backfill.
    pub supplement: Option<Supplement>,
    /// Uploaded files for the event table.
    pub files: Vec<DataFile>,
    /// Uploaded files for `rejected_events`.
    pub rejected_files: Vec<DataFile>,
}

/// The writer, named in every document.
#[derive(Clone, Debug)]
pub struct Writer {
    /// The worker's id.
    pub worker: String,
    /// The stream's ARN; empty for a backfill, which may not know it.
    pub stream_arn: String,
    /// When the stream was created, if the server says so.
    pub stream_created_at: Option<Millis>,
    /// Version of the contract in force.
    pub contract_version: i32,
}

/// A shard that is no longer where a batch started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedShard {
    /// Shard id.
    pub shard: ShardId,
    /// The position of the table; `None` when it does not have the shard.
    pub stands_at: Option<Position>,
    /// Where the batch started; `None` for a pin.
    pub expected: Option<Position>,
}

impl fmt::Display for MovedShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position =
            |position: &Option<Position>| position.as_ref().map_or("nothing".to_owned(), Position::to_string);
        let (stands_at, expected) = (position(&self.stands_at), position(&self.expected));
        write!(f, "{}: the table is at {stands_at}, the batch started from {expected}", self.shard)
    }
}

/// Why a batch is fenced: the table has moved on since it was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// Shards that are no longer where the batch started; all its shards if the erasure epoch differs.
    pub shards: Vec<MovedShard>,
    /// The erasure epochs of the table and of the batch, when they differ.
    pub erasure_epochs: Option<(u64, u64)>,
    /// [`CheckpointDocument::supplements`] of the table and of the batch, when they differ.
    pub supplements: Option<(u64, u64)>,
}

impl Fence {
    /// Whether the batch may pass.
    #[must_use]
    pub fn lets_pass(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counter = |name: &str, counts: Option<(u64, u64)>| {
            counts.map(|(table, batch)| format!("{name}: the table is at {table}, the batch started from {batch}"))
        };
        let counters = [counter("erasure epoch", self.erasure_epochs), counter("supplements", self.supplements)];
        let shards = self.shards.iter().map(ToString::to_string);
        f.write_str(&counters.into_iter().flatten().chain(shards).collect::<Vec<_>>().join("; "))
    }
}

/// Why a batch may not be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The table has moved on.
    Fenced(Fence),
    /// The batch contradicts itself.
    Inconsistent(String),
}

/// Applies a batch to the newest document and gives the next one, not yet sealed.
///
/// # Errors
/// [`Refusal::Fenced`] with the table's positions and those that the batch expected; [`Refusal::Inconsistent`] with the
/// contradiction.
pub fn advance(
    current: Option<&CheckpointDocument>,
    number: u64,
    batch: &Batch,
    writer: &Writer,
) -> Result<CheckpointDocument, Refusal> {
    check_batch(batch)?;
    let fence = fence(current, batch);
    if !fence.lets_pass() {
        return Err(Refusal::Fenced(fence));
    }
    let mut next = successor(current, number, writer);
    next.head.batch_id = batch.id;
    next.head.erasure_epoch = batch.erasure_epoch;
    for step in &batch.shards {
        apply(&mut next.shards, &mut next.tally.retired, step);
        if let Some(gap) = &step.gap {
            // A gap has one entry: its acceptance replaces its finding.
            next.gaps.retain(|known| known.accepted || known.shard != gap.shard);
            next.gaps.push(gap.as_ref().clone());
        }
    }
    next.commit.ranges = batch.shards.iter().map(range).collect();
    retire(&mut next, &batch.retire);
    if let Some(supplement) = &batch.supplement {
        // A backfill may not know the stream.
        if let Some(current) = current {
            next.head.stream_arn.clone_from(&current.head.stream_arn);
            next.head.stream_created_at = current.head.stream_created_at;
        }
        next.tally.supplemented += supplement.counts;
        next.tally.supplements += 1;
        next.commit.archive_ranges.clone_from(&supplement.archive_ranges);
    }
    if !next.commit.archive_ranges.is_empty() {
        next.links.last_archive = Some(number);
    }
    next.commit.rejected_files.clone_from(&batch.rejected_files);
    if !next.commit.rejected_files.is_empty() {
        next.links.last_rejected = Some(number);
    }
    Ok(next)
}

/// The part of the next document that does not depend on a batch: everything that is carried on, without the facts of
/// one commit.
pub(crate) fn successor(current: Option<&CheckpointDocument>, number: u64, writer: &Writer) -> CheckpointDocument {
    let carried = current.cloned().unwrap_or_else(CheckpointDocument::empty);
    let head = Head {
        format: DOCUMENT_FORMAT,
        digest: String::new(),
        number,
        previous: current.map(Predecessor::of),
        batch_id: Uuid::nil(),
        worker: writer.worker.clone(),
        bluelake_version: env!("CARGO_PKG_VERSION").to_owned(),
        contract_version: writer.contract_version,
        stream_arn: writer.stream_arn.clone(),
        stream_created_at: writer.stream_created_at.or(carried.head.stream_created_at),
        erasure_epoch: carried.head.erasure_epoch,
        erasure_registry: carried.head.erasure_registry,
    };
    let Links { last_archive, last_repair, .. } = carried.links;
    let links = Links { previous_archive: last_archive, previous_repair: last_repair, ..carried.links };
    CheckpointDocument { head, commit: Commit::default(), links, ..carried }
}

/// Folds shards that have ended, and whose children are all under way, into the retired totals. Others stay: the
/// requesting worker may have seen an older document.
fn retire(document: &mut CheckpointDocument, wanted: &[ShardId]) {
    for id in wanted {
        let mut children = document.shards.values().filter(|state| state.parents.contains(id));
        let under_way = children.all(|child| matches!(child.position, Position::After(_)));
        let ended = document.shards.get(id).is_some_and(|state| state.ended);
        if ended
            && under_way
            && let Some(state) = document.shards.remove(id)
        {
            document.tally.retired += state.totals;
        }
    }
}

fn check_batch(batch: &Batch) -> Result<(), Refusal> {
    let mut stored = 0;
    let mut rejected = 0;
    for step in &batch.shards {
        let forward = step.from_exclusive.as_ref().is_none_or(|from| from.reaches(&step.to_inclusive));
        let gap_moves = step.gap.is_some() && step.from_exclusive.as_ref() != Some(&step.to_inclusive);
        if gap_moves {
            return Err(Refusal::Inconsistent(format!("the gap of shard {} moves its position", step.shard)));
        }
        if !forward {
            return Err(Refusal::Inconsistent(format!("the position of shard {} would go back", step.shard)));
        }
        if !step.counts.balance() {
            return Err(Refusal::Inconsistent(format!("control totals of shard {} do not balance", step.shard)));
        }
        stored += step.counts.stored;
        rejected += step.counts.rejected;
    }
    if let Some(supplement) = &batch.supplement {
        let mut ranges = ControlTotals::default();
        for range in &supplement.archive_ranges {
            ranges += range.counts;
        }
        let add_up = supplement.archive_ranges.is_empty() || ranges == supplement.counts;
        if !supplement.counts.balance() || !add_up || !batch.shards.is_empty() {
            return Err(Refusal::Inconsistent("the control totals of a replay or backfill do not balance".to_owned()));
        }
        stored += supplement.counts.stored;
        rejected += supplement.counts.rejected;
    }
    let rows = |files: &[DataFile]| files.iter().map(|file| file.rows).sum::<u64>();
    if rows(&batch.files) != stored || rows(&batch.rejected_files) != rejected {
        return Err(Refusal::Inconsistent(format!(
            "the files hold {} and {} rows, the control totals say {stored} stored and {rejected} rejected",
            rows(&batch.files),
            rows(&batch.rejected_files),
        )));
    }
    Ok(())
}

/// Why a batch is fenced.
fn fence(current: Option<&CheckpointDocument>, batch: &Batch) -> Fence {
    let epoch = current.map_or(0, |document| document.head.erasure_epoch);
    let supplements = current.map_or(0, |document| document.tally.supplements);
    let erased = epoch != batch.erasure_epoch;
    let moved = |step: &ShardAdvance| {
        let state = current.and_then(|document| document.shards.get(&step.shard));
        (erased || !starts_from(step, state)).then(|| MovedShard {
            shard: step.shard.clone(),
            stands_at: state.map(|state| state.position.clone()),
            expected: step.from_exclusive.clone(),
        })
    };
    let outrun = batch.supplement.as_ref().filter(|supplement| supplement.base != supplements);
    Fence {
        shards: batch.shards.iter().filter_map(moved).collect(),
        erasure_epochs: erased.then_some((epoch, batch.erasure_epoch)),
        supplements: outrun.map(|supplement| (supplements, supplement.base)),
    }
}

fn starts_from(step: &ShardAdvance, state: Option<&ShardState>) -> bool {
    let same_incarnation = |state: &ShardState| state.starting_sequence == step.starting_sequence;
    match (&step.from_exclusive, state) {
        (None, None) => true,
        // Incarnations only move forward: a worker with an old list of shards must not bring an old one back.
        (None, Some(state)) => step.starting_sequence > state.starting_sequence,
        (Some(_), None) => false,
        (Some(from), Some(state)) => same_incarnation(state) && !state.ended && state.position == *from,
    }
}

fn apply(shards: &mut BTreeMap<ShardId, ShardState>, retired: &mut ControlTotals, step: &ShardAdvance) {
    let mut totals = step.counts;
    let mut drained_at = step.drained_at;
    let mut arrived_at = step.arrived_at;
    let mut pinned_at = step.pinned_at;
    if let Some(before) = shards.remove(&step.shard) {
        if step.from_exclusive.is_some() {
            totals += before.totals;
            drained_at = drained_at.max(before.drained_at);
            arrived_at = arrived_at.max(before.arrived_at);
            pinned_at = pinned_at.max(before.pinned_at);
        } else {
            *retired += before.totals;
        }
    }
    shards.insert(
        step.shard.clone(),
        ShardState {
            starting_sequence: step.starting_sequence.clone(),
            parents: step.parents.clone(),
            position: step.to_inclusive.clone(),
            ended: step.ended,
            arrived_at,
            drained_at,
            pinned_at,
            totals,
        },
    );
}

fn range(step: &ShardAdvance) -> ShardRange {
    ShardRange {
        shard: step.shard.clone(),
        from_exclusive: step.from_exclusive.clone(),
        to_inclusive: step.to_inclusive.clone(),
        counts: step.counts,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
