//! What differs between two versions of a table, by partition, from its log: files and rows that came or left, and apart
//! from these the rows that only changed files.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::StreamExt as _;
use serde::Serialize;

use crate::{
    commit::log::version::{LogVersion, LoggedFile, at_version, logged_files, missing, read_versions},
    error::LakeError,
    layout::partitions_of,
    maintenance::{
        record::TaskKind,
        record_chain::{MAINTENANCE, RecordChain},
    },
    place::lake::Lake,
};

/// What differs between two versions.
#[derive(Clone, Debug, Serialize)]
pub struct VersionDiff {
    /// The table.
    pub table: String,
    /// The version that is compared with.
    pub from: u64,
    /// The version that is compared.
    pub to: u64,
    /// The columns whose values name a partition.
    pub columns: [&'static str; 2],
    /// Partitions in which anything differs, by their values; of a file that names none they are empty.
    pub partitions: Vec<PartitionDiff>,
    /// All of them together.
    pub total: Change,
}

/// What differs in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionDiff {
    /// Values of the columns that name it.
    pub partition: [String; 2],
    /// What differs.
    #[serde(flatten)]
    pub change: Change,
}

/// What differs. Files are counted between the two versions; rows are added up over the versions between them, without those
/// that were undone again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Files that the later version has and the earlier one has not.
    pub files_added: u64,
    /// Files that the earlier version has and the later one has not.
    pub files_removed: u64,
    /// Their bytes.
    pub bytes_added: u64,
    /// As `bytes_added`.
    pub bytes_removed: u64,
    /// Rows that came.
    pub rows_added: u64,
    /// Rows that left.
    pub rows_removed: u64,
    /// Rows in files that were written anew as a change of data: each may have other values.
    pub rows_changed: u64,
    /// Rows in files that were written anew without a change of data.
    pub rows_moved: u64,
}

/// Tells what differs between two versions; `from` may be the later one, then what came is what going back takes away.
///
/// # Errors
/// [`LakeError::NoSuchVersion`] when the log does not have one of them, or one between them.
pub async fn diff(lake: &Lake, name: &str, from: u64, to: u64) -> Result<VersionDiff, LakeError> {
    let table = lake.table(name).await?;
    let newest = table.version().unwrap_or_default();
    let (earlier, later) = (from.min(to), from.max(to));
    if later > newest {
        return Err(missing(name, &table, later).await?);
    }
    let before = logged_files(name, &at_version(name, table.clone(), earlier).await?)?;
    let columns = partitions_of(name);
    let records = RecordChain::new(lake, name);
    let mut comparison = Comparison::new(before, columns);
    let mut read = std::pin::pin!(read_versions(name, &table, earlier + 1..=later, usize::MAX));
    for number in earlier + 1..=later {
        let version = read.next().await.transpose()?.flatten();
        let Some(version) = version else { return Err(missing(name, &table, number).await?) };
        let undoes = undone_version(&version, &records).await?;
        comparison.take_in(&version, undoes).map_err(|path| LakeError::DataFile {
            path: format!("{name}/{path}"),
            reason: format!("version {number} puts it in or takes it out, and nobody counted its rows"),
        })?;
    }
    let mut changes = comparison.changes();
    if from > to {
        changes.values_mut().for_each(|change| *change = change.reversed());
    }
    let total = changes.values().fold(Change::default(), |sum, change| sum.plus(change));
    let partitions = changes.into_iter().filter(|(_, change)| *change != Change::default());
    let partitions = partitions.map(|(partition, change)| PartitionDiff { partition, change }).collect();
    Ok(VersionDiff { table: name.to_owned(), from, to, columns, partitions, total })
}

/// The version that a version undid.
async fn undone_version(version: &LogVersion, records: &RecordChain) -> Result<Option<u64>, LakeError> {
    let record = version.transactions.get(MAINTENANCE).filter(|_| version.kind.as_deref() == Some(TaskKind::UNDO));
    match record {
        Some(number) => Ok(records.get(*number).await?.kind.undone_version()),
        None => Ok(None),
    }
}

/// The values that name a partition.
type Partition = [String; 2];

/// What a version did to the rows of a partition.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    added: u64,
    removed: u64,
}

