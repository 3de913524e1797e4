//! A worker's view of the tables, and the commit of a batch in single steps, by the rules of the lake's own pure code.

use bluelake_lake::{Attempt, Batch, CheckpointDocument, CommitOutcome, Trace, Writer, trace};
use bluelake_schemas::Millis;

use super::{
    env::Env,
    store::{Fate, Item, RejectedVersion, Request, StoreFault, Version},
};

/// Versions that deltalake tries of one commit.
const INNER_TRIES: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Table {
    /// Version of the event table as last loaded.
    version: usize,
    pub(super) document: Option<CheckpointDocument>,
    follower: Follower,
}

impl Table {
    /// Loads the newest version and its document, and checks them against each other.
    pub(super) fn reload(&mut self, env: &mut Env) -> Result<(), StoreFault> {
        env.read()?;
        let version = env.store.log.len() - 1;
        let number = env.store.log.iter().filter_map(|version| version.txn).next_back();
        if number != self.document.as_ref().map(|document| document.head.number) {
            self.document = match number {
                Some(number) => Some(read_document(number, env)?),
                None => None,
            };
        }
        self.version = version;
        let rows: u64 = env.store.log.iter().flat_map(|version| &version.adds).map(|file| file.rows).sum();
        let expected = self.document.as_ref().map_or(Some(0), CheckpointDocument::expected_rows);
        if expected != Some(rows) {
            env.fail(format!("self-check: {rows} rows by the log, {expected:?} by document {number:?}"));
        }
        Ok(())
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

    /// One step of bringing `rejected_events` up to date; whether it is.
    pub(super) fn follow(&mut self, env: &mut Env) -> Result<bool, StoreFault> {
        match &self.document {
            Some(document) => self.follower.step(document, env),
            None => Ok(true),
        }
    }
}

fn read_document(number: u64, env: &mut Env) -> Result<CheckpointDocument, StoreFault> {
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
    /// Version of the event table that the try began with, and the one that it puts next.
    versions: (usize, usize),
    /// Set when the worker stood still with this under way.
    pub(super) stood_still: bool,
    unclear: bool,
}

#[derive(Debug)]
enum Stage {
    Try(Attempt),
    Follow,
}

impl Committing {
    pub(super) fn new(batch: Batch, items: Vec<Item>) -> Self {
        let stage = Stage::Try(Attempt::Read);
        Self { batch, items, stage, versions: (0, 0), stood_still: false, unclear: false }
    }

    /// Whether a crash now comes between the document and the end.
    pub(super) fn is_midway(&self) -> bool {
        !matches!(self.stage, Stage::Try(Attempt::Read))
    }

    /// One request; `Some` when it is settled what became of the batch.
    pub(super) fn step(&mut self, table: &mut Table, writer: &Writer, env: &mut Env) -> Option<CommitOutcome> {
        // What fails begins anew.
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

    /// What became of the batch, if that is settled.
    fn settled(&mut self, env: &mut Env) -> Option<CommitOutcome> {
        match &self.stage {
            Stage::Try(Attempt::Fenced(fence)) => {
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
        self.versions = (table.version, table.version + 1);
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
            Err(StoreFault::Unclear) => {}
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
        };
        match env.send(Request::Log { version: next, content }) {
            Ok(()) => {
                if next > snapshot + 1 {
                    env.count("commit behind one that did not matter");
                }
                table.version = next;
                table.document = Some(*document);
                self.stage = Stage::Follow;
            }
            Err(StoreFault::Taken) => {
                let moved = env.store.log.get(snapshot + 1..=next).unwrap_or_default();
                if moved.iter().any(|version| version.txn.is_some()) {
                    env.count("conflict");
                } else if next - snapshot < INNER_TRIES {
                    self.versions = (snapshot, next + 1);
                    self.stage = Stage::Try(Attempt::Commit(document));
                }
            }
            Err(StoreFault::Unclear) => {
                self.unclear = true;
            }
        }
    }
}
