//! The store: objects, two Delta logs, heartbeats. A version of a log and a number of a document are taken once; an
//! answer may be lost, and a request may land long after its sender gave up on it.

use std::collections::BTreeMap;

use bluelake_lake::{DataFile, FoundHeartbeat};
use uuid::Uuid;

/// Where an event was put.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) shard: String,
    pub(super) sequence: String,
    pub(super) sub_sequence: u32,
}

/// What became of an event in the worker that read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stored,
    Rejected,
    Duplicate,
}

/// An event as read.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) place: Place,
    pub(super) id: Uuid,
    /// Microseconds since the epoch.
    pub(super) arrived_at: i64,
    pub(super) fate: Fate,
}

/// A version of the event table.
#[derive(Clone, Debug, Default)]
pub(super) struct Version {
    pub(super) adds: Vec<DataFile>,
    /// The number of the document that it commits; `None`: upkeep that moves no row.
    pub(super) txn: Option<u64>,
    /// Events of the batch that are in no file.
    pub(super) duplicates: Vec<Item>,
}

/// A version of `rejected_events`.
#[derive(Clone, Debug, Default)]
pub(super) struct RejectedVersion {
    pub(super) adds: Vec<DataFile>,
    pub(super) txn: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Request {
    Rows { path: String, items: Vec<Item> },
    Document { number: u64, bytes: Vec<u8> },
    Log { version: usize, content: Version },
    RejectedLog { version: usize, content: RejectedVersion },
}

/// What a sender learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreFault {
    /// The name is taken, perhaps by the request itself.
    Taken,
    /// It may have happened, or may happen yet.
    Unclear,
}

#[derive(Debug)]
struct Stored<T> {
    written_at: i64,
    body: T,
}

#[derive(Debug)]
pub(super) struct Store {
    rows: BTreeMap<String, Stored<Vec<Item>>>,
    documents: BTreeMap<u64, Stored<Vec<u8>>>,
    pub(super) log: Vec<Version>,
    pub(super) rejected_log: Vec<RejectedVersion>,
    pub(super) beats: BTreeMap<String, FoundHeartbeat>,
    late: Vec<(i64, Request)>,
}

impl Store {
    /// Tables as just made: one version each, without rows.
    pub(super) fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
            documents: BTreeMap::new(),
            log: vec![Version::default()],
            rejected_log: vec![RejectedVersion::default()],
            beats: BTreeMap::new(),
            late: Vec::new(),
        }
    }

    /// Carries a request out.
    pub(super) fn apply(&mut self, request: Request, now: i64) -> Result<(), StoreFault> {
        match request {
            Request::Rows { path, items } => {
                self.rows.insert(path, Stored { written_at: now, body: items });
            }
            Request::Document { number, bytes } => {
                if self.documents.contains_key(&number) {
                    return Err(StoreFault::Taken);
                }
                self.documents.insert(number, Stored { written_at: now, body: bytes });
            }
            Request::Log { version, content } => {
                if version != self.log.len() {
                    return Err(StoreFault::Taken);
                }
                self.log.push(content);
            }
            Request::RejectedLog { version, content } => {
                if version != self.rejected_log.len() {
                    return Err(StoreFault::Taken);
                }
                self.rejected_log.push(content);
            }
        }
        Ok(())
    }

    /// Has a request land at a later time.
    pub(super) fn delay(&mut self, request: Request, lands_at: i64) {
        self.late.push((lands_at, request));
    }

    /// A late request that is due.
    pub(super) fn take_late(&mut self, now: i64) -> Option<Request> {
        let due = self.late.iter().position(|(lands_at, _)| *lands_at <= now)?;
        Some(self.late.remove(due).1)
    }

    /// When the next late request lands.
    pub(super) fn next_late(&self) -> Option<i64> {
        self.late.iter().map(|(lands_at, _)| *lands_at).min()
    }

    pub(super) fn document(&self, number: u64) -> Option<&[u8]> {
        self.documents.get(&number).map(|stored| stored.body.as_slice())
    }

    pub(super) fn document_written_at(&self, number: u64) -> Option<i64> {
        self.documents.get(&number).map(|stored| stored.written_at)
    }

    pub(super) fn highest_document(&self) -> Option<u64> {
        self.documents.keys().next_back().copied()
    }

    pub(super) fn file(&self, path: &str) -> Option<&[Item]> {
        self.rows.get(path).map(|stored| stored.body.as_slice())
    }

    pub(super) fn file_written_at(&self, path: &str) -> Option<i64> {
        self.rows.get(path).map(|stored| stored.written_at)
    }
}
