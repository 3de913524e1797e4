//! The steps of one try to commit a task, from reading the table back to the Delta commit. Pure: it is told what came of a
//! step and says which comes next. The table in a store drives it (`table/steps.rs`), and so does the simulated one: both
//! take the same steps in the same order.
//!
//! | step | outcome | next |
//! | --- | --- | --- |
//! | read the table back | the chain holds the task | done |
//! | | the task is blocked or outrun | lost |
//! | | else | put the record |
//! | put the record | it is put | ask for its age |
//! | | its number is taken | put it under the next free number |
//! | | unknown | read the table back |
//! | ask when the record was written | the task is too old by then, or a claim stands | lost |
//! | | rows change | put the document, which names the record |
//! | | else | commit |
//! | put the document | it is put | commit |
//! | | its number is taken | put it under the next free number |
//! | | unknown | read the table back |
//! | commit files and numbers to the Delta log | they are committed | done |
//! | | another commit came first, or unknown | read the table back |

use std::{collections::BTreeMap, time::Duration};

use bluelake_schemas::{Millis, Stream};

use crate::{
    checkpoint::{
        document::CheckpointDocument,
        numbered::{Numbered as _, Predecessor},
        settlement::{Trace, trace_back},
    },
    layout::REJECTED_EVENTS,
    maintenance::{
        record::{Claim, MaintenanceRecord, TaskKind},
        successor,
        task::{Lost, Task},
        undo::{self, UndoView},
    },
};

/// A task that began longer ago than this by the store's clock is lost.
const MAX_TASK_AGE: Duration = Duration::from_secs(3600);

/// A file of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// Size in bytes by the log.
    pub size: u64,
    /// Rows by the log.
    pub rows: Option<u64>,
    /// The log hides some of its rows.
    pub has_deletions: bool,
}

/// The part of a table that a task needs, as just read: all from one snapshot.
#[derive(Clone, Debug)]
pub struct TableView {
    /// The table's name.
    pub table: &'static str,
    /// The record in force.
    pub record: Option<MaintenanceRecord>,
    /// The document in force of each stream of the table.
    pub documents: BTreeMap<Stream, Option<CheckpointDocument>>,
    /// The task's files that are in the table, by path.
    pub files: BTreeMap<String, FoundFile>,
    /// What only an undo asks for.
    pub undo: UndoView,
}

/// A record and, if rows change, its document.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The record.
    pub record: MaintenanceRecord,
    /// The document.
    pub document: Option<CheckpointDocument>,
    /// The claim of another that blocks the task unless it has lapsed.
    pub claim: Option<Claim>,
}

/// The next step of a try to commit a task.
#[derive(Clone, Debug)]
pub enum TaskAttempt {
    /// Read the table and its record in force back, and look for the task in the chain: [`TaskAttempt::decide`].
    Read,
    /// Put the record unless its number is taken: [`TaskAttempt::record_put`], [`TaskAttempt::record_taken`].
    PutRecord(Box<Proposal>),
    /// Ask the store when it wrote the record: [`TaskAttempt::written`].
    Age(Box<Proposal>),
    /// Put the document unless its number is taken: [`TaskAttempt::document_put`], [`TaskAttempt::document_taken`].
    PutDocument(Box<Proposal>),
    /// Commit the files and the numbers to the Delta log, as the next version after the one read.
    Commit(Box<Proposal>),
    /// None: the task happened, with the record of this number.
    Done(u64),
    /// None: the task can never happen.
    Lost(Lost),
}

impl TaskAttempt {
    /// Retries of the Delta library inside of a commit: none. It compares only files that change data, so that it would let
    /// a compaction through whose inputs another program has compacted meanwhile.
    pub const INNER_RETRIES: usize = 0;

    /// Tries of one task, each on a fresh snapshot, before it is given up as contended.
    pub const TRIES: usize = 12;

    /// Looks for a task in one record of the chain. To be asked from the record in force back.
    #[must_use]
    pub fn trace(record: &MaintenanceRecord, task: &Task) -> Trace {
        trace_back(record, task.base, task.id)
    }

    /// Decides from the table as just read; `found` is the record of the chain that commits the task already.
    ///
    /// # Errors
    /// The contradiction in the task.
    pub fn decide(view: &TableView, found: Option<u64>, task: &Task, worker: &str) -> Result<Self, String> {
        if let Some(number) = found {
            return Ok(Self::Done(number));
        }
        match proposal(view, task, worker) {
            Ok(proposal) => Ok(Self::PutRecord(Box::new(proposal))),
            Err(Against::Table(lost)) => Ok(Self::Lost(lost)),
            Err(Against::Itself(contradiction)) => Err(contradiction),
        }
    }

