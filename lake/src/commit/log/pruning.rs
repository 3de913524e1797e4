//! Which files of a Delta log may go: those that are older than its retention and lie before a log checkpoint that was
//! opened and found whole; and of the log checkpoints themselves, which are most of its bytes, all but one an hour.
//! What may go ([`Prunable`]) is decided without I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bluelake_schemas::Millis;
use deltalake::DeltaTable;
use futures::StreamExt as _;
use object_store::ObjectStore as _;

use super::{
    checkpoint::files_of,
    files::{Hint, LogFiles, checkpoint, commit},
    outline,
};
use crate::error::LakeError;

/// Log checkpoints are left alone for so long.
const ALL_FOR: Duration = Duration::from_secs(24 * 3600);
/// Of older ones so many milliseconds keep one.
const HOUR: i64 = 3_600_000;
/// The newest of them stay, whatever their age: the table is opened from one of them.
const NEWEST: usize = 2;

/// Files of a log that may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prunable {
    /// The log checkpoint that what is before it gives way to, if that is whole.
    pub(crate) gives_way_to: Option<u64>,
    /// Commits before it.
    pub(crate) commits: Vec<u64>,
    /// Log checkpoints before it.
    pub(crate) checkpoints: Vec<u64>,
    /// Log checkpoints between two others that every version can be read without.
    pub(crate) thinned: Vec<u64>,
}

impl Prunable {
    /// `named` is the log checkpoint that the log names; `older_than` is the bound of its retention.
    pub(crate) fn of(files: &LogFiles, named: Option<u64>, older_than: Millis, now: Millis) -> Self {
        let mut found = Self { thinned: thinned(files, named, now), ..Self::default() };
        let times = files.commits.iter().chain(&files.checkpoints);
        let young = times.filter(|(_, at)| **at >= older_than).map(|(version, _)| *version).min();
        let stays = young.or_else(|| files.commits.last_key_value().map(|(version, _)| *version));
        let safe = stays.and_then(|stays| files.checkpoints.range(..=stays).next_back()).map(|(version, _)| *version);
        if let Some(safe) = safe {
            let before = |files: &BTreeMap<u64, Millis>| files.range(..safe).map(|(version, _)| *version).collect();
            (found.commits, found.checkpoints) = (before(&files.commits), before(&files.checkpoints));
            if !found.commits.is_empty() || !found.checkpoints.is_empty() {
                found.gives_way_to = Some(safe);
            }
            found.thinned.retain(|version| *version > safe);
        }
        found
    }
}

/// Log checkpoints that may go. One stays for each hour, and all of a day; the newest two, the one that the log names,
/// and the oldest, before which there may be nothing left; and one after which a version could not be read from the one
/// before.
fn thinned(files: &LogFiles, named: Option<u64>, now: Millis) -> Vec<u64> {
    let bound = now.earlier(ALL_FOR);
    let newest: BTreeSet<u64> = files.checkpoints.keys().rev().take(NEWEST).copied().collect();
    let (mut hours, mut before, mut thinned) = (BTreeSet::new(), None, Vec::new());
    for (version, at) in &files.checkpoints {
        let is_first_of_its_hour = hours.insert(at.get().div_euclid(HOUR));
        let stays = *at >= bound || newest.contains(version) || named == Some(*version) || is_first_of_its_hour;
        let can_be_read = |before: u64| (before + 1..=*version).all(|version| files.commits.contains_key(&version));
        if stays || !before.is_some_and(can_be_read) {
            before = Some(*version);
        } else {
            thinned.push(*version);
        }
    }
    thinned
}

/// Deletes files of a log that may go, and says how many. What lies before a log checkpoint goes only if that can be
/// opened and has as many files as the table had then.
pub(crate) async fn prune(name: &str, table: &DeltaTable, age: Duration, now: Millis) -> Result<usize, LakeError> {
    let named = Hint::read(name, table).await?.version();
    let files = LogFiles::list(name, table, 0).await?;
    let prunable = Prunable::of(&files, named, now.earlier(age), now);
    let mut names: Vec<String> = prunable.thinned.iter().map(|version| checkpoint(*version)).collect();
    if let Some(safe) = prunable.gives_way_to {
        match doubt(name, table, safe).await {
            None => {
                // The checkpoints first: without its commits one leads nowhere.
                names.extend(prunable.checkpoints.iter().map(|version| checkpoint(*version)));
                names.extend(prunable.commits.iter().map(|version| commit(*version)));
            }
            Some(doubt) => {
                tracing::warn!(
                    table = name,
                    checkpoint = safe,
                    doubt,
                    "a log checkpoint is not whole: nothing of the log is deleted"
                );
                return Ok(0);
            }
        }
    }
    delete(name, table, names).await
}

