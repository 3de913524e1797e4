//! The reader of one shard, a request at a time, around the real cursor and the real deduplication window.

use bluelake_lake::{ControlTotals, Position, ShardId};
use bluelake_schemas::{Micros, Millis};

use super::{
    env::Env,
    store::{Fate, Item, Place},
    world::{Answer, SimIterator, SimRecord, World, WorldFault},
};
use crate::{
    reading::{
        chunk::{Chunk, Rows},
        cursor::{PageFacts, ShardCursor},
        dedup::window::{DedupWindow, EventPosition},
    },
    shards::{lineage::ReadableShard, tip::Listed},
};

/// Rows as the buffer sees them. Those that are duplicates travel along for the oracle.
#[derive(Debug, Default)]
pub(super) struct SimRows(pub(super) Vec<Item>);

impl Rows for SimRows {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        self.0.len() * 100
    }
}

/// The outcome of a reader's step.
// One at a time, and soon taken apart.
#[allow(clippy::large_enum_variant)]
pub(super) enum Read {
    Nothing,
    Chunk(Chunk<SimRows>),
    /// The shard is gone, or may have lost records.
    Vanished,
}

pub(super) struct SimReader {
    id: ShardId,
    cursor: ShardCursor,
    window: DedupWindow,
    iterator: Option<SimIterator>,
    from_horizon: bool,
    /// The last answer of ListShards about the shard.
    pub(super) listed: Listed,
    /// No request before this time.
    pub(super) next_call: i64,
    pub(super) ended: bool,
    /// Chunks that it has given.
    pub(super) sent: usize,
}

impl SimReader {
    /// `listed_at`: when the shard was listed, by the earlier of the worker's and the service's clock.
    pub(super) fn new(shard: ReadableShard, window: DedupWindow, listed_at: i64, env: &Env) -> Self {
        let id = shard.shard.id.clone();
        let (iterator, next_call) = (None, env.now);
        let listed = Listed::of(&shard.shard, Millis::new(listed_at));
        let cursor = ShardCursor::new(shard, env.settings.retention());
        Self { id, cursor, window, iterator, from_horizon: false, listed, next_call, ended: false, sent: 0 }
    }

    /// One request. `earliest` and `latest` bound the time by the worker's clock and the service's.
    pub(super) fn step(&mut self, (earliest, latest): (i64, i64), env: &mut Env) -> Read {
        self.next_call = env.now + 200;
        if env.stream_fails() {
            // Throttled, or failed, or its answer was lost: the iterator stays.
            env.count("read failed");
            self.next_call += env.below(3_000);
            return Read::Nothing;
        }
        let Some(iterator) = self.iterator.take() else { return self.ask_for_iterator(env) };
        let limit = usize::try_from(env.below(12)).unwrap() + 1;
        let twice = env.stream_fails();
        let from = if twice { World::earlier(&iterator, limit) } else { iterator.clone() };
        match env.world.records(&self.id, &from, limit, env.now) {
            Ok(answer) => {
                if twice && !answer.records.is_empty() {
                    env.count("same answer twice");
                }
                if self.cursor.may_have_lost(Millis::new(latest)) {
                    env.count("read after the retention");
                    return Read::Vanished;
                }
                self.take(answer, earliest, env)
            }
            Err(WorldFault::Expired) => {
                env.count("iterator expired");
                Read::Nothing
            }
            Err(WorldFault::NotFound) => Read::Vanished,
            Err(WorldFault::Trimmed) => Read::Nothing,
        }
    }

    fn ask_for_iterator(&mut self, env: &mut Env) -> Read {
        let position = if self.from_horizon { Position::TrimHorizon } else { self.cursor.position().clone() };
        let strict = env.percent(50);
        match env.world.iterator(&self.id, &position, env.now, strict) {
            Ok(iterator) => {
                self.iterator = Some(iterator);
                Read::Nothing
            }
            Err(WorldFault::Trimmed) => {
                env.count("position trimmed");
                self.from_horizon = true;
                Read::Nothing
            }
            Err(_) => Read::Vanished,
        }
    }

    fn take(&mut self, answer: Answer, now: i64, env: &mut Env) -> Read {
        let Answer { mut records, mut millis_behind, next } = answer;
        self.from_horizon = false;
        if !records.is_empty() && next.is_some() && env.stream_fails() {
            // It is empty although behind: the records come with a later answer.
            env.count("empty while behind");
            self.iterator = next.map(|next| World::earlier(&next, records.len()));
            records.clear();
            millis_behind = millis_behind.max(1);
        } else {
            self.iterator = next;
        }
        if self.iterator.is_some() && records.is_empty() && millis_behind == 0 {
            self.next_call = env.now + 1 + env.below(2 * env.settings.rest);
        }
        let facts = PageFacts {
            sequences: records.iter().map(|record| record.sequence.clone()).collect(),
            millis_behind: Some(millis_behind),
            end_of_shard: self.iterator.is_none(),
        };
        let outcome = self.cursor.take(&facts, Millis::new(now), self.listed);
        self.ended = outcome.ended;
        if self.listed == Listed::Closed && records.is_empty() && millis_behind == 0 && !facts.end_of_shard {
            env.count(if self.ended { "ended without a signal" } else { "empty page of a closed shard" });
        }
        let Some(step) = outcome.step else { return Read::Nothing };
        if outcome.new.is_empty() && !outcome.ended {
            env.count("recorded as drained");
        }
        if outcome.new.is_empty() && outcome.ended {
            env.count("ended without a record");
        }
        let mut items = Vec::new();
        for record in outcome.new.iter().filter_map(|index| records.get(*index)) {
            self.judge(record, &mut items, env);
        }
        let newest = items.iter().map(|item| item.arrived_at).max();
        self.cursor.arrived(newest.map(Micros::new));
        Read::Chunk(Chunk { advance: step.advance(count(&items), newest.map(Micros::new)), rows: SimRows(items) })
    }

    fn judge(&mut self, record: &SimRecord, items: &mut Vec<Item>, env: &mut Env) {
        let arrived_at = record.arrived * 1_000;
        for (sub_sequence, event) in (0..).zip(&record.events) {
            let sequence = record.sequence.as_str();
            let fate = if event.bad {
                Fate::Rejected
            } else if self.window.check_and_remember(
                event.id,
                EventPosition { sequence, sub_sequence },
                Micros::new(arrived_at),
            ) {
                env.count("duplicate");
                Fate::Duplicate
            } else {
                Fate::Stored
            };
            let place = Place { shard: self.id.to_string(), sequence: sequence.to_owned(), sub_sequence };
            items.push(Item { place, id: event.id, arrived_at, fate });
        }
    }
}

fn count(items: &[Item]) -> ControlTotals {
    let of = |fate| u64::try_from(items.iter().filter(|item| item.fate == fate).count()).unwrap();
    ControlTotals {
        received: u64::try_from(items.len()).unwrap(),
        stored: of(Fate::Stored),
        rejected: of(Fate::Rejected),
        duplicate: of(Fate::Duplicate),
        suppressed: 0,
    }
}
