//! The chain of maintenance records of a table, read from the one in force to the first and replayed backwards on the
//! table's files: files that a record added must exist, and the files that it removed replace them. The files of
//! batches remain at the end. The replay ([`Replay`]) is pure.

use std::collections::{BTreeMap, BTreeSet};

use bluelake_schemas::Stream;
use chrono::NaiveDate;
use uuid::Uuid;

use super::{
    files::ActiveFile,
    history::{BatchHistory, History, Reach},
    readable,
    report::{Findings, Found},
};
use crate::{
    error::LakeError,
    layout::streams_of,
    maintenance::{
        record::{MaintenanceRecord, RowChange, RowsLeft, TaskKind},
        record_chain::RecordChain,
        successor,
        task::{InputFile, Task, UndoTerms},
    },
};

/// A file of the table at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PastFile {
    /// `None`: the log has no count.
    pub(super) rows: Option<u64>,
    pub(super) size: u64,
}

/// The effect of one record on the table.
#[derive(Clone, Debug)]
pub(super) struct RecordSummary {
    pub(super) digest: String,
    pub(super) task: Uuid,
    pub(super) files_removed: usize,
    pub(super) files_added: usize,
    pub(super) rows: Option<RowChange>,
    pub(super) kind: TaskKind,
    /// What had left, and what may be missing, as it says.
    pub(super) left: BTreeMap<Stream, RowsLeft>,
    pub(super) expired_before: Option<NaiveDate>,
}

/// The result of replaying the records.
#[derive(Debug, Default)]
pub(super) struct PastFiles {
    /// Files without a record, by path. Files of known batches are summed up instead.
    pub(super) open: BTreeMap<String, PastFile>,
    /// Files that another program put in, and an undo has taken out.
    pub(super) undone: BTreeSet<String>,
    /// Rows in the files of each known batch.
    pub(super) batches: BTreeMap<Uuid, u64>,
    /// By number.
    pub(super) records: BTreeMap<u64, RecordSummary>,
    /// The record in force.
    pub(super) newest: Option<MaintenanceRecord>,
    /// Why the records are incomplete.
    pub(super) broken: Option<String>,
    pub(super) findings: Findings,
}

/// The table whose records are replayed.
pub(super) struct Maintained<'a> {
    pub(super) table: &'static str,
    pub(super) chain: RecordChain,
    /// The record in force by the table's own `txn`.
    pub(super) number: Option<u64>,
    /// Batches whose files are summed up; `None` for `rejected_events`, whose files the documents name.
    pub(super) batches: Option<&'a BTreeMap<Uuid, BatchHistory>>,
}

/// Replays the records on the active files, newest first.
pub(super) async fn replay(table: &Maintained<'_>, active: &[ActiveFile]) -> Result<PastFiles, LakeError> {
    let mut replay =
        Replay { table: table.table, batches: table.batches, undos: BTreeMap::new(), past: PastFiles::default() };
    for file in active {
        replay.take_in(file.path.as_ref(), PastFile { rows: file.rows, size: file.size });
    }
    let Some(number) = table.number else { return Ok(replay.past) };
    let mut before = table.chain.before(number).await?;
    let mut next: Option<MaintenanceRecord> = None;
    let mut wanted = Some(number);
    while let Some(number) = wanted {
        let read = if next.is_none() { table.chain.get(number).await } else { before.get(number).await };
        let Some(record) = readable(read, &mut replay.past.findings)? else {
            replay.past.broken = Some(format!("maintenance record {number} cannot be read"));
            return Ok(replay.past);
        };
        match &next {
            Some(next) => replay.follows(Some(&record), next),
            None => replay.past.newest = Some(record.clone()),
        }
        replay.undo(&record);
        wanted = record.previous.as_ref().map(|previous| previous.number).filter(|previous| *previous < number);
        next = Some(record);
    }
    if let Some(first) = next {
        replay.follows(None, &first);
    }
    replay.ends();
    Ok(replay.past)
}

/// Replays records that are at hand, the newest first, backwards on the files of a table, given as path, rows and size.
/// Gives the files that are left when all is taken back, with what does not fit. Pure.
#[must_use]
pub fn replay_records(
    table: &'static str,
    files: impl IntoIterator<Item = (String, u64, u64)>,
    records: &[MaintenanceRecord],
) -> (BTreeSet<String>, Found) {
    let mut replay = Replay { table, batches: None, undos: BTreeMap::new(), past: PastFiles::default() };
    for (path, rows, size) in files {
        replay.take_in(&path, PastFile { rows: Some(rows), size });
    }
    for (at, record) in records.iter().enumerate() {
        replay.undo(record);
        replay.follows(records.get(at + 1), record);
    }
    replay.ends();
    (replay.past.open.into_keys().collect(), replay.past.findings.found())
}

