//! Which shards may be read now, and from where. Pure: listed shards and the document in, a plan out.
//!
//! | the table knows the shard | its parents | then |
//! | --- | --- | --- |
//! | open | – | read on from its position |
//! | ended | – | nothing |
//! | not, or another incarnation | all ended in the table, or gone everywhere | pin it, then read |
//! | not | some not ended | wait |
//!
//! A shard of the table that is no longer listed has vanished if it has not ended: that is a gap. If it has ended, its
//! entry may retire, once its children are under way and Kinesis can hold no more of it.

use std::collections::{BTreeMap, BTreeSet};

use bluelake_lake::{CheckpointDocument, ControlTotals, Position, ShardAdvance, ShardId, ShardState};
use bluelake_schemas::Millis;

use crate::kinesis::listed::ListedShard;

/// A shard that may be read, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadableShard {
    /// The shard.
    pub(crate) shard: ListedShard,
    /// Read on from here.
    pub(crate) position: Position,
    /// What the table says of it.
    pub(crate) state: ShardState,
}

/// What to do about the shards of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineagePlan {
    /// First acts: commits without rows that pin the start of shards new to the table.
    pub(crate) pins: Vec<ShardAdvance>,
    /// Shards to read now. Pinned shards follow once the pins are committed.
    pub(crate) readable: Vec<ReadableShard>,
    /// Shards that wait for a parent.
    pub(crate) waiting: Vec<ShardId>,
    /// Unfinished shards of the table that are no longer listed.
    pub(crate) vanished: Vec<ShardId>,
    /// Shards whose entries may be folded into the retired totals.
    pub(crate) retirable: Vec<ShardId>,
}

impl LineagePlan {
    /// Shards that want a worker.
    #[must_use]
    pub(crate) fn wanting(&self) -> BTreeSet<ShardId> {
        let pins = self.pins.iter().map(|pin| &pin.shard);
        let readable = self.readable.iter().map(|readable| &readable.shard.id);
        pins.chain(readable).chain(&self.vanished).cloned().collect()
    }
}

/// Plans from the listed shards and the document in force. `start` is for a stream new to the table.
#[must_use]
pub(crate) fn plan(
    listed: &[ListedShard],
    document: Option<&CheckpointDocument>,
    start: &Position,
    now: Millis,
) -> LineagePlan {
    let known: BTreeMap<&str, &ListedShard> = listed.iter().map(|shard| (shard.id.as_str(), shard)).collect();
    let state_of = |id: &str| document.and_then(|document| document.shards.get(id));
    let mut plan = LineagePlan::default();
    for shard in listed {
        match state_of(&shard.id).filter(|state| state.starting_sequence == shard.starting_sequence) {
            Some(state) if state.ended => {}
            Some(state) => plan.readable.push(ReadableShard {
                shard: shard.clone(),
                position: state.position.clone(),
                state: state.clone(),
            }),
            None => {
                let parent = |id: &ShardId| {
                    // A recreated stream has shards of the old names; the old states do not belong to its parents.
                    let listed = known.get(id.as_str());
                    let state = state_of(id).filter(|state| {
                        listed.is_none_or(|listed| listed.starting_sequence == state.starting_sequence)
                    });
                    (listed.is_some(), state)
                };
                let parents: Vec<(bool, Option<&ShardState>)> = shard.parents.iter().map(parent).collect();
                if parents.iter().all(|(listed, state)| parent_is_done(*listed, *state)) {
                    let states: Vec<_> = parents.into_iter().filter_map(|(_, state)| state).collect();
                    // A backfill may have committed before the first shard.
                    let first = document.is_none_or(|document| document.shards.is_empty());
                    let known = if first { Known::nothing(now) } else { known_at_pin(shard, &states, document, now) };
                    plan.pins.push(pin(shard, start_of(&states, first, start), &known));
                } else {
                    plan.waiting.push(shard.id.clone());
                }
            }
        }
    }
    for (id, state) in document.iter().flat_map(|document| &document.shards) {
        if known.contains_key(id.as_str()) {
            continue;
        }
        if !state.ended {
            plan.vanished.push(id.clone());
        } else if document.is_some_and(|document| children_are_under_way(id, document)) {
            // Keep the parent: its end is the last known time of children that are not pinned yet.
            let all_known = plan.pins.is_empty() && plan.waiting.is_empty();
            if all_known || has_all_children(id, document) {
                plan.retirable.push(id.clone());
            }
        }
    }
    plan
}

