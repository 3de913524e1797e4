//! A task of maintenance: the files that it removes from a table and adds, and its consistency rules. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bluelake_schemas::{Millis, Stream};
use uuid::Uuid;

use crate::{
    checkpoint::data_file::DataFile,
    layout::{REJECTED_EVENTS, day_of, folder_of, partitions_of},
    maintenance::{
        files::TableFile,
        record::{ContentChange, RowChange, TaskKind},
    },
};

/// A file that a task removes from the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// Path below the table, not percent-encoded.
    pub path: String,
    /// Size in bytes by the log.
    pub size: u64,
    /// Rows by the log.
    pub rows: u64,
}

impl From<&TableFile> for InputFile {
    fn from(file: &TableFile) -> Self {
        Self { path: file.path.clone(), size: file.size, rows: file.rows }
    }
}

impl From<&DataFile> for InputFile {
    fn from(file: &DataFile) -> Self {
        Self { path: file.path.clone(), size: file.size, rows: file.rows }
    }
}

/// A change of files that is uploaded, and happens when it is committed.
#[derive(Clone, Debug)]
pub struct Task {
    /// UUIDv7; part of the name of every file that the task wrote.
    pub id: Uuid,
    /// What it is for.
    pub kind: TaskKind,
    /// Number of the record in force when it was planned; 0 before the first.
    pub base: u64,
    /// Delta version that it was planned on.
    pub planned_on: u64,
    /// By the store's clock: when it began, before its first upload.
    pub began_at: Millis,
    /// Erasure epochs of the streams' documents at that time.
    pub erasure_epochs: BTreeMap<Stream, u64>,
    /// Files that leave.
    pub inputs: Vec<InputFile>,
    /// Uploaded files that come.
    pub outputs: Vec<DataFile>,
    /// Rows of each stream in the inputs and in the outputs.
    pub rows: BTreeMap<Stream, RowChange>,
    /// The content of the inputs, and of the outputs as read back. A compaction must have it.
    pub content: Option<ContentChange>,
    /// What an undo needs to say beside its files.
    pub undo: UndoTerms,
}

/// How far work on files is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Files that are done.
    pub files: usize,
    /// Files that are to be done, those that are done among them.
    pub of: usize,
}

/// What an undo says beside its files. Of other tasks: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UndoTerms {
    /// What is undone was no change of data, so its undo is none.
    pub is_quiet: bool,
    /// Rows by which versions of other programs that still stand have changed a stream, net: what its documents do not count
    /// after the undo either.
    pub foreign_rows: BTreeMap<Stream, i64>,
}

/// Why a task can never be committed. Its files are orphans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// A file that it would remove is no longer in the table.
    InputGone {
        /// Below the table.
        path: String,
    },
    /// A file that it would remove is another one now, or the log hides some of its rows.
    InputChanged {
        /// Below the table.
        path: String,
    },
    /// A file that it would add is in the table already.
    OutputThere {
        /// Below the table.
        path: String,
    },
    /// Persons were erased since.
    Epoch {
        /// The stream.
        stream: Stream,
        /// The epoch of its document.
        table: u64,
        /// The epoch that the task began with.
        task: u64,
    },
    /// It began over an hour ago by the store's clock: its files may be taken for orphans.
    TooOld,
    /// An erasure has claimed a partition of it.
    Claimed {
        /// The request.
        request: Uuid,
    },
    /// The table would not hold the rows that its documents say.
    Rows {
        /// The stream.
        stream: Stream,
        /// Rows that it would hold; `None`: they cannot be counted.
        found: Option<u64>,
        /// Rows that it should hold; `None`: that is no number.
        expected: Option<u64>,
    },
    /// The table is promised only from a later version on, or is already further.
    Outrun {
        /// The claim that blocks it.
        reason: String,
    },
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InputGone { path } => write!(f, "'{path}' is not in the table any more"),
            Self::InputChanged { path } => write!(f, "'{path}' is not as it was when the task was planned"),
            Self::OutputThere { path } => write!(f, "'{path}' is in the table already"),
            Self::Epoch { stream, table, task } => {
                write!(f, "the erasure epoch of {stream} is {table}, the task began with {task}")
            }
            Self::TooOld => f.write_str("it began over an hour ago"),
            Self::Claimed { request } => write!(f, "erasure {request} has claimed its partitions"),
            Self::Rows { stream, found, expected } => {
                let count =
                    |rows: &Option<u64>| rows.map_or_else(|| "no known number of".to_owned(), |rows| rows.to_string());
                write!(f, "it would leave {} rows of {stream}, where {} should be", count(found), count(expected))
            }
            Self::Outrun { reason } => f.write_str(reason),
        }
    }
}

