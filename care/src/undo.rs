//! Undo of one version: what it put in leaves, what it took out comes back, if nothing stands against it.
//!
//! The plan is worked out from the log, the records and the footers of the files that would come back. Whether it still holds
//! is judged once more on the snapshot that it is committed on (`lake`).

use std::pin::pin;

use bluelake_lake::{
    ContentChange, DataFile, HistoryOptions, InputFile, Lake, LakeError, LogVersion, LoggedFile, MaintainedTable,
    MaintenanceRecord, REJECTED_EVENTS, Task, TaskKind, TaskOutcome, diff, history, partitions_of, stream_of,
};
use bluelake_schemas::Stream;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::{compaction::Extent, error::CareError};

/// Files whose footers are read at once.
const READS: usize = 16;

/// What an undo would do.
#[derive(Debug)]
pub struct UndoPlan {
    /// What would be done.
    pub summary: UndoSummary,
    table: MaintainedTable,
    task: Task,
}

/// What an undo does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoSummary {
    /// The table.
    pub table: &'static str,
    /// The version that is undone.
    pub version: u64,
    /// What that version was: `compact`, `expire`, or what another program called it.
    pub what: String,
    /// Who did it.
    pub who: Option<String>,
    /// Files that leave.
    pub removes: Extent,
    /// Files that come back.
    pub brings: Extent,
    /// Versions of other programs that still stand afterwards and change the rows of the table: it is refused until they are
    /// undone too.
    pub standing: Vec<u64>,
}

impl UndoPlan {
    /// Commits the undo; gives the version and the number of the record.
    ///
    /// # Errors
    /// [`CareError::Undo`] when it was overtaken, and when the table cannot be committed to.
    pub async fn commit(mut self) -> Result<(u64, u64), CareError> {
        match self.table.commit(&self.task).await? {
            TaskOutcome::Committed { version, record } => Ok((version, record)),
            TaskOutcome::Lost(lost) => Err(refused(self.summary.table, self.summary.version, lost.to_string())),
        }
    }
}

/// Works out the undo of a version.
///
/// # Errors
/// [`CareError::Undo`] with the reason why the version cannot be undone; [`LakeError::NoSuchVersion`] when the log does not have
/// it; when the table cannot be read.
pub async fn plan_undo(lake: &Lake, name: &str, version: u64, worker: &str) -> Result<UndoPlan, CareError> {
    let table = MaintainedTable::open_for_undo(lake, name, worker).await?;
    let undo = Undo { lake, logged: table.version(version).await?, table };
    let record = undo.record().await?;
    undo.check_standing(record.as_ref())?;
    let files = undo.files().await?;
    undo.check_files(&files).await?;
    let task = undo.task(record.as_ref(), files).await?;
    undo.plan(record.as_ref(), task).await
}

/// A version that is to be undone.
struct Undo<'a> {
    lake: &'a Lake,
    logged: LogVersion,
    table: MaintainedTable,
}

/// The files that an undo moves.
struct Moved {
    leave: Vec<LoggedFile>,
    come: Vec<LoggedFile>,
}

