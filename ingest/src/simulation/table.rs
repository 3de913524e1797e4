//! A worker's view of the tables, and the commit of a batch in single steps, by the rules of the lake's own pure code.

use bluelake_lake::{Attempt, Batch, CheckpointDocument, CommitOutcome, Trace, Writer, trace};
use bluelake_schemas::Millis;

use super::{
    env::Env,
    store::{Fate, Item, RejectedVersion, Request, Snapshot, StoreFault, Version},
};

/// Versions that deltalake tries for one commit.
const INNER_TRIES: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Table {
    /// The event table as last loaded.
    pub(super) snapshot: Snapshot,
    pub(super) document: Option<CheckpointDocument>,
    follower: Follower,
}

impl Table {
    /// Loads the newest version and its document, and checks them against each other.
    pub(super) fn reload(&mut self, env: &mut Env) -> Result<(), StoreFault> {
        env.read()?;
        let snapshot = env.store.snapshot();
        load_document(&snapshot, &mut self.document, env)?;
        let checked = self_check(&snapshot, self.document.as_ref(), env);
        self.snapshot = snapshot;
        if checked.is_err() {
            env.count("worker refused a table that another program changed");
        }
        checked
    }

    /// Whether the chain holds the batch. Reads document by document.
    fn holds(&self, batch: &Batch, env: &mut Env) -> Result<bool, StoreFault> {
        let Some(mut document) = self.document.clone() else { return Ok(false) };
        loop {
            match trace(&document, batch) {
                Trace::Found => return Ok(true),
                Trace::Absent => return Ok(false),
                Trace::Before(number) => document = read_document(number, env)?,
            }
        }
    }

    /// One step of bringing `rejected_events` up to date. Gives whether it is.
    pub(super) fn follow(&mut self, env: &mut Env) -> Result<bool, StoreFault> {
        match &self.document {
            Some(document) => self.follower.step(document, env),
            None => Ok(true),
        }
    }
}

/// Loads the document that a snapshot names, unless it is the one that is known.
pub(super) fn load_document(
    snapshot: &Snapshot,
    known: &mut Option<CheckpointDocument>,
    env: &mut Env,
) -> Result<(), StoreFault> {
    if snapshot.document != known.as_ref().map(|document| document.head.number) {
        *known = match snapshot.document {
            Some(number) => Some(read_document(number, env)?),
            None => None,
        };
    }
    Ok(())
}

/// Refuses a table whose rows are not those that its document counts. It is a finding unless another program did it.
pub(super) fn self_check(
    snapshot: &Snapshot,
    document: Option<&CheckpointDocument>,
    env: &mut Env,
) -> Result<(), StoreFault> {
    let expected = document.map_or(Some(0), CheckpointDocument::expected_rows);
    if expected == Some(snapshot.rows) {
        return Ok(());
    }
    if env.store.uncounted_rows == 0 {
        let (rows, number) = (snapshot.rows, snapshot.document);
        env.fail(format!("self-check: {rows} rows by the log, {expected:?} by document {number:?}"));
    }
    Err(StoreFault::Refused)
}

pub(super) fn read_document(number: u64, env: &mut Env) -> Result<CheckpointDocument, StoreFault> {
    env.read()?;
    let read = env.store.document(number).map(|bytes| CheckpointDocument::read(bytes, number));
    match read {
        Some(Ok(document)) => Ok(document),
        fault => {
            env.fail(format!("document {number}: {fault:?}"));
            Err(StoreFault::Unclear)
        }
    }
}

/// Brings `rejected_events` up to the documents.
#[derive(Debug, Default)]
struct Follower {
    reached: u64,
    planned: Option<(usize, RejectedVersion)>,
}

impl Follower {
    fn step(&mut self, document: &CheckpointDocument, env: &mut Env) -> Result<bool, StoreFault> {
        if document.rejected_after(self.reached).is_none() {
            return Ok(true);
        }
        if let Some((version, content)) = self.planned.take() {
            let number = content.txn;
            env.send(Request::RejectedLog { version, content })?;
            self.reached = self.reached.max(number);
            return Ok(document.rejected_after(self.reached).is_none());
        }
        env.read()?;
        let version = env.store.rejected_log.len();
        let done = env.store.rejected_log.last().map_or(0, |version| version.txn);
        if document.rejected_after(done).is_none() {
            self.reached = document.head.number;
            return Ok(true);
        }
        let mut content = RejectedVersion { adds: Vec::new(), txn: document.head.number };
        let mut newest = document.clone();
        while let Some(number) = newest.rejected_after(done) {
            let found = if number == newest.head.number { newest } else { read_document(number, env)? };
            if found.head.worker != document.head.worker {
                env.count("rejected events followed for another");
            }
            content.adds.extend(found.commit.rejected_files);
            match found.head.previous {
                Some(previous) => newest = read_document(previous.number, env)?,
                None => break,
            }
        }
        self.planned = Some((version, content));
        Ok(false)
    }
}

/// A batch on its way into the table.
#[derive(Debug)]
pub(super) struct Committing {
    pub(super) batch: Batch,
    /// All events of the batch.
    pub(super) items: Vec<Item>,
    stage: Stage,
    /// The version of the event table at the start of the try, and the next one that it puts.
    versions: (usize, usize),
    /// Set when the worker stood still with this under way.
    pub(super) stood_still: bool,
    unclear: bool,
    /// The erasure epoch of the time when its rows were read, if it has any.
    began_epoch: Option<u64>,
}