/// Pure: the files of a table while they are replayed backwards.
struct Replay<'a> {
    table: &'static str,
    batches: Option<&'a BTreeMap<Uuid, BatchHistory>>,
    /// Undos whose record was not met yet, by the number of that record.
    undos: BTreeMap<u64, MaintenanceRecord>,
    past: PastFiles,
}

impl Replay<'_> {
    /// Takes in a file that was in the table at this moment.
    fn take_in(&mut self, path: &str, file: PastFile) {
        if let Some(id) = self.known_batch(path).filter(|_| !self.past.undone.contains(path)) {
            let rows = self.past.batches.entry(id).or_default();
            *rows = rows.saturating_add(file.rows.unwrap_or_default());
        } else if self.past.open.insert(path.to_owned(), file).is_some() {
            self.past.findings.add(|| format!("{}/{path}: two records take it out", self.table));
        }
    }

    /// The batch in a file's name, if a document commits it.
    fn known_batch(&self, path: &str) -> Option<Uuid> {
        batch_id(path).filter(|id| self.batches.is_some_and(|batches| batches.contains_key(id)))
    }

    /// Goes back behind a record: its added files leave, and its removed files come back.
    fn undo(&mut self, record: &MaintenanceRecord) {
        let number = record.number;
        self.meets_undo(record);
        for file in &record.added {
            let expected = PastFile { rows: Some(file.rows), size: file.size };
            let known = self.known_batch(&file.path).filter(|_| !self.past.undone.contains(&file.path));
            let found = match known {
                Some(id) => self.take_back(id, file.rows),
                None => self.past.open.remove(&file.path) == Some(expected),
            };
            if !found {
                self.past.findings.add(|| {
                    format!("record {number}: {}/{} is not in the table as it put it there", self.table, file.path)
                });
            }
        }
        if let TaskKind::Undo { record: None, .. } = record.kind {
            // No record tells of the version of another program that it undid: before that one it was as after the undo.
            self.past.undone.extend(record.removed_files().map(|(path, _)| path));
            for file in &record.added {
                self.take_in(&file.path, PastFile { rows: Some(file.rows), size: file.size });
            }
        }
        for (path, file) in record.removed_files() {
            self.take_in(&path, PastFile { rows: Some(file.rows), size: file.size });
        }
        let sum = |count: fn(&RowChange) -> u64| record.rows.values().map(count).fold(0, u64::saturating_add);
        let rows = (!record.rows.is_empty())
            .then(|| RowChange { before: sum(|rows| rows.before), after: sum(|rows| rows.after) });
        let summary = RecordSummary {
            digest: record.digest.clone(),
            task: record.task,
            files_removed: record.removed.values().map(Vec::len).sum(),
            files_added: record.added.len(),
            rows,
            kind: record.kind.clone(),
            left: record.counts.rows_left.clone(),
            expired_before: record.standing.expired_before,
        };
        self.past.records.insert(number, summary);
    }

    /// An undo put a file of a batch back in.
    fn take_back(&mut self, batch: Uuid, rows: u64) -> bool {
        let sum = self.past.batches.entry(batch).or_default();
        let left = sum.checked_sub(rows);
        *sum = left.unwrap_or_default();
        left.is_some()
    }

    /// An undo of the record must mirror it; an undo itself is kept until its record is met.
    fn meets_undo(&mut self, record: &MaintenanceRecord) {
        let findings = &mut self.past.findings;
        if let Some(undo) = self.undos.remove(&record.number) {
            let can_be_undone = matches!(record.kind, TaskKind::Compact | TaskKind::Expire { .. });
            if !can_be_undone || !mirrors(&undo, record) {
                findings.add(|| format!("record {}: it is not the undo of record {}", undo.number, record.number));
            }
        }
        if let TaskKind::Undo { record: Some(undone), .. } = record.kind
            && let Some(other) = self.undos.insert(undone, record.clone())
        {
            findings.add(|| format!("records {} and {} undo record {undone}", record.number, other.number));
        }
    }

    /// What is left when the first record was met: undos of no record, and what expiries and their undos say that may be
    /// missing.
    fn ends(&mut self) {
        let findings = &mut self.past.findings;
        for (undone, undo) in &self.undos {
            findings.add(|| format!("record {}: record {undone}, which it undoes, is not of the table", undo.number));
        }
        let mut expiries: BTreeMap<u64, NaiveDate> = BTreeMap::new();
        for (number, summary) in &self.past.records {
            match &summary.kind {
                TaskKind::Expire { before } => expiries.extend([(*number, *before)]),
                TaskKind::Undo { record: Some(undone), .. } => expiries.retain(|number, _| number != undone),
                _ => continue,
            }
            if summary.expired_before != expiries.values().max().copied() {
                findings.add(|| format!("record {number}: it says wrongly which days may be missing"));
            }
        }
    }

    /// Checks that `next` follows from `previous` by the rules of committing tasks.
    fn follows(&mut self, previous: Option<&MaintenanceRecord>, next: &MaintenanceRecord) {
        let number = next.number;
        let streams: Vec<Stream> = streams_of(self.table).collect();
        let findings = &mut self.past.findings;
        let names = next.previous.as_ref().map(|named| (named.number, named.digest.as_str()));
        if names != previous.map(|previous| (previous.number, previous.digest.as_str())) {
            findings.add(|| format!("record {number}: the record before is not the one that it builds on"));
        }
        let task = task_of(next);
        if let Some(contradiction) = task.contradiction(self.table, &streams) {
            findings.add(|| format!("record {number}: {contradiction}"));
        }
        let mut expected = successor::record(previous, &task, &next.worker);
        if let (Ok(expected), TaskKind::Undo { record: Some(_), .. }) = (&mut expected, &next.kind) {
            // Only the records before tell it ([`Replay::ends`]).
            expected.standing.expired_before = next.standing.expired_before;
        }
        match expected {
            Ok(expected) if expected.counts != next.counts => {
                findings.add(|| format!("record {number}: its counts are not those before and its own"));
            }
            Ok(expected) if expected.standing != next.standing => {
                findings.add(|| format!("record {number}: what it says that stands does not follow"));
            }
            Ok(_) => {}
            Err(lost) => findings.add(|| format!("record {number}: {lost}")),
        }
    }
}

