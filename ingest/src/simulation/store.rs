//! The store: objects, two Delta logs, heartbeats. A version of a log and a number of a document or record are taken once;
//! an answer may be lost, and a request may land long after its sender gave up on it.

use std::{collections::BTreeMap, sync::Arc};

use bluelake_lake::{DataFile, FoundHeartbeat};
use bluelake_schemas::Millis;
use chrono::NaiveDate;
use uuid::Uuid;

/// Where an event was put.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) shard: String,
    pub(super) sequence: String,
    pub(super) sub_sequence: u32,
}

/// The fate of an event in the worker that read it.
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

impl Item {
    /// The day of the event: the first, second or third. Most are of the last.
    pub(super) fn day(&self) -> u32 {
        match self.id.as_u128() % 8 {
            0 => 1,
            1 => 2,
            _ => 3,
        }
    }
}

/// The date of a day.
pub(super) fn date(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 9, day).unwrap()
}

/// A file of events of one day, as its writer names it.
pub(super) fn event_file(name: &str, day: u32, items: &[Item], modified_at: i64) -> DataFile {
    let values = [("event_type", "donation".to_owned()), ("event_date", date(day).to_string())];
    let folder: String = values.iter().map(|(column, value)| format!("{column}={value}/")).collect();
    let rows = u64::try_from(items.len()).unwrap();
    DataFile {
        path: format!("{folder}{name}.parquet"),
        partition_values: values.map(|(column, value)| (column.to_owned(), value)).into(),
        size: 10 + rows,
        modified_at: Millis::new(modified_at),
        rows,
        statistics: String::new(),
    }
}

/// The files that a table consists of, by path.
pub(super) type Files = BTreeMap<Arc<str>, Arc<DataFile>>;

/// A version of the event table.
#[derive(Clone, Debug, Default)]
pub(super) struct Version {
    pub(super) adds: Vec<DataFile>,
    /// Files that leave; those that are not there leave nothing.
    pub(super) removes: Vec<String>,
    /// Who follows the changes of the table has to look at it.
    pub(super) data_change: bool,
    /// The number of the document that it commits; `None`: upkeep that changes no row.
    pub(super) txn: Option<u64>,
    /// The number of the maintenance record that it commits.
    pub(super) record: Option<u64>,
    /// Events of the batch that are in no file.
    pub(super) duplicates: Vec<Item>,
    /// The erasure epoch with which its maker began.
    pub(super) began_epoch: Option<u64>,
    /// Another program made it, or what another program did is undone by it: rows change that no document counts.
    pub(super) uncounted: bool,
    /// The version that it takes back.
    pub(super) undoes: Option<usize>,
    /// True time; set when it lands.
    pub(super) written_at: i64,
}

impl Version {
    /// Whether deltalake refuses a commit of `self` whose snapshot is before `landed`: one of the same application, or one that
    /// takes data out that an append may have read.
    pub(super) fn conflicts_with(&self, landed: &Self) -> bool {
        let same = |own: Option<u64>, other: Option<u64>| own.is_some() && other.is_some();
        same(self.txn, landed.txn)
            || same(self.record, landed.record)
            || (landed.data_change && !landed.removes.is_empty())
    }
}

/// The event table at one version.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) version: usize,
    pub(super) files: Arc<Files>,
    /// The document in force.
    pub(super) document: Option<u64>,
    /// The maintenance record in force.
    pub(super) record: Option<u64>,
    pub(super) rows: u64,
}

impl Snapshot {
    fn apply(&mut self, version: &Version) {
        let files = Arc::make_mut(&mut self.files);
        for path in &version.removes {
            self.rows -= files.remove(path.as_str()).map_or(0, |file| file.rows);
        }
        for file in &version.adds {
            self.rows += file.rows;
            let before = files.insert(file.path.as_str().into(), Arc::new(file.clone()));
            self.rows -= before.map_or(0, |file| file.rows);
        }
        self.document = version.txn.or(self.document);
        self.record = version.record.or(self.record);
    }
}

