//! What is remembered of a partition that was read whole and found right: bound to exactly its files and to how it was
//! read. Pure.
//!
//! One line of JSON, then the fingerprints of its positions and ids, 8 bytes each, by which later partitions are held against
//! it without reading it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::file::{Within, within};
use crate::{
    checkpoint::{numbered::hex, sequence::SequenceNumber},
    verify::{files::ActiveFile, history::History, report::Found},
};

/// Changes whenever the checks of a partition do: what was remembered before is then read again.
const FORMAT: u32 = 1;
const BYTES: usize = 8;

/// What a remembered result is bound to, beside the files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Version of the contract.
    pub(crate) contract: i32,
    /// The deduplication window, seconds.
    pub(crate) window: u64,
    /// Every column was decoded.
    pub(crate) deep: bool,
}

impl Terms {
    /// The name under which the result of these files is remembered, in hexadecimal digits.
    pub(crate) fn key<'a>(&self, files: impl Iterator<Item = &'a ActiveFile>) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(bytes);
        };
        part(&FORMAT.to_le_bytes());
        part(&self.contract.to_le_bytes());
        part(&self.window.to_le_bytes());
        part(&[u8::from(self.deep)]);
        for file in files {
            part(file.name().as_bytes());
            part(&file.size.to_le_bytes());
            part(&file.rows.unwrap_or(u64::MAX).to_le_bytes());
            for (column, value) in &file.partition {
                part(column.as_bytes());
                part(value.as_deref().unwrap_or_default().as_bytes());
            }
            part(file.stamp.as_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        hex(digest.first_chunk::<16>().unwrap_or(&[0; 16]))
    }
}

/// Rows of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShardRows {
    pub(super) rows: u64,
    lowest: SequenceNumber,
    highest: SequenceNumber,
}

impl ShardRows {
    pub(super) fn new(sequence: SequenceNumber) -> Self {
        Self { rows: 1, lowest: sequence.clone(), highest: sequence }
    }

    pub(super) fn take_in(&mut self, sequence: SequenceNumber) {
        self.rows += 1;
        if sequence > self.highest {
            self.highest = sequence;
        } else if sequence < self.lowest {
            self.lowest = sequence;
        }
    }

    pub(super) fn join(&mut self, other: Self) {
        self.rows += other.rows;
        if other.highest > self.highest {
            self.highest = other.highest;
        }
        if other.lowest < self.lowest {
            self.lowest = other.lowest;
        }
    }
}

/// A partition in which nothing was at fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SealedPartition {
    format: u32,
    /// SHA-256 in lower-case hex of the whole object with this field empty.
    digest: String,
    /// What it is bound to.
    key: String,
    pub(super) files: usize,
    pub(super) rows: u64,
    pub(super) shards: BTreeMap<String, ShardRows>,
    /// Ids that it holds twice beyond the window.
    pub(super) warnings: Found,
    /// How many of each follow.
    counts: [usize; 2],
    #[serde(skip)]
    pub(super) positions: Vec<u64>,
    #[serde(skip)]
    pub(super) ids: Vec<u64>,
}

/// Why an object is not a usable result.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damaged;

impl SealedPartition {
    /// The bytes to store.
    pub(super) fn seal(&mut self, key: &str) -> Result<Vec<u8>, serde_json::Error> {
        self.format = FORMAT;
        key.clone_into(&mut self.key);
        self.digest = String::new();
        self.counts = [self.positions.len(), self.ids.len()];
        let mut fingerprints = Vec::with_capacity(BYTES * (self.positions.len() + self.ids.len()));
        for fingerprint in self.positions.iter().chain(&self.ids) {
            fingerprints.extend(fingerprint.to_le_bytes());
        }
        self.digest = digest(&serde_json::to_vec(self)?, &fingerprints);
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        bytes.append(&mut fingerprints);
        Ok(bytes)
    }

