//! What the tables hold of some shards in a slice of time, and so what is missing. Pure.
//!
//! | the event | then |
//! | --- | --- |
//! | its position is in a table | known |
//! | its id is in the table from another position of the shard or its relatives, within the span before or after | duplicate |
//! | else | missing, and known from then on |

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use ahash::RandomState;
use bluelake_lake::ShardId;
use bluelake_schemas::Micros;
use uuid::Uuid;

use crate::reading::dedup::window::EventPosition;

/// Two independent hashes of a position: as good as the position itself, in 16 bytes.
type Place = (u64, u64);

#[derive(Clone, Copy, Debug)]
struct Sighting {
    member: usize,
    place: Place,
    arrived_at: Micros,
}

/// How an event of a replay is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// In a table already.
    Known,
    /// Its id is in the table, from another record.
    Duplicate,
    /// To be added.
    Missing,
}

/// Positions and event ids of stored rows.
#[derive(Debug)]
pub(crate) struct Known {
    span: Duration,
    hashers: (RandomState, RandomState),
    members: BTreeMap<ShardId, usize>,
    relatives: BTreeMap<ShardId, BTreeSet<usize>>,
    places: HashSet<Place, RandomState>,
    ids: HashMap<u128, Vec<Sighting>, RandomState>,
}

impl Known {
    /// Starts empty. `families`: each shard that is replayed, with its relatives. `span`: of the deduplication window.
    pub(crate) fn new(families: &BTreeMap<ShardId, BTreeSet<ShardId>>, span: Duration) -> Self {
        let names: BTreeSet<&ShardId> = families.values().flatten().chain(families.keys()).collect();
        let members: BTreeMap<ShardId, usize> =
            names.into_iter().enumerate().map(|(number, name)| (name.clone(), number)).collect();
        let numbers = |names: &BTreeSet<ShardId>| names.iter().filter_map(|name| members.get(name).copied()).collect();
        let relatives = families.iter().map(|(shard, names)| (shard.clone(), numbers(names))).collect();
        Self {
            span,
            hashers: (RandomState::new(), RandomState::new()),
            members,
            relatives,
            places: HashSet::default(),
            ids: HashMap::default(),
        }
    }

    /// Remembers a row of the event table.
    pub(crate) fn remember_event(&mut self, shard: &str, position: EventPosition<'_>, id: Uuid, arrived_at: Micros) {
        let place = self.place(shard, position);
        self.places.insert(place);
        if let Some(member) = self.members.get(shard).copied() {
            self.ids.entry(id.as_u128()).or_default().push(Sighting { member, place, arrived_at });
        }
    }

    /// Remembers a row of `rejected_events`.
    pub(crate) fn remember_rejected(&mut self, shard: &str, position: EventPosition<'_>) {
        let place = self.place(shard, position);
        self.places.insert(place);
    }

    /// Whether a table holds a row from this position.
    pub(crate) fn holds(&self, shard: &str, position: EventPosition<'_>) -> bool {
        self.places.contains(&self.place(shard, position))
    }

    /// Judges a valid event. A missing one is remembered, because it will be added.
    pub(crate) fn judge(&mut self, shard: &str, position: EventPosition<'_>, id: Uuid, arrived_at: Micros) -> Verdict {
        let place = self.place(shard, position);
        if self.places.contains(&place) {
            return Verdict::Known;
        }
        let relatives = self.relatives.get(shard);
        let stands_for_it = |seen: &Sighting| {
            let (first, last) = (seen.arrived_at.min(arrived_at), seen.arrived_at.max(arrived_at));
            let near = last <= first.later(self.span);
            near && seen.place != place && relatives.is_some_and(|relatives| relatives.contains(&seen.member))
        };
        if self.ids.get(&id.as_u128()).is_some_and(|seen| seen.iter().any(stands_for_it)) {
            return Verdict::Duplicate;
        }
        self.remember_event(shard, position, id, arrived_at);
        Verdict::Missing
    }

    fn place(&self, shard: &str, position: EventPosition<'_>) -> Place {
        (self.hashers.0.hash_one((shard, position)), self.hashers.1.hash_one((shard, position)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: &str) -> EventPosition<'_> {
        EventPosition { sequence, sub_sequence: 0 }
    }

    fn known() -> Known {
        let family = |names: &[&str]| names.iter().map(|name| ShardId::from(*name)).collect::<BTreeSet<_>>();
        let families = [("a", family(&["a", "parent"])), ("b", family(&["b"]))];
        Known::new(&families.map(|(name, family)| (name.into(), family)).into(), Duration::from_micros(900))
    }

    const ID: Uuid = Uuid::from_u128(7);

    #[test]
    fn a_position_in_either_table_is_known() {
        let mut known = known();
        known.remember_event("a", at("1"), ID, Micros::new(0));
        known.remember_rejected("a", at("2"));
        assert_eq!(known.judge("a", at("1"), ID, Micros::new(0)), Verdict::Known);
        assert_eq!(
            known.judge("a", at("2"), Uuid::from_u128(8), Micros::new(0)),
            Verdict::Known,
            "judged otherwise by another contract"
        );
        assert!(known.holds("a", at("2")) && !known.holds("b", at("2")), "a position is one of a shard");
        assert!(!known.holds("a", EventPosition { sequence: "1", sub_sequence: 1 }));
    }

    #[test]
    fn a_nearby_id_on_relatives_is_a_duplicate() {
        for (other, shard, arrived_at, expected) in [
            ("a", "a", 900, Verdict::Duplicate),
            ("a", "a", -900, Verdict::Duplicate),
            ("a", "a", 901, Verdict::Missing),
            ("a", "a", -901, Verdict::Missing),
            ("parent", "a", 10, Verdict::Duplicate),
            ("a", "b", 10, Verdict::Missing),
        ] {
            let mut known = known();
            known.remember_event(other, at("1"), ID, Micros::new(0));
            assert_eq!(
                known.judge(shard, at("2"), ID, Micros::new(arrived_at)),
                expected,
                "{other} {shard} {arrived_at}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_missing_once() {
        let mut known = known();
        assert_eq!(known.judge("a", at("1"), ID, Micros::new(0)), Verdict::Missing);
        assert_eq!(known.judge("a", at("1"), ID, Micros::new(0)), Verdict::Known);
        assert_eq!(known.judge("a", at("2"), ID, Micros::new(5)), Verdict::Duplicate, "of one that is added with it");
    }
}
