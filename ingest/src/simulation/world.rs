//! The stream: shards that split and merge, wide sequence numbers with holes, retention, iterators that expire.

use std::collections::BTreeMap;

use bluelake_lake::{Position, SequenceNumber, ShardId};
use rand::Rng as _;
use uuid::Uuid;

use super::env::Random;
use crate::kinesis::listed::ListedShard;

/// Kinesis keeps an iterator for five minutes.
const ITERATOR_LIFE: i64 = 300_000;
/// Partition keys are below this.
pub(super) const KEYS: u32 = 1 << 16;

/// An event as its producer put it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimEvent {
    pub(super) id: Uuid,
    pub(super) bad: bool,
}

#[derive(Clone, Debug)]
pub(super) struct SimRecord {
    pub(super) sequence: SequenceNumber,
    /// Milliseconds since the epoch.
    pub(super) arrived: i64,
    pub(super) events: Vec<SimEvent>,
}

#[derive(Clone, Debug)]
pub(super) struct SimShard {
    pub(super) listed: ListedShard,
    /// Partition keys that it covers: from, and up to.
    pub(super) keys: (u32, u32),
    pub(super) records: Vec<SimRecord>,
    pub(super) closed_at: Option<i64>,
}

/// Points behind N records of a shard.
#[derive(Clone, Debug)]
pub(super) struct SimIterator {
    index: usize,
    made_at: i64,
    /// It came with an empty page.
    after_empty: bool,
}

/// How a server signals that a closed shard was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndSignal {
    /// No iterator follows the last records.
    NoIterator,
    /// The same, after a page that is empty and not behind.
    EmptyPageFirst,
    /// Never: pages that are empty and not behind follow for ever.
    Never,
}

/// Why a read failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorldFault {
    Expired,
    Trimmed,
    NotFound,
}

/// What GetRecords answers.
pub(super) struct Answer {
    pub(super) records: Vec<SimRecord>,
    pub(super) millis_behind: i64,
    pub(super) next: Option<SimIterator>,
}

pub(super) struct World {
    pub(super) shards: BTreeMap<ShardId, SimShard>,
    pub(super) retention: i64,
    end_signal: EndSignal,
    counter: u128,
    made: usize,
}

impl World {
    /// A stream with `shards` shards. Its sequence numbers soon become a digit longer: as text they would seem to go
    /// back.
    pub(super) fn new(shards: u32, retention: i64, end_signal: EndSignal, random: &mut Random) -> Self {
        let counter = 100_000_000_000_000_000 - random.random_range(1..300_u128);
        let mut world = Self { shards: BTreeMap::new(), retention, end_signal, counter, made: 0 };
        for index in 0..shards {
            let keys = (KEYS / shards * index, if index + 1 == shards { KEYS } else { KEYS / shards * (index + 1) });
            world.open(keys, Vec::new(), random);
        }
        world
    }

    fn next_sequence(&mut self, random: &mut Random) -> SequenceNumber {
        self.counter += random.random_range(1..4_u128);
        let low = random.random_range(0..1_000_000_000_000_000_000_u64);
        SequenceNumber::parse(&format!("{}{low:024}", self.counter)).unwrap()
    }

    fn open(&mut self, keys: (u32, u32), parents: Vec<ShardId>, random: &mut Random) {
        let id = ShardId::from(format!("shardId-{:012}", self.made));
        self.made += 1;
        let starting_sequence = self.next_sequence(random);
        let listed = ListedShard { id: id.clone(), starting_sequence, parents, hash_keys: None, closed: false };
        self.shards.insert(id, SimShard { listed, keys, records: Vec::new(), closed_at: None });
    }

    fn open_shards(&self) -> Vec<&SimShard> {
        let mut open: Vec<_> = self.shards.values().filter(|shard| shard.closed_at.is_none()).collect();
        open.sort_by_key(|shard| shard.keys.0);
        open
    }

    /// Puts a record; gives its shard.
    pub(super) fn put(&mut self, key: u32, events: Vec<SimEvent>, now: i64, random: &mut Random) -> ShardId {
        let sequence = self.next_sequence(random);
        let covers = |shard: &&mut SimShard| shard.closed_at.is_none() && (shard.keys.0..shard.keys.1).contains(&key);
        let shard = self.shards.values_mut().find(covers).unwrap();
        shard.records.push(SimRecord { sequence, arrived: now, events });
        shard.listed.id.clone()
    }

