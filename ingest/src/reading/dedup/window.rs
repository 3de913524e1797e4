//! The deduplication window of one shard: event id → where and when it was stored. Pure.
//!
//! An id is a duplicate when it was stored from another position within the span before, by arrival time. The same
//! position is no duplicate: it is the same record read twice. Only stored events count, so that a window rebuilt from
//! the table judges like the lost one. A window without a span remembers nothing.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use ahash::RandomState;
use bluelake_schemas::Micros;
use uuid::Uuid;

use crate::reading::dedup::limits::DedupLimits;

/// The number of steps in which the span is forgotten.
const SLICES: i64 = 16;

#[derive(Clone, Copy, Debug)]
struct Sighting {
    /// Hash of the position; 64 bits distinguish positions well enough to recognise the same record.
    position: u64,
    arrived_at: Micros,
}

#[derive(Debug)]
struct Slice {
    /// Arrival times of this slice start here, microseconds since the epoch.
    starts_at: i64,
    ids: HashMap<u128, Sighting, RandomState>,
}

/// Remembers the event ids of one shard and its ancestors.
#[derive(Debug)]
pub(crate) struct DedupWindow {
    span: i64,
    slice_width: i64,
    max_ids: usize,
    hasher: RandomState,
    slices: VecDeque<Slice>,
    held: usize,
    shortened: bool,
}

/// The place of an event in its shard.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct EventPosition<'a> {
    /// Sequence number of the record.
    pub(crate) sequence: &'a str,
    /// Position inside the record.
    pub(crate) sub_sequence: u32,
}

impl DedupWindow {
    /// An empty window.
    #[must_use]
    pub(crate) fn new(limits: DedupLimits) -> Self {
        let span = micros(limits.span);
        Self {
            span,
            slice_width: (span / SLICES).max(1),
            max_ids: limits.max_ids.max(1),
            hasher: RandomState::new(),
            slices: VecDeque::new(),
            held: 0,
            shortened: false,
        }
    }

    /// Whether the event was stored before; if not, it is remembered.
    pub(crate) fn check_and_remember(&mut self, id: Uuid, position: EventPosition<'_>, arrived_at: Micros) -> bool {
        if self.span == 0 {
            return false;
        }
        let key = id.as_u128();
        let position = self.position_hash(position);
        let earlier = self.slices.iter().rev().filter_map(|slice| slice.ids.get(&key)).any(|seen| {
            seen.position != position && arrived_at.get().saturating_sub(seen.arrived_at.get()) <= self.span
        });
        if !earlier {
            self.remember_hashed(key, Sighting { position, arrived_at });
        }
        earlier
    }

    /// Remembers a stored event without a check, for a rebuild from the table in any order.
    pub(crate) fn remember(&mut self, id: Uuid, position: EventPosition<'_>, arrived_at: Micros) {
        if self.span == 0 {
            return;
        }
        let position = self.position_hash(position);
        self.remember_hashed(id.as_u128(), Sighting { position, arrived_at });
    }

    /// Ids held.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.held
    }

    /// Whether ids were forgotten before their time because there were too many.
    #[must_use]
    pub(crate) fn is_shortened(&self) -> bool {
        self.shortened
    }

    fn position_hash(&self, position: EventPosition<'_>) -> u64 {
        self.hasher.hash_one(position)
    }

    fn remember_hashed(&mut self, key: u128, sighting: Sighting) {
        let arrived_at = sighting.arrived_at.get();
        let starts_at = arrived_at - arrived_at.rem_euclid(self.slice_width);
        let hasher = self.hasher.clone();
        let index = match self.slices.binary_search_by_key(&starts_at, |slice| slice.starts_at) {
            Ok(index) => index,
            Err(index) => {
                self.slices.insert(index, Slice { starts_at, ids: HashMap::with_hasher(hasher) });
                index
            }
        };
        if let Some(slice) = self.slices.get_mut(index)
            && slice.ids.insert(key, sighting).is_none()
        {
            self.held += 1;
        }
        self.forget(arrived_at);
    }

    fn forget(&mut self, newest: i64) {
        while let Some(oldest) = self.slices.front() {
            let expired = oldest.starts_at + self.slice_width < newest - self.span;
            let crowded = self.held > self.max_ids && self.slices.len() > 1;
            if !expired && !crowded {
                return;
            }
            self.shortened |= !expired;
            self.held -= oldest.ids.len();
            self.slices.pop_front();
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(sequence: &str) -> EventPosition<'_> {
        EventPosition { sequence, sub_sequence: 0 }
    }

    fn window(span_seconds: u64, max_ids: usize) -> DedupWindow {
        DedupWindow::new(DedupLimits { span: Duration::from_secs(span_seconds), max_ids })
    }

    #[test]
    fn an_id_from_another_position_is_a_duplicate() {
        let mut window = window(900, 100);
        let id = Uuid::from_u128(7);
        assert!(!window.check_and_remember(id, at("1"), Micros::new(0)));
        assert!(window.check_and_remember(id, at("2"), Micros::new(900_000_000)));
        assert!(!window.check_and_remember(id, at("3"), Micros::new(900_000_001)), "out of the span");
    }

    #[test]
    fn the_same_position_again_is_no_duplicate() {
        let mut window = window(900, 100);
        let id = Uuid::from_u128(7);
        assert!(!window.check_and_remember(id, at("1"), Micros::new(0)));
        assert!(!window.check_and_remember(id, at("1"), Micros::new(0)), "the same record read twice");
    }

    #[test]
    fn too_many_ids_visibly_shorten_the_window() {
        let mut window = window(160, 10);
        for second in 0..100_u32 {
            let id = Uuid::from_u128(u128::from(second));
            window.check_and_remember(id, at(&second.to_string()), Micros::new(i64::from(second) * 1_000_000));
        }
        assert!(window.is_shortened());
        assert!(window.len() <= 20, "{}", window.len());
        assert!(window.check_and_remember(Uuid::from_u128(99), at("x"), Micros::new(100_000_000)));
        assert!(!window.check_and_remember(Uuid::from_u128(1), at("x"), Micros::new(100_000_000)));
    }

    proptest! {
        /// A window rebuilt from stored events judges the next event like one that saw them all.
        #[test]
        fn a_rebuilt_window_judges_alike(steps in proptest::collection::vec((0_u128..20, 0_i64..200), 1..120)) {
            let mut lived = window(300, 1_000);
            let mut stored = Vec::new();
            let mut now = 0;
            for (index, (id, pause)) in steps.iter().enumerate() {
                now += pause * 1_000_000;
                let sequence = index.to_string();
                if !lived.check_and_remember(Uuid::from_u128(*id), at(&sequence), Micros::new(now)) {
                    stored.push((*id, sequence, now));
                }
            }
            let mut rebuilt = window(300, 1_000);
            for (id, sequence, arrived_at) in stored.iter().filter(|row| row.2 >= now - 300_000_000) {
                rebuilt.remember(Uuid::from_u128(*id), at(sequence), Micros::new(*arrived_at));
            }
            for id in 0..20 {
                prop_assert_eq!(
                    lived.check_and_remember(Uuid::from_u128(id), at("next"), Micros::new(now)),
                    rebuilt.check_and_remember(Uuid::from_u128(id), at("next"), Micros::new(now))
                );
            }
        }
    }
}
