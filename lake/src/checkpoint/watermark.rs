//! The arrival time up to which a table has its stream complete. Pure.
//!
//! | the shard's entry | it is complete up to |
//! | --- | --- |
//! | open, just seen at its tip from the committed position | that moment |
//! | open in the document, closed in Kinesis | its newest committed record, and not the time when it was last seen drained: its children may have been filling by then |
//! | open, with committed records | the newest of them, or when it was last seen drained |
//! | open, nothing committed, pinned at a time | that time, or when it was last seen drained |
//! | open, nothing committed, pinned at the trim horizon | when it was last seen drained, or the end of its parents; without parents, nothing is known |
//! | ended, with all its children in the document | does not count: the children do |
//! | ended, without some of them | its newest record: records of the missing child are not in the table yet |
//!
//! A stream is complete up to the smallest of these. In documents of format 1 and 2 `drained_at` does not count: it may
//! also be the time of a pin or of an accepted gap, when older records are still unread behind the position.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bluelake_schemas::{Micros, Millis};

use crate::checkpoint::{
    document::{CheckpointDocument, Position, ShardState},
    shard_id::ShardId,
};

/// The state of a stream in Kinesis, as just seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenInKinesis {
    /// Shards at their tip from the position in the document, and when.
    pub at_tip: BTreeMap<ShardId, Millis>,
    /// Listed shards that the document does not have, with their parents.
    pub unpinned: BTreeMap<ShardId, Vec<ShardId>>,
    /// Shards that are closed: their children may hold newer records.
    pub closed: BTreeSet<ShardId>,
}

impl SeenInKinesis {
    /// Records that a shard was at its tip at a time. If the position is older than the retention, records behind it
    /// may have been discarded, so this proves nothing.
    pub fn take_tip(&mut self, shard: &ShardId, state: &ShardState, at: Millis, retention: Duration) {
        if state.safe_until().is_some_and(|known| known >= at.earlier(retention)) {
            self.at_tip.insert(shard.to_owned(), at);
        }
    }
}

impl ShardState {
    /// The time up to which records are committed, or never existed, or were never promised; `None` when that is not
    /// known. The shard loses records when this becomes older than the retention.
    #[must_use]
    pub fn safe_until(&self) -> Option<Millis> {
        self.read_until().max(self.pinned_at)
    }

    /// The time up to which records are committed, or never existed, or are part of a gap; `None` when that is not
    /// known. Not after [`ShardState::safe_until`].
    #[must_use]
    pub fn read_until(&self) -> Option<Millis> {
        arrived(self).max(self.drained_at)
    }
}

fn arrived(state: &ShardState) -> Option<Millis> {
    state.arrived_at.map(Micros::millis)
}

impl CheckpointDocument {
    /// The arrival time up to which the table has every record of the stream; `None` when it is not known. Without
    /// `seen`, the document alone decides. Records lost in an accepted gap are not waited for.
    #[must_use]
    pub fn watermark(&self, seen: Option<&SeenInKinesis>) -> Option<Millis> {
        if seen.is_some_and(|seen| self.has_unpinned_roots(seen)) {
            return None;
        }
        let counted = self.shards.iter().filter(|(id, state)| !state.ended || !self.is_followed(id, seen));
        let mut least = None;
        for (id, state) in counted {
            let tip = seen.and_then(|seen| seen.at_tip.get(id).copied()).filter(|_| !state.ended);
            let is_closed = !state.ended && seen.is_some_and(|seen| seen.closed.contains(id));
            let until = if is_closed {
                self.complete_until(&ShardState { drained_at: None, ..state.clone() }, 0)?
            } else {
                tip.max(self.complete_until(state, 0))?
            };
            least = Some(least.map_or(until, |least: Millis| least.min(until)));
        }
        least
    }

    /// Whether there are shards without any known records, not even of their ancestors.
    fn has_unpinned_roots(&self, seen: &SeenInKinesis) -> bool {
        let known = |parent: &ShardId| self.shards.contains_key(parent) || seen.unpinned.contains_key(parent);
        seen.unpinned.values().any(|parents| !parents.iter().any(known))
    }

