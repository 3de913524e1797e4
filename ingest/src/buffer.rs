//! What was read and decoded and is not yet committed: rows and positions together, so that they cannot drift apart.
//! Pure: it takes the time and says when a flush is due. It knows no more of rows than their number and weight.

use std::{collections::BTreeMap, time::Instant};

use bluelake_lake::{Position, ShardAdvance};
use bluelake_transform::DecodedBatch;

use crate::options::FlushLimits;

/// Rows that a buffer can hold.
pub(crate) trait Rows {
    /// How many there are.
    fn count(&self) -> usize;
    /// Bytes of memory that they take.
    fn bytes(&self) -> usize;
}

impl Rows for DecodedBatch {
    fn count(&self) -> usize {
        self.events.num_rows() + self.rejected.num_rows()
    }

    fn bytes(&self) -> usize {
        let held = [&self.events, &self.rejected].into_iter().filter(|batch| batch.num_rows() > 0);
        held.map(arrow::array::RecordBatch::get_array_memory_size).sum()
    }
}

/// What one read of one shard gave.
#[derive(Debug)]
pub(crate) struct Chunk<R = DecodedBatch> {
    /// The shard and how far the read moved it.
    pub(crate) advance: ShardAdvance,
    /// The rows.
    pub(crate) rows: R,
}

/// What is taken out of the buffer to be committed as one batch.
#[derive(Debug)]
pub(crate) struct Buffered<R = DecodedBatch> {
    /// The rows, as they came.
    pub(crate) rows: Vec<R>,
    /// How far each shard moved.
    pub(crate) shards: Vec<ShardAdvance>,
}

/// A chunk does not follow what is buffered of its shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunk starts at {found:?}, the buffer ends at {expected:?}")]
pub(crate) struct NotContiguous {
    /// Where the buffer ends.
    pub(crate) expected: Position,
    /// Where the chunk starts.
    pub(crate) found: Position,
}

/// Buffers chunks of the shards of one stream.
#[derive(Debug)]
pub(crate) struct Buffer<R = DecodedBatch> {
    rows: Vec<R>,
    shards: BTreeMap<String, ShardAdvance>,
    bytes: usize,
    count: usize,
    oldest: Option<Instant>,
}

impl<R> Default for Buffer<R> {
    fn default() -> Self {
        Self { rows: Vec::new(), shards: BTreeMap::new(), bytes: 0, count: 0, oldest: None }
    }
}

impl<R: Rows> Buffer<R> {
    /// Takes a chunk.
    ///
    /// # Errors
    /// [`NotContiguous`] when it does not follow what is held of its shard; the buffer is unchanged then.
    pub(crate) fn add(&mut self, chunk: Chunk<R>, now: Instant) -> Result<(), NotContiguous> {
        let Chunk { advance, rows } = chunk;
        match self.shards.get_mut(&advance.shard) {
            Some(held) => join(held, advance)?,
            None => {
                self.shards.insert(advance.shard.clone(), advance);
            }
        }
        self.oldest.get_or_insert(now);
        if rows.count() > 0 {
            self.bytes += rows.bytes();
            self.count += rows.count();
            self.rows.push(rows);
        }
        Ok(())
    }

    /// Whether what is held should be committed now.
    #[must_use]
    pub(crate) fn is_due(&self, limits: &FlushLimits, now: Instant) -> bool {
        self.is_full(limits) || self.oldest.is_some_and(|oldest| now.duration_since(oldest) >= limits.age)
    }

    /// Whether reading should wait for a commit.
    #[must_use]
    pub(crate) fn is_full(&self, limits: &FlushLimits) -> bool {
        self.bytes >= limits.bytes || self.count >= limits.rows
    }

    /// Whether reading should wait while an earlier batch is still on its way: both are in memory then.
    #[must_use]
    pub(crate) fn is_well_filled(&self, limits: &FlushLimits) -> bool {
        self.bytes >= limits.bytes / 4 || self.count >= limits.rows / 4
    }

    /// Whether nothing is held, not even a position.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// Whether anything of a shard is held, if only a position.
    #[must_use]
    #[cfg_attr(not(test), expect(dead_code, reason = "asked before a shard is handed over"))]
    pub(crate) fn holds(&self, shard: &str) -> bool {
        self.shards.contains_key(shard)
    }

    /// Takes out everything.
    pub(crate) fn take(&mut self) -> Buffered<R> {
        let held = std::mem::take(self);
        Buffered { rows: held.rows, shards: held.shards.into_values().collect() }
    }
}

