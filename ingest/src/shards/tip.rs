//! When a stream is at its tip: what ListShards says of a shard, and which shards a run that ends at the tips still
//! waits for. Pure.
//!
//! | the listed shard | then |
//! | --- | --- |
//! | ended in the table | done |
//! | behind an open gap, or a descendant of such a shard | not waited for: the gap is reported |
//! | closed, and not ended in the table | unread: a closed shard has an end, not a tip |
//! | not in the table | unread: no worker has begun it |
//! | read to its tip by this run | done |
//! | committed by any worker up to a record or a tip since the run began | done |
//! | else | unread |

use std::collections::BTreeSet;

use bluelake_lake::{CheckpointDocument, ShardId, ShardState};
use bluelake_schemas::Millis;

use crate::kinesis::listed::ListedShard;

/// The last answer of ListShards about a shard, before the request for a page of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// It was open at this time: if it has children by now, they hold nothing older.
    Open {
        /// Just before Kinesis was asked for its shards.
        at: Millis,
    },
    /// It was closed: it takes no more records, and its children may hold some already.
    Closed,
}

impl Listed {
    /// What a listing requested at `at` says of a shard.
    #[must_use]
    pub(crate) fn of(shard: &ListedShard, at: Millis) -> Self {
        if shard.closed { Self::Closed } else { Self::Open { at } }
    }
}

/// The shards of a stream, as ListShards gave them.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    /// Every shard, open and closed.
    pub(crate) shards: Vec<ListedShard>,
    /// Just before Kinesis was asked.
    pub(crate) at: Millis,
}

impl Listing {
    /// A listing without shards, before any answer.
    pub(crate) fn nothing() -> Self {
        Self { shards: Vec::new(), at: Millis::MIN }
    }
}

/// Shards that a run which began at `since` still waits for; `at_tip` are those that it has read to their tip and
/// committed.
#[must_use]
pub(crate) fn unread<'a>(
    listed: &'a [ListedShard],
    document: Option<&CheckpointDocument>,
    at_tip: &BTreeSet<ShardId>,
    since: Millis,
) -> Vec<&'a ListedShard> {
    let is_done = |shard: &ListedShard| match state_of(shard, document) {
        Some(state) if state.ended => true,
        Some(_) if shard.closed => false,
        Some(state) => at_tip.contains(&shard.id) || state.read_until().is_some_and(|known| known >= since),
        None => false,
    };
    let unread = listed.iter().filter(|shard| !is_done(shard));
    unread.filter(|shard| !is_behind_a_gap(shard, listed, document)).collect()
}

/// What the table says of the same incarnation of a shard.
pub(crate) fn state_of<'a>(shard: &ListedShard, document: Option<&'a CheckpointDocument>) -> Option<&'a ShardState> {
    let state = document?.shards.get(&shard.id)?;
    (state.starting_sequence == shard.starting_sequence).then_some(state)
}

