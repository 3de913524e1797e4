//! Packs events into records: one each, or aggregates of the events of one shard. Pure.

use std::collections::BTreeMap;

use bluelake_schemas::Stream;
use bluelake_transform::{AggregatedRecordWriter, hash_key};

use super::batch::{AggregateRecord, PutRecord};
use crate::GeneratedEvent;

/// Most bytes of an aggregate. Kinesis takes 1 MiB by default.
const MOST_AGGREGATE_BYTES: usize = 900 * 1_024;
/// The most bytes of a sub-record beside its data and key.
const OVERHEAD: usize = 64;

/// How events become records.
#[derive(Clone, Debug, Default)]
pub(crate) enum Packing {
    /// One event a record.
    #[default]
    Plain,
    /// `events` events a record, all of one shard, so that a repeated event meets its original there. `shards` has the
    /// hash keys of the open shards, both ends included; a stream that is resharded meanwhile gets sub-records outside
    /// of their shard.
    Aggregated { events: usize, shards: BTreeMap<Stream, Vec<(u128, u128)>> },
}

/// Aggregates of one lane that are not full, by the first hash key of their shard.
#[derive(Debug, Default)]
pub(crate) struct Aggregates(BTreeMap<u128, Open>);

#[derive(Debug, Default)]
struct Open {
    writer: AggregatedRecordWriter,
    events: Vec<GeneratedEvent>,
}

impl Aggregates {
    /// Takes an event; gives a record when one is full.
    pub(crate) fn pack(&mut self, packing: &Packing, event: GeneratedEvent) -> Option<PutRecord> {
        let Packing::Aggregated { events: most, shards } = packing else {
            return Some(PutRecord::plain(event));
        };
        let hash = hash_key(&event.partition_key);
        let mut ranges = shards.get(&event.stream).into_iter().flatten();
        // Without a shard the aggregate goes where the event itself would go.
        let first = ranges.find(|(first, last)| (*first..=*last).contains(&hash)).map_or(hash, |(first, _)| *first);
        let open = self.0.entry(first).or_default();
        let size = event.bytes.len() + event.partition_key.len() + OVERHEAD;
        let is_over = !open.events.is_empty() && open.writer.encoded_bytes() + size > MOST_AGGREGATE_BYTES;
        let full = is_over.then(|| std::mem::take(open).finish(first));
        open.writer.push(&event.partition_key, None, &event.bytes);
        open.events.push(event);
        // A new aggregate is not full: if one event were enough, no aggregate would have waited.
        if full.is_none() && open.events.len() >= *most {
            return self.0.remove(&first).map(|open| open.finish(first));
        }
        full
    }

    /// Records of all that waits.
    pub(crate) fn finish(&mut self) -> Vec<PutRecord> {
        std::mem::take(&mut self.0).into_iter().map(|(first, open)| open.finish(first)).collect()
    }
}

impl Open {
    fn finish(self, hash_key: u128) -> PutRecord {
        PutRecord { events: self.events, aggregate: Some(AggregateRecord { bytes: self.writer.finish(), hash_key }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventKind;

    fn event(key: &str, bytes: usize) -> GeneratedEvent {
        GeneratedEvent {
            stream: Stream::UserEvents,
            partition_key: key.to_owned(),
            event_id: key.to_owned(),
            bytes: vec![b' '; bytes],
            kind: EventKind::Good,
        }
    }

    fn halves(events: usize) -> Packing {
        let middle = 1 << 127;
        let ranges = vec![(0, middle - 1), (middle, u128::MAX)];
        Packing::Aggregated { events, shards: BTreeMap::from([(Stream::UserEvents, ranges)]) }
    }

    #[test]
    fn an_aggregate_holds_one_shards_events_in_order() {
        let mut aggregates = Aggregates::default();
        let packing = halves(3);
        let keys: Vec<String> = (0..50).map(|number| format!("key-{number}")).collect();
        let mut records: Vec<PutRecord> =
            keys.iter().filter_map(|key| aggregates.pack(&packing, event(key, 10))).collect();
        assert!(records.iter().all(|record| record.events.len() == 3));
        records.extend(aggregates.finish());
        for half in [0, 1 << 127] {
            let of_shard = |record: &&PutRecord| record.aggregate.as_ref().is_some_and(|own| own.hash_key == half);
            let put: Vec<&str> =
                records.iter().filter(of_shard).flat_map(|record| &record.events).map(|one| &*one.event_id).collect();
            let sent: Vec<&str> =
                keys.iter().map(String::as_str).filter(|key| (hash_key(key) >= 1 << 127) == (half > 0)).collect();
            assert!(!put.is_empty());
            assert_eq!(put, sent);
        }
    }

    #[test]
    fn an_aggregate_stays_below_what_kinesis_takes() {
        let mut aggregates = Aggregates::default();
        let mut records: Vec<PutRecord> =
            (0..10).filter_map(|_| aggregates.pack(&halves(100), event("key", 200 * 1_024))).collect();
        records.extend(aggregates.finish());
        assert_eq!(records.iter().map(|record| record.events.len()).sum::<usize>(), 10);
        assert!(records.iter().all(|record| record.size() <= MOST_AGGREGATE_BYTES && record.events.len() <= 4));
    }

    #[test]
    fn plain_events_are_records_of_their_own() {
        let record = Aggregates::default().pack(&Packing::Plain, event("key", 10));
        assert!(record.is_some_and(|record| record.data() == [b' '; 10] && record.partition_key() == "key"));
    }
}