    /// Whether the document has all children of an ended shard: one after a merge, two after a split.
    fn is_followed(&self, id: &ShardId, seen: Option<&SeenInKinesis>) -> bool {
        let mut children = self.shards.values().filter(|state| state.parents.contains(id)).peekable();
        match seen {
            Some(seen) => children.peek().is_some() && !seen.unpinned.values().any(|parents| parents.contains(id)),
            None => {
                let merged = children.peek().is_some_and(|child| child.parents.len() > 1);
                merged || children.count() > 1
            }
        }
    }

    /// `depth` bounds the way up to the ancestors: entries that are each other's parents must not hold up a monitor.
    fn complete_until(&self, state: &ShardState, depth: usize) -> Option<Millis> {
        let drained = state.drained_at.filter(|_| state.pinned_at.is_some());
        match (&state.position, arrived(state).max(drained)) {
            (Position::AtTimestamp(time), known) => known.max(Some(*time)),
            (_, Some(known)) => Some(known),
            (_, None) if depth > self.shards.len() => None,
            (_, None) => {
                let parents = state.parents.iter().filter_map(|parent| self.shards.get(parent));
                parents.map(|parent| self.complete_until(parent, depth + 1)).min().flatten()
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {

    use super::*;
    use crate::checkpoint::{sequence::SequenceNumber, totals::ControlTotals};

    fn state(position: Position, arrived_millis: Option<i64>, ended: bool, parents: &[&str]) -> ShardState {
        ShardState {
            starting_sequence: SequenceNumber::parse("1").unwrap(),
            parents: parents.iter().map(|id| ShardId::from(*id)).collect(),
            position,
            ended,
            arrived_at: arrived_millis.map(|millis| millis * 1_000).map(Micros::new),
            drained_at: Some(Millis::new(9_999)),
            pinned_at: None,
            totals: ControlTotals::default(),
        }
    }

    fn read(arrived_millis: i64) -> ShardState {
        state(Position::After(SequenceNumber::parse("5").unwrap()), Some(arrived_millis), false, &[])
    }

    fn document<const N: usize>(shards: [(&str, ShardState); N]) -> CheckpointDocument {
        CheckpointDocument {
            shards: shards.into_iter().map(|(id, state)| (id.into(), state)).collect(),
            ..CheckpointDocument::empty()
        }
    }

    fn offline<const N: usize>(shards: [(&str, ShardState); N]) -> Option<i64> {
        document(shards).watermark(None).map(Millis::get)
    }

    #[test]
    fn the_shard_that_is_furthest_behind_decides() {
        assert_eq!(offline([("a", read(700)), ("b", read(300))]), Some(300));
        assert_eq!(offline([]), None);
    }

    fn at_tip<const N: usize>(shards: [(&str, i64); N]) -> SeenInKinesis {
        let at_tip = shards.into_iter().map(|(id, at)| (id.into(), Millis::new(at))).collect();
        SeenInKinesis { at_tip, ..SeenInKinesis::default() }
    }

    #[test]
    fn a_shard_is_complete_up_to_its_tip() {
        let document = document([("a", read(700)), ("b", read(300))]);
        assert_eq!(document.watermark(Some(&at_tip([("b", 5_000)]))), Some(Millis::new(700)));
        assert_eq!(document.watermark(Some(&at_tip([("a", 5_001), ("b", 5_000)]))), Some(Millis::new(5_000)));
    }

    #[test]
    fn a_tip_past_the_retention_proves_nothing() {
        let mut seen = SeenInKinesis::default();
        let old = ShardState { drained_at: None, ..read(300) };
        seen.take_tip(&"a".into(), &old, Millis::new(1_301), Duration::from_secs(1));
        assert!(seen.at_tip.is_empty(), "records may have been discarded unread");
        seen.take_tip(&"a".into(), &old, Millis::new(1_300), Duration::from_secs(1));
        assert_eq!(seen.at_tip, BTreeMap::from([("a".into(), Millis::new(1_300))]));
    }

    #[test]
    fn a_drained_shard_is_complete_until_then() {
        let drained = |state: ShardState| ShardState {
            drained_at: Some(Millis::new(800)),
            pinned_at: Some(Millis::new(100)),
            ..state
        };
        assert_eq!(offline([("a", drained(read(300)))]), Some(800));
        assert_eq!(offline([("a", drained(read(900)))]), Some(900));
        assert_eq!(offline([("a", drained(state(Position::TrimHorizon, None, false, &[])))]), Some(800));
        assert_eq!(
            offline([("a", drained(state(Position::AtTimestamp(Millis::new(200)), None, false, &[])))]),
            Some(800)
        );
        let pinned = ShardState { drained_at: None, ..drained(state(Position::TrimHorizon, None, false, &[])) };
        assert_eq!(offline([("a", pinned)]), None);
    }

    #[test]
    fn drained_times_of_older_documents_claim_nothing() {
        // `drained_at` of every state here is 9,999, newer than everything committed.
        assert_eq!(offline([("a", read(300))]), Some(300));
        assert_eq!(offline([("a", state(Position::TrimHorizon, None, false, &[]))]), None);
        assert_eq!(offline([("a", state(Position::AtTimestamp(Millis::new(200)), None, false, &[]))]), Some(200));
    }

    #[test]
    fn an_ended_shard_counts_until_both_children_exist() {
        let after = || Position::After(SequenceNumber::parse("5").unwrap());
        let parent = || ("parent", state(after(), Some(400), true, &[]));
        let child = |arrived| state(after(), Some(arrived), false, &["parent"]);
        assert_eq!(offline([("other", read(900)), parent()]), Some(400), "children unseen");
        assert_eq!(offline([("other", read(900)), parent(), ("left", child(800))]), Some(400), "one unseen");
        assert_eq!(offline([("other", read(900)), parent(), ("left", child(800)), ("right", child(850))]), Some(800));
        let pinned = state(Position::TrimHorizon, None, false, &["parent"]);
        assert_eq!(offline([("other", read(900)), parent(), ("left", child(800)), ("right", pinned)]), Some(400));
    }

    #[test]
    fn listed_shards_missing_in_the_table_are_incomplete() {
        let after = || Position::After(SequenceNumber::parse("5").unwrap());
        let parent = state(after(), Some(400), true, &[]);
        let left = state(after(), Some(800), false, &["parent"]);
        let document = document([("parent", parent), ("left", left)]);
        let unpinned = |id: &str, parents: &[&str]| SeenInKinesis {
            at_tip: BTreeMap::from([("left".into(), Millis::new(5_000))]),
            unpinned: BTreeMap::from([(id.into(), parents.iter().map(|id| ShardId::from(*id)).collect())]),
            ..SeenInKinesis::default()
        };
        assert_eq!(
            document.watermark(Some(&at_tip([("left", 5_000)]))),
            Some(Millis::new(5_000)),
            "no sibling is left in Kinesis"
        );
        assert_eq!(document.watermark(Some(&unpinned("right", &["parent"]))), Some(Millis::new(400)));
        assert_eq!(document.watermark(Some(&unpinned("root", &[]))), None);
        assert_eq!(document.watermark(Some(&unpinned("child", &["gone"]))), None);
    }

    #[test]
    fn closed_shards_are_complete_to_their_newest_record() {
        let drained = ShardState { drained_at: Some(Millis::new(800)), pinned_at: Some(Millis::new(100)), ..read(300) };
        let closed = SeenInKinesis { closed: BTreeSet::from(["a".into()]), ..at_tip([("a", 5_000)]) };
        let document = document([("a", drained.clone())]);
        assert_eq!(document.watermark(None), Some(Millis::new(800)));
        assert_eq!(document.watermark(Some(&closed)), Some(Millis::new(300)));
    }

    #[test]
    fn a_merge_waits_for_its_earlier_parent() {
        let after = || Position::After(SequenceNumber::parse("5").unwrap());
        let left = state(after(), Some(400), true, &[]);
        let right = state(after(), Some(500), true, &[]);
        let child = state(Position::TrimHorizon, None, false, &["left", "right"]);
        assert_eq!(offline([("left", left), ("right", right), ("child", child)]), Some(400));
    }

    #[test]
    fn entries_that_name_each_other_end_the_search() {
        let one = state(Position::TrimHorizon, None, false, &["b"]);
        let other = state(Position::TrimHorizon, None, false, &["a"]);
        assert_eq!(offline([("a", one), ("b", other)]), None);
    }

    #[test]
    fn records_are_safe_up_to_committed_or_drained() {
        assert_eq!(read(300).safe_until(), Some(Millis::new(9_999)));
        assert_eq!(ShardState { drained_at: None, ..read(300) }.safe_until(), Some(Millis::new(300)));
    }
}