#[derive(Debug)]
enum Stage {
    Try(Attempt),
    Follow,
}

impl Committing {
    pub(super) fn new(batch: Batch, items: Vec<Item>, began_epoch: Option<u64>) -> Self {
        let stage = Stage::Try(Attempt::Read);
        Self { batch, items, stage, versions: (0, 0), stood_still: false, unclear: false, began_epoch }
    }

    /// Whether a crash now comes between the document and the end.
    pub(super) fn is_midway(&self) -> bool {
        !matches!(self.stage, Stage::Try(Attempt::Read))
    }

    /// One request; `Some` when the outcome of the batch is settled.
    pub(super) fn step(&mut self, table: &mut Table, writer: &Writer, env: &mut Env) -> Option<CommitOutcome> {
        // A failed step begins anew.
        let stage = std::mem::replace(&mut self.stage, Stage::Try(Attempt::Read));
        match stage {
            Stage::Try(Attempt::Read) => self.read(table, writer, env)?,
            Stage::Try(Attempt::Put(document)) => self.put(document, env),
            Stage::Try(Attempt::Age(document)) => {
                env.read().ok()?;
                let written_at = env.store.document_written_at(document.head.number)?;
                self.stage = Stage::Try(Attempt::written(document, &self.batch, Millis::new(written_at)));
            }
            Stage::Try(Attempt::Commit(document)) => self.commit(table, document, env),
            Stage::Try(Attempt::Done | Attempt::Fenced(_) | Attempt::Expired) => {}
            Stage::Follow => match table.follow(env) {
                Ok(false) => self.stage = Stage::Follow,
                // Best effort: it catches up later.
                Ok(true) | Err(_) => return Some(CommitOutcome::Committed { version: 0 }),
            },
        }
        self.settled(env)
    }

    /// The outcome of the batch, if that is settled.
    fn settled(&mut self, env: &mut Env) -> Option<CommitOutcome> {
        match &self.stage {
            Stage::Try(Attempt::Fenced(fence)) => {
                if fence.erasure_epochs.is_some() {
                    env.count("batch fenced by an erasure");
                }
                if self.stood_still {
                    env.count("zombie refused");
                }
                Some(CommitOutcome::Fenced(fence.clone()))
            }
            Stage::Try(Attempt::Expired) => {
                env.count("batch expired");
                Some(CommitOutcome::Expired)
            }
            Stage::Try(Attempt::Done) => {
                env.count("lost answer had landed");
                self.stage = Stage::Follow;
                None
            }
            _ => None,
        }
    }

    /// Reads the table back and decides; `None` when it could not be read.
    fn read(&mut self, table: &mut Table, writer: &Writer, env: &mut Env) -> Option<()> {
        table.reload(env).ok()?;
        let found = table.holds(&self.batch, env).ok()?;
        self.versions = (table.snapshot.version, table.snapshot.version + 1);
        match Attempt::decide(table.document.as_ref(), found, &self.batch, writer) {
            Ok(step) => {
                if matches!(step, Attempt::Put(_)) && std::mem::replace(&mut self.unclear, false) {
                    env.count("tried again");
                }
                self.stage = Stage::Try(step);
            }
            Err(refusal) => env.fail(format!("the batch contradicts itself: {refusal:?}")),
        }
        Some(())
    }

    fn put(&mut self, mut document: Box<CheckpointDocument>, env: &mut Env) {
        let number = document.head.number;
        let bytes = document.seal().unwrap();
        match env.send(Request::Document { number, bytes }) {
            Ok(()) => self.stage = Stage::Try(Attempt::put(document, &self.batch)),
            Err(StoreFault::Taken) => {
                env.count("document number taken");
                self.stage = Stage::Try(Attempt::taken(document, env.store.highest_document()));
            }
            Err(_) => {}
        }
    }

    /// The put of one version of the log, as deltalake does it.
    fn commit(&mut self, table: &mut Table, document: Box<CheckpointDocument>, env: &mut Env) {
        let (snapshot, next) = self.versions;
        let items = self.items.iter().filter(|item| item.fate == Fate::Duplicate);
        let content = Version {
            adds: self.batch.files.clone(),
            txn: Some(document.head.number),
            duplicates: items.cloned().collect(),
            began_epoch: self.began_epoch,
            ..Version::default()
        };
        match env.send(Request::Log { version: next, content: content.clone() }) {
            Ok(()) => {
                let passed = env.store.log.get(snapshot + 1..next).unwrap_or_default();
                let records = passed.iter().filter(|version| version.record.is_some()).count();
                if next > snapshot + 1 {
                    env.count("commit behind one that did not matter");
                }
                if records > 0 {
                    env.count("batch landed behind a maintenance commit");
                }
                table.snapshot = env.store.snapshot();
                table.document = Some(*document);
                self.stage = Stage::Follow;
            }
            Err(StoreFault::Taken) => {
                let moved = env.store.log.get(snapshot + 1..=next).unwrap_or_default();
                if moved.iter().any(|landed| content.conflicts_with(landed)) {
                    env.count("conflict");
                } else if next - snapshot < INNER_TRIES {
                    self.versions = (snapshot, next + 1);
                    self.stage = Stage::Try(Attempt::Commit(document));
                }
            }
            Err(_) => self.unclear = true,
        }
    }
}