    /// Reads back and checks what should be bound to `key`.
    pub(super) fn read(bytes: &[u8], key: &str) -> Result<Self, Damaged> {
        let line = bytes.iter().position(|byte| *byte == b'\n').ok_or(Damaged)?;
        let (head, fingerprints) = bytes.split_at_checked(line).ok_or(Damaged)?;
        let fingerprints = fingerprints.get(1..).ok_or(Damaged)?;
        let mut sealed: Self = serde_json::from_slice(head).map_err(|_| Damaged)?;
        let said = std::mem::take(&mut sealed.digest);
        let found = digest(&serde_json::to_vec(&sealed).map_err(|_| Damaged)?, fingerprints);
        let [positions, ids] = sealed.counts;
        let whole = positions.checked_add(ids).and_then(|all| all.checked_mul(BYTES)) == Some(fingerprints.len());
        if found != said || sealed.format != FORMAT || sealed.key != key || !whole {
            return Err(Damaged);
        }
        let (chunks, _) = fingerprints.as_chunks::<BYTES>();
        let mut all = chunks.iter().map(|bytes| u64::from_le_bytes(*bytes));
        sealed.positions = all.by_ref().take(positions).collect();
        sealed.ids = all.collect();
        Ok(sealed)
    }

    /// Rows of shards that no document left names; `None` when some lie beyond what the documents say was committed.
    pub(super) fn unknown_rows(&self, history: &History) -> Option<u64> {
        let mut unknown = 0_u64;
        for (shard, rows) in &self.shards {
            match within(history, shard, (&rows.lowest, &rows.highest)) {
                Within::Reach => {}
                Within::Unknown => unknown = unknown.saturating_add(rows.rows),
                Within::Outside => return None,
            }
        }
        Some(unknown)
    }
}

fn digest(head: &[u8], fingerprints: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(head);
    hash.update(fingerprints);
    let bytes: [u8; 32] = hash.finalize().into();
    hex(&bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::{
        checkpoint::shard_id::ShardId,
        verify::history::{Reach, ShardHistory},
    };

    fn number(text: &str) -> SequenceNumber {
        SequenceNumber::parse(text).unwrap()
    }

    fn sealed() -> SealedPartition {
        let mut rows = ShardRows::new(number("9"));
        rows.take_in(number("10"));
        rows.take_in(number("8"));
        SealedPartition {
            files: 1,
            rows: 3,
            shards: BTreeMap::from([("shardId-0".to_owned(), rows)]),
            positions: vec![1, 2, u64::MAX],
            ids: vec![10, 13],
            ..SealedPartition::default()
        }
    }

    #[test]
    fn what_is_sealed_is_read_back() {
        let mut sealed = sealed();
        let bytes = sealed.seal("ab").unwrap();
        sealed.digest = String::new();
        assert_eq!(SealedPartition::read(&bytes, "ab"), Ok(sealed));
    }

    #[test]
    fn what_was_altered_cut_or_bound_to_others_is_refused() {
        let bytes = sealed().seal("ab").unwrap();
        assert_eq!(SealedPartition::read(&bytes, "cd"), Err(Damaged));
        for cut in 0..bytes.len() {
            assert_eq!(SealedPartition::read(&bytes[..cut], "ab"), Err(Damaged), "cut at {cut}");
        }
        for place in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[place] ^= 1;
            assert_eq!(SealedPartition::read(&altered, "ab"), Err(Damaged), "altered at {place}");
        }
    }

    #[test]
    fn rows_beyond_what_is_committed_are_not_taken_from_memory() {
        let sealed = sealed();
        let mut history = History::empty();
        assert_eq!(sealed.unknown_rows(&history), None, "no document knows the shard");
        history.reach = Reach::Pruned(7);
        assert_eq!(sealed.unknown_rows(&history), Some(3));
        for (highest, expected) in [("9", None), ("10", Some(0)), ("11", Some(0))] {
            let shard = ShardHistory { highest: Some(number(highest)), ..ShardHistory::default() };
            history.shards.insert(ShardId::from("shardId-0"), shard);
            assert_eq!(sealed.unknown_rows(&history), expected, "committed to {highest}");
        }
    }
}
