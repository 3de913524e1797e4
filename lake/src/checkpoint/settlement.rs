//! What to do about a batch whose commit is not settled yet. Pure: the table as just read back in, the next act out.
//! The drivers (a table in a store, a simulated one) carry the acts out and decide nothing.
//!
//! | read back | then |
//! | --- | --- |
//! | the batch is in the chain behind the document that it started from | it happened |
//! | its shards and the epoch are as they were | try (again): same files, new document |
//! | anything else | fenced |

use std::time::Duration;

use bluelake_schemas::Millis;
use uuid::Uuid;

use crate::checkpoint::{
    advance::{Batch, Fence, Refusal, Writer, advance},
    document::CheckpointDocument,
    numbered::Numbered,
};

/// A batch whose first file is older than this by the store's clock is dropped.
const MAX_BATCH_AGE: Duration = Duration::from_secs(3600);

/// Whether an object of a chain, or one that it builds on, commits a batch or task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// It does: it happened.
    Found,
    /// None does, back to the one from which the batch started.
    Absent,
    /// The object of this number must be read.
    Before(u64),
}

/// Looks for a batch in one document of the chain. Call it from the document in force back.
#[must_use]
pub fn trace(document: &CheckpointDocument, batch: &Batch) -> Trace {
    trace_back(document, batch.base, batch.id)
}

/// Looks in one object of a chain for the batch or task `id`, which started from object `base`.
pub(crate) fn trace_back<T: Numbered>(object: &T, base: u64, id: Uuid) -> Trace {
    if object.number() <= base {
        return Trace::Absent;
    }
    match object.previous() {
        _ if object.commits() == id => Trace::Found,
        Some(previous) => Trace::Before(previous.number),
        None => Trace::Absent,
    }
}

/// The next act for a batch.
#[derive(Clone, Debug)]
pub(crate) enum NextAct {
    /// Nothing: it happened.
    Done,
    /// Nothing: it can never happen, because the table has moved on.
    Fenced(Fence),
    /// Put this document under its number or the next free one, then commit from the same snapshot of the table.
    Put(Box<CheckpointDocument>),
}

/// Decides the next act for a batch. `current` is the document in force as just read, `found` whether the chain holds
/// the batch already.
///
/// # Errors
/// [`Refusal::Inconsistent`], never [`Refusal::Fenced`]: the batch contradicts itself.
pub(crate) fn next_act(
    current: Option<&CheckpointDocument>,
    found: bool,
    batch: &Batch,
    writer: &Writer,
) -> Result<NextAct, Refusal> {
    if found {
        return Ok(NextAct::Done);
    }
    let number = current.map_or(0, |document| document.head.number) + 1;
    match advance(current, number, batch, writer) {
        Ok(document) => Ok(NextAct::Put(Box::new(document))),
        Err(Refusal::Fenced(fence)) => Ok(NextAct::Fenced(fence)),
        Err(inconsistent) => Err(inconsistent),
    }
}

impl Batch {
    /// Whether the batch is too old for a document that was put at `written_at`: its files may then be taken for
    /// orphans.
    #[must_use]
    pub fn is_too_old(&self, written_at: Millis) -> bool {
        let uploaded = self.files.iter().chain(&self.rejected_files).map(|file| file.modified_at).min();
        uploaded.is_some_and(|uploaded| written_at.since(uploaded) > MAX_BATCH_AGE)
    }
}

impl CheckpointDocument {
    /// Takes the first free number when its own is taken, perhaps by itself with a lost answer. A number is cheap.
    /// `highest` is the highest number in use.
    pub fn take_free_number(&mut self, highest: Option<u64>) {
        self.take_free(highest);
    }

    /// The newest document up to this one whose files `rejected_events` lacks, if it has those of all documents up to
    /// `followed`.
    #[must_use]
    pub fn rejected_after(&self, followed: u64) -> Option<u64> {
        self.links.last_rejected.filter(|number| *number > followed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::checkpoint::{
        advance::ShardAdvance, document::Position, sequence::SequenceNumber, totals::ControlTotals,
    };

    fn writer() -> Writer {
        Writer { worker: "w".to_owned(), stream_arn: "arn".to_owned(), stream_created_at: None, contract_version: 1 }
    }

    fn step(from_exclusive: Option<Position>, to_inclusive: Position) -> ShardAdvance {
        ShardAdvance {
            shard: "a".into(),
            starting_sequence: SequenceNumber::parse("1").unwrap(),
            parents: Vec::new(),
            from_exclusive,
            to_inclusive,
            ended: false,
            arrived_at: None,
            drained_at: None,
            pinned_at: None,
            counts: ControlTotals::default(),
            gap: None,
        }
    }

    fn batch(id: u128, base: u64, step: ShardAdvance) -> Batch {
        Batch {
            id: Uuid::from_u128(id),
            base,
            erasure_epoch: 0,
            shards: vec![step],
            retire: Vec::new(),
            supplement: None,
            files: Vec::new(),
            rejected_files: Vec::new(),
        }
    }

    fn after(number: &str) -> Position {
        Position::After(SequenceNumber::parse(number).unwrap())
    }

    fn put(current: Option<&CheckpointDocument>, batch: &Batch) -> CheckpointDocument {
        let act = next_act(current, false, batch, &writer()).unwrap();
        let NextAct::Put(mut document) = act else { panic!("{act:?}") };
        document.seal().unwrap();
        *document
    }

    #[test]
    fn a_batch_is_found_behind_its_base_document() {
        let pin = put(None, &batch(1, 0, step(None, Position::TrimHorizon)));
        let moved = batch(2, 1, step(Some(Position::TrimHorizon), after("5")));
        let first = put(Some(&pin), &moved);
        let second = put(Some(&first), &batch(3, 2, step(Some(after("5")), after("9"))));
        assert_eq!(trace(&second, &moved), Trace::Before(2));
        assert_eq!(trace(&first, &moved), Trace::Found);
        assert_eq!(trace(&pin, &moved), Trace::Absent, "it started from that one");
        assert!(matches!(next_act(Some(&second), true, &moved, &writer()).unwrap(), NextAct::Done));
    }

    #[test]
    fn a_missing_batch_is_retried_or_fenced() {
        let pin = put(None, &batch(1, 0, step(None, Position::TrimHorizon)));
        let mine = batch(2, 1, step(Some(Position::TrimHorizon), after("5")));
        let act = next_act(Some(&pin), false, &mine, &writer()).unwrap();
        assert!(matches!(&act, NextAct::Put(document) if document.head.number == 2), "{act:?}");
        let others = put(Some(&pin), &batch(3, 1, step(Some(Position::TrimHorizon), after("4"))));
        let act = next_act(Some(&others), false, &mine, &writer()).unwrap();
        assert!(
            matches!(&act, NextAct::Fenced(fence) if matches!(fence.shards.as_slice(), [moved] if moved.shard == "a")),
            "{act:?}"
        );
    }

    #[test]
    fn a_taken_number_yields_the_next_free_one() {
        let mut document = put(None, &batch(1, 0, step(None, Position::TrimHorizon)));
        document.links.last_rejected = Some(1);
        document.take_free_number(None);
        assert_eq!((document.head.number, document.links.last_rejected), (2, Some(2)));
        document.links.last_rejected = Some(1);
        document.take_free_number(Some(7));
        assert_eq!((document.head.number, document.links.last_rejected), (8, Some(1)), "an earlier one stays");
    }
}
