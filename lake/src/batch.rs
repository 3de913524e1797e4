//! The checkpoint algebra: what a batch claims, and how it moves a document forward or is fenced. Pure.
//!
//! | the document says of the shard | the batch starts from | result |
//! | --- | --- | --- |
//! | nothing | nothing (a pin) | pinned |
//! | an older incarnation | nothing (a pin) | pinned; its totals retire |
//! | position P, open | P | moved |
//! | position Q ≠ P, or ended, or nothing | P | fenced |
//! | this incarnation, or a newer one | nothing (a pin) | fenced |
//! | any state, other erasure epoch | any | fenced |

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{
    data_file::DataFile,
    document::{CheckpointDocument, DOCUMENT_FORMAT, Position, Predecessor, ShardRange, ShardState},
    sequence::SequenceNumber,
    totals::ControlTotals,
};

/// What one batch did to one shard.
#[derive(Clone, Debug)]
pub struct ShardAdvance {
    /// Shard id.
    pub shard: String,
    /// StartingSequenceNumber of the incarnation.
    pub starting_sequence: SequenceNumber,
    /// Shard ids of the parents.
    pub parents: Vec<String>,
    /// Where the batch started; `None` pins a shard that the table does not have yet.
    pub from_exclusive: Option<Position>,
    /// Where it ended.
    pub to_inclusive: Position,
    /// The shard is closed and was read to its end.
    pub ended: bool,
    /// Arrival time of the newest record read, microseconds since the epoch.
    pub arrived_at: Option<i64>,
    /// When the shard was seen drained, milliseconds since the epoch.
    pub drained_at: Option<i64>,
    /// Control totals of the range.
    pub counts: ControlTotals,
}

/// What one commit adds: positions and files together, so that they cannot drift apart.
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
    /// Uploaded files for the event table.
    pub files: Vec<DataFile>,
    /// Uploaded files for `rejected_events`.
    pub rejected_files: Vec<DataFile>,
}

/// Who writes: named in every document.
#[derive(Clone, Debug)]
pub struct Writer {
    /// The worker's id.
    pub worker: String,
    /// The stream's ARN.
    pub stream_arn: String,
    /// Version of the contract in force.
    pub contract_version: i32,
}

/// Why a batch may not be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The table has moved on: these shards are not where the batch started.
    Fenced(Vec<String>),
    /// The batch contradicts itself.
    Inconsistent(String),
}

/// Applies a batch to the newest document and gives the next one, not yet sealed.
///
/// # Errors
/// [`Refusal::Fenced`] names the shards that moved; [`Refusal::Inconsistent`] says what does not add up.
pub(crate) fn advance(
    current: Option<&CheckpointDocument>,
    number: u64,
    batch: &Batch,
    writer: &Writer,
) -> Result<CheckpointDocument, Refusal> {
    check_batch(batch)?;
    let fenced = fenced_shards(current, batch);
    if !fenced.is_empty() {
        return Err(Refusal::Fenced(fenced));
    }
    let mut shards = current.map(|document| document.shards.clone()).unwrap_or_default();
    let mut retired = current.map(|document| document.retired).unwrap_or_default();
    for step in &batch.shards {
        apply(&mut shards, &mut retired, step);
    }
    let last_rejected = if batch.rejected_files.is_empty() {
        current.and_then(|document| document.last_rejected)
    } else {
        Some(number)
    };
    Ok(CheckpointDocument {
        format: DOCUMENT_FORMAT,
        digest: String::new(),
        number,
        previous: current.map(|document| Predecessor { number: document.number, digest: document.digest.clone() }),
        batch_id: batch.id,
        worker: writer.worker.clone(),
        bluelake_version: env!("CARGO_PKG_VERSION").to_owned(),
        contract_version: writer.contract_version,
        stream_arn: writer.stream_arn.clone(),
        erasure_epoch: batch.erasure_epoch,
        shards,
        ranges: batch.shards.iter().map(range).collect(),
        retired,
        erased: current.map_or(0, |document| document.erased),
        expired: current.map_or(0, |document| document.expired),
        rejected_files: batch.rejected_files.clone(),
        last_rejected,
    })
}

fn check_batch(batch: &Batch) -> Result<(), Refusal> {
    let mut stored = 0;
    let mut rejected = 0;
    for step in &batch.shards {
        let forward = step.from_exclusive.as_ref().is_none_or(|from| from.reaches(&step.to_inclusive));
        if !forward {
            return Err(Refusal::Inconsistent(format!("the position of shard {} would go back", step.shard)));
        }
        if !step.counts.balance() {
            return Err(Refusal::Inconsistent(format!("control totals of shard {} do not balance", step.shard)));
        }
        stored += step.counts.stored;
        rejected += step.counts.rejected;
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

fn fenced_shards(current: Option<&CheckpointDocument>, batch: &Batch) -> Vec<String> {
    let epoch = current.map_or(0, |document| document.erasure_epoch);
    batch
        .shards
        .iter()
        .filter(|step| {
            let state = current.and_then(|document| document.shards.get(&step.shard));
            epoch != batch.erasure_epoch || !starts_from(step, state)
        })
        .map(|step| step.shard.clone())
        .collect()
}

fn starts_from(step: &ShardAdvance, state: Option<&ShardState>) -> bool {
    let same_incarnation = |state: &ShardState| state.starting_sequence == step.starting_sequence;
    match (&step.from_exclusive, state) {
        (None, None) => true,
        // Only forward: a worker with an old list of shards must not bring an old incarnation back.
        (None, Some(state)) => step.starting_sequence > state.starting_sequence,
        (Some(_), None) => false,
        (Some(from), Some(state)) => same_incarnation(state) && !state.ended && state.position == *from,
    }
}

fn apply(shards: &mut BTreeMap<String, ShardState>, retired: &mut ControlTotals, step: &ShardAdvance) {
    let mut totals = step.counts;
    let mut drained_at = step.drained_at;
    let mut arrived_at = step.arrived_at;
    if let Some(before) = shards.remove(&step.shard) {
        if step.from_exclusive.is_some() {
            totals += before.totals;
            drained_at = drained_at.max(before.drained_at);
            arrived_at = arrived_at.max(before.arrived_at);
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