impl Undo<'_> {
    fn refused(&self, reason: impl Into<String>) -> CareError {
        refused(self.table.name(), self.logged.number, reason.into())
    }

    /// The record of the version, if it has one that can be undone; what can never be undone is refused.
    async fn record(&self) -> Result<Option<MaintenanceRecord>, CareError> {
        if let Some(number) = MaintainedTable::record_of(&self.logged) {
            let undone = self.table.undone(number).await?;
            let Some(undone) = undone else {
                return Err(self.refused(format!("record {number}, which it names, is not of the table")));
            };
            if let Some(reason) = never(&undone.record.kind) {
                return Err(self.refused(reason));
            }
            return match undone.by {
                Some(by) => Err(self.refused(format!("record {by} has undone it already"))),
                None => Ok(Some(undone.record)),
            };
        }
        if !self.logged.changes_files() {
            return Err(self.refused("it changed no file"));
        }
        if !self.logged.is_foreign() {
            return Err(self.refused(if self.table.name() == REJECTED_EVENTS {
                "it brought files that documents name, and would bring them again"
            } else {
                "it is a batch of ingest: Kinesis may have discarded its records, and positions do not go back"
            }));
        }
        Ok(None)
    }

    /// The files that the version moved, with all that the log says of them.
    async fn files(&self) -> Result<Moved, CareError> {
        let leave = self.logged.added.clone();
        if self.logged.removed.is_empty() {
            return Ok(Moved { leave, come: Vec::new() });
        }
        if self.logged.changes_table {
            return Err(self.refused("it changed the table's columns or properties too, and an undo does not"));
        }
        let Some(before) = self.logged.number.checked_sub(1) else {
            return Err(self.refused("it is the first version of the table"));
        };
        let mut past = self.table.past(before).await?;
        let now = self.table.begin(self.kind(None)).await?.erasure_epochs;
        if let Some((stream, _)) =
            now.iter().find(|(stream, epoch)| **epoch > 0 && past.erasure_epochs.get(stream) != Some(*epoch))
        {
            return Err(self.refused(format!("persons were erased from {stream} since, and it may bring them back")));
        }
        let mut come = Vec::new();
        for removed in &self.logged.removed {
            match past.files.remove(&removed.path) {
                Some(file) if leave.iter().any(|added| added.path == file.path) => {
                    return Err(self.refused(format!("it both took '{}' out and put it in", file.path)));
                }
                Some(file) => come.push(file),
                None => {
                    return Err(self.refused(format!("'{}', which it took out, was not in the table", removed.path)));
                }
            }
        }
        Ok(Moved { leave, come })
    }

    fn kind(&self, record: Option<u64>) -> TaskKind {
        TaskKind::Undo { version: self.logged.number, record }
    }

    /// What the newest record says against it.
    fn check_standing(&self, record: Option<&MaintenanceRecord>) -> Result<(), CareError> {
        let Some(newest) = self.table.record() else { return Ok(()) };
        if self.logged.number <= newest.standing.readable_from {
            let from = newest.standing.readable_from;
            return Err(self.refused(format!("versions up to {from} are given up, and their files may be deleted")));
        }
        match record {
            Some(record) if record.number > newest.number => Err(self.refused("the table was rolled back behind it")),
            _ => Ok(()),
        }
    }

    /// What the files say against it: what it put in is there as it was, what it took out is not there.
    async fn check_files(&self, files: &Moved) -> Result<(), CareError> {
        let now = self.table.logged_files()?;
        let gone = files.leave.iter().find(|file| !now.contains_key(&file.path));
        let back = files.come.iter().find(|file| now.contains_key(&file.path));
        let newest = self.table.delta_table().version().unwrap_or_default();
        let moved = match (gone, back) {
            (Some(gone), _) => Some((gone, "took out")),
            (None, Some(back)) => Some((back, "put back")),
            (None, None) if MaintainedTable::record_of(&self.logged).is_some() => return Ok(()),
            // Files may have gone a second time since an undo: that is another version to be undone.
            (None, None) => None,
        };
        let mut since = pin!(self.table.versions(self.logged.number + 1..=newest));
        while let Some(version) = since.try_next().await? {
            self.check_not_undone_by(&version).await?;
            let Some((moved, verb)) = moved else { continue };
            let is_it = version.removed.iter().any(|file| file.path == moved.path)
                || version.added.iter().any(|file| file.path == moved.path);
            if is_it {
                let number = version.number;
                return Err(self.refused(format!("version {number} {verb} '{}' since; undo that first", moved.path)));
            }
        }
        match moved {
            Some((moved, verb)) => {
                let reason = format!("the table is not as it left it: another version {verb} '{}'", moved.path);
                Err(self.refused(reason))
            }
            None => Ok(()),
        }
    }

    async fn check_not_undone_by(&self, version: &LogVersion) -> Result<(), CareError> {
        let record = MaintainedTable::record_of(version).filter(|_| version.kind.as_deref() == Some("undo"));
        let Some(record) = record else { return Ok(()) };
        match self.table.read_record(record).await?.kind {
            TaskKind::Undo { version: undone, .. } if undone == self.logged.number => {
                Err(self.refused(format!("version {} has undone it already", version.number)))
            }
            _ => Ok(()),
        }
    }

    /// The task, with the rows that the footers say.
    async fn task(&self, record: Option<&MaintenanceRecord>, files: Moved) -> Result<Task, CareError> {
        let mut task = self.table.begin(self.kind(record.map(|record| record.number))).await?;
        task.content = record.and_then(|record| record.content);
        task.content = task.content.map(|it| ContentChange { before: it.after, after: it.before });
        for file in &files.leave {
            if file.has_deletions {
                return Err(self.refused(format!("the log hides some rows of '{}'", file.path)));
            }
            let rows = match file.rows {
                Some(rows) => rows,
                None => self.footer_rows(file).await?,
            };
            task.take_out(self.stream_of(file)?, InputFile { path: file.path.clone(), size: file.size, rows });
        }
        let footers = futures::stream::iter(&files.come).map(|file| self.footer_rows(file));
        let counted: Vec<u64> = footers.buffered(READS).try_collect().await?;
        for (file, rows) in files.come.iter().zip(counted) {
            if file.rows != Some(rows) {
                let said = file.rows.map_or_else(|| "no number".to_owned(), |rows| rows.to_string());
                return Err(self.refused(format!("'{}' has {rows} rows, the log said {said}", file.path)));
            }
            task.put_in(self.stream_of(file)?, self.data_file(file, rows)?);
        }
        // Another program may call quiet what changed rows.
        task.undo.is_quiet = self.logged.is_quiet() && !task.changes_rows();
        Ok(task)
    }

    fn stream_of(&self, file: &LoggedFile) -> Result<Stream, CareError> {
        let stream = self.table.stream_of(file);
        stream.ok_or_else(|| self.refused(format!("the log does not say of which stream '{}' is", file.path)))
    }

    /// Rows of a file by its footer; the file must stand there as the log says.
    async fn footer_rows(&self, file: &LoggedFile) -> Result<u64, CareError> {
        match self.table.footer_rows(&file.path, file.size).await {
            Ok(rows) => Ok(rows),
            Err(LakeError::Store { source: object_store::Error::NotFound { .. }, .. }) => {
                Err(self.refused(format!("'{}' was deleted", file.path)))
            }
            Err(LakeError::DataFile { path, reason }) => Err(self.refused(format!("'{path}': {reason}"))),
            Err(error) => Err(error.into()),
        }
    }

    /// The file as it comes back.
    fn data_file(&self, file: &LoggedFile, rows: u64) -> Result<DataFile, CareError> {
        let columns = partitions_of(self.table.name());
        let value = |column: &str| file.partition_values.get(column).cloned().flatten();
        let folder: Option<String> =
            columns.iter().map(|column| Some(format!("{column}={}/", value(column)?))).collect();
        let is_placed = folder.is_some_and(|folder| file.path.starts_with(&folder));
        match &file.statistics {
            Some(statistics) if is_placed && !file.has_deletions => Ok(DataFile {
                path: file.path.clone(),
                partition_values: columns
                    .iter()
                    .filter_map(|column| Some(((*column).to_owned(), value(column)?)))
                    .collect(),
                size: file.size,
                modified_at: file.modified_at,
                rows,
                statistics: statistics.clone(),
            }),
            _ => {
                Err(self.refused(format!("the log does not say enough of '{}', or hides some of its rows", file.path)))
            }
        }
    }

    /// The plan, if it leads to the rows that the documents say, but for what other programs did besides.
    async fn plan(self, record: Option<&MaintenanceRecord>, mut task: Task) -> Result<UndoPlan, CareError> {
        let standing = self.standing_rows(&mut task).await?;
        let extent = |files: Vec<(u64, u64)>| Extent {
            files: u64::try_from(files.len()).unwrap_or(u64::MAX),
            bytes: files.iter().map(|(bytes, _)| bytes).sum(),
            rows: files.iter().map(|(_, rows)| rows).sum(),
        };
        let summary = UndoSummary {
            table: self.table.name(),
            version: self.logged.number,
            what: match record {
                Some(record) => record.kind.name().to_owned(),
                None => self.logged.operation.clone().unwrap_or_else(|| "an unnamed operation".to_owned()),
            },
            who: record.map(|record| record.worker.clone()).or_else(|| self.logged.engine.clone()),
            removes: extent(task.inputs.iter().map(|file| (file.size, file.rows)).collect()),
            brings: extent(task.outputs.iter().map(|file| (file.size, file.rows)).collect()),
            standing,
        };
        Ok(UndoPlan { summary, table: self.table, task })
    }

    /// Other versions of other programs that still stand, when the table does not hold the rows that its documents say after
    /// the undo; by how much they changed the rows of each stream is set down in the task.
    async fn standing_rows(&self, task: &mut Task) -> Result<Vec<u64>, CareError> {
        if self.table.balances(task).await? {
            return Ok(Vec::new());
        }
        let options = HistoryOptions { foreign: true, ..HistoryOptions::default() };
        let others = history(self.lake, self.table.name(), &options).await?.versions;
        let mut standing = Vec::new();
        for other in others.into_iter().filter(|other| other.undone_by.is_none() && other.version != self.logged.number)
        {
            let Some(before) = other.version.checked_sub(1) else { continue };
            let changed = match diff(self.lake, self.table.name(), before, other.version).await {
                Err(LakeError::NoSuchVersion { .. }) => {
                    let other = other.version;
                    return Err(self.refused(format!(
                        "version {other} of another program stands too, and the log no longer says what it changed"
                    )));
                }
                changed => changed?,
            };
            let mut changes = false;
            for partition in changed.partitions {
                let rows = i64::try_from(partition.change.rows_added)
                    .ok()
                    .zip(i64::try_from(partition.change.rows_removed).ok());
                let Some(net) = rows.map(|(added, removed)| added - removed).filter(|net| *net != 0) else { continue };
                changes = true;
                let [first, _] = &partition.partition;
                if let Some(stream) = stream_of(self.table.name(), Some(first)) {
                    *task.undo.foreign_rows.entry(stream).or_default() += net;
                }
            }
            standing.extend(changes.then_some(other.version));
        }
        if !self.table.balances(task).await? {
            return Err(self.refused(
                "the table would not hold the rows that its documents say, and no other program's version explains it",
            ));
        }
        Ok(standing)
    }
}

/// Why a version of this kind can never be undone.
fn never(kind: &TaskKind) -> Option<&'static str> {
    match kind {
        TaskKind::Compact | TaskKind::Expire { .. } => None,
        TaskKind::Erase { .. } => Some("it is an erasure, and what was erased does not come back"),
        TaskKind::Repair { .. } => Some("what it took out was stored as events, and would be there twice"),
        TaskKind::Undo { .. } => Some("it is an undo itself"),
        TaskKind::Claim(_) | TaskKind::Release { .. } => Some("it is a claim of an erasure and changed no file"),
        TaskKind::Floor { .. } => Some("it gave older versions up, and their files may be deleted"),
    }
}

fn refused(table: &'static str, version: u64, reason: String) -> CareError {
    CareError::Undo { table, version, reason }
}
