//! The checkpoint document: the progress of a table in each shard of its stream, in numbered, immutable, chained JSON
//! documents. Pure: builds, checks and reads bytes; no I/O.

mod stored;

use std::{collections::BTreeMap, fmt};

use bluelake_schemas::{Micros, Millis};
use chrono::{NaiveDate, SecondsFormat};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use stored::Stored;

use crate::{
    checkpoint::{
        data_file::DataFile,
        numbered::{self, DocumentFault, Numbered, Predecessor},
        sequence::SequenceNumber,
        shard_id::ShardId,
        totals::{ControlTotals, Repaired},
    },
    error::LakeError,
};

/// The version of the document's format that this code writes. It also reads earlier ones, which lack fields.
pub(crate) const DOCUMENT_FORMAT: u32 = 5;

/// How far a shard is in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Pinned at the oldest record that Kinesis holds, before any commit.
    TrimHorizon,
    /// Pinned at an arrival time, before any commit.
    AtTimestamp(Millis),
    /// Every record up to and including this one is committed.
    After(SequenceNumber),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrimHorizon => f.write_str("the oldest record"),
            Self::AtTimestamp(time) => match time.time() {
                Some(time) => write!(f, "{}", time.to_rfc3339_opts(SecondsFormat::Millis, true)),
                None => write!(f, "{time:?}"),
            },
            Self::After(sequence) => write!(f, "record {sequence}"),
        }
    }
}

impl Position {
    /// Whether a move from `self` to `other` goes forward or stays.
    #[must_use]
    pub fn reaches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::After(from), Self::After(to)) => from <= to,
            (Self::After(_), _) => false,
            (_, Self::After(_)) => true,
            (left, right) => left == right,
        }
    }
}

/// A shard's state in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardState {
    /// The shard's StartingSequenceNumber; with the shard id it identifies the incarnation.
    pub starting_sequence: SequenceNumber,
    /// Shard ids of the parents: none, one after a split, two after a merge.
    pub parents: Vec<ShardId>,
    /// How far the shard is committed.
    pub position: Position,
    /// The shard is closed and everything in it is committed.
    pub ended: bool,
    /// Arrival time of the newest committed record.
    pub arrived_at: Option<Micros>,
    /// When the shard was last known to be drained. For a child just pinned, the time up to which its parents were
    /// known.
    pub drained_at: Option<Millis>,
    /// The time from which the shard's age counts while nothing newer is known: its pin, the pin of its ancestors, or
    /// the acceptance of a gap. Earlier records may still be unread. `None` in documents of format 1 and 2, which have
    /// that time in `drained_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_at: Option<Millis>,
    /// Control totals since the pin.
    pub totals: ControlTotals,
}

/// The range that one commit took from one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRange {
    /// Shard id.
    pub shard: ShardId,
    /// The state that the batch started from; `None` for the commit that pins the start.
    pub from_exclusive: Option<Position>,
    /// The state that it reached.
    pub to_inclusive: Position,
    /// Control totals of the range.
    pub counts: ControlTotals,
}

/// How records came to be discarded unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// The position is older than the stream's retention.
    Retention,
    /// The shard left the stream before it was read to its end.
    Vanished,
}

/// Records of a shard or its descendants that Kinesis may have discarded before they were read. The shard stands still
/// until the gap is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// Shard id.
    pub shard: ShardId,
    /// StartingSequenceNumber of the incarnation.
    pub starting_sequence: SequenceNumber,
    /// Everything up to here is committed.
    pub after: Position,
    /// Records that arrived after this time may be missing; `None`: since the shard began.
    pub from: Option<Millis>,
    /// Records that arrived before this time may be missing; `None`: to the shard's end. For an accepted gap this is
    /// the moment of acceptance: records unread by then may be discarded before they are read.
    pub until: Option<Millis>,
    /// When it was found.
    pub found_at: Millis,
    /// How it came about.
    pub cause: GapCause,
    /// An operator let the shard go on (`--on-gap continue`).
    pub accepted: bool,
}