/// Extends what is held of a shard by what follows it.
fn join(held: &mut ShardAdvance, next: ShardAdvance) -> Result<(), NotContiguous> {
    if next.from_exclusive.as_ref() != Some(&held.to_inclusive) {
        return Err(NotContiguous {
            expected: held.to_inclusive.clone(),
            found: next.from_exclusive.unwrap_or(Position::TrimHorizon),
        });
    }
    held.to_inclusive = next.to_inclusive;
    held.ended = next.ended;
    held.arrived_at = held.arrived_at.max(next.arrived_at);
    held.drained_at = held.drained_at.max(next.drained_at);
    held.counts += next.counts;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::time::Duration;

    use bluelake_lake::{ControlTotals, SequenceNumber};

    use super::*;

    /// So many rows of eight bytes.
    struct Eights(usize);

    impl Rows for Eights {
        fn count(&self) -> usize {
            self.0
        }

        fn bytes(&self) -> usize {
            8 * self.0
        }
    }

    fn after(number: u32) -> Position {
        Position::After(SequenceNumber::parse(&number.to_string()).unwrap())
    }

    fn chunk(shard: &str, from: u32, to: u32, rows: usize) -> Chunk<Eights> {
        let stored = rows as u64;
        Chunk {
            advance: ShardAdvance {
                shard: shard.to_owned(),
                starting_sequence: SequenceNumber::parse("1").unwrap(),
                parents: Vec::new(),
                from_exclusive: Some(after(from)),
                to_inclusive: after(to),
                ended: false,
                arrived_at: Some(i64::from(to)),
                drained_at: None,
                counts: ControlTotals { received: stored, stored, rejected: 0, duplicate: 0 },
                gap: None,
            },
            rows: Eights(rows),
        }
    }

    #[test]
    fn chunks_of_a_shard_join_and_come_out_as_one_range() {
        let mut buffer = Buffer::default();
        let now = Instant::now();
        for chunk in [chunk("a", 1, 5, 3), chunk("b", 7, 9, 1), chunk("a", 5, 8, 2)] {
            buffer.add(chunk, now).unwrap();
        }
        assert!(buffer.holds("b") && !buffer.holds("c"));
        let taken = buffer.take();
        assert!(buffer.is_empty());
        assert_eq!(taken.shards.len(), 2);
        let a = &taken.shards[0];
        assert_eq!((&a.from_exclusive, &a.to_inclusive), (&Some(after(1)), &after(8)));
        assert_eq!((a.counts.stored, a.arrived_at), (5, Some(8)));
        assert_eq!(taken.rows.iter().map(Rows::count).sum::<usize>(), 6);
    }

    #[test]
    fn a_chunk_that_leaves_a_hole_or_overlaps_is_refused_and_changes_nothing() {
        let mut buffer = Buffer::default();
        let now = Instant::now();
        buffer.add(chunk("a", 1, 5, 3), now).unwrap();
        for from in [4, 6] {
            let refused = buffer.add(chunk("a", from, 9, 1), now);
            assert_eq!(refused, Err(NotContiguous { expected: after(5), found: after(from) }));
        }
        assert_eq!(buffer.take().rows.len(), 1);
    }

    #[test]
    fn a_flush_is_due_by_rows_bytes_or_age_whichever_is_first() {
        let now = Instant::now();
        let limits = FlushLimits { bytes: 1 << 20, rows: 10, age: Duration::from_secs(60) };
        let mut buffer = Buffer::<Eights>::default();
        assert!(!buffer.is_due(&limits, now + Duration::from_secs(600)), "nothing is held");
        buffer.add(chunk("a", 1, 2, 9), now).unwrap();
        assert!(!buffer.is_due(&limits, now + Duration::from_secs(59)));
        assert!(buffer.is_due(&limits, now + Duration::from_secs(60)));
        buffer.add(chunk("a", 2, 3, 1), now).unwrap();
        assert!(buffer.is_due(&limits, now) && buffer.is_full(&limits));
        let small = FlushLimits { bytes: 8, ..limits };
        let mut buffer = Buffer::default();
        buffer.add(chunk("a", 1, 2, 1), now).unwrap();
        assert!(buffer.is_full(&small));
    }

    #[test]
    fn a_position_without_rows_is_held_too() {
        let mut buffer = Buffer::<Eights>::default();
        buffer.add(chunk("a", 1, 2, 0), Instant::now()).unwrap();
        assert!(!buffer.is_empty());
        assert_eq!(buffer.take().shards[0].to_inclusive, after(2));
    }
}
