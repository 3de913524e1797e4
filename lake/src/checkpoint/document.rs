//! The checkpoint document: how far a table has each shard of its stream, in numbered, immutable,
//! chained JSON documents. Pure: building, checking and reading bytes; no I/O.

mod stored;

use std::{collections::BTreeMap, fmt};

use bluelake_schemas::{Micros, Millis};
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use stored::Stored;

use crate::checkpoint::{data_file::DataFile, sequence::SequenceNumber, shard_id::ShardId, totals::ControlTotals};

/// Version of the document's format that this code writes. It reads this one and those before it, which lack fields.
pub(crate) const DOCUMENT_FORMAT: u32 = 4;

/// How far a shard is in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Pinned at the oldest record that Kinesis holds; nothing is committed yet.
    TrimHorizon,
    /// Pinned at an arrival time; nothing is committed yet.
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
    /// Whether moving from `self` to `other` goes forward or stays.
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
    /// When it was last known that nothing unread lay behind: the shard was seen drained; of a child that was just pinned, what
    /// was known of its parents.
    pub drained_at: Option<Millis>,
    /// From when the shard's age counts while nothing newer of it is known: its pin, or that of the ancestors that it follows,
    /// or the acceptance of a gap. What lay there before may still be unread. `None` in documents of
    /// format 1 and 2, which have that in `drained_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_at: Option<Millis>,
    /// Control totals since the pin.
    pub totals: ControlTotals,
}

/// What one commit took from one shard.
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

/// Records that Kinesis may have discarded before they were read, of a shard or of those that follow from it. The shard
/// stands still until the gap is accepted.
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
    /// Records that arrived before this time may be missing; `None`: to the shard's end.
    /// When the gap is accepted, that moment: what was unread then may be discarded before it is read.
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
    /// Version id, or ETag where the bucket has no versions, or size and time of a file.
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

/// What the rows of an archived object have for a shard; their sequence number is the byte at which their record begins.
#[must_use]
pub fn archive_shard(object: &str, version: &str) -> ShardId {
    format!("archive:{object}#{version}").into()
}

impl ArchiveRange {
    /// What the rows of the object have for a shard.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        archive_shard(&self.object, &self.version)
    }
}

/// Points at the document that another builds on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// Its number.
    pub number: u64,
    /// Its digest.
    pub digest: String,
}

impl Predecessor {
    /// Points at a document.
    #[must_use]
    pub fn of(document: &CheckpointDocument) -> Self {
        Self { number: document.head.number, digest: document.head.digest.clone() }
    }
}

/// Which document this is, who wrote it, and of which stream it tells.
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
    /// When the stream was created; `None` in documents before format 4, and where the server does
    /// not say it.
    pub stream_created_at: Option<Millis>,
    /// Rises with each erasure; a batch from before cannot land after.
    pub erasure_epoch: u64,
}

/// What the commit of a document did, and no later document repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// What this commit took from each of its shards.
    pub ranges: Vec<ShardRange>,
    /// Files that this batch gives to `rejected_events`.
    pub rejected_files: Vec<DataFile>,
    /// Parts of archived objects that this commit brought in.
    pub archive_ranges: Vec<ArchiveRange>,
}

/// What was counted so far, beside the totals of the shards.
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
}

/// Where earlier documents are that hold what this one does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The newest document up to this one that has such files.
    pub last_rejected: Option<u64>,
    /// The newest document up to this one that has archive ranges. Those are never pruned.
    pub last_archive: Option<u64>,
    /// `last_archive` of the document that this one builds on: the chain of archive ranges can be followed with nothing else.
    pub previous_archive: Option<u64>,
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
    /// Earlier documents that matter to it.
    pub links: Links,
}

/// Why bytes are not a usable document. Never quotes their content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentFault {
    /// It was written by a newer version.
    #[error(
        "format {found} is not known to this version (it knows 1 to {DOCUMENT_FORMAT}); use the newer Bluelake that wrote it"
    )]
    UnknownFormat {
        /// The format that the document names.
        found: u64,
    },
    /// It is no document at all.
    #[error("it is not a checkpoint document ({0})")]
    Malformed(String),
    /// Its digest does not match its content.
    #[error("its digest does not match its content: it was altered after it was written")]
    Altered,
    /// It stands under another number.
    #[error("it says that it is number {found}")]
    Misplaced {
        /// The number inside.
        found: u64,
    },
}

impl CheckpointDocument {
    /// A document that says nothing yet: no shard, no row, no document before it.
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
            },
            shards: BTreeMap::new(),
            commit: Commit::default(),
            tally: Tally::default(),
            gaps: Vec::new(),
            links: Links::default(),
        }
    }

    /// Sum of the control totals of all shards, with those retired, and of replays and backfills.
    #[must_use]
    pub fn totals(&self) -> ControlTotals {
        let mut sum = self.tally.retired;
        sum += self.tally.supplemented;
        for shard in self.shards.values() {
            sum += shard.totals;
        }
        sum
    }

    /// Rows that the event table must hold: stored − erased − expired; `None` if that is negative.
    #[must_use]
    pub fn expected_rows(&self) -> Option<u64> {
        self.totals().stored.checked_sub(self.tally.erased)?.checked_sub(self.tally.expired)
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
        self.head.digest = self.computed_digest()?;
        serde_json::to_vec_pretty(self)
    }

    /// Reads and checks a stored document that should have `number`.
    ///
    /// # Errors
    /// A [`DocumentFault`] that says which check failed.
    pub fn read(bytes: &[u8], number: u64) -> Result<Self, DocumentFault> {
        #[derive(Deserialize)]
        struct Version {
            format: u64,
        }
        let malformed = |error: serde_json::Error| {
            DocumentFault::Malformed(format!("line {} column {}", error.line(), error.column()))
        };
        let version: Version = serde_json::from_slice(bytes).map_err(malformed)?;
        if !(1..=u64::from(DOCUMENT_FORMAT)).contains(&version.format) {
            return Err(DocumentFault::UnknownFormat { found: version.format });
        }
        let document: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        if document.computed_digest().map_err(malformed)? != document.head.digest {
            return Err(DocumentFault::Altered);
        }
        if document.head.number != number {
            return Err(DocumentFault::Misplaced { found: document.head.number });
        }
        Ok(document)
    }

    fn computed_digest(&self) -> Result<String, serde_json::Error> {
        let mut unsigned = self.clone();
        unsigned.head.digest.clear();
        let hash = Sha256::digest(serde_json::to_vec(&unsigned)?);
        Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