/// Part of an archived object that a backfill brought in: bytes `from` to `to`, exclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveRange {
    /// The object's URL or path.
    pub object: String,
    /// Version id; the ETag if the bucket has no versions; size and time for a file.
    pub version: String,
    /// First byte (of the decompressed content).
    pub from: u64,
    /// Byte after the last.
    pub to: u64,
    /// The object was read to its end.
    pub ended: bool,
    /// Control totals of the range.
    pub counts: ControlTotals,
}

/// The shard of the rows of an archived object. Their sequence number is the first byte of their record.
#[must_use]
pub fn archive_shard(object: &str, version: &str) -> ShardId {
    format!("archive:{object}#{version}").into()
}

impl ArchiveRange {
    /// The shard of the object's rows.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        archive_shard(&self.object, &self.version)
    }
}

/// The part of a shard whose records are in an object of the raw archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRange {
    /// Shard id.
    pub shard: ShardId,
    /// As of [`ShardRange`].
    pub from_exclusive: Option<Position>,
    /// As of [`ShardRange`].
    pub to_inclusive: Position,
}

/// An object of the raw archive: the records of a commit as they came. An object without a document is an orphan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawObject {
    /// Path below the archive; it holds the batch id.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 in lower-case hex of its bytes.
    pub sha256: String,
    /// Whose records it holds.
    pub ranges: Vec<RawRange>,
}

/// Names the Parquet file with the positions of the rejected events that a commit repaired and that left
/// `rejected_events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepairSidecar {
    /// Path below the folder of the documents.
    pub path: String,
    /// SHA-256 in lower-case hex of its bytes.
    pub sha256: String,
}

/// The identity of a document: its number, its writer and its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Format version; [`DOCUMENT_FORMAT`].
    pub format: u32,
    /// SHA-256 in lower-case hex of the document's JSON with this field empty.
    pub digest: String,
    /// Its number.
    pub number: u64,
    /// The document that it builds on; `None` for the first.
    pub previous: Option<Predecessor>,
    /// The batch that it commits.
    pub batch_id: Uuid,
    /// The worker that wrote it.
    pub worker: String,
    /// Version of Bluelake that wrote it.
    pub bluelake_version: String,
    /// Version of the contract that judged the events.
    pub contract_version: i32,
    /// The stream's ARN; empty before its first commit, when only backfills wrote.
    pub stream_arn: String,
    /// When the stream was created; `None` in documents before format 4, and if the server does not say so.
    pub stream_created_at: Option<Millis>,
    /// Rises with each erasure; an earlier batch cannot land after it.
    pub erasure_epoch: u64,
    /// The newest entry of the registry of erased persons that the epoch covers; 0: none.
    pub erasure_registry: u64,
}

/// The facts of one commit; later documents do not repeat them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The range that this commit took from each of its shards.
    pub ranges: Vec<ShardRange>,
    /// Files that this batch gives to `rejected_events`.
    pub rejected_files: Vec<DataFile>,
    /// Parts of archived objects that this commit brought in.
    pub archive_ranges: Vec<ArchiveRange>,
    /// Objects of the raw archive that hold this commit's records.
    pub archived: Vec<RawObject>,
    /// The rejected events that this commit repaired.
    pub repair: Option<RepairSidecar>,
    /// The maintenance record whose rows this commit added or removed, in the same Delta version.
    pub maintenance: Option<Predecessor>,
}

/// The counts so far, beside the totals of the shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Totals of shards that left the stream.
    pub retired: ControlTotals,
    /// Totals that replays and backfills added: their rows move no shard's position.
    pub supplemented: ControlTotals,
    /// Commits of replays and backfills so far: one of them is fenced by any other.
    pub supplements: u64,
    /// Rows erased so far.
    pub erased: u64,
    /// Rows expired so far.
    pub expired: u64,
    /// Rejected events that were repaired so far. The totals of the shards still count them as rejected.
    pub repaired: Repaired,
    /// Rows of days before this one may be missing: they expired.
    pub expired_before: Option<NaiveDate>,
}

/// Links to earlier documents with facts that this one lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The newest document up to this one that has such files.
    pub last_rejected: Option<u64>,
    /// The newest document up to this one that has archive ranges. Those are never pruned.
    pub last_archive: Option<u64>,
    /// `last_archive` of the document that this one builds on, so that the chain of archive ranges can be followed
    /// alone.
    pub previous_archive: Option<u64>,
    /// The newest document up to this one that repaired rejected events. Those are never pruned.
    pub last_repair: Option<u64>,
    /// `last_repair` of the document that this one builds on.
    pub previous_repair: Option<u64>,
}

