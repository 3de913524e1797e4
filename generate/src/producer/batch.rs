//! The records of one request, and which of them are not confirmed yet. Pure.

use std::sync::Arc;

use super::{PutCounts, PutOutcome};
use crate::GeneratedEvent;

/// Most records in a PutRecords request.
pub(crate) const MOST_RECORDS: usize = 500;
/// Most bytes of data and keys in a request. Kinesis takes 5 MiB; some servers count that after base64.
pub(crate) const MOST_BYTES: usize = 3_500 * 1_024;

/// One Kinesis record: an event, or an aggregate of several for one shard.
#[derive(Debug)]
pub(crate) struct PutRecord {
    pub(crate) events: Vec<GeneratedEvent>,
    pub(crate) aggregate: Option<AggregateRecord>,
}

/// The bytes of an aggregate, and a hash key of the shard that it is for.
#[derive(Debug)]
pub(crate) struct AggregateRecord {
    pub(crate) bytes: Vec<u8>,
    pub(crate) hash_key: u128,
}

/// Partition key of all aggregates; their hash key routes them.
const AGGREGATE_KEY: &str = "a";

impl PutRecord {
    /// A record of one event.
    pub(crate) fn plain(event: GeneratedEvent) -> Self {
        PutRecord { events: vec![event], aggregate: None }
    }

    pub(crate) fn data(&self) -> &[u8] {
        match (&self.aggregate, self.events.as_slice()) {
            (Some(aggregate), _) => &aggregate.bytes,
            (None, [event, ..]) => &event.bytes,
            (None, []) => &[],
        }
    }

    pub(crate) fn partition_key(&self) -> &str {
        match self.events.as_slice() {
            [event, ..] if self.aggregate.is_none() => &event.partition_key,
            _ => AGGREGATE_KEY,
        }
    }

    /// Bytes that count for a request.
    pub(crate) fn size(&self) -> usize {
        self.data().len() + self.partition_key().len()
    }
}

/// The answer of the service about one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordAnswer {
    Stored {
        shard: String,
        sequence: String,
    },
    /// Certainly not stored.
    Throttled,
    /// Stored or not.
    Unknown,
}

/// One request, as it is reported to the observer.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) outcomes: Vec<(Arc<PutRecord>, PutOutcome)>,
    /// Events of the request that must be put again.
    pub(crate) left: usize,
}

impl Answered {
    pub(crate) fn count(&self, counts: &mut PutCounts) {
        counts.requests += 1;
        counts.retried += wide(self.left);
        for (record, outcome) in &self.outcomes {
            match outcome {
                PutOutcome::Stored { .. } => {
                    counts.stored += wide(record.events.len());
                    counts.bytes += wide(record.data().len());
                }
                PutOutcome::Unknown => counts.unknown += wide(record.events.len()),
            }
        }
    }

    pub(crate) fn stored_any(&self) -> bool {
        self.outcomes.iter().any(|(_, outcome)| matches!(outcome, PutOutcome::Stored { .. }))
    }
}

/// Records that are not confirmed yet.
#[derive(Debug)]
pub(crate) struct Batch {
    pending: Vec<Arc<PutRecord>>,
}

impl Batch {
    pub(crate) fn new(records: Vec<PutRecord>) -> Self {
        Batch { pending: records.into_iter().map(Arc::new).collect() }
    }

    pub(crate) fn pending(&self) -> &[Arc<PutRecord>] {
        &self.pending
    }

    /// Takes an answer with one entry for each pending record in order, and keeps the records that must be put again. A
    /// record without an entry has an unknown outcome.
    pub(crate) fn absorb(&mut self, answers: Vec<RecordAnswer>) -> Answered {
        let mut answers = answers.into_iter();
        let mut answered = Answered::default();
        let mut left = Vec::new();
        for record in self.pending.drain(..) {
            match answers.next().unwrap_or(RecordAnswer::Unknown) {
                RecordAnswer::Stored { shard, sequence } => {
                    answered.outcomes.push((record, PutOutcome::Stored { shard, sequence }));
                }
                RecordAnswer::Throttled => left.push(record),
                RecordAnswer::Unknown => {
                    answered.outcomes.push((Arc::clone(&record), PutOutcome::Unknown));
                    left.push(record);
                }
            }
        }
        answered.left = events_of(&left);
        self.pending = left;
        answered
    }

    /// A request without an answer, or one that was throttled as a whole.
    pub(crate) fn lost(&self, maybe_stored: bool) -> Answered {
        let unknown = self.pending.iter().filter(|_| maybe_stored);
        Answered {
            outcomes: unknown.map(|record| (Arc::clone(record), PutOutcome::Unknown)).collect(),
            left: events_of(&self.pending),
        }
    }
}

fn events_of(records: &[Arc<PutRecord>]) -> usize {
    records.iter().map(|record| record.events.len()).sum()
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::EventKind;
    use bluelake_schemas::Stream;

    fn batch(ids: &[&str]) -> Batch {
        let event = |id: &&str| GeneratedEvent {
            stream: Stream::UserEvents,
            partition_key: "key".to_owned(),
            event_id: (*id).to_owned(),
            bytes: b"{}".to_vec(),
            kind: EventKind::Good,
        };
        Batch::new(ids.iter().map(event).map(PutRecord::plain).collect())
    }

    fn stored() -> RecordAnswer {
        RecordAnswer::Stored { shard: "shard".to_owned(), sequence: "1".to_owned() }
    }

    fn pending(batch: &Batch) -> Vec<&str> {
        batch.pending().iter().map(|record| record.events[0].event_id.as_str()).collect()
    }

    #[test]
    fn only_unstored_events_stay_pending_in_order() {
        let mut batch = batch(&["a", "b", "c", "d"]);
        let answered = batch.absorb(vec![stored(), RecordAnswer::Throttled, stored(), RecordAnswer::Unknown]);
        assert_eq!(pending(&batch), ["b", "d"]);
        let mut counts = PutCounts::default();
        answered.count(&mut counts);
        assert_eq!(counts, PutCounts { stored: 2, bytes: 4, retried: 2, unknown: 1, requests: 1 });
        assert!(answered.stored_any());
        assert!(!batch.absorb(vec![RecordAnswer::Throttled; 2]).stored_any());
    }

    #[test]
    fn a_record_without_answer_is_unknown_and_retried() {
        let mut batch = batch(&["a", "b"]);
        let answered = batch.absorb(vec![stored()]);
        assert_eq!(answered.outcomes[1].1, PutOutcome::Unknown);
        assert_eq!(pending(&batch), ["b"]);
    }

    #[test]
    fn a_lost_request_leaves_unknowns_but_throttling_none() {
        let batch = batch(&["a", "b"]);
        assert_eq!(batch.lost(true).outcomes.len(), 2);
        assert_eq!((batch.lost(false).outcomes.len(), batch.lost(false).left), (0, 2));
    }
}
