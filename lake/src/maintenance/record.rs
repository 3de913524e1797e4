//! The maintenance record: the files that a task removed from a table and added to it, in numbered, immutable, chained
//! JSON objects beside the table's data. The table's own `txn` names the one in force. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use bluelake_schemas::{Millis, Stream};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    checkpoint::{
        data_file::DataFile,
        numbered::{self, DocumentFault, Numbered, Predecessor},
    },
    error::LakeError,
};

/// The version of the record's format that this code writes. It also reads earlier ones.
pub(crate) const RECORD_FORMAT: u32 = 1;

/// What a task is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TaskKind {
    /// Rows move to other files.
    Compact,
    /// Rows of erased persons are changed or removed.
    Erase {
        /// The request.
        request: Uuid,
    },
    /// Rows of days before this one are removed.
    Expire {
        /// The first day that stays.
        before: NaiveDate,
    },
    /// Rows of `rejected_events` that a batch repaired are removed.
    Repair {
        /// The batch.
        batch: Uuid,
    },
    /// The change of a version of the table is undone.
    Undo {
        /// The version.
        version: u64,
        /// The record that the version put in force; `None`: another program made the version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        record: Option<u64>,
    },
    /// An erasure claims partitions, or renews its claim. Changes no file.
    Claim(Claim),
    /// An erasure returns its claim. Changes no file.
    Release {
        /// The request that claimed.
        request: Uuid,
    },
    /// Older versions are no longer promised, and records up to a number are purged. Changes no file.
    Floor {
        /// The oldest readable version.
        readable_from: u64,
        /// The newest record whose removed files were deleted.
        purged_to: u64,
    },
}

impl TaskKind {
    /// Name of an undo.
    pub(crate) const UNDO: &'static str = "undo";

    /// The kind alone, for messages and the Delta log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Erase { .. } => "erase",
            Self::Expire { .. } => "expire",
            Self::Repair { .. } => "repair",
            Self::Undo { .. } => Self::UNDO,
            Self::Claim(_) => "claim",
            Self::Release { .. } => "release",
            Self::Floor { .. } => "floor",
        }
    }

    /// The version that a task of this kind undoes.
    pub(crate) fn undone_version(&self) -> Option<u64> {
        match self {
            Self::Undo { version, .. } => Some(*version),
            _ => None,
        }
    }

    /// Whether a task of this kind changes files.
    #[must_use]
    pub fn changes_files(&self) -> bool {
        !matches!(self, Self::Claim(_) | Self::Release { .. } | Self::Floor { .. })
    }
}

/// Partitions that an erasure reserves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The request.
    pub request: Uuid,
    /// Folders below the table; `None`: all.
    pub partitions: Option<BTreeSet<String>>,
    /// When it lapses, by the store's clock. Each commit of the request extends it.
    pub until: Millis,
}

/// A file that left the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemovedFile {
    /// Name below the folder of its partition.
    pub name: String,
    /// Rows, as in the footer.
    pub rows: u64,
    /// Size in bytes.
    pub size: u64,
}

/// Rows of one stream in the files of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowChange {
    /// Rows in the files that it removes.
    pub before: u64,
    /// Rows in the files that it adds.
    pub after: u64,
}

/// The sum of the 128-bit hashes of rows: equal for equal rows in any order and any files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ContentDigest(u128);

/// A text that is not a [`ContentDigest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest of content has 32 lower-case hexadecimal digits")]
pub struct NotAContentDigest;

impl ContentDigest {
    /// The digest of this sum of row hashes.
    #[must_use]
    pub const fn new(sum: u128) -> Self {
        Self(sum)
    }

    /// The sum of row hashes.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for ContentDigest {
    type Err = NotAContentDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digest = u128::from_str_radix(text, 16).map(Self).map_err(|_| NotAContentDigest)?;
        if digest.to_string() == text { Ok(digest) } else { Err(NotAContentDigest) }
    }
}