/// Why a log checkpoint is not to be relied on; `None` when it is whole. It is compared with what the log says without
/// it.
async fn doubt(name: &str, table: &DeltaTable, version: u64) -> Option<String> {
    let compared = async {
        let found = files_of(name, table, version).await?;
        let expected = files_without(name, table, version).await?;
        Ok::<_, LakeError>((found, expected))
    };
    match compared.await {
        Ok((found, expected)) if Some(found) == expected => None,
        Ok((found, Some(expected))) => Some(format!("it holds {found} files, the table had {expected}")),
        Ok((_, None)) => Some("the log before it has nothing to compare it with".to_owned()),
        Err(error) => Some(crate::causes(&error)),
    }
}

/// How many files a version has, by the version before it and what the log says of it.
async fn files_without(name: &str, table: &DeltaTable, number: u64) -> Result<Option<u64>, LakeError> {
    let Some(before) = number.checked_sub(1) else { return Ok(None) };
    let mut older = DeltaTable::new(table.log_store());
    older.load_version(before).await.map_err(LakeError::table(name, "load an older version"))?;
    let state = older.snapshot().map_err(LakeError::table(name, "load an older version"))?;
    let Some(version) = outline::read(name, table, number).await? else { return Ok(None) };
    let log = state.log_data();
    let left = log.iter().filter(|file| version.removed.contains_key(file.object_store_path().as_ref())).count();
    let files = (log.num_files() + version.added).saturating_sub(left);
    Ok(u64::try_from(files).ok())
}

/// Deletes files of a log by their names, in this order as far as the store keeps to it. One that is gone already is no
/// error.
async fn delete(name: &str, table: &DeltaTable, names: Vec<String>) -> Result<usize, LakeError> {
    let log = table.log_store();
    let paths: Vec<_> = names.into_iter().map(|name| Ok(log.log_path().clone().join(name))).collect();
    let mut deleting = log.object_store(None).delete_stream(futures::stream::iter(paths).boxed());
    let mut deleted = 0;
    while let Some(gone) = deleting.next().await {
        match gone {
            Ok(_) => deleted += 1,
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(LakeError::store("delete files of the Delta log of", name)(error)),
        }
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const DAY: i64 = 24 * HOUR;

    /// A log of so many versions, one a minute, the newest now, with a log checkpoint each `every` versions.
    fn log(versions: u64, every: usize) -> (LogFiles, Millis) {
        let at = |version: u64| Millis::new(i64::try_from(version).unwrap_or_default() * MINUTE);
        let commits = (0..versions).map(|version| (version, at(version))).collect();
        let checkpoints = (0..versions).step_by(every).skip(1).map(|version| (version, at(version))).collect();
        (LogFiles { commits, checkpoints, ..LogFiles::default() }, at(versions - 1))
    }

    #[test]
    fn old_logs_go_up_to_a_checkpoint() {
        let (files, now) = log(100, 20);
        let found = Prunable::of(&files, Some(80), now.earlier(Duration::from_secs(50 * 60)), now);
        // Version 49 is the oldest that is young.
        assert_eq!(found.gives_way_to, Some(40));
        assert_eq!(found.commits, (0..40).collect::<Vec<_>>());
        assert_eq!((found.checkpoints, found.thinned), (vec![20], Vec::new()));
        let young = Prunable::of(&files, Some(80), now.earlier(Duration::from_secs(90 * 60)), now);
        assert_eq!(young, Prunable::default(), "there is no log checkpoint before version 9");
        let all = Prunable::of(&files, Some(80), now.later(Duration::from_secs(1)), now);
        assert_eq!(all.gives_way_to, Some(80), "the newest log checkpoint stays");
    }

    #[test]
    fn one_log_checkpoint_an_hour_stays_of_older_days() {
        let (files, now) = log(3 * 1_440, 10);
        let found = thinned(&files, Some(4_310), now);
        let stay: Vec<u64> = files.checkpoints.keys().copied().filter(|version| !found.contains(version)).collect();
        let old = |version: &&u64| now.get() - i64::try_from(**version).unwrap_or_default() * MINUTE > DAY;
        // The first of each of 48 hours.
        assert_eq!(stay.iter().filter(old).count(), 48);
        assert_eq!(stay.len(), 48 + 144);
        assert!(stay.starts_with(&[10, 60, 120]));
    }

    #[test]
    fn log_checkpoints_that_are_needed_stay() {
        let (mut files, now) = log(500, 10);
        let later = now.later(Duration::from_secs(10 * 24 * 3600));
        assert!(thinned(&files, Some(30), later).iter().all(|version| ![10, 30, 480, 490].contains(version)));
        // Versions from 205 on can be read from log checkpoint 210 on alone.
        assert!(thinned(&files, None, later).contains(&210));
        files.commits.remove(&205);
        assert!(!thinned(&files, None, later).contains(&210));
    }
}