/// A version of `rejected_events`.
#[derive(Clone, Debug, Default)]
pub(super) struct RejectedVersion {
    pub(super) adds: Vec<DataFile>,
    pub(super) txn: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Request {
    Rows {
        path: String,
        items: Arc<[Item]>,
    },
    Document {
        number: u64,
        bytes: Vec<u8>,
    },
    Record {
        number: u64,
        bytes: Vec<u8>,
    },
    Log {
        version: usize,
        content: Version,
    },
    RejectedLog {
        version: usize,
        content: RejectedVersion,
    },
    /// A data file goes for good.
    Delete {
        path: String,
    },
}

/// What a sender learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreFault {
    /// The name is taken, perhaps by the request itself.
    Taken,
    /// It may have happened, or may happen yet.
    Unclear,
    /// The table is not what its document says: another program changed it.
    Refused,
}

#[derive(Debug)]
struct Stored<T> {
    written_at: i64,
    body: T,
}

#[derive(Debug)]
pub(super) struct Store {
    rows: BTreeMap<String, Stored<Arc<[Item]>>>,
    documents: BTreeMap<u64, Stored<Vec<u8>>>,
    records: BTreeMap<u64, Stored<Vec<u8>>>,
    pub(super) log: Vec<Version>,
    head: Snapshot,
    /// Rows more, or fewer, than the documents count, because of another program.
    pub(super) uncounted_rows: i64,
    /// Files that were deleted, in that order.
    pub(super) deleted: Vec<String>,
    pub(super) rejected_log: Vec<RejectedVersion>,
    pub(super) beats: BTreeMap<String, FoundHeartbeat>,
    late: Vec<(i64, Request)>,
}

fn put_new(
    objects: &mut BTreeMap<u64, Stored<Vec<u8>>>,
    number: u64,
    body: Vec<u8>,
    now: i64,
) -> Result<(), StoreFault> {
    if objects.contains_key(&number) {
        return Err(StoreFault::Taken);
    }
    objects.insert(number, Stored { written_at: now, body });
    Ok(())
}

impl Store {
    /// Tables as just made: one version each, without rows.
    pub(super) fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
            documents: BTreeMap::new(),
            records: BTreeMap::new(),
            log: vec![Version::default()],
            head: Snapshot::default(),
            uncounted_rows: 0,
            deleted: Vec::new(),
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
            Request::Document { number, bytes } => put_new(&mut self.documents, number, bytes, now)?,
            Request::Record { number, bytes } => put_new(&mut self.records, number, bytes, now)?,
            Request::Delete { path } => {
                if self.rows.remove(&path).is_some() {
                    self.deleted.push(path);
                }
            }
            Request::Log { version, content } => {
                if version != self.log.len() {
                    return Err(StoreFault::Taken);
                }
                let before = i64::try_from(self.head.rows).unwrap();
                self.head.apply(&content);
                self.head.version = version;
                if content.uncounted {
                    self.uncounted_rows += i64::try_from(self.head.rows).unwrap() - before;
                }
                self.log.push(Version { written_at: now, ..content });
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

    /// Lets a request land at a later time.
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

    pub(super) fn record(&self, number: u64) -> Option<&[u8]> {
        self.records.get(&number).map(|stored| stored.body.as_slice())
    }

    pub(super) fn record_written_at(&self, number: u64) -> Option<i64> {
        self.records.get(&number).map(|stored| stored.written_at)
    }

    pub(super) fn highest_record(&self) -> Option<u64> {
        self.records.keys().next_back().copied()
    }

    /// The event table as it is now.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.head.clone()
    }

    /// The files of the event table at an earlier version.
    pub(super) fn files_at(&self, version: usize) -> Arc<Files> {
        let mut snapshot = Snapshot::default();
        for version in self.log.iter().take(version + 1) {
            snapshot.apply(version);
        }
        snapshot.files
    }

    /// Every data file, and when it was written.
    pub(super) fn data_files(&self) -> impl Iterator<Item = (&str, i64)> {
        self.rows.iter().map(|(path, stored)| (path.as_str(), stored.written_at))
    }

    pub(super) fn file(&self, path: &str) -> Option<&Arc<[Item]>> {
        self.rows.get(path).map(|stored| &stored.body)
    }

    pub(super) fn file_written_at(&self, path: &str) -> Option<i64> {
        self.rows.get(path).map(|stored| stored.written_at)
    }
}