impl From<ContentDigest> for String {
    fn from(digest: ContentDigest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for ContentDigest {
    type Error = NotAContentDigest;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// The content of the files of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentChange {
    /// Of the files that it removes.
    pub before: ContentDigest,
    /// Of the files that it adds, as read back.
    pub after: ContentDigest,
}

/// Rows of one stream that left the table so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowsLeft {
    /// By erasures.
    pub erased: u64,
    /// By expiry, less undone expiries.
    pub expired: u64,
    /// By repairs.
    pub repaired: u64,
}

impl RowsLeft {
    /// All of them; `None` on overflow.
    #[must_use]
    pub fn sum(&self) -> Option<u64> {
        self.erased.checked_add(self.expired)?.checked_add(self.repaired)
    }
}

/// The counts of all tasks of the table so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskCounts {
    /// Tasks that changed files.
    pub tasks: u64,
    /// Files that they removed.
    pub files_removed: u64,
    /// Files that they added.
    pub files_added: u64,
    /// Bytes of the files removed.
    pub bytes_removed: u64,
    /// Bytes of the files added.
    pub bytes_added: u64,
    /// Rows that left, by stream.
    pub rows_left: BTreeMap<Stream, RowsLeft>,
}

/// The facts that hold from record to record until one changes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The oldest Delta version that is promised to be readable.
    pub readable_from: u64,
    /// Rows of days before this one may be missing: they expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_before: Option<NaiveDate>,
    /// The newest record whose removed files were deleted.
    pub purged_to: u64,
    /// An erasure that is not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

/// One record of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceRecord {
    /// Format version.
    pub format: u32,
    /// SHA-256 in lower-case hex of the record's JSON with this field empty.
    pub digest: String,
    /// Its number.
    pub number: u64,
    /// The record that it builds on; `None` for the first.
    pub previous: Option<Predecessor>,
    /// The task (UUIDv7); part of the name of every file that it wrote.
    pub task: Uuid,
    /// What the task is for.
    pub kind: TaskKind,
    /// Who did it.
    pub worker: String,
    /// Version of Bluelake that wrote the record.
    pub bluelake_version: String,
    /// Delta version that the task was planned on.
    pub planned_on: u64,
    /// By the store's clock: when the task began.
    pub began_at: Millis,
    /// Erasure epochs of the streams' documents.
    pub erasure_epochs: BTreeMap<Stream, u64>,
    /// Folder of a partition → files that left it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub removed: BTreeMap<String, Vec<RemovedFile>>,
    /// Files that came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<DataFile>,
    /// Rows in these files, by stream.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rows: BTreeMap<Stream, RowChange>,
    /// The content of these files, if it was added up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentChange>,
    /// The counts so far, this record included.
    pub counts: TaskCounts,
    /// What holds from here on.
    pub standing: Standing,
}

impl MaintenanceRecord {
    /// Sets the digest and gives the bytes to store.
    ///
    /// # Errors
    /// When the record cannot be written as JSON.
    pub fn seal(&mut self) -> Result<Vec<u8>, serde_json::Error> {
        numbered::seal(self)
    }

    /// Reads and checks a stored record that should have `number`.
    ///
    /// # Errors
    /// A [`DocumentFault`] that says which check failed.
    pub fn read(bytes: &[u8], number: u64) -> Result<Self, DocumentFault> {
        numbered::read(bytes, number)
    }

    /// Whether it changes the number of rows of a stream.
    #[must_use]
    pub fn changes_rows(&self) -> bool {
        self.rows.values().any(|rows| rows.before != rows.after)
    }

    /// The files that left, by their paths below the table.
    pub fn removed_files(&self) -> impl Iterator<Item = (String, &RemovedFile)> {
        self.removed.iter().flat_map(|(folder, files)| {
            files.iter().map(move |file| {
                let path = if folder.is_empty() { file.name.clone() } else { format!("{folder}/{}", file.name) };
                (path, file)
            })
        })
    }
}

impl Numbered for MaintenanceRecord {
    const NAME: &'static str = "maintenance record";
    const FORMAT: u32 = RECORD_FORMAT;

    fn number(&self) -> u64 {
        self.number
    }

    fn previous(&self) -> Option<&Predecessor> {
        self.previous.as_ref()
    }

