//! What a replay may read: which shards, up to where, and in which slices of time. Pure.
//!
//! | the listed shard in the table | the replay reads |
//! | --- | --- |
//! | ended | all of it |
//! | position after P | up to and including P |
//! | pinned, nothing committed | nothing: all of it is left to the worker |
//! | nothing, or another incarnation | nothing |

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use bluelake_lake::{CheckpointDocument, Position, SequenceNumber, ShardId};
use bluelake_schemas::Millis;

use crate::kinesis::listed::ListedShard;

/// How far a replay may read a shard. Later records are the worker's, which may be reading them now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The worker will never come back to the shard.
    EndOfShard,
    /// Up to and including this record.
    Through(SequenceNumber),
}

/// The shards of a stream as a replay sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplayPlan {
    /// Shards to read, and how far.
    pub(crate) shards: BTreeMap<ShardId, Limit>,
    /// Shards without a commit yet.
    pub(crate) skipped: Vec<ShardId>,
}

/// Plans from the listed shards and the document in force.
pub(crate) fn plan(listed: &[ListedShard], document: Option<&CheckpointDocument>) -> ReplayPlan {
    let mut plan = ReplayPlan::default();
    for shard in listed {
        let state = document.and_then(|document| document.shards.get(&shard.id));
        let state = state.filter(|state| state.starting_sequence == shard.starting_sequence);
        let limit = state.and_then(|state| match &state.position {
            _ if state.ended => Some(Limit::EndOfShard),
            Position::After(sequence) => Some(Limit::Through(sequence.clone())),
            Position::TrimHorizon | Position::AtTimestamp(_) => None,
        });
        match limit {
            Some(limit) => {
                plan.shards.insert(shard.id.clone(), limit);
            }
            None => plan.skipped.push(shard.id.clone()),
        }
    }
    plan
}

/// The shard with all its ancestors and descendants that the table or the stream knows. Among them an event id is
/// stored once within the window.
pub(crate) fn relatives(id: &str, listed: &[ListedShard], document: Option<&CheckpointDocument>) -> BTreeSet<ShardId> {
    let mut edges: BTreeSet<(&str, &str)> = BTreeSet::new();
    for shard in listed {
        edges.extend(shard.parents.iter().map(|parent| (parent.as_str(), shard.id.as_str())));
    }
    for (child, state) in document.iter().flat_map(|document| &document.shards) {
        edges.extend(state.parents.iter().map(|parent| (parent.as_str(), child.as_str())));
    }
    let mut found: BTreeSet<ShardId> = [id.into()].into();
    for upwards in [true, false] {
        let mut next = vec![id];
        while let Some(member) = next.pop() {
            for (parent, child) in &edges {
                let (here, there) = if upwards { (child, parent) } else { (parent, child) };
                if *here == member && found.insert((*there).into()) {
                    next.push(there);
                }
            }
        }
    }
    found
}

/// Cuts a range of arrival times into slices of at most `width`, which is at least a millisecond.
pub(crate) fn slices(range: Range<Millis>, width: Duration) -> impl Iterator<Item = Range<Millis>> {
    let width = width.max(Duration::from_millis(1));
    std::iter::successors(Some(range.start), move |start| Some(start.later(width)).filter(|next| next > start))
        .take_while(move |start| *start < range.end)
        .map(move |start| start..start.later(width).min(range.end))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bluelake_lake::{Batch, ControlTotals, ShardAdvance, Writer, advance};
    use uuid::Uuid;

    use super::*;

    fn sequence(number: u32) -> SequenceNumber {
        SequenceNumber::parse(&number.to_string()).unwrap()
    }

    fn listed(id: &str, parents: &[&str]) -> ListedShard {
        // Every field is written here, in one place: other parts of the program may know more of a shard.
        ListedShard {
            id: id.into(),
            starting_sequence: sequence(1),
            parents: parents.iter().map(|id| ShardId::from(*id)).collect(),
            hash_keys: None,
            closed: false,
        }
    }

    fn document(shards: &[(&str, u32, Position, bool)]) -> CheckpointDocument {
        let step = |(id, starts, position, ended): &(&str, u32, Position, bool)| ShardAdvance {
            shard: (*id).into(),
            starting_sequence: sequence(*starts),
            parents: Vec::new(),
            from_exclusive: None,
            to_inclusive: position.clone(),
            ended: *ended,
            arrived_at: None,
            drained_at: None,
            pinned_at: None,
            counts: ControlTotals::default(),
            gap: None,
        };
        let batch = Batch {
            id: Uuid::nil(),
            base: 0,
            erasure_epoch: 0,
            shards: shards.iter().map(step).collect(),
            retire: Vec::new(),
            supplement: None,
            files: Vec::new(),
            rejected_files: Vec::new(),
        };
        let writer =
            Writer { worker: "w".to_owned(), stream_arn: "a".to_owned(), stream_created_at: None, contract_version: 1 };
        advance(None, 1, &batch, &writer).unwrap()
    }

    #[test]
    fn only_ranges_done_by_the_worker_are_replayed() {
        let document = document(&[
            ("open", 1, Position::After(sequence(7)), false),
            ("ended", 1, Position::After(sequence(9)), true),
            ("ended-empty", 1, Position::AtTimestamp(Millis::new(5)), true),
            ("pinned", 1, Position::AtTimestamp(Millis::new(5)), false),
            ("horizon", 1, Position::TrimHorizon, false),
            ("remade", 2, Position::After(sequence(9)), false),
        ]);
        let shards = ["open", "ended", "ended-empty", "pinned", "horizon", "remade", "unknown"];
        let shards: Vec<_> = shards.iter().map(|id| listed(id, &[])).collect();
        let found = plan(&shards, Some(&document));
        let expected: BTreeMap<ShardId, Limit> = [
            ("open".into(), Limit::Through(sequence(7))),
            ("ended".into(), Limit::EndOfShard),
            ("ended-empty".into(), Limit::EndOfShard),
        ]
        .into();
        assert_eq!(found.shards, expected);
        assert_eq!(found.skipped, ["pinned", "horizon", "remade", "unknown"]);
        assert_eq!(plan(&shards, None).shards, BTreeMap::new());
    }

    #[test]
    fn relatives_are_ancestors_and_descendants_but_not_siblings() {
        let shards =
            [listed("a", &[]), listed("b", &["a"]), listed("c", &["a"]), listed("d", &["b", "x"]), listed("y", &[])];
        let of = |id| relatives(id, &shards, None).into_iter().collect::<Vec<_>>();
        assert_eq!(of("b"), ["a", "b", "d"]);
        assert_eq!(of("a"), ["a", "b", "c", "d"]);
        assert_eq!(of("y"), ["y"]);
    }

    #[test]
    fn slices_cover_the_range_once() {
        let cases = [
            (0..10, 4, vec![(0, 4), (4, 8), (8, 10)]),
            (5..6, 100, vec![(5, 6)]),
            (5..5, 4, vec![]),
            (i64::MAX - 2..i64::MAX, 10, vec![(i64::MAX - 2, i64::MAX)]),
        ];
        for (range, width, expected) in cases {
            let (range, width) = (Millis::new(range.start)..Millis::new(range.end), Duration::from_millis(width));
            let found: Vec<_> = slices(range, width).map(|slice| (slice.start.get(), slice.end.get())).collect();
            assert_eq!(found, expected);
        }
    }
}