fn is_behind_a_gap(shard: &ListedShard, listed: &[ListedShard], document: Option<&CheckpointDocument>) -> bool {
    let Some(document) = document else { return false };
    let mut family = vec![shard.id.as_str()];
    let mut next = 0;
    while let Some(id) = family.get(next).copied() {
        let in_list = listed.iter().filter(|other| other.id.as_str() == id).flat_map(|other| &other.parents);
        let in_table = document.shards.get(id).map(|state| state.parents.as_slice()).unwrap_or_default();
        for parent in in_list.chain(in_table) {
            if !family.contains(&parent.as_str()) {
                family.push(parent);
            }
        }
        next += 1;
    }
    family.iter().any(|id| document.open_gap(id).is_some())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bluelake_lake::{ControlTotals, Gap, GapCause, Position, SequenceNumber};
    use bluelake_schemas::Micros;

    use super::*;
    use crate::kinesis::listed::close_parents;

    const BEGAN: i64 = 5_000;

    fn number(text: &str) -> SequenceNumber {
        SequenceNumber::parse(text).unwrap()
    }

    fn listed(id: &str, parents: &[&str], closed: bool) -> ListedShard {
        ListedShard {
            id: id.into(),
            starting_sequence: number("1"),
            parents: parents.iter().map(|id| ShardId::from(*id)).collect(),
            hash_keys: None,
            closed,
        }
    }

    fn state(ended: bool, drained_at: Option<Millis>) -> ShardState {
        ShardState {
            starting_sequence: number("1"),
            parents: Vec::new(),
            position: Position::After(number("9")),
            ended,
            arrived_at: None,
            drained_at,
            pinned_at: Some(Millis::new(0)),
            totals: ControlTotals::default(),
        }
    }

    fn document<const N: usize>(shards: [(&str, ShardState); N]) -> CheckpointDocument {
        let pin = |(id, state): (&str, ShardState)| (id.into(), state);
        CheckpointDocument { shards: shards.map(pin).into(), ..CheckpointDocument::empty() }
    }

    fn waited_for<const N: usize>(
        listed: &[ListedShard],
        shards: [(&str, ShardState); N],
        at_tip: &[&str],
    ) -> Vec<ShardId> {
        let at_tip = at_tip.iter().map(|id| ShardId::from(*id)).collect();
        unread(listed, Some(&document(shards)), &at_tip, Millis::new(BEGAN))
            .iter()
            .map(|shard| shard.id.clone())
            .collect()
    }

    #[test]
    fn a_shard_read_to_its_tip_is_done() {
        let shards = [listed("a", &[], false)];
        assert_eq!(waited_for(&shards, [("a", state(false, None))], &[]), ["a"], "nobody has read it");
        assert_eq!(waited_for(&shards, [("a", state(false, None))], &["a"]), [""; 0], "this run has");
        assert_eq!(
            waited_for(&shards, [("a", state(false, Some(Millis::new(BEGAN))))], &[]),
            [""; 0],
            "somebody else has"
        );
        assert_eq!(
            waited_for(&shards, [("a", state(false, Some(Millis::new(BEGAN - 1))))], &[]),
            ["a"],
            "but not since then"
        );
        let newer = ShardState { arrived_at: Some(Micros::new(BEGAN * 1_000)), ..state(false, None) };
        assert_eq!(waited_for(&shards, [("a", newer)], &[]), [""; 0], "what came before it is committed, too");
        assert_eq!(waited_for(&shards, [], &["a"]), ["a"], "not in the table");
    }

    #[test]
    fn a_closed_shard_waits_for_its_children() {
        let shards = [listed("a", &[], true), listed("left", &["a"], false), listed("right", &["a"], false)];
        assert_eq!(
            waited_for(&shards, [("a", state(false, Some(Millis::new(9_999))))], &["a"]),
            ["a", "left", "right"]
        );
        let ended = || ("a", state(true, None));
        assert_eq!(waited_for(&shards, [ended()], &[]), ["left", "right"]);
        assert_eq!(waited_for(&shards, [ended(), ("left", state(false, None))], &["left"]), ["right"]);
    }

    #[test]
    fn a_recreated_streams_shard_is_another_one() {
        let anew = ListedShard { starting_sequence: number("2"), ..listed("a", &[], false) };
        assert_eq!(waited_for(&[anew], [("a", state(true, None))], &["a"]), ["a"]);
    }

    #[test]
    fn what_follows_a_gap_is_not_awaited() {
        let gap = Gap {
            shard: "gone".into(),
            starting_sequence: number("1"),
            after: Position::TrimHorizon,
            from: None,
            until: None,
            found_at: Millis::new(0),
            cause: GapCause::Vanished,
            accepted: false,
        };
        let shards = [listed("child", &["gone"], true), listed("grandchild", &["child"], false)];
        let open = CheckpointDocument { gaps: vec![gap.clone()], ..document([("gone", state(false, None))]) };
        assert!(unread(&shards, Some(&open), &BTreeSet::new(), Millis::new(BEGAN)).is_empty());
        let accepted = CheckpointDocument { gaps: vec![Gap { accepted: true, ..gap }], ..open };
        assert_eq!(unread(&shards, Some(&accepted), &BTreeSet::new(), Millis::new(BEGAN)).len(), 2);
    }

    #[test]
    fn a_shard_with_listed_children_is_closed() {
        let mut shards = [listed("a", &[], false), listed("b", &["a"], false)];
        close_parents(&mut shards);
        assert!(shards.iter().map(|shard| shard.closed).eq([true, false]));
        let said: Vec<Listed> = shards.iter().map(|shard| Listed::of(shard, Millis::new(7))).collect();
        assert_eq!(said, [Listed::Closed, Listed::Open { at: Millis::new(7) }]);
    }
}