    /// Splits an open shard, if one is wide enough.
    pub(super) fn split(&mut self, now: i64, random: &mut Random) -> Option<ShardId> {
        let wide: Vec<_> = self.open_shards().into_iter().filter(|shard| shard.keys.1 - shard.keys.0 > 8).collect();
        let victim = wide.get(random.random_range(0..wide.len().max(1)))?;
        let (id, (low, high)) = (victim.listed.id.clone(), victim.keys);
        let middle = random.random_range(low + 1..high - 1);
        self.shards.get_mut(&id)?.closed_at = Some(now);
        self.open((low, middle), vec![id.clone()], random);
        self.open((middle, high), vec![id.clone()], random);
        Some(id)
    }

    /// Merges two open neighbours, if there are any.
    pub(super) fn merge(&mut self, now: i64, random: &mut Random) -> Option<(ShardId, ShardId)> {
        let open = self.open_shards();
        let at = random.random_range(0..open.len().saturating_sub(1).max(1));
        let (left, right) = (open.get(at)?, open.get(at + 1)?);
        let keys = (left.keys.0, right.keys.1);
        let ids = (left.listed.id.clone(), right.listed.id.clone());
        for id in [&ids.0, &ids.1] {
            self.shards.get_mut(id)?.closed_at = Some(now);
        }
        self.open(keys, vec![ids.0.clone(), ids.1.clone()], random);
        Some(ids)
    }

    /// A closed shard leaves the stream with its last record.
    fn is_gone(&self, shard: &SimShard, now: i64) -> bool {
        shard.closed_at.is_some_and(|closed| closed + self.retention < now)
    }

    /// ListShards.
    pub(super) fn list(&self, now: i64) -> Vec<ListedShard> {
        let there = self.shards.values().filter(|shard| !self.is_gone(shard, now));
        there.map(|shard| ListedShard { closed: shard.closed_at.is_some(), ..shard.listed.clone() }).collect()
    }

    /// Index of the oldest record that is still held.
    pub(super) fn horizon(&self, shard: &SimShard, now: i64) -> usize {
        shard.records.partition_point(|record| record.arrived < now - self.retention)
    }

    /// GetShardIterator. `strict`: a position that is trimmed is refused; else it starts at the horizon.
    pub(super) fn iterator(
        &self,
        id: &str,
        position: &Position,
        now: i64,
        strict: bool,
    ) -> Result<SimIterator, WorldFault> {
        let shard = self.shards.get(id).filter(|shard| !self.is_gone(shard, now)).ok_or(WorldFault::NotFound)?;
        let horizon = self.horizon(shard, now);
        let index = match position {
            Position::TrimHorizon => horizon,
            Position::AtTimestamp(time) => shard.records.partition_point(|record| record.arrived < time.get()),
            Position::After(sequence) => {
                // Compares the text, not its order: the order is what is tested.
                let same = |record: &SimRecord| record.sequence.as_str() == sequence.as_str();
                let index = shard.records.iter().position(same).unwrap() + 1;
                if strict && index <= horizon && horizon > 0 {
                    return Err(WorldFault::Trimmed);
                }
                index
            }
        };
        Ok(SimIterator { index: index.max(horizon), made_at: now, after_empty: false })
    }

    /// GetRecords.
    pub(super) fn records(
        &self,
        id: &str,
        iterator: &SimIterator,
        limit: usize,
        now: i64,
    ) -> Result<Answer, WorldFault> {
        let shard = self.shards.get(id).filter(|shard| !self.is_gone(shard, now)).ok_or(WorldFault::NotFound)?;
        if now - iterator.made_at > ITERATOR_LIFE {
            return Err(WorldFault::Expired);
        }
        let from = iterator.index.max(self.horizon(shard, now));
        let to = (from + limit).min(shard.records.len());
        let behind = shard.records.get(to).map_or(0, |next| (now - next.arrived).max(1));
        let is_read = to == shard.records.len() && shard.closed_at.is_some();
        let done = is_read
            && match self.end_signal {
                EndSignal::NoIterator => true,
                EndSignal::EmptyPageFirst => from == to && iterator.after_empty,
                EndSignal::Never => false,
            };
        let next = (!done).then_some(SimIterator { index: to, made_at: now, after_empty: from == to });
        Ok(Answer { records: shard.records[from..to].to_vec(), millis_behind: behind, next })
    }

    /// The same iterator, some records further back: the last answer is repeated.
    pub(super) fn earlier(iterator: &SimIterator, records: usize) -> SimIterator {
        SimIterator { index: iterator.index.saturating_sub(records), ..iterator.clone() }
    }
}
