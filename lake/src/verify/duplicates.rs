//! Finds positions and event ids that come twice among the rows that are held. Pure.

use std::{collections::HashMap, time::Duration};

use bluelake_schemas::Micros;

use super::history::History;
use crate::checkpoint::shard_id::ShardId;

/// The index of a shard without a document: it is related to no other.
pub(super) const UNKNOWN_SHARD: u32 = u32::MAX;

/// A row, by the order of its file and its place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowPlace {
    pub(super) file: u32,
    pub(super) row: u32,
}

/// A row by its position (shard, sequence, sub-sequence).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PositionEntry {
    pub(super) position: u128,
    pub(super) place: RowPlace,
}

/// A row by its event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IdEntry {
    pub(super) id: u128,
    pub(super) arrived_at: Micros,
    /// Half of the position's hash: distinguishes records.
    pub(super) position: u64,
    /// The shard's index in the history; [`UNKNOWN_SHARD`] for one without a document.
    pub(super) shard: u32,
    pub(super) place: RowPlace,
}

/// Two rows with one event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RepeatedId {
    pub(super) earlier: IdEntry,
    pub(super) later: IdEntry,
    /// Within the window, on a shard and its ancestors: one of them had to be dropped.
    pub(super) within_window: bool,
}

/// Every pair of neighbouring rows with one position.
pub(super) fn repeated_positions(entries: &mut [PositionEntry], found: &mut dyn FnMut(RowPlace, RowPlace)) {
    entries.sort_unstable();
    for pair in entries.windows(2) {
        if let [left, right] = pair
            && left.position == right.position
        {
            found(left.place, right.place);
        }
    }
}

/// Each row whose id another position has too, with the row that it repeats: one in the window if there is one, of those one
/// that is `beside` it if there is one.
pub(super) fn repeated_ids(
    entries: &mut [IdEntry],
    lineage: &Lineage,
    window: Option<Duration>,
    beside: &dyn Fn(RowPlace, RowPlace) -> bool,
    found: &mut dyn FnMut(RepeatedId),
) {
    entries.sort_unstable();
    for group in entries.chunk_by(|left, right| left.id == right.id).filter(|group| group.len() > 1) {
        // The newest row of each shard so far: older rows are farther from the window.
        let mut newest: HashMap<u32, IdEntry> = HashMap::new();
        for later in group {
            let others = newest.values().filter(|earlier| earlier.position != later.position);
            let judged = others.map(|earlier| {
                let near = window.is_some_and(|window| later.arrived_at <= earlier.arrived_at.later(window));
                let within_window = near && lineage.related(earlier.shard, later.shard);
                RepeatedId { earlier: *earlier, later: *later, within_window }
            });
            let rank = |pair: &RepeatedId| {
                let place = pair.earlier.place;
                (pair.within_window, beside(place, later.place), place)
            };
            if let Some(repeated) = judged.max_by_key(rank) {
                found(repeated);
            }
            newest.insert(later.shard, *later);
        }
    }
}

/// The ancestors of each shard.
#[derive(Debug)]
pub(super) struct Lineage {
    /// All ancestors of each shard, without itself.
    ancestors: Vec<Vec<u32>>,
}

impl Lineage {
    pub(super) fn of(history: &History) -> Self {
        let mut ancestors = Vec::with_capacity(history.shards.len());
        for shard in history.shards.values() {
            let mut found: Vec<u32> = Vec::new();
            let mut parents: Vec<&ShardId> = shard.parents.iter().collect();
            while let Some(parent) = parents.pop().and_then(|id| history.shards.get(id)) {
                if !found.contains(&parent.index) {
                    found.push(parent.index);
                    parents.extend(&parent.parents);
                }
            }
            ancestors.push(found);
        }
        Self { ancestors }
    }

    fn related(&self, left: u32, right: u32) -> bool {
        let is_ancestor = |shard: u32, of: u32| {
            let ancestors = usize::try_from(of).ok().and_then(|of| self.ancestors.get(of));
            ancestors.is_some_and(|ancestors| ancestors.contains(&shard))
        };
        (left == right && left != UNKNOWN_SHARD) || is_ancestor(left, right) || is_ancestor(right, left)
    }
}

/// The pass of a hash.
pub(super) fn pass_of(hash: u128, passes: u32) -> u32 {
    u32::try_from(hash % u128::from(passes.max(1))).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::verify::history::ShardHistory;

    /// Shard 0 is the parent of 1, which is that of 2; 3 is alone.
    fn lineage() -> Lineage {
        let mut history = History::empty();
        for (index, parents) in [(0, vec![]), (1, vec!["0"]), (2, vec!["1"]), (3, vec![])] {
            let parents = parents.into_iter().map(ShardId::from).collect();
            history.shards.insert(index.to_string().into(), ShardHistory { index, parents, highest: None });
        }
        Lineage::of(&history)
    }

    fn row(shard: u32, arrived_at: i64, position: u64) -> IdEntry {
        let place = RowPlace { file: shard, row: u32::try_from(position).unwrap() };
        IdEntry { id: 7, arrived_at: Micros::new(arrived_at), position, shard, place }
    }

    /// Repetitions within the window, and others.
    fn count(mut rows: Vec<IdEntry>) -> (usize, usize) {
        let mut found = Vec::new();
        repeated_ids(&mut rows, &lineage(), Some(Duration::from_micros(100)), &|_, _| true, &mut |pair| {
            found.push(pair.within_window)
        });
        let within = found.iter().filter(|within| **within).count();
        (within, found.len() - within)
    }

    #[test]
    fn ids_repeat_within_a_shard_and_its_ancestors() {
        for (rows, expected, case) in [
            (vec![row(0, 0, 1), row(0, 100, 2)], (1, 0), "same shard, the window's last microsecond"),
            (vec![row(0, 0, 1), row(0, 101, 2)], (0, 1), "same shard, past the window"),
            (vec![row(0, 0, 1), row(2, 50, 2)], (1, 0), "grandchild"),
            (vec![row(2, 0, 1), row(0, 50, 2)], (1, 0), "the ancestor's row arrived later"),
            (vec![row(0, 0, 1), row(3, 50, 2)], (0, 1), "unrelated shard"),
            (vec![row(0, 0, 1), row(0, 0, 1)], (0, 0), "the same record twice is not the window's matter"),
            (vec![row(0, 0, 1), row(3, 10, 2), row(0, 20, 3)], (1, 1), "the nearer row is on another shard"),
            (vec![row(UNKNOWN_SHARD, 0, 1), row(UNKNOWN_SHARD, 10, 2)], (0, 1), "a shard that no document names"),
        ] {
            assert_eq!(count(rows), expected, "{case}");
        }
    }

    #[test]
    fn each_repetition_of_a_position_is_found() {
        let entry = |position, row| PositionEntry { position, place: RowPlace { file: 0, row } };
        let mut rows = vec![entry(5, 0), entry(6, 1), entry(5, 2), entry(5, 3)];
        let mut found = Vec::new();
        repeated_positions(&mut rows, &mut |left, right| found.push((left.row, right.row)));
        assert_eq!(found, [(0, 2), (2, 3)]);
    }
}