/// One document of the chain. In JSON its parts are one flat object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct CheckpointDocument {
    /// Which document this is.
    pub head: Head,
    /// State of every shard.
    pub shards: BTreeMap<ShardId, ShardState>,
    /// What its commit did.
    pub commit: Commit,
    /// What was counted so far.
    pub tally: Tally,
    /// Every gap found so far; those not accepted stop their shards.
    pub gaps: Vec<Gap>,
    /// Links to earlier documents.
    pub links: Links,
}

impl CheckpointDocument {
    /// The empty document: no shard, no row, no document before it.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            head: Head {
                format: DOCUMENT_FORMAT,
                digest: String::new(),
                number: 0,
                previous: None,
                batch_id: Uuid::nil(),
                worker: String::new(),
                bluelake_version: String::new(),
                contract_version: 0,
                stream_arn: String::new(),
                stream_created_at: None,
                erasure_epoch: 0,
                erasure_registry: 0,
            },
            shards: BTreeMap::new(),
            commit: Commit::default(),
            tally: Tally::default(),
            gaps: Vec::new(),
            links: Links::default(),
        }
    }

    /// The sum of the control totals of all shards, retired ones included, and of replays and backfills. Repaired
    /// events count by their new outcome.
    #[must_use]
    pub fn totals(&self) -> ControlTotals {
        let mut sum = self.tally.retired;
        sum += self.tally.supplemented;
        for shard in self.shards.values() {
            sum += shard.totals;
        }
        // `lake verify` names a document in which more were repaired than rejected.
        self.tally.repaired.applied_to(&sum).unwrap_or(sum)
    }

    /// Rows that the event table must hold: stored − erased − expired; `None` if that is negative.
    #[must_use]
    pub fn expected_rows(&self) -> Option<u64> {
        self.totals().stored.checked_sub(self.tally.erased)?.checked_sub(self.tally.expired)
    }

    /// Events rejected so far, repaired ones included: all rows that were added to `rejected_events`.
    #[must_use]
    pub fn rejected_so_far(&self) -> u64 {
        let shards = self.shards.values().map(|state| &state.totals);
        let all = shards.chain([&self.tally.retired, &self.tally.supplemented]);
        all.map(|totals| totals.rejected).fold(0, u64::saturating_add)
    }

    /// The gap that stops a shard, if there is one.
    #[must_use]
    pub fn open_gap(&self, shard: &str) -> Option<&Gap> {
        self.gaps.iter().find(|gap| gap.shard.as_str() == shard && !gap.accepted)
    }

    /// Sets the digest and gives the bytes to store.
    ///
    /// # Errors
    /// When the document cannot be written as JSON.
    pub fn seal(&mut self) -> Result<Vec<u8>, serde_json::Error> {
        numbered::seal(self)
    }

    /// Reads and checks a stored document that should have `number`.
    ///
    /// # Errors
    /// A [`DocumentFault`] that says which check failed.
    pub fn read(bytes: &[u8], number: u64) -> Result<Self, DocumentFault> {
        numbered::read(bytes, number)
    }
}

impl Numbered for CheckpointDocument {
    const NAME: &'static str = "checkpoint document";
    const FORMAT: u32 = DOCUMENT_FORMAT;

    fn number(&self) -> u64 {
        self.head.number
    }

    fn previous(&self) -> Option<&Predecessor> {
        self.head.previous.as_ref()
    }

    fn commits(&self) -> Uuid {
        self.head.batch_id
    }

    fn digest(&self) -> &str {
        &self.head.digest
    }

    fn digest_mut(&mut self) -> &mut String {
        &mut self.head.digest
    }

    fn renumber(&mut self, number: u64) {
        let own = self.head.number;
        let Links { last_rejected, last_archive, last_repair, .. } = &mut self.links;
        for link in [last_rejected, last_archive, last_repair] {
            *link = if *link == Some(own) { Some(number) } else { *link };
        }
        self.head.number = number;
    }

    fn fault(path: String, reason: String) -> LakeError {
        LakeError::Document { path, reason }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