    fn commits(&self) -> Uuid {
        self.task
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn digest_mut(&mut self) -> &mut String {
        &mut self.digest
    }

    fn renumber(&mut self, number: u64) {
        self.number = number;
    }

    fn fault(path: String, reason: String) -> LakeError {
        LakeError::Record { path, reason }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(kind: TaskKind, count: u64) -> MaintenanceRecord {
        let stream = Stream::TransactionEvents;
        let removed = RemovedFile { name: "a.parquet".to_owned(), rows: count, size: 3 };
        MaintenanceRecord {
            format: RECORD_FORMAT,
            digest: String::new(),
            number: 3,
            previous: (count > 0).then(|| Predecessor { number: 2, digest: "ab".to_owned() }),
            task: Uuid::from_u128(count.into()),
            kind,
            worker: "w".to_owned(),
            bluelake_version: "0.1.0".to_owned(),
            planned_on: count,
            began_at: Millis::new(5),
            erasure_epochs: BTreeMap::from([(stream, 1)]),
            removed: BTreeMap::from([("event_type=x/event_date=y".to_owned(), vec![removed])]),
            added: Vec::new(),
            rows: BTreeMap::from([(stream, RowChange { before: count, after: 0 })]),
            content: Some(ContentChange {
                before: ContentDigest::new(u128::from(count) << 70),
                after: ContentDigest::default(),
            }),
            counts: TaskCounts {
                tasks: 1,
                rows_left: BTreeMap::from([(stream, RowsLeft { erased: count, expired: 1, repaired: 2 })]),
                ..TaskCounts::default()
            },
            standing: Standing {
                readable_from: count,
                expired_before: NaiveDate::from_ymd_opt(2026, 1, 2),
                purged_to: 1,
                claim: None,
            },
        }
    }

    fn kinds() -> impl Strategy<Value = TaskKind> {
        let id = any::<u128>().prop_map(Uuid::from_u128);
        let claim = (any::<u128>(), proptest::option::of(proptest::collection::btree_set("\\PC{0,9}", 0..3)));
        let claim = claim.prop_map(|(request, partitions)| {
            let request = Uuid::from_u128(request);
            TaskKind::Claim(Claim { request, partitions, until: Millis::new(9) })
        });
        prop_oneof![
            Just(TaskKind::Compact),
            id.clone().prop_map(|request| TaskKind::Erase { request }),
            Just(TaskKind::Expire { before: NaiveDate::default() }),
            id.clone().prop_map(|batch| TaskKind::Repair { batch }),
            any::<(u64, Option<u64>)>().prop_map(|(version, record)| TaskKind::Undo { version, record }),
            claim,
            id.prop_map(|request| TaskKind::Release { request }),
            any::<(u64, u64)>().prop_map(|(readable_from, purged_to)| TaskKind::Floor { readable_from, purged_to }),
        ]
    }

    proptest! {
        #[test]
        fn a_record_that_is_sealed_is_read_back(kind in kinds(), count in any::<u32>()) {
            let mut record = record(kind, count.into());
            let bytes = record.seal().unwrap();
            prop_assert_eq!(MaintenanceRecord::read(&bytes, 3), Ok(record));
        }
    }

    #[test]
    fn an_altered_misplaced_or_newer_record_is_refused() {
        let mut record = record(TaskKind::Compact, 7);
        let text = String::from_utf8(record.seal().unwrap()).unwrap();
        let read = |text: &str, number| MaintenanceRecord::read(text.as_bytes(), number);
        assert_eq!(read(&text.replace("\"rows\": 7", "\"rows\": 8"), 3), Err(DocumentFault::Altered));
        assert_eq!(read(&text, 4), Err(DocumentFault::Misplaced { found: 3 }));
        let newer = text.replace("\"format\": 1", "\"format\": 2");
        assert_eq!(read(&newer, 3), Err(DocumentFault::UnknownFormat { found: 2, known: 1 }));
        let unknown = text.replacen('{', "{\"more\": 1,", 1);
        assert!(matches!(read(&unknown, 3), Err(DocumentFault::Malformed { name: "maintenance record", .. })));
    }

    #[test]
    fn removed_files_have_the_paths_that_they_had() {
        let record = record(TaskKind::Compact, 7);
        let paths: Vec<String> = record.removed_files().map(|(path, _)| path).collect();
        assert_eq!(paths, ["event_type=x/event_date=y/a.parquet"]);
    }

    #[test]
    fn a_content_digest_has_one_spelling() {
        let digest = ContentDigest::new(0xAB);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for wrong in ["", "ab", "000000000000000000000000000000AB", "+00000000000000000000000000000ab"] {
            assert_eq!(wrong.parse::<ContentDigest>(), Err(NotAContentDigest), "{wrong}");
        }
    }
}
