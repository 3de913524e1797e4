//! What maintainers plan: the rules of the design, as functions of the log and the store. The planners of vacuum and undo that the
//! lake has of its own can take the place of [`floor`], [`retired`], [`orphans`] and [`undo`]; nothing else here knows the rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bluelake_lake::{ContentDigest, DataFile, InputFile, Standing};

use super::super::store::{Files, Item, Store, Version};

const HOUR: i64 = 3_600_000;
/// A file that nothing names is an orphan when it is so old. It stands for a week: what is longer than an hour of a task and
/// what a zombie sleeps in the middle of one.
pub(in crate::simulation) const ORPHAN_AGE: i64 = 8 * HOUR;

/// The oldest version that is still promised when older ones than `before` are given up. It never sinks.
pub(super) fn floor(log: &[Version], standing: &Standing, before: i64) -> usize {
    let old = log.iter().take_while(|version| version.written_at < before).count();
    old.saturating_sub(1).max(index(standing.readable_from))
}

/// Files that some version from `floor` on consists of.
pub(super) fn needed(store: &Store, floor: usize) -> BTreeSet<Arc<str>> {
    let mut needed: BTreeSet<Arc<str>> = store.files_at(floor).keys().cloned().collect();
    let later = store.log.iter().skip(floor + 1).flat_map(|version| &version.adds);
    needed.extend(later.map(|file| Arc::from(file.path.as_str())));
    needed
}

/// What may be deleted of what left the table.
#[derive(Debug)]
pub(super) struct Retired {
    pub(super) files: Vec<String>,
    /// The newest record whose files are among them.
    pub(super) purged_to: u64,
    /// Some of them came back by an undo, and stay.
    pub(super) came_back: bool,
}

/// Files that left in the versions up to the floor, and are not purged yet: all but those that a promised version has, because an
/// undo put them in again.
pub(super) fn retired(store: &Store, standing: &Standing) -> Retired {
    let floor = index(standing.readable_from);
    let purged = store.log.iter().position(|version| version.record.is_some_and(|it| it == standing.purged_to));
    let range = purged.map_or(0, |version| version + 1)..=floor;
    let due = store.log.get(range).unwrap_or_default();
    let needed = needed(store, floor);
    let left: BTreeSet<&String> = due.iter().flat_map(|version| &version.removes).collect();
    let (came_back, files): (Vec<_>, Vec<_>) = left.into_iter().partition(|path| needed.contains(path.as_str()));
    Retired {
        files: files.into_iter().cloned().collect(),
        purged_to: due.iter().filter_map(|version| version.record).next_back().unwrap_or(standing.purged_to),
        came_back: !came_back.is_empty(),
    }
}

/// What is known of the table when its store is searched for orphans.
pub(super) struct Known {
    /// Files of the snapshots before and after the listing.
    pub(super) snapshots: [Arc<Files>; 2],
    /// Files that `rejected_events` has, or that a document gives to it.
    pub(super) rejected: BTreeSet<String>,
    pub(super) standing: Standing,
}

/// Listed files that are old and that nothing knows: no snapshot, no promised version, no document.
pub(super) fn orphans(listing: &[(String, i64)], known: &Known, store: &Store, now: i64) -> Vec<String> {
    let needed = needed(store, index(known.standing.readable_from));
    let is_orphan = |(path, written_at): &&(String, i64)| {
        written_at + ORPHAN_AGE < now
            && !known.snapshots.iter().any(|files| files.contains_key(path.as_str()))
            && !needed.contains(path.as_str())
            && !known.rejected.contains(path)
    };
    listing.iter().filter(is_orphan).map(|(path, _)| path.clone()).collect()
}

/// What an undo takes out and puts in.
#[derive(Debug, Default)]
pub(super) struct Undo {
    pub(super) inputs: Vec<InputFile>,
    pub(super) outputs: Vec<DataFile>,
}

/// Takes back what a version did: what it added leaves, what it took out comes back. `None` when that is not possible any more.
pub(super) fn undo(store: &Store, version: usize, current: &Files, standing: &Standing) -> Option<Undo> {
    if version <= index(standing.readable_from) {
        return None;
    }
    let content = store.log.get(version)?;
    let before = store.files_at(version - 1);
    let taken: Vec<&Arc<DataFile>> = content.removes.iter().filter_map(|path| before.get(path.as_str())).collect();
    let is_there = |path: &str| current.contains_key(path);
    if content.adds.iter().any(|file| !is_there(&file.path)) || taken.iter().any(|file| is_there(&file.path)) {
        return None;
    }
    Some(Undo {
        inputs: content.adds.iter().map(input).collect(),
        outputs: taken.into_iter().map(|file| file.as_ref().clone()).collect(),
    })
}

pub(super) fn input(file: &DataFile) -> InputFile {
    InputFile { path: file.path.clone(), size: file.size, rows: file.rows }
}

pub(super) fn index(version: u64) -> usize {
    usize::try_from(version).unwrap()
}

/// The sum of the hashes of rows.
pub(super) fn content<'a>(items: impl Iterator<Item = &'a Item>) -> ContentDigest {
    let hash = |item: &Item| {
        let place = item.place.shard.bytes().chain(item.place.sequence.bytes());
        let seed = item.id.as_u128() ^ u128::from(item.place.sub_sequence);
        place.fold(seed, |sum, byte| (sum ^ u128::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    ContentDigest::new(items.map(hash).fold(0, u128::wrapping_add))
}

/// Folder → files of it, for those that maintenance may merge.
pub(super) fn by_folder(files: &Files) -> BTreeMap<&str, Vec<&Arc<DataFile>>> {
    let mut folders: BTreeMap<&str, Vec<&Arc<DataFile>>> = BTreeMap::new();
    for (path, file) in files {
        folders.entry(path.rsplit_once('/').map_or("", |(folder, _)| folder)).or_default().push(file);
    }
    folders
}
