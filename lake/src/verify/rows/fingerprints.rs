//! Fingerprints: 64 bits of each position and event id, by which repeats in different partitions are suspected.
//!
//! All partitions together are too many to hold by their hashes. Their fingerprints are collected while the partitions are
//! read one by one; those of more than one partition name the rows that are then read again and compared whole. So nothing
//! rests on 64 bits: two rows that differ and have one fingerprint cost a read. Beyond the room in memory the fingerprints go
//! to temporary files without a name, in buckets by their first bits, and one bucket is sorted at a time.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _},
};

use crate::error::LakeError;

const BUCKET_BITS: u32 = 7;
const BUCKETS: usize = 1 << BUCKET_BITS;
/// Bytes of a fingerprint with its partition in a bucket.
const ENTRY: usize = 12;
/// Spreads all bits of an id over the upper half: those of a version 7 UUID begin with its time.
const SPREAD: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;

/// That of a position, by its hash.
pub(super) fn of_position(position: u128) -> u64 {
    upper(position)
}

/// That of an event id.
pub(super) fn of_id(id: u128) -> u64 {
    upper(id.wrapping_mul(SPREAD))
}

fn upper(value: u128) -> u64 {
    u64::try_from(value >> 64).unwrap_or_default()
}

/// A fingerprint, and the number of the partition that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    fingerprint: u64,
    partition: u32,
}

/// Collects the fingerprints of one kind.
#[derive(Debug)]
pub(super) struct Fingerprints {
    held: Vec<Entry>,
    /// Entries that are held in memory, at most.
    room: usize,
    /// One for each value of the first bits, once there was no room any more.
    buckets: Vec<BufWriter<File>>,
}

/// Fingerprints of more than one partition.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Suspects {
    /// Ascending.
    pub(super) fingerprints: Vec<u64>,
    /// The partitions that have one of them.
    pub(super) partitions: BTreeSet<u32>,
}

impl Fingerprints {
    pub(super) fn with_room(room: usize) -> Self {
        Self { held: Vec::new(), room: room.max(1), buckets: Vec::new() }
    }

    /// Takes in those of a partition. One that comes twice there counts once.
    pub(super) fn extend(&mut self, partition: u32, found: &[u64]) -> Result<(), LakeError> {
        for fingerprint in found {
            if self.held.len() >= self.room {
                self.spill().map_err(temporary)?;
            }
            self.held.push(Entry { fingerprint: *fingerprint, partition });
        }
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        while self.buckets.len() < BUCKETS {
            self.buckets.push(BufWriter::new(tempfile::tempfile()?));
        }
        for entry in self.held.drain(..) {
            let bucket = usize::try_from(entry.fingerprint >> (u64::BITS - BUCKET_BITS)).unwrap_or_default();
            let Some(bucket) = self.buckets.get_mut(bucket) else { continue };
            bucket.write_all(&entry.fingerprint.to_le_bytes())?;
            bucket.write_all(&entry.partition.to_le_bytes())?;
        }
        Ok(())
    }

    /// Those of more than one partition. Sorts, and reads what was put on disk: not for a thread that others wait for.
    pub(super) fn suspects(mut self) -> Result<Suspects, LakeError> {
        let mut found = Suspects::default();
        if self.buckets.is_empty() {
            found.take_in(self.held);
            return Ok(found);
        }
        self.spill().map_err(temporary)?;
        for bucket in self.buckets {
            found.take_in(entries_of(bucket).map_err(temporary)?);
        }
        Ok(found)
    }
}

impl Suspects {
    /// Those of one bucket, which come after the buckets before.
    fn take_in(&mut self, mut entries: Vec<Entry>) {
        entries.sort_unstable();
        for same in entries.chunk_by(|left, right| left.fingerprint == right.fingerprint) {
            if let (Some(first), Some(last)) = (same.first(), same.last())
                && first.partition != last.partition
            {
                self.fingerprints.push(first.fingerprint);
                self.partitions.extend(same.iter().map(|entry| entry.partition));
            }
        }
    }
}

fn entries_of(bucket: BufWriter<File>) -> io::Result<Vec<Entry>> {
    let mut file = bucket.into_inner().map_err(io::IntoInnerError::into_error)?;
    let bytes = file.stream_position()?;
    file.rewind()?;
    let count = usize::try_from(bytes).unwrap_or_default() / ENTRY;
    let mut entries = Vec::with_capacity(count);
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (mut fingerprint, mut partition) = ([0; 8], [0; 4]);
    for _ in 0..count {
        reader.read_exact(&mut fingerprint)?;
        reader.read_exact(&mut partition)?;
        entries.push(Entry { fingerprint: u64::from_le_bytes(fingerprint), partition: u32::from_le_bytes(partition) });
    }
    Ok(entries)
}

fn temporary(source: io::Error) -> LakeError {
    let path = std::env::temp_dir().display().to_string();
    LakeError::File { operation: "keep the fingerprints of rows in a temporary file in", path, source }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn suspects(room: usize) -> Suspects {
        let mut fingerprints = Fingerprints::with_room(room);
        for partition in 0..5_u32 {
            let own: Vec<u64> = (0..1_000).map(|row| of_id(u128::from(partition) * 1_000 + row)).collect();
            fingerprints.extend(partition, &own).unwrap();
        }
        // Twice in one partition is that partition's own matter.
        fingerprints.extend(4, &[of_id(4_007)]).unwrap();
        fingerprints.extend(3, &[of_id(1_500), of_id(20)]).unwrap();
        fingerprints.suspects().unwrap()
    }

    #[test]
    fn what_two_partitions_share_is_suspected() {
        let mut shared = vec![of_id(20), of_id(1_500)];
        shared.sort_unstable();
        let expected = Suspects { fingerprints: shared, partitions: BTreeSet::from([0, 1, 3]) };
        assert_eq!(suspects(usize::MAX), expected);
        for room in [1, 999, 5_002] {
            assert_eq!(suspects(room), expected, "with room for {room}");
        }
    }

    #[test]
    fn ids_of_one_moment_have_other_fingerprints() {
        let ids = (0..100_000_u128).map(|row| of_id((0x0199_0000_0000_7000 << 64) | row));
        assert_eq!(ids.collect::<BTreeSet<u64>>().len(), 100_000);
        let times = (0..100_000_u128).map(|time| of_id((time << 80) | 7));
        assert_eq!(times.collect::<BTreeSet<u64>>().len(), 100_000);
    }
}
