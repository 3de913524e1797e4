//! The buffer of decoded rows that are not committed yet, together with their positions, so that they cannot drift
//! apart. Pure: it takes the time and says when a flush is due. Of rows it knows only their number and weight.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bluelake_lake::{Position, ShardAdvance, ShardId};

use crate::{
    landing::limits::FlushLimits,
    reading::chunk::{Chunk, ReadRows, Rows},
};

/// The content of the buffer for one batch.
#[derive(Debug)]
pub(crate) struct Buffered<R = ReadRows> {
    /// The rows, as they came.
    pub(crate) rows: Vec<R>,
    /// Bytes of memory that they take.
    pub(crate) row_bytes: usize,
    /// How far each shard moved.
    pub(crate) shards: Vec<ShardAdvance>,
}

/// A chunk does not follow the buffered chunks of its shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunk starts at {found:?}, the buffer ends at {expected:?}")]
pub(crate) struct NotContiguous {
    /// Where the buffer ends.
    pub(crate) expected: Position,
    /// Where the chunk starts.
    pub(crate) found: Position,
}

/// The lake drops the files of a batch when the oldest is an hour old; the batch is committed well before.
const LONGEST_AHEAD: Duration = Duration::from_secs(45 * 60);

/// Buffers chunks of the shards of one stream.
///
/// When memory runs short before a commit is due, rows go ahead. They are lent out, their largest partitions are
/// written as files of the coming batch, and the rest is given back. Positions stay, so that all of it is one commit.
#[derive(Debug)]
pub(crate) struct Buffer<R = ReadRows> {
    rows: Vec<R>,
    shards: BTreeMap<ShardId, ShardAdvance>,
    held: Weight,
    lent: Weight,
    ahead: Weight,
    /// Bytes of the files that went ahead.
    ahead_file_bytes: usize,
    first_ahead: Option<Instant>,
    oldest: Option<Instant>,
    density: FileDensity,
}

/// Rows, and the memory that they take or took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weight {
    bytes: usize,
    count: usize,
}

/// The bytes of file per KiB of rows in memory, learnt from the files written so far.
#[derive(Clone, Copy, Debug)]
struct FileDensity {
    per_kibibyte: usize,
}

impl FileDensity {
    /// Files of the smallest events are about a fifth of their rows. That is assumed until some are written.
    const FIRST_GUESS: Self = Self { per_kibibyte: 205 };

    fn estimate(self, row_bytes: usize) -> usize {
        (row_bytes / 1024).saturating_mul(self.per_kibibyte)
    }

    /// The newest files count for a quarter.
    fn learn(&mut self, row_bytes: usize, file_bytes: usize) {
        // Files of a few rows are mostly footer.
        if row_bytes >= 1 << 20 {
            self.per_kibibyte = (3 * self.per_kibibyte + file_bytes / (row_bytes / 1024)) / 4;
        }
    }
}

impl<R> Default for Buffer<R> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            shards: BTreeMap::new(),
            held: Weight::default(),
            lent: Weight::default(),
            ahead: Weight::default(),
            ahead_file_bytes: 0,
            first_ahead: None,
            oldest: None,
            density: FileDensity::FIRST_GUESS,
        }
    }
}

impl<R: Rows> Buffer<R> {
    /// Takes a chunk.
    ///
    /// # Errors
    /// [`NotContiguous`] when it does not follow the held chunks of its shard; the buffer is unchanged then.
    pub(crate) fn add(&mut self, chunk: Chunk<R>, now: Instant) -> Result<(), NotContiguous> {
        let Chunk { advance, rows } = chunk;
        match self.shards.get_mut(&advance.shard) {
            Some(held) => join(held, advance)?,
            None => {
                self.shards.insert(advance.shard.clone(), advance);
            }
        }
        self.oldest.get_or_insert(now);
        self.hold(rows);
        Ok(())
    }

    fn hold(&mut self, rows: R) {
        if rows.count() > 0 {
            self.held.bytes += rows.bytes();
            self.held.count += rows.count();
            self.rows.push(rows);
        }
    }

    /// Whether the batch should be committed now.
    #[must_use]
    pub(crate) fn is_due(&self, limits: &FlushLimits, now: Instant) -> bool {
        let of_age = |since: Option<Instant>, age| since.is_some_and(|since| now.duration_since(since) >= age);
        let bytes = self.held.bytes + self.lent.bytes + self.ahead.bytes;
        let count = self.held.count + self.lent.count + self.ahead.count;
        let file_bytes = self.ahead_file_bytes + self.density.estimate(self.held.bytes + self.lent.bytes);
        bytes >= limits.batch_bytes
            || count >= limits.rows
            || file_bytes >= limits.file_bytes
            || of_age(self.oldest, limits.age)
            || of_age(self.first_ahead, LONGEST_AHEAD)
    }