/// Pure: the files of a table on their way from one version to another.
struct Comparison {
    columns: [&'static str; 2],
    /// Files of the earlier version, by path.
    before: HashMap<String, LoggedFile>,
    /// Files that came since.
    came: HashMap<String, LoggedFile>,
    /// Files of the earlier version that left.
    left: BTreeSet<String>,
    rows: BTreeMap<Partition, Change>,
    /// What each version did to rows, for the case that it is undone.
    by_version: HashMap<u64, Vec<(Partition, Change)>>,
}

impl Comparison {
    fn new(before: BTreeMap<String, LoggedFile>, columns: [&'static str; 2]) -> Self {
        let before = before.into_iter().map(|(path, file)| (path, LoggedFile { statistics: None, ..file }));
        Self {
            columns,
            before: before.collect(),
            came: HashMap::new(),
            left: BTreeSet::new(),
            rows: BTreeMap::new(),
            by_version: HashMap::new(),
        }
    }

    /// Goes over a version; fails with the path of a file whose rows nobody knows.
    fn take_in(&mut self, version: &LogVersion, undoes: Option<u64>) -> Result<(), String> {
        let mut flows: BTreeMap<Partition, Flow> = BTreeMap::new();
        for file in &version.removed {
            let known = self.came.remove(&file.path).or_else(|| {
                let known = self.before.get(&file.path).cloned()?;
                self.left.insert(file.path.clone()).then_some(known)
            });
            let known = known.ok_or_else(|| file.path.clone())?;
            let rows = known.rows.ok_or_else(|| file.path.clone())?;
            flows.entry(self.partition(&known)).or_default().removed += rows;
        }
        for file in &version.added {
            let rows = file.rows.ok_or_else(|| file.path.clone())?;
            flows.entry(self.partition(file)).or_default().added += rows;
            if !self.left.remove(&file.path) {
                self.came.insert(file.path.clone(), LoggedFile { statistics: None, ..file.clone() });
            }
        }
        let undone = undoes.and_then(|undone| self.by_version.remove(&undone));
        if let Some(undone) = undone {
            for (partition, change) in undone {
                let sum = self.rows.entry(partition).or_default();
                *sum = sum.minus(&change);
            }
            return Ok(());
        }
        let is_quiet = version.is_quiet();
        let changes: Vec<(Partition, Change)> =
            flows.into_iter().map(|(partition, flow)| (partition, flow.change(is_quiet))).collect();
        for (partition, change) in &changes {
            let sum = self.rows.entry(partition.clone()).or_default();
            *sum = sum.plus(change);
        }
        self.by_version.insert(version.number, changes);
        Ok(())
    }

    /// Rows as they were added up, and files as they are at the end.
    fn changes(self) -> BTreeMap<Partition, Change> {
        let mut changes = self.rows.clone();
        for file in self.came.values() {
            let change = changes.entry(self.partition(file)).or_default();
            change.files_added += 1;
            change.bytes_added += file.size;
        }
        for file in self.left.iter().filter_map(|path| self.before.get(path)) {
            let change = changes.entry(self.partition(file)).or_default();
            change.files_removed += 1;
            change.bytes_removed += file.size;
        }
        changes
    }

    fn partition(&self, file: &LoggedFile) -> Partition {
        self.columns.map(|column| file.partition_values.get(column).cloned().flatten().unwrap_or_default())
    }
}

impl Flow {
    /// Rows that both left and came were written anew.
    fn change(self, is_quiet: bool) -> Change {
        let kept = self.added.min(self.removed);
        let (changed, moved) = if is_quiet { (0, kept) } else { (kept, 0) };
        Change {
            rows_added: self.added - kept,
            rows_removed: self.removed - kept,
            rows_changed: changed,
            rows_moved: moved,
            ..Change::default()
        }
    }
}

impl Change {
    fn combined(&self, other: &Self, of: fn(u64, u64) -> u64) -> Self {
        Self {
            files_added: of(self.files_added, other.files_added),
            files_removed: of(self.files_removed, other.files_removed),
            bytes_added: of(self.bytes_added, other.bytes_added),
            bytes_removed: of(self.bytes_removed, other.bytes_removed),
            rows_added: of(self.rows_added, other.rows_added),
            rows_removed: of(self.rows_removed, other.rows_removed),
            rows_changed: of(self.rows_changed, other.rows_changed),
            rows_moved: of(self.rows_moved, other.rows_moved),
        }
    }

    fn plus(&self, other: &Self) -> Self {
        self.combined(other, u64::saturating_add)
    }

    fn minus(&self, other: &Self) -> Self {
        self.combined(other, u64::saturating_sub)
    }