    /// The record is put.
    #[must_use]
    pub fn record_put(proposal: Box<Proposal>) -> Self {
        Self::Age(proposal)
    }

    /// The record's number is taken, perhaps by itself with a lost answer; `highest` is the highest number in use.
    #[must_use]
    pub fn record_taken(mut proposal: Box<Proposal>, highest: Option<u64>) -> Self {
        proposal.record.take_free(highest);
        Self::PutRecord(proposal)
    }

    /// The store wrote the record at `written_at`.
    #[must_use]
    pub fn written(mut proposal: Box<Proposal>, written_at: Millis) -> Self {
        if written_at.since(proposal.record.began_at) > MAX_TASK_AGE {
            return Self::Lost(Lost::TooOld);
        }
        if let Some(claim) = proposal.claim.as_ref().filter(|claim| claim.until > written_at) {
            return Self::Lost(Lost::Claimed { request: claim.request });
        }
        let named = Predecessor::of(&proposal.record);
        match &mut proposal.document {
            Some(document) => {
                document.commit.maintenance = Some(named);
                Self::PutDocument(proposal)
            }
            None => Self::Commit(proposal),
        }
    }

    /// The document is put.
    #[must_use]
    pub fn document_put(proposal: Box<Proposal>) -> Self {
        Self::Commit(proposal)
    }

    /// The document's number is taken, perhaps by itself with a lost answer; `highest` is the highest number in use.
    #[must_use]
    pub fn document_taken(mut proposal: Box<Proposal>, highest: Option<u64>) -> Self {
        if let Some(document) = &mut proposal.document {
            document.take_free(highest);
        }
        Self::PutDocument(proposal)
    }
}

/// Why a task is lost.
enum Against {
    /// The table.
    Table(Lost),
    /// It contradicts itself.
    Itself(String),
}

impl From<Lost> for Against {
    fn from(lost: Lost) -> Self {
        Self::Table(lost)
    }
}

fn proposal(view: &TableView, task: &Task, worker: &str) -> Result<Proposal, Against> {
    let streams: Vec<Stream> = view.documents.keys().copied().collect();
    if let Some(contradiction) = task.contradiction(view.table, &streams) {
        return Err(Against::Itself(contradiction));
    }
    check_files(view, task)?;
    check_epochs(view, task)?;
    let mut record = successor::record(view.record.as_ref(), task, worker)?;
    let mut document = document(view, task, worker)?;
    undo::check(view, task, &mut record, document.as_mut())?;
    let standing = view.record.as_ref().and_then(|record| record.standing.claim.as_ref());
    let claim = standing.filter(|claim| successor::claim_against(claim, task)).cloned();
    Ok(Proposal { record, document, claim })
}

fn check_files(view: &TableView, task: &Task) -> Result<(), Lost> {
    for input in &task.inputs {
        let path = input.path.clone();
        match view.files.get(&input.path) {
            None => return Err(Lost::InputGone { path }),
            Some(file) => {
                // Another program may not have counted what is taken back.
                let as_counted = file.rows == Some(input.rows)
                    || (file.rows.is_none() && matches!(task.kind, TaskKind::Undo { record: None, .. }));
                if file.has_deletions || file.size != input.size || !as_counted {
                    return Err(Lost::InputChanged { path });
                }
            }
        }
    }
    let there = task.outputs.iter().find(|file| view.files.contains_key(&file.path));
    there.map_or(Ok(()), |file| Err(Lost::OutputThere { path: file.path.clone() }))
}

fn check_epochs(view: &TableView, task: &Task) -> Result<(), Lost> {
    for (stream, document) in &view.documents {
        let table = document.as_ref().map_or(0, |document| document.head.erasure_epoch);
        let task = task.erasure_epochs.get(stream).copied().unwrap_or_default();
        if table != task {
            return Err(Lost::Epoch { stream: *stream, table, task });
        }
    }
    Ok(())
}

/// The document of an event table whose rows change. `rejected_events` has none of its own, and what another program did to
/// rows no document counts, nor its undo.
fn document(view: &TableView, task: &Task, worker: &str) -> Result<Option<CheckpointDocument>, Against> {
    let is_counted = !matches!(task.kind, TaskKind::Undo { record: None, .. });
    if !is_counted || !task.changes_rows() || view.table == REJECTED_EVENTS {
        return Ok(None);
    }
    match view.documents.first_key_value() {
        Some((stream, Some(current))) => Ok(Some(successor::document(current, task, *stream, worker)?)),
        _ => Err(Against::Itself("it changes rows of a table that has no document".to_owned())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