    /// Whether reading should wait until rows have gone ahead or are committed.
    #[must_use]
    pub(crate) fn is_full(&self, limits: &FlushLimits) -> bool {
        self.held.bytes + self.lent.bytes >= limits.memory.min(limits.batch_bytes)
            || self.held.count + self.lent.count >= limits.rows
    }

    /// Whether it is half full. Then rows should go ahead, and reading should wait while an earlier batch is on its
    /// way, because both are in memory.
    #[must_use]
    pub(crate) fn is_half_full(&self, limits: &FlushLimits) -> bool {
        self.held.bytes >= limits.memory.min(limits.batch_bytes) / 2
    }

    /// Lends the rows out, so that some of them can be written ahead of the commit.
    pub(crate) fn lend(&mut self, now: Instant) -> Vec<R> {
        self.first_ahead.get_or_insert(now);
        self.lent = std::mem::take(&mut self.held);
        std::mem::take(&mut self.rows)
    }

    /// Takes back the lent rows that were not written; the others became `file_bytes`.
    pub(crate) fn give_back(&mut self, rest: Option<R>, file_bytes: usize) {
        let lent = std::mem::take(&mut self.lent);
        let kept = rest.as_ref().map_or(Weight::default(), |rest| Weight { bytes: rest.bytes(), count: rest.count() });
        let written = lent.bytes.saturating_sub(kept.bytes);
        self.ahead.bytes += written;
        self.ahead.count += lent.count.saturating_sub(kept.count);
        self.ahead_file_bytes += file_bytes;
        self.density.learn(written, file_bytes);
        if let Some(rest) = rest {
            self.hold(rest);
        }
    }

    /// Whether nothing is held, not even a position.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// Whether anything of a shard is held, even if only a position.
    #[must_use]
    pub(crate) fn holds(&self, shard: &ShardId) -> bool {
        self.shards.contains_key(shard)
    }

    /// Takes out everything that is held, to be committed with the rows that went ahead. No rows may be lent out.
    pub(crate) fn take(&mut self) -> Buffered<R> {
        let density = self.density;
        let held = std::mem::replace(self, Self { density, ..Self::default() });
        Buffered { rows: held.rows, row_bytes: held.held.bytes, shards: held.shards.into_values().collect() }
    }

    /// Learns from the files of a batch that was taken out.
    pub(crate) fn learn(&mut self, row_bytes: usize, file_bytes: usize) {
        self.density.learn(row_bytes, file_bytes);
    }
}

impl Buffer {
    /// Whether heavy rows are held: others may wait for their room.
    #[must_use]
    pub(crate) fn holds_room(&self) -> bool {
        self.rows.iter().any(|rows| rows.room.is_some())
    }
}