/// A parent that left ListShards unread is gone with its records. A parent that the table never saw cannot be waited
/// for.
fn parent_is_done(listed: bool, state: Option<&ShardState>) -> bool {
    match state {
        Some(state) => state.ended,
        None => !listed,
    }
}

fn children_are_under_way(id: &ShardId, document: &CheckpointDocument) -> bool {
    let mut children = document.shards.values().filter(|state| state.parents.contains(id));
    children.all(|child| matches!(child.position, Position::After(_)))
}

/// A child starts at the trim horizon, with one exception: if every parent was pinned at a time and ended without a
/// record after it, the child may hold records from before that time. It then inherits the pin.
fn start_of(parents: &[&ShardState], first: bool, start: &Position) -> Position {
    if parents.is_empty() {
        return if first { start.clone() } else { Position::TrimHorizon };
    }
    match parents.first().map(|parent| &parent.position) {
        Some(position @ Position::AtTimestamp(_)) if parents.iter().all(|parent| parent.position == *position) => {
            position.clone()
        }
        _ => Position::TrimHorizon,
    }
}

/// What is known of a shard new to the table.
#[derive(Debug)]
struct Known {
    /// The shard's records up to here are read; `None` when that is not known.
    read_until: Option<Millis>,
    /// The shard's age counts from here: everything earlier is read, or was never promised (its pin).
    safe_until: Millis,
}

impl Known {
    fn nothing(now: Millis) -> Self {
        Self { read_until: None, safe_until: now }
    }
}

/// A root does not promise records older than its pin if Kinesis discards them before they are read. A child holds what
/// came after its parents, so it is known no further than they are: if it was left unread for longer than the
/// retention, that is a gap.
fn known_at_pin(
    shard: &ListedShard,
    parents: &[&ShardState],
    document: Option<&CheckpointDocument>,
    now: Millis,
) -> Known {
    if shard.parents.is_empty() {
        return Known::nothing(now);
    }
    let of_family = |known: fn(&ShardState) -> Option<Millis>| known_of_family(shard, parents, document, known);
    Known {
        read_until: of_family(ShardState::read_until).map(|known| known.min(now)),
        safe_until: of_family(ShardState::safe_until).map_or(now, |known| known.min(now)),
    }
}

/// A parent that is gone and was never seen leaves a hole between the child and the last known time of the table.
fn known_of_family(
    shard: &ListedShard,
    parents: &[&ShardState],
    document: Option<&CheckpointDocument>,
    known: fn(&ShardState) -> Option<Millis>,
) -> Option<Millis> {
    let of_parents = parents.iter().filter_map(|state| known(state)).max();
    if parents.len() == shard.parents.len() {
        return of_parents;
    }
    let last = document?.shards.iter().filter(|(id, _)| !has_all_children(id, document));
    let of_last: Option<Vec<Millis>> = last.map(|(_, state)| known(state)).collect();
    let of_last = of_last?.into_iter().min()?;
    Some(of_parents.map_or(of_last, |of_parents| of_parents.min(of_last)))
}

/// One child after a merge, two after a split. If the table has only one child of a split, the other may have been
/// lost.
fn has_all_children(id: &ShardId, document: Option<&CheckpointDocument>) -> bool {
    let shards = document.iter().flat_map(|document| document.shards.values());
    let mut children = shards.filter(|state| state.parents.contains(id)).peekable();
    let merged = children.peek().is_some_and(|child| child.parents.len() > 1);
    merged || children.count() > 1
}

fn pin(shard: &ListedShard, position: Position, known: &Known) -> ShardAdvance {
    ShardAdvance {
        shard: shard.id.clone(),
        starting_sequence: shard.starting_sequence.clone(),
        parents: shard.parents.clone(),
        from_exclusive: None,
        to_inclusive: position,
        ended: false,
        arrived_at: None,
        drained_at: known.read_until,
        pinned_at: Some(known.safe_until),
        counts: ControlTotals::default(),
        gap: None,
    }
}