/// Whether an undo put back what a record took out, and took out what it put in.
fn mirrors(undo: &MaintenanceRecord, record: &MaintenanceRecord) -> bool {
    let added = |record: &MaintenanceRecord| -> BTreeMap<String, (u64, u64)> {
        record.added.iter().map(|file| (file.path.clone(), (file.rows, file.size))).collect()
    };
    let removed = |record: &MaintenanceRecord| -> BTreeMap<String, (u64, u64)> {
        record.removed_files().map(|(path, file)| (path, (file.rows, file.size))).collect()
    };
    added(undo) == removed(record) && removed(undo) == added(record)
}

/// The batch or task that wrote a file, by its name.
pub(super) fn batch_id(path: &str) -> Option<Uuid> {
    let name = path.rsplit('/').next()?;
    Uuid::parse_str(name.get(..uuid::fmt::Hyphenated::LENGTH)?).ok()
}

/// The task of a record.
fn task_of(record: &MaintenanceRecord) -> Task {
    let inputs = record.removed_files().map(|(path, file)| InputFile { path, size: file.size, rows: file.rows });
    Task {
        id: record.task,
        kind: record.kind.clone(),
        base: 0,
        planned_on: record.planned_on,
        began_at: record.began_at,
        erasure_epochs: record.erasure_epochs.clone(),
        inputs: inputs.collect(),
        outputs: record.added.clone(),
        rows: record.rows.clone(),
        content: record.content,
        undo: UndoTerms::default(),
    }
}

/// Compares documents and records of an event table: rows leave by both, in the same version.
pub(super) fn check_documents(stream: Stream, past: &mut PastFiles, history: &History, left: Option<(u64, u64)>) {
    let recorded = past.newest.as_ref().and_then(|record| record.counts.rows_left.get(&stream)).copied();
    let recorded = recorded.unwrap_or_default();
    if let Some((erased, expired)) = left.filter(|left| *left != (recorded.erased, recorded.expired)) {
        past.findings.add(|| {
            format!(
                "the document in force counts {erased} rows erased and {expired} expired, the records {} and {}",
                recorded.erased, recorded.expired
            )
        });
    }
    for (number, summary) in &past.records {
        // What another program did to rows no document counts, nor its undo.
        let is_counted = !matches!(summary.kind, TaskKind::Undo { record: None, .. });
        let changes = is_counted && summary.rows.is_some_and(|rows| rows.before != rows.after);
        if changes && !history.maintained.contains_key(number) && history.reach == Reach::Whole {
            past.findings.add(|| format!("record {number}: its rows changed and no document counts them"));
        }
    }
    for (number, named) in &history.maintained {
        let record = past.records.get(number);
        let is_named = |record: &&RecordSummary| record.digest == named.digest && record.task == named.task;
        match record.filter(is_named) {
            Some(record) => {
                let left = record.left.get(&stream).copied().unwrap_or_default();
                let moves_day = matches!(record.kind, TaskKind::Expire { .. } | TaskKind::Undo { .. });
                let same_day = !moves_day || record.expired_before == named.tally.expired_before;
                if !same_day || (left.erased, left.expired) != (named.tally.erased, named.tally.expired) {
                    past.findings.add(|| {
                        format!("document {}: it counts other rows that left than record {number}", named.document)
                    });
                }
            }
            None if past.broken.is_none() => past
                .findings
                .add(|| format!("document {}: record {number} is not the one that it names", named.document)),
            None => {}
        }
    }
}