impl Task {
    /// Takes a file out, whose rows are of this stream.
    pub fn take_out(&mut self, stream: Stream, file: InputFile) {
        let change = self.change(stream);
        change.before = change.before.saturating_add(file.rows);
        self.inputs.push(file);
    }

    /// Puts a file in, whose rows are of this stream.
    pub fn put_in(&mut self, stream: Stream, file: DataFile) {
        let change = self.change(stream);
        change.after = change.after.saturating_add(file.rows);
        self.outputs.push(file);
    }

    fn change(&mut self, stream: Stream) -> &mut RowChange {
        self.rows.entry(stream).or_insert(RowChange { before: 0, after: 0 })
    }

    /// Whether it changes the number of rows of a stream.
    #[must_use]
    pub fn changes_rows(&self) -> bool {
        self.rows.values().any(|rows| rows.before != rows.after)
    }

    /// Whether it is a change of data: who follows the changes of the table must see all but a compaction, and the undo of
    /// what was none.
    #[must_use]
    pub fn changes_data(&self) -> bool {
        match self.kind {
            TaskKind::Compact => false,
            TaskKind::Undo { .. } => !self.undo.is_quiet,
            _ => true,
        }
    }

    /// The folders of its files, below the table.
    #[must_use]
    pub fn folders(&self) -> BTreeSet<&str> {
        let paths = self.inputs.iter().map(|file| &file.path).chain(self.outputs.iter().map(|file| &file.path));
        paths.map(|path| folder_of(path)).collect()
    }

    /// The contradiction in the task, if any; `table` is its table, which holds `streams`.
    pub(crate) fn contradiction(&self, table: &str, streams: &[Stream]) -> Option<String> {
        let rows = || self.rows_contradict(table, streams);
        self.files_contradict(table).or_else(rows).or_else(|| self.days_contradict(table)).or_else(|| {
            let known: Vec<Stream> = self.erasure_epochs.keys().copied().collect();
            (known != streams).then(|| "it does not name the erasure epoch of each stream".to_owned())
        })
    }

    fn files_contradict(&self, table: &str) -> Option<String> {
        let has_files = !self.inputs.is_empty() || !self.outputs.is_empty();
        if has_files != self.kind.changes_files() {
            return Some(format!("a task of the kind {} and its files do not go together", self.kind.name()));
        }
        if self.inputs.is_empty() && has_files && !matches!(self.kind, TaskKind::Undo { .. }) {
            return Some("it takes no file out".to_owned());
        }
        let inputs: BTreeSet<&str> = self.inputs.iter().map(|file| file.path.as_str()).collect();
        let outputs: BTreeSet<&str> = self.outputs.iter().map(|file| file.path.as_str()).collect();
        if inputs.len() != self.inputs.len() || outputs.len() != self.outputs.len() || !inputs.is_disjoint(&outputs) {
            return Some("it names a file twice".to_owned());
        }
        // Others wrote the files that an undo adds.
        let id = if matches!(self.kind, TaskKind::Undo { .. }) { None } else { Some(self.id) };
        let columns = partitions_of(table);
        let misplaced = self.outputs.iter().find_map(|file| Some((file, file.misplaced(columns, id)?)));
        misplaced.map(|(file, expected)| format!("the path of '{}' should start with '{expected}'", file.path))
    }