/// Extends the held range of a shard by the next one.
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
    use bluelake_lake::{ControlTotals, SequenceNumber};
    use bluelake_schemas::Micros;

    use super::*;

    /// N rows of eight bytes.
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
                shard: shard.into(),
                starting_sequence: SequenceNumber::parse("1").unwrap(),
                parents: Vec::new(),
                from_exclusive: Some(after(from)),
                to_inclusive: after(to),
                ended: false,
                arrived_at: Some(Micros::new(i64::from(to))),
                drained_at: None,
                pinned_at: None,
                counts: ControlTotals { received: stored, stored, ..ControlTotals::default() },
                gap: None,
            },
            rows: Eights(rows),
        }
    }

    #[test]
    fn chunks_of_a_shard_become_one_range() {
        let mut buffer = Buffer::default();
        let now = Instant::now();
        for chunk in [chunk("a", 1, 5, 3), chunk("b", 7, 9, 1), chunk("a", 5, 8, 2)] {
            buffer.add(chunk, now).unwrap();
        }
        assert!(buffer.holds(&ShardId::from("b")) && !buffer.holds(&ShardId::from("c")));
        let taken = buffer.take();
        assert!(buffer.is_empty());
        assert_eq!(taken.shards.len(), 2);
        let a = &taken.shards[0];
        assert_eq!((&a.from_exclusive, &a.to_inclusive), (&Some(after(1)), &after(8)));
        assert_eq!((a.counts.stored, a.arrived_at), (5, Some(Micros::new(8))));
        assert_eq!(taken.rows.iter().map(Rows::count).sum::<usize>(), 6);
    }

    #[test]
    fn a_hole_or_overlap_is_refused_without_effect() {
        let mut buffer = Buffer::default();
        let now = Instant::now();
        buffer.add(chunk("a", 1, 5, 3), now).unwrap();
        for from in [4, 6] {
            let refused = buffer.add(chunk("a", from, 9, 1), now);
            assert_eq!(refused, Err(NotContiguous { expected: after(5), found: after(from) }));
        }
        assert_eq!(buffer.take().rows.len(), 1);
    }

    const LIMITS: FlushLimits = FlushLimits {
        memory: 1 << 20,
        batch_bytes: usize::MAX,
        file_bytes: usize::MAX,
        rows: 10,
        age: Duration::from_secs(60),
    };

    fn holding(rows: usize) -> Buffer<Eights> {
        let mut buffer = Buffer::default();
        buffer.add(chunk("a", 1, 2, rows), Instant::now()).unwrap();
        buffer
    }

    #[test]
    fn rows_bytes_or_age_make_a_flush_due() {
        let now = Instant::now();
        let mut buffer = Buffer::<Eights>::default();
        assert!(!buffer.is_due(&LIMITS, now + Duration::from_secs(600)), "nothing is held");
        buffer.add(chunk("a", 1, 2, 9), now).unwrap();
        assert!(!buffer.is_due(&LIMITS, now + Duration::from_secs(59)));
        assert!(buffer.is_due(&LIMITS, now + Duration::from_secs(60)));
        buffer.add(chunk("a", 2, 3, 1), now).unwrap();
        assert!(buffer.is_due(&LIMITS, now) && buffer.is_full(&LIMITS));
        let small = FlushLimits { batch_bytes: 8, ..LIMITS };
        let buffer = holding(1);
        assert!(buffer.is_full(&small) && buffer.is_due(&small, now));
    }

    #[test]
    fn a_flush_is_due_by_file_size() {
        let limits = FlushLimits { memory: usize::MAX, file_bytes: 1 << 20, rows: usize::MAX, ..LIMITS };
        let rows = |mebibytes: usize| (mebibytes << 20) / 8;
        let now = Instant::now();
        assert!(!holding(rows(4)).is_due(&limits, now));
        assert!(holding(rows(6)).is_due(&limits, now), "a fifth of it is assumed");
        let mut buffer = Buffer::<Eights>::default();
        for _ in 0..10 {
            buffer.learn(10 << 20, 1 << 20);
        }
        buffer.add(chunk("a", 1, 2, rows(8)), now).unwrap();
        assert!(!buffer.is_due(&limits, now), "a tenth is known");
        buffer.take();
        buffer.add(chunk("a", 2, 3, rows(11)), now).unwrap();
        assert!(buffer.is_due(&limits, now), "and still after a batch");
    }

    #[test]
    fn early_uploads_make_room_and_still_count() {
        let now = Instant::now();
        let limits = FlushLimits { memory: 80, file_bytes: 1_000, ..LIMITS };
        let mut buffer = holding(6);
        assert!(buffer.is_half_full(&limits) && !buffer.is_full(&limits) && !buffer.is_due(&limits, now));
        let lent = buffer.lend(now);
        assert_eq!((lent.len(), lent[0].count()), (1, 6));
        buffer.add(chunk("a", 2, 3, 3), now).unwrap();
        assert!(!buffer.is_full(&limits));
        buffer.add(chunk("b", 2, 3, 1), now).unwrap();
        assert!(buffer.is_full(&limits), "what is lent is still in memory");
        assert!(buffer.is_due(&limits, now), "ten rows in all");
        buffer.give_back(Some(Eights(2)), 30);
        assert!(!buffer.is_full(&limits) && buffer.is_due(&limits, now), "still ten rows in all");
        let taken = buffer.take();
        assert_eq!(taken.rows.iter().map(Rows::count).sum::<usize>(), 6, "four are in files");
        assert_eq!((taken.row_bytes, taken.shards.len()), (48, 2));
        assert!(!buffer.is_due(&limits, now + Duration::from_secs(3_600)) && buffer.is_empty());
    }

    #[test]
    fn early_uploads_make_a_batch_due_in_time() {
        let limits = FlushLimits { age: Duration::MAX, ..LIMITS };
        let now = Instant::now();
        let mut buffer = holding(2);
        assert!(!buffer.is_due(&limits, now + Duration::from_secs(7_200)));
        buffer.lend(now);
        buffer.give_back(Some(Eights(1)), 1);
        assert!(!buffer.is_due(&limits, now + LONGEST_AHEAD / 2));
        assert!(buffer.is_due(&limits, now + LONGEST_AHEAD));
    }

    #[test]
    fn a_position_without_rows_is_held_too() {
        let mut buffer = Buffer::<Eights>::default();
        buffer.add(chunk("a", 1, 2, 0), Instant::now()).unwrap();
        assert!(!buffer.is_empty());
        assert_eq!(buffer.take().shards[0].to_inclusive, after(2));
    }
}