/// The shard and all its ancestors that the table knows.
#[must_use]
pub(crate) fn ancestry(id: &ShardId, document: &CheckpointDocument) -> Vec<ShardId> {
    let mut found = vec![id.to_owned()];
    let mut next = 0;
    while let Some(id) = found.get(next).cloned() {
        for parent in document.shards.get(&id).map(|state| state.parents.as_slice()).unwrap_or_default() {
            if !found.contains(parent) {
                found.push(parent.clone());
            }
        }
        next += 1;
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use bluelake_lake::SequenceNumber;

    const NOW: Millis = Millis::new(7);

    fn shard(id: &str, parents: &[&str]) -> ListedShard {
        ListedShard {
            id: id.into(),
            starting_sequence: SequenceNumber::parse("1").unwrap(),
            parents: parents.iter().map(|id| ShardId::from(*id)).collect(),
            hash_keys: None,
            closed: false,
        }
    }

    fn state(position: Position, ended: bool, parents: &[&str]) -> ShardState {
        ShardState {
            starting_sequence: SequenceNumber::parse("1").unwrap(),
            parents: parents.iter().map(|id| ShardId::from(*id)).collect(),
            position,
            ended,
            arrived_at: None,
            drained_at: None,
            pinned_at: None,
            totals: ControlTotals::default(),
        }
    }

    fn document<const N: usize>(shards: [(&str, ShardState); N]) -> CheckpointDocument {
        CheckpointDocument {
            shards: shards.map(|(id, state)| (id.into(), state)).into(),
            ..CheckpointDocument::empty()
        }
    }

    fn after(number: &str) -> Position {
        Position::After(SequenceNumber::parse(number).unwrap())
    }

    fn ids(plan: &LineagePlan) -> (Vec<&str>, Vec<&str>, Vec<&str>) {
        (
            plan.pins.iter().map(|pin| pin.shard.as_str()).collect(),
            plan.readable.iter().map(|readable| readable.shard.id.as_str()).collect(),
            plan.waiting.iter().map(ShardId::as_str).collect(),
        )
    }

    #[test]
    fn a_new_stream_pins_its_roots_only() {
        let listed = [shard("parent", &[]), shard("child", &["parent"])];
        let plan = plan(&listed, None, &Position::AtTimestamp(Millis::new(5)), NOW);
        assert_eq!(ids(&plan), (vec!["parent"], vec![], vec!["child"]));
        assert_eq!(plan.pins[0].to_inclusive, Position::AtTimestamp(Millis::new(5)));
    }

    #[test]
    fn a_merged_child_waits_for_both_parents() {
        let listed = [shard("a", &[]), shard("b", &[]), shard("child", &["a", "b"])];
        let one = document([("a", state(after("9"), true, &[])), ("b", state(after("9"), false, &[]))]);
        assert_eq!(ids(&plan(&listed, Some(&one), &Position::TrimHorizon, NOW)), (vec![], vec!["b"], vec!["child"]));
        let both = document([("a", state(after("9"), true, &[])), ("b", state(after("9"), true, &[]))]);
        let both = plan(&listed, Some(&both), &Position::AtTimestamp(Millis::new(5)), NOW);
        assert_eq!(ids(&both), (vec!["child"], vec![], vec![]));
        assert_eq!(both.pins[0].to_inclusive, Position::TrimHorizon, "whatever the start position");
    }

    #[test]
    fn a_parent_gone_everywhere_is_not_awaited() {
        let listed = [shard("child", &["gone"])];
        assert_eq!(ids(&plan(&listed, None, &Position::TrimHorizon, NOW)), (vec!["child"], vec![], vec![]));
    }

    #[test]
    fn an_unfinished_vanished_parent_blocks_its_child() {
        let listed = [shard("child", &["a"])];
        let document = document([("a", state(after("9"), false, &[]))]);
        let plan = plan(&listed, Some(&document), &Position::TrimHorizon, NOW);
        assert_eq!(ids(&plan), (vec![], vec![], vec!["child"]));
        assert_eq!(plan.vanished, ["a"], "and that is a gap");
    }

    #[test]
    fn a_recreated_streams_child_ignores_the_old_parent() {
        let mut listed = [shard("a", &[]), shard("child", &["a"])];
        listed[0].starting_sequence = SequenceNumber::parse("2").unwrap();
        let document = document([("a", state(after("9"), true, &[]))]);
        assert_eq!(
            ids(&plan(&listed, Some(&document), &Position::TrimHorizon, NOW)),
            (vec!["a"], vec![], vec!["child"])
        );
    }

    #[test]
    fn a_child_inherits_its_empty_parents_end_time() {
        let listed = [shard("a", &[]), shard("child", &["a"])];
        let document = document([("a", state(Position::AtTimestamp(Millis::new(5)), true, &[]))]);
        let plan = plan(&listed, Some(&document), &Position::TrimHorizon, NOW);
        assert_eq!(plan.pins[0].to_inclusive, Position::AtTimestamp(Millis::new(5)));
    }

    #[test]
    fn a_recreated_stream_is_pinned_again() {
        let mut listed = [shard("a", &[])];
        listed[0].starting_sequence = SequenceNumber::parse("2").unwrap();
        let document = document([("a", state(after("9"), false, &[]))]);
        let plan = plan(&listed, Some(&document), &Position::AtTimestamp(Millis::new(5)), NOW);
        assert_eq!(ids(&plan), (vec!["a"], vec![], vec![]));
        assert_eq!(plan.pins[0].to_inclusive, Position::TrimHorizon);
    }

    #[test]
    fn an_ended_unlisted_shard_retires() {
        let listed = [shard("child", &["a"])];
        let document = document([("a", state(after("9"), true, &[])), ("child", state(after("20"), false, &["a"]))]);
        let plan = plan(&listed, Some(&document), &Position::TrimHorizon, NOW);
        assert_eq!((plan.retirable, plan.vanished), (vec![ShardId::from("a")], vec![]));
    }

    #[test]
    fn an_ended_shard_awaits_all_listed_shards() {
        let known = [("a", state(after("9"), true, &[])), ("b", state(after("9"), false, &[]))];
        let (alone, with_new) = ([shard("b", &[])], [shard("b", &[]), shard("child", &["never-seen"])]);
        let retirable = |listed: &[ListedShard]| {
            plan(listed, Some(&document(known.clone())), &Position::TrimHorizon, NOW).retirable
        };
        assert_eq!((retirable(&alone), retirable(&with_new)), (vec![ShardId::from("a")], vec![]));
    }

    #[test]
    fn a_pin_records_when_it_was_made() {
        let plan = plan(&[shard("a", &[])], None, &Position::TrimHorizon, NOW);
        assert_eq!((plan.pins[0].drained_at, plan.pins[0].pinned_at), (None, Some(NOW)));
    }

    #[test]
    fn children_are_known_no_further_than_their_parents() {
        let known = |arrived_at: i64, parents: &[&str]| ShardState {
            arrived_at: Some(Millis::new(arrived_at).micros()),
            ..state(after("9"), true, parents)
        };
        let document = document([("a", known(3, &[])), ("b", known(5, &[])), ("c", known(2, &["gone"]))]);
        let pinned = |listed: &[ListedShard]| {
            plan(listed, Some(&document), &Position::TrimHorizon, NOW).pins.pop().unwrap().drained_at
        };
        assert_eq!(pinned(&[shard("child", &["a", "b"])]), Some(Millis::new(5)), "it came after both");
        assert_eq!(
            pinned(&[shard("child", &["never-seen"])]),
            Some(Millis::new(2)),
            "its family was lost sight of after that"
        );
        assert_eq!(pinned(&[shard("child", &["a", "never-seen"])]), Some(Millis::new(2)));
        assert_eq!(pinned(&[shard("root", &[])]), None);
    }

    #[test]
    fn a_child_counts_from_its_empty_parents_pin() {
        let ended = ShardState { pinned_at: Some(Millis::new(4)), ..state(Position::TrimHorizon, true, &[]) };
        let listed = [shard("a", &[]), shard("child", &["a"])];
        let pin = plan(&listed, Some(&document([("a", ended)])), &Position::TrimHorizon, NOW).pins.pop().unwrap();
        assert_eq!((pin.drained_at, pin.pinned_at), (None, Some(Millis::new(4))));
    }

    #[test]
    fn an_unseen_sibling_limits_knowledge_to_the_split() {
        let known = |arrived_at: i64, parents: &[&str]| ShardState {
            arrived_at: Some(Millis::new(arrived_at).micros()),
            ..state(after("9"), true, parents)
        };
        let one = document([("a", known(2, &[])), ("left", known(5, &["a"]))]);
        let both = document([("a", known(2, &[])), ("left", known(5, &["a"])), ("right", known(4, &["a"]))]);
        let pinned = |document: &CheckpointDocument| {
            let listed = [shard("descendant", &["never-seen"])];
            let plan = plan(&listed, Some(document), &Position::TrimHorizon, NOW);
            (plan.pins[0].drained_at, plan.retirable.contains(&ShardId::from("a")))
        };
        assert_eq!(pinned(&one), (Some(Millis::new(2)), false));
        assert_eq!(pinned(&both), (Some(Millis::new(4)), true));
    }

    #[test]
    fn ancestry_reaches_back_over_splits_and_merges() {
        let document = document([
            ("a", state(after("9"), true, &[])),
            ("b", state(after("9"), true, &[])),
            ("c", state(after("9"), true, &["a", "b"])),
            ("d", state(after("9"), false, &["c"])),
        ]);
        assert_eq!(ancestry(&ShardId::from("d"), &document), ["d", "c", "a", "b"]);
    }
}