    /// The way back.
    fn reversed(&self) -> Self {
        Self {
            files_added: self.files_removed,
            files_removed: self.files_added,
            bytes_added: self.bytes_removed,
            bytes_removed: self.bytes_added,
            rows_added: self.rows_removed,
            rows_removed: self.rows_added,
            ..*self
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use bluelake_schemas::{EVENT_PARTITIONS, Millis};

    use super::*;
    use crate::commit::log::version::LoggedRemoval;

    fn file(path: &str, rows: u64) -> LoggedFile {
        let values = EVENT_PARTITIONS.map(|column| (column.to_owned(), Some(path[..1].to_owned())));
        LoggedFile {
            path: path.to_owned(),
            size: rows * 10,
            rows: Some(rows),
            partition_values: values.into(),
            modified_at: Millis::new(0),
            statistics: None,
            has_deletions: false,
        }
    }

    fn version(number: u64, removed: &[&str], added: &[(&str, u64)], is_quiet: bool) -> LogVersion {
        let removal = |path: &&str| LoggedRemoval { path: (*path).to_owned(), size: None };
        LogVersion {
            number,
            written_at: Millis::new(0),
            added: added.iter().map(|(path, rows)| file(path, *rows)).collect(),
            removed: removed.iter().map(removal).collect(),
            quiet: if is_quiet { removed.len() + added.len() } else { 0 },
            transactions: BTreeMap::new(),
            changes_table: false,
            operation: None,
            engine: None,
            kind: None,
        }
    }

    /// What differs in partitions `a` and `b`, of a table that held `a1` with 10 rows and `a2` with 20.
    fn changes(versions: &[(LogVersion, Option<u64>)]) -> [Change; 2] {
        let before = [file("a1", 10), file("a2", 20)].map(|file| (file.path.clone(), file));
        let mut comparison = Comparison::new(before.into(), EVENT_PARTITIONS);
        for (version, undoes) in versions {
            comparison.take_in(version, *undoes).unwrap();
        }
        let changes = comparison.changes();
        ["a", "b"].map(|value| changes.get(&[value, value].map(str::to_owned)).copied().unwrap_or_default())
    }

    #[test]
    fn rows_that_only_moved_are_apart() {
        let merged = (version(2, &["a1", "a2"], &[("a3", 30)], true), None);
        let batch = (version(3, &[], &[("a4", 5), ("b1", 7)], false), None);
        let [a, b] = changes(&[merged, batch]);
        assert_eq!((a.rows_added, a.rows_removed, a.rows_changed, a.rows_moved), (5, 0, 0, 30));
        assert_eq!((a.files_added, a.files_removed, a.bytes_added, a.bytes_removed), (2, 2, 350, 300));
        assert_eq!((b.rows_added, b.files_added), (7, 1));
    }

    #[test]
    fn a_file_in_between_is_no_difference() {
        let batch = (version(2, &[], &[("b1", 7)], false), None);
        let merged = (version(3, &["b1"], &[("b2", 7)], true), None);
        let [a, b] = changes(&[batch, merged]);
        assert_eq!(a, Change::default());
        assert_eq!((b.files_added, b.files_removed, b.rows_added, b.rows_moved), (1, 0, 7, 7));
    }

    #[test]
    fn rows_that_were_written_anew_may_have_changed() {
        let [a, _] = changes(&[(version(2, &["a1"], &[("a3", 8)], false), None)]);
        assert_eq!((a.rows_removed, a.rows_changed, a.rows_added, a.rows_moved), (2, 8, 0, 0));
    }

    #[test]
    fn what_was_undone_is_no_difference() {
        let foreign = version(2, &["a1"], &[("b1", 3)], false);
        let undo = version(3, &["b1"], &[("a1", 10)], false);
        assert_eq!(changes(&[(foreign, None), (undo.clone(), Some(2))]), [Change::default(); 2]);
        // Of a version before the earlier one the undo alone is seen.
        let [a, b] = changes(&[(version(2, &["a1"], &[("b1", 3)], false), None), (undo, Some(1))]);
        assert_eq!((a.rows_removed, a.rows_added, b.rows_added, b.rows_removed), (10, 10, 3, 3));
    }

    #[test]
    fn a_file_that_nobody_counted_is_named() {
        let mut comparison = Comparison::new(BTreeMap::new(), EVENT_PARTITIONS);
        assert_eq!(comparison.take_in(&version(2, &["a9"], &[], false), None), Err("a9".to_owned()));
    }
}