    fn rows_contradict(&self, table: &str, streams: &[Stream]) -> Option<String> {
        if self.rows.keys().any(|stream| !streams.contains(stream)) {
            return Some("it names rows of a stream that the table does not hold".to_owned());
        }
        let sum = |count: fn(&RowChange) -> u64| self.rows.values().map(count).try_fold(0_u64, u64::checked_add);
        let before = self.inputs.iter().map(|file| file.rows).try_fold(0_u64, u64::checked_add);
        let after = self.outputs.iter().map(|file| file.rows).try_fold(0_u64, u64::checked_add);
        if before.is_none() || after.is_none() || before != sum(|rows| rows.before) || after != sum(|rows| rows.after) {
            return Some("its files hold other numbers of rows than it says".to_owned());
        }
        let grows = self.rows.values().any(|rows| rows.after > rows.before);
        let shrinks = self.rows.values().any(|rows| rows.after < rows.before);
        match &self.kind {
            TaskKind::Compact if grows || shrinks => Some("a compaction changes the number of rows".to_owned()),
            TaskKind::Compact if self.content.is_none_or(|content| content.before != content.after) => {
                Some("the content of what a compaction wrote is not that of what it read".to_owned())
            }
            TaskKind::Erase { .. } | TaskKind::Expire { .. } | TaskKind::Repair { .. } if grows => {
                Some(format!("a task of the kind {} adds rows", self.kind.name()))
            }
            TaskKind::Undo { record: Some(_), .. } if shrinks => {
                Some("an undo takes rows away that the documents count".to_owned())
            }
            TaskKind::Undo { .. } if self.undo.is_quiet && (grows || shrinks) => {
                Some("an undo of what was no change of data changes the number of rows".to_owned())
            }
            TaskKind::Expire { .. } if !self.outputs.is_empty() => Some("an expiry puts files in".to_owned()),
            TaskKind::Repair { .. } if table != REJECTED_EVENTS => {
                Some(format!("a repair takes rows out of {REJECTED_EVENTS} only"))
            }
            _ => None,
        }
    }

