//! The files of a Delta log as the store lists them. The names ([`LogFile`]) are read without I/O.

use std::collections::BTreeMap;

use bluelake_schemas::Millis;
use deltalake::DeltaTable;
use futures::TryStreamExt as _;
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _};
use serde::Deserialize;

use crate::error::LakeError;

/// Digits of a version in a name.
const DIGITS: usize = 20;
/// Object that names a log checkpoint from which a table can be opened.
pub(crate) const HINT: &str = "_last_checkpoint";

/// What a file of a log is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFile {
    /// What a version did.
    Commit(u64),
    /// A log checkpoint in one file, as ours are.
    Checkpoint(u64),
    /// A log checkpoint of another program, or a part of it.
    OtherCheckpoint(u64),
    /// What belongs to a version otherwise.
    Other(u64),
}

impl LogFile {
    /// By the name; `None` of what belongs to no version.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let (version, ending) = name.split_once('.')?;
        let is_version = version.len() == DIGITS && version.bytes().all(|byte| byte.is_ascii_digit());
        let version = if is_version { version.parse().ok()? } else { return None };
        Some(match ending {
            "json" => Self::Commit(version),
            "checkpoint.parquet" => Self::Checkpoint(version),
            ending if ending.starts_with("checkpoint.") => Self::OtherCheckpoint(version),
            _ => Self::Other(version),
        })
    }
}

/// The files of a log, with the times at which the store wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogFiles {
    /// Of each version, what it did.
    pub(crate) commits: BTreeMap<u64, Millis>,
    /// Log checkpoints in one file.
    pub(crate) checkpoints: BTreeMap<u64, Millis>,
    /// Whether there are log checkpoints of other programs, in parts or of another form.
    pub(crate) has_others: bool,
}

impl LogFiles {
    /// Those of this version and of later ones.
    pub(crate) async fn list(name: &str, table: &DeltaTable, from: u64) -> Result<Self, LakeError> {
        let log = table.log_store();
        let store = log.object_store(None);
        let listed = match from.checked_sub(1) {
            // What follows the commit of the version before: the checkpoint of that version comes first by its name.
            Some(before) => store.list_with_offset(Some(log.log_path()), &log.log_path().clone().join(commit(before))),
            None => store.list(Some(log.log_path())),
        };
        let mut files = Self::default();
        let take_in = |files: &mut Self, meta: ObjectMeta| {
            let written_at = Millis::from(meta.last_modified);
            match meta.location.filename().and_then(LogFile::of) {
                Some(LogFile::Commit(version)) if version >= from => {
                    files.commits.insert(version, written_at);
                }
                Some(LogFile::Checkpoint(version)) if version >= from => {
                    files.checkpoints.insert(version, written_at);
                }
                Some(LogFile::OtherCheckpoint(version)) if version >= from => files.has_others = true,
                _ => {}
            }
        };
        listed
            .try_for_each(|meta| {
                take_in(&mut files, meta);
                std::future::ready(Ok(()))
            })
            .await
            .map_err(LakeError::store("list the Delta log of", name))?;
        Ok(files)
    }

    /// A version between the first that is listed and `newest` that is missing.
    pub(crate) fn gap(&self, newest: u64) -> Option<u64> {
        let first = *self.commits.first_key_value()?.0;
        (first..=newest).find(|version| !self.commits.contains_key(version))
    }
}

/// Name of what a version did.
pub(crate) fn commit(version: u64) -> String {
    format!("{version:020}.json")
}

/// Name of a log checkpoint in one file.
pub(crate) fn checkpoint(version: u64) -> String {
    format!("{version:020}.checkpoint.parquet")
}

/// Which log checkpoint a log names as its newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// It names none.
    Missing,
    /// What names it cannot be read.
    Torn,
    /// That of this version.
    Names(u64),
}

impl Hint {
    /// Reads it; the table need not be loaded.
    pub(crate) async fn read(name: &str, table: &DeltaTable) -> Result<Self, LakeError> {
        #[derive(Deserialize)]
        struct Named {
            version: u64,
        }
        let log = table.log_store();
        let failed = || LakeError::store("read the name of the last log checkpoint of", name);
        let bytes = match log.object_store(None).get(&log.log_path().clone().join(HINT)).await {
            Ok(found) => found.bytes().await.map_err(failed())?,
            Err(object_store::Error::NotFound { .. }) => return Ok(Self::Missing),
            Err(error) => return Err(failed()(error)),
        };
        Ok(serde_json::from_slice::<Named>(&bytes).map_or(Self::Torn, |named| Self::Names(named.version)))
    }

    /// The version that it names.
    pub(crate) fn version(self) -> Option<u64> {
        match self {
            Self::Names(version) => Some(version),
            Self::Missing | Self::Torn => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_file_is_known_by_its_name() {
        for (name, file) in [
            ("00000000000000000012.json", Some(LogFile::Commit(12))),
            ("00000000000000000012.checkpoint.parquet", Some(LogFile::Checkpoint(12))),
            ("00000000000000000012.checkpoint.0000000001.0000000002.parquet", Some(LogFile::OtherCheckpoint(12))),
            ("00000000000000000012.crc", Some(LogFile::Other(12))),
            ("_last_checkpoint", None),
            ("12.json", None),
            ("+0000000000000000012.json", None),
            ("99999999999999999999.json", None),
            ("00000000000000000012", None),
        ] {
            assert_eq!(LogFile::of(name), file, "{name}");
        }
    }

    #[test]
    fn a_version_that_is_not_listed_is_found() {
        let of = |versions: &[u64]| LogFiles {
            commits: versions.iter().map(|version| (*version, Millis::new(0))).collect(),
            ..LogFiles::default()
        };
        assert_eq!(of(&[3, 4, 5]).gap(5), None);
        assert_eq!(of(&[3, 4, 5]).gap(6), Some(6));
        assert_eq!(of(&[3, 5]).gap(5), Some(4));
        assert_eq!(of(&[]).gap(5), None);
    }
}
