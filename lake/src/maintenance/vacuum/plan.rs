//! What may go of the files that left a table, and what is an orphan. Pure.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bluelake_schemas::Millis;
use uuid::Uuid;

use crate::{
    commit::log::{files::LogFiles, outline::VersionOutline},
    maintenance::{record::MaintenanceRecord, record_chain::MAINTENANCE},
};

/// A file of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoneFile {
    /// Path below the table.
    pub path: String,
    /// Size in bytes; 0 where it is not known.
    pub size: u64,
}

/// The oldest version that stays readable: the one that was the newest at `cutoff`. `None` when the log does not go
/// back so far. Times of a log need not rise with its versions, so what counts is the first version that is young.
pub(super) fn oldest_promised(log: &LogFiles, cutoff: Millis, newest: u64) -> Option<u64> {
    let first = *log.commits.first_key_value()?.0;
    let young = log.commits.range(..=newest).find(|(_, at)| **at > cutoff).map(|(version, _)| *version);
    let oldest = young.map_or(Some(newest), |young| young.checked_sub(1))?;
    (oldest >= first).then_some(oldest)
}

/// How far back versions stay readable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cutoff {
    /// Those that were the newest at this time or later.
    pub(super) time_travel: Millis,
    /// That of the slowest target of delivery and all after it, …
    pub(super) slowest: Option<u64>,
    /// … if they were the newest at this time or later.
    pub(super) hold: Millis,
}

impl Cutoff {
    /// The oldest version that stays readable; `None` when the log does not go back so far.
    pub(super) fn oldest(self, log: &LogFiles, newest: u64) -> Option<u64> {
        let promised = oldest_promised(log, self.time_travel, newest)?;
        let Some(slowest) = self.slowest.filter(|slowest| *slowest < promised) else { return Some(promised) };
        let first = *log.commits.first_key_value()?.0;
        let held = oldest_promised(log, self.hold, newest).map_or(slowest, |held| held.max(slowest));
        (held >= first).then_some(held.min(promised))
    }
}

/// What is known of a table's past.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The records in the chain that are not purged, newest first.
    pub(super) records: Vec<MaintenanceRecord>,
    /// The newest record that is purged.
    pub(super) purged_to: u64,
    /// Versions up to the floor, since that record.
    pub(super) below: Vec<VersionOutline>,
    /// Versions above the floor.
    pub(super) above: Vec<VersionOutline>,
    /// Files that documents give to the table and that it does not have yet.
    pub(super) coming: HashSet<String>,
    /// Files that records name which are not in the chain: a task that was killed, or is under way.
    pub(super) unsettled: HashSet<String>,
}

impl Past {
    /// The newest record whose version is not above the floor: what it and those before it took out may go.
    pub(super) fn purges_to(&self) -> u64 {
        let above = self.above.iter().find_map(|version| version.numbers.get(MAINTENANCE).copied());
        let before = |number: u64| {
            let record = self.records.iter().find(|record| record.number == number)?;
            Some(record.previous.as_ref().map_or(0, |previous| previous.number))
        };
        above.map_or(Some(self.newest()), before).map_or(self.purged_to, |number| number.max(self.purged_to))
    }

    /// Number of the newest record that is known.
    pub(super) fn newest(&self) -> u64 {
        self.records.first().map_or(self.purged_to, |record| record.number)
    }

    /// Files that left the table up to the floor and that no version from there on has, so far as versions above the
    /// floor took them out again.
    pub(super) fn retired(&self) -> BTreeMap<String, u64> {
        let purges_to = self.purges_to();
        let (old, young): (Vec<_>, Vec<_>) = self.records.iter().partition(|record| record.number <= purges_to);
        let mut retired: BTreeMap<String, u64> = BTreeMap::new();
        for version in &self.below {
            retired.extend(version.removed.iter().map(|(path, size)| (path.clone(), *size)));
        }
        for record in old {
            retired.extend(record.removed_files().map(|(path, file)| (path, file.size)));
        }
        // What was put back and taken out above the floor is of a version that is promised.
        for path in self.above.iter().flat_map(|version| version.removed.keys()) {
            retired.remove(path);
        }
        for (path, _) in young.into_iter().flat_map(MaintenanceRecord::removed_files) {
            retired.remove(&path);
        }
        retired.retain(|path, _| is_plain(path) && !self.coming.contains(path));
        retired
    }

    /// Whether something of the table's past, its present apart, still has to do with a file.
    pub(super) fn names(&self) -> HashSet<String> {
        let mut names: HashSet<String> = self.coming.union(&self.unsettled).cloned().collect();
        for version in self.below.iter().chain(&self.above) {
            names.extend(version.removed.keys().cloned());
        }
        for record in &self.records {
            names.extend(record.removed_files().map(|(path, _)| path));
            names.extend(record.added.iter().map(|file| file.path.clone()));
        }
        names
    }
}

/// Whether a path stands for one object only, however it is encoded, and lies in a partition.
pub(super) fn is_plain(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./".contains(&byte);
    let parts: Vec<&str> = path.split('/').collect();
    let is_name = |part: &&str| !part.is_empty() && part.bytes().any(|byte| byte != b'.');
    path.bytes().all(is_plain) && parts.iter().all(is_name) && !path.starts_with('_')
}

/// When the batch or task began that wrote a file, by its own clock, if the name is one of ours:
/// `<uuid>-<number>.parquet`, perhaps with what it was written as after the number, in the folder of a partition.
pub(super) fn began_at(path: &str) -> Option<Millis> {
    let (folder, name) = path.rsplit_once('/')?;
    if !is_plain(path) || !folder.split('/').all(|part| part.contains('=')) {
        return None;
    }
    let (id, rest) = name.split_at_checked(uuid::fmt::Hyphenated::LENGTH)?;
    let rest = rest.strip_prefix('-')?.strip_suffix(".parquet")?;
    let (number, role) = rest.split_once('-').unwrap_or((rest, ""));
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || !role.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
        return None;
    }
    let id = Uuid::try_parse(id).ok().filter(|id| id.get_version_num() == 7)?;
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    let millis = seconds.checked_mul(1_000)?.checked_add(u64::from(nanos / 1_000_000))?;
    i64::try_from(millis).ok().map(Millis::new)
}

/// Whether a file was written long enough ago to be an orphan: by the store's clock and by its name.
pub(super) fn is_old(path: &str, written_at: Millis, before: Millis) -> bool {
    written_at < before && began_at(path).is_some_and(|began_at| began_at < before)
}

/// Files that `active` does not have.
pub(super) fn without(files: BTreeMap<String, u64>, active: &BTreeSet<String>) -> BTreeMap<String, u64> {
    files.into_iter().filter(|(path, _)| !active.contains(path)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