    /// What an expiry leaves behind is believed to be whole from its day on.
    fn days_contradict(&self, table: &str) -> Option<String> {
        let TaskKind::Expire { before } = &self.kind else { return None };
        if table == Stream::UserEvents.table() {
            return Some(format!("rows of {table} never expire"));
        }
        let is_older = |file: &&InputFile| day_of(folder_of(&file.path)).is_some_and(|day| day < *before);
        let younger = self.inputs.iter().find(|file| !is_older(file))?;
        Some(format!("'{}' is of no day before {before}, and it expires", younger.path))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
pub(crate) mod tests {
    use super::*;
    use crate::maintenance::record::ContentDigest;

    pub(crate) const STREAM: Stream = Stream::TransactionEvents;
    const FOLDER: &str = "event_type=donation/event_date=2026-01-01";

    pub(crate) fn output(id: Uuid, rows: u64) -> DataFile {
        let values = [("event_type", "donation"), ("event_date", "2026-01-01")];
        DataFile {
            path: format!("{FOLDER}/{id}-00000.parquet"),
            partition_values: values.map(|(column, value)| (column.to_owned(), value.to_owned())).into(),
            size: 7,
            modified_at: Millis::new(1),
            rows,
            statistics: "{}".to_owned(),
        }
    }

    pub(crate) fn input(name: &str, rows: u64) -> InputFile {
        InputFile { path: format!("{FOLDER}/{name}.parquet"), size: 5, rows }
    }

    /// A task that makes one file of two, with the remaining rows.
    pub(crate) fn task(kind: TaskKind, rows_after: u64) -> Task {
        let id = Uuid::from_u128(9);
        let digest = ContentDigest::new(1);
        Task {
            id,
            kind,
            base: 0,
            planned_on: 4,
            began_at: Millis::new(1_000),
            erasure_epochs: BTreeMap::from([(STREAM, 0)]),
            inputs: vec![input("a", 2), input("b", 3)],
            outputs: vec![output(id, rows_after)],
            rows: BTreeMap::from([(STREAM, RowChange { before: 5, after: rows_after })]),
            content: Some(ContentChange { before: digest, after: digest }),
            undo: UndoTerms::default(),
        }
    }

    fn fault(task: &Task) -> String {
        task.contradiction(STREAM.table(), &[STREAM]).unwrap()
    }

    #[test]
    fn a_task_that_agrees_with_itself_passes() {
        let request = Uuid::from_u128(1);
        for task in [task(TaskKind::Compact, 5), task(TaskKind::Erase { request }, 4)] {
            assert_eq!(task.contradiction(STREAM.table(), &[STREAM]), None);
        }
        let floor = Task {
            kind: TaskKind::Floor { readable_from: 3, purged_to: 0 },
            inputs: Vec::new(),
            outputs: Vec::new(),
            rows: BTreeMap::new(),
            content: None,
            ..task(TaskKind::Compact, 5)
        };
        assert_eq!(floor.contradiction(STREAM.table(), &[STREAM]), None);
    }

    #[test]
    fn a_compaction_keeps_rows_and_content() {
        assert!(fault(&task(TaskKind::Compact, 4)).contains("number of rows"));
        let mut changed = task(TaskKind::Compact, 5);
        changed.content = Some(ContentChange { before: ContentDigest::new(1), after: ContentDigest::new(2) });
        assert!(fault(&changed).contains("content"));
        changed.content = None;
        assert!(fault(&changed).contains("content"), "what was not added up is not equal");
    }

    #[test]
    fn an_expiry_takes_only_days_before_its_own() {
        let of = |day: &str| Task { outputs: Vec::new(), ..task(TaskKind::Expire { before: day.parse().unwrap() }, 0) };
        assert_eq!(of("2026-01-02").contradiction(STREAM.table(), &[STREAM]), None);
        assert!(fault(&of("2026-01-01")).contains("of no day before 2026-01-01"));
        let mut nowhere = of("2026-01-02");
        nowhere.inputs[0].path = "a.parquet".to_owned();
        assert!(fault(&nowhere).contains("of no day"));
        let users = Stream::UserEvents;
        let mut of_users = of("2026-01-02");
        of_users.rows = BTreeMap::from([(users, RowChange { before: 5, after: 0 })]);
        assert!(of_users.contradiction(users.table(), &[users]).unwrap().contains("never expire"));
    }

    #[test]
    fn a_task_that_contradicts_itself_is_named() {
        let good = || task(TaskKind::Erase { request: Uuid::from_u128(1) }, 4);
        let mut twice = good();
        twice.inputs[1] = twice.inputs[0].clone();
        let mut foreign_name = good();
        foreign_name.outputs[0].path = output(Uuid::from_u128(8), 4).path;
        let mut other_rows = good();
        other_rows.outputs[0].rows = 3;
        let mut other_stream = good();
        other_stream.rows = BTreeMap::from([(Stream::UserEvents, RowChange { before: 5, after: 4 })]);
        let mut no_epoch = good();
        no_epoch.erasure_epochs.clear();
        let mut no_input = good();
        no_input.inputs.clear();
        let mut more = task(TaskKind::Erase { request: Uuid::from_u128(1) }, 6);
        more.content = None;
        let no_file = Task { inputs: Vec::new(), outputs: Vec::new(), ..good() };
        let day = chrono::NaiveDate::default();
        let mut quiet = task(TaskKind::Undo { version: 3, record: None }, 4);
        quiet.undo.is_quiet = true;
        for (task, words) in [
            (twice, "twice"),
            (foreign_name, "should start with"),
            (other_rows, "other numbers of rows"),
            (other_stream, "does not hold"),
            (no_epoch, "epoch"),
            (no_input, "takes no file out"),
            (more, "adds rows"),
            (no_file, "do not go together"),
            (task(TaskKind::Undo { version: 3, record: Some(1) }, 4), "takes rows away"),
            (quiet, "no change of data"),
            (task(TaskKind::Expire { before: day }, 4), "puts files in"),
            (task(TaskKind::Repair { batch: Uuid::nil() }, 4), "rejected_events only"),
        ] {
            let fault = fault(&task);
            assert!(fault.contains(words), "{fault:?} lacks {words:?}");
        }
    }
}
