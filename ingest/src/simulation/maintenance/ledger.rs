//! The oracle's part about files: it keeps which rows each version consists of, and which it should.
//!
//! | promise | is looked at |
//! | --- | --- |
//! | rows of the log = stored − expired of the document, and each row is in one file | with each version |
//! | a compaction or its undo changes no row, an expiry takes whole old days, an undo brings back what left | with each version |
//! | records build on each other and say what their version did; a task happens once, and never after it was reported as lost | with each version |
//! | nothing of before an erasure's epoch lands after it; a claim that has not lapsed keeps others out | with each version |
//! | no file is deleted that a promised version has, and none that was deleted comes back | with each deletion and version |
//! | the records, replayed backwards as `lake verify` does, lead to the files of the batches | at the end |
//! | what nobody needs is deleted when all is vacuumed | at the end |

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bluelake_lake::{CheckpointDocument, MaintenanceRecord, TaskKind, replay_records};
use uuid::Uuid;

use super::{
    super::{
        env::Env,
        store::{Item, Place, Version},
    },
    kept_table::STREAM,
    plans::{ORPHAN_AGE, index},
};

/// A file that was in the table.
struct Life {
    items: Arc<[Item]>,
    /// Versions from and up to, exclusive; `None`: it is there.
    spans: Vec<(usize, Option<usize>)>,
}

#[derive(Default)]
pub(in crate::simulation) struct Ledger {
    lives: BTreeMap<String, Life>,
    /// How often each row is in the table, and should be.
    rows: BTreeMap<Place, i64>,
    expected: BTreeMap<Place, i64>,
    total: i64,
    /// Rows more than the documents count, by version of another program that nobody has taken back.
    uncounted: BTreeMap<usize, i64>,
    expired: BTreeSet<Place>,
    /// Rows that expired at some time, also when they came back.
    pub(in crate::simulation) ever_expired: BTreeSet<Place>,
    /// Oldest first.
    records: Vec<MaintenanceRecord>,
    tasks: BTreeSet<Uuid>,
    epoch: u64,
    batch_files: BTreeSet<String>,
    deleted: BTreeSet<String>,
    /// Another program was here: the records alone do not explain the files.
    met_foreign: bool,
}

impl Ledger {
    /// A version as it landed, before its document is looked at.
    pub(in crate::simulation) fn version(
        &mut self,
        number: usize,
        version: &Version,
        env: &mut Env,
    ) -> Result<(), String> {
        if let Some(began) = version.began_epoch.filter(|began| *began != self.epoch) {
            return Err(format!("what began at erasure epoch {began} landed at epoch {}", self.epoch));
        }
        let record = match version.record {
            Some(record) => Some(self.record(record, version, env)?),
            None => None,
        };
        let removed = self.remove(number, version)?;
        let added = self.add(number, version, env)?;
        if version.uncounted {
            self.expect_foreign(number, version, (&removed, &added))?;
        } else {
            self.expect(version, record.as_ref(), (&removed, &added), env)?;
        }
        for item in removed.iter().chain(&added) {
            let count = |rows: &BTreeMap<Place, i64>| rows.get(&item.place).copied().unwrap_or_default();
            let (found, expected) = (count(&self.rows), count(&self.expected));
            if found != expected {
                return Err(format!("{:?} is in the table {found} times, and should be {expected} times", item.place));
            }
        }
        self.records.extend(record);
        Ok(())
    }

    /// The rows of the log are those that the document in force counts.
    pub(in crate::simulation) fn count(&mut self, document: Option<&CheckpointDocument>) -> Result<(), String> {
        self.epoch = document.map_or(0, |document| document.head.erasure_epoch);
        let counted = document.map_or(Some(0), CheckpointDocument::expected_rows);
        let found = self.total - self.uncounted.values().sum::<i64>();
        if counted.and_then(|rows| i64::try_from(rows).ok()) != Some(found) {
            return Err(format!("the table has {found} rows, and its document counts {counted:?}"));
        }
        let expired = document.map_or(0, |document| document.tally.expired);
        if usize::try_from(expired).ok() != Some(self.expired.len()) {
            return Err(format!("{} rows are expired, and the document counts {expired}", self.expired.len()));
        }
        Ok(())
    }

    /// Reads the record of a version, and checks it against the one before and against what the version did.
    fn record(&mut self, number: u64, version: &Version, env: &mut Env) -> Result<MaintenanceRecord, String> {
        let bytes = env.store.record(number).ok_or(format!("record {number} is missing"))?;
        let record = MaintenanceRecord::read(bytes, number).map_err(|fault| fault.to_string())?;
        env.log(|| format!("record {number} of {} is in force: {:?}", record.worker, record.kind));
        let before = self.records.last();
        let expected = before.map(|before| (before.number, before.digest.clone()));
        let found = record.previous.as_ref().map(|previous| (previous.number, previous.digest.clone()));
        if expected != found {
            return Err(format!("record {number} builds on {found:?}, in force is {expected:?}"));
        }
        if expected.map_or(1, |(before, _)| before + 1) < number {
            env.count("record number skipped");
        }
        if !self.tasks.insert(record.task) {
            return Err(format!("task {} happened twice", record.task));
        }
        if env.lost_tasks.contains(&record.task) {
            return Err(format!("task {} was reported as lost, and happened", record.task));
        }
        let removes: BTreeSet<String> = record.removed_files().map(|(path, _)| path).collect();
        let removed: BTreeSet<String> = version.removes.iter().cloned().collect();
        if record.added != version.adds || removes != removed {
            return Err(format!("record {number} says other files than its version"));
        }
        if version.txn.is_some() != record.changes_rows() {
            return Err(format!("record {number}: rows and document do not go together"));
        }
        self.claim(before, &record, number, env)?;
        Ok(record)
    }

    /// A claim of another keeps a task out until it lapses.
    fn claim(
        &self,
        before: Option<&MaintenanceRecord>,
        record: &MaintenanceRecord,
        number: u64,
        env: &mut Env,
    ) -> Result<(), String> {
        let Some(claim) = before.and_then(|before| before.standing.claim.as_ref()) else { return Ok(()) };
        let folder = |path: &str| path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
        let mut folders = record.removed_files().map(|(path, _)| folder(&path));
        let mut added = record.added.iter().map(|file| folder(&file.path));
        let covers = |folder: String| claim.partitions.as_ref().is_none_or(|claimed| claimed.contains(&folder));
        let opens = matches!(&record.kind, TaskKind::Claim(other) if other.request != claim.request);
        if !(opens || folders.any(covers) || added.any(covers)) {
            return Ok(());
        }
        let written_at = env.store.record_written_at(number).unwrap_or_default();
        if claim.until.get() > written_at {
            return Err(format!("record {number} changes what request {} has claimed", claim.request));
        }
        env.count("a claim lapsed");
        Ok(())
    }

    fn remove(&mut self, number: usize, version: &Version) -> Result<Vec<Item>, String> {
        let mut removed = Vec::new();
        for path in &version.removes {
            let span = self.lives.get_mut(path).and_then(|life| life.spans.last_mut()).filter(|span| span.1.is_none());
            let Some(span) = span else { return Err(format!("{path} is taken out, and is not there")) };
            span.1 = Some(number);
            removed.extend(self.lives[path].items.iter().cloned());
        }
        for item in &removed {
            *self.rows.entry(item.place.clone()).or_default() -= 1;
            self.total -= 1;
        }
        Ok(removed)
    }

    fn add(&mut self, number: usize, version: &Version, env: &Env) -> Result<Vec<Item>, String> {
        let mut added = Vec::new();
        for file in &version.adds {
            if self.deleted.contains(&file.path) {
                return Err(format!("{} was deleted, and is added again", file.path));
            }
            let items = env.store.file(&file.path).ok_or(format!("{} is missing", file.path))?;
            if u64::try_from(items.len()).unwrap() != file.rows {
                return Err(format!("{} has other than {} rows", file.path, file.rows));
            }
            let life = self.lives.entry(file.path.clone());
            let life = life.or_insert_with(|| Life { items: Arc::clone(items), spans: Vec::new() });
            if life.spans.last().is_some_and(|span| span.1.is_none()) {
                return Err(format!("{} is added, and is there", file.path));
            }
            life.spans.push((number, None));
            added.extend(items.iter().cloned());
        }
        for item in &added {
            *self.rows.entry(item.place.clone()).or_default() += 1;
            self.total += 1;
        }
        Ok(added)
    }

    /// What the version should change.
    fn expect(
        &mut self,
        version: &Version,
        record: Option<&MaintenanceRecord>,
        (removed, added): (&[Item], &[Item]),
        env: &mut Env,
    ) -> Result<(), String> {
        match record.map(|record| &record.kind) {
            None if !removed.is_empty() => return Err("a batch takes rows out".to_owned()),
            None => {
                self.batch_files.extend(version.adds.iter().map(|file| file.path.clone()));
                for item in added {
                    *self.expected.entry(item.place.clone()).or_default() += 1;
                }
                if added.iter().any(|item| self.is_expired_day(item)) {
                    env.count("rows landed in an expired day");
                }
            }
            Some(TaskKind::Expire { before }) => {
                for item in removed {
                    if super::super::store::date(item.day()) >= *before {
                        return Err(format!("{:?} is of a day that has not expired", item.place));
                    }
                    *self.expected.entry(item.place.clone()).or_default() -= 1;
                    self.expired.insert(item.place.clone());
                    self.ever_expired.insert(item.place.clone());
                }
            }
            Some(TaskKind::Undo { .. }) => {
                let out: BTreeSet<&Place> = removed.iter().map(|item| &item.place).collect();
                for item in added.iter().filter(|item| !out.contains(&item.place)) {
                    if !self.expired.remove(&item.place) {
                        return Err(format!("{:?} comes back, and had not expired", item.place));
                    }
                    *self.expected.entry(item.place.clone()).or_default() += 1;
                }
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Another program may do what it likes; who takes it back brings back exactly what was.
    fn expect_foreign(
        &mut self,
        number: usize,
        version: &Version,
        (removed, added): (&[Item], &[Item]),
    ) -> Result<(), String> {
        self.met_foreign = true;
        for (items, change) in [(removed, -1), (added, 1)] {
            for item in items {
                *self.expected.entry(item.place.clone()).or_default() += change;
            }
        }
        let change = i64::try_from(added.len()).unwrap() - i64::try_from(removed.len()).unwrap();
        match version.undoes {
            None => drop(self.uncounted.insert(number, change)),
            Some(undone) => {
                let before = self.uncounted.remove(&undone);
                if before != Some(-change) {
                    return Err(format!("version {undone} changed {before:?} rows, and its undo {change}"));
                }
            }
        }
        Ok(())
    }

    fn is_expired_day(&self, item: &Item) -> bool {
        let before = self.records.last().and_then(|record| record.standing.expired_before);
        before.is_some_and(|before| super::super::store::date(item.day()) < before)
    }

    /// Looks at a file that was deleted.
    pub(in crate::simulation) fn deleted(&mut self, path: &str) -> Result<(), String> {
        let floor = self.records.last().map_or(0, |record| index(record.standing.readable_from));
        let spans = self.lives.get(path).map(|life| life.spans.as_slice()).unwrap_or_default();
        if let Some((from, until)) = spans.iter().find(|(_, until)| until.is_none_or(|until| until > floor)) {
            return Err(format!("{path} is deleted; versions {from} to {until:?} have it, and {floor} is promised"));
        }
        self.deleted.insert(path.to_owned());
        Ok(())
    }

    /// What must hold at the end.
    pub(in crate::simulation) fn conclude(&self, env: &mut Env) -> Result<(), String> {
        if !self.uncounted.values().all(|rows| *rows == 0) {
            return Err(format!("what another program did was not taken back: {:?}", self.uncounted));
        }
        if let Some(task) = env.committed_tasks.iter().find(|task| !self.tasks.contains(task)) {
            return Err(format!("task {task} was reported as done, and has not happened"));
        }
        if let Some(task) = env.lost_tasks.iter().find(|task| self.tasks.contains(task)) {
            return Err(format!("task {task} was reported as lost, and has happened"));
        }
        let files = env.store.snapshot().files;
        if let Some(path) = files.keys().find(|path| env.store.file(path).is_none()) {
            return Err(format!("{path} is in the table, and is missing"));
        }
        if self.met_foreign {
            return Ok(());
        }
        let files = files.values().map(|file| (file.path.clone(), file.rows, file.size));
        let newest_first: Vec<MaintenanceRecord> = self.records.iter().rev().cloned().collect();
        let (left, found) = replay_records(STREAM.table(), files, &newest_first);
        if found.found > 0 {
            return Err(format!("the records do not replay: {found:?}"));
        }
        if left != self.batch_files {
            return Err("the records do not lead to the files of the batches".to_owned());
        }
        if !newest_first.is_empty() {
            env.count("records replayed");
        }
        Ok(())
    }

    /// After a vacuum of everything: every file left is in the table, of a promised version, or young.
    pub(in crate::simulation) fn nothing_is_left(&self, rejected: &BTreeSet<String>, env: &mut Env) {
        let floor = self.records.last().map_or(0, |record| index(record.standing.readable_from));
        let is_needed = |path: &str| {
            let spans = self.lives.get(path).map(|life| life.spans.as_slice()).unwrap_or_default();
            spans.iter().any(|(_, until)| until.is_none_or(|until| until > floor))
        };
        let old = env.now - 2 * ORPHAN_AGE;
        let left = env
            .store
            .data_files()
            .find(|(path, written_at)| *written_at < old && !rejected.contains(*path) && !is_needed(path));
        if let Some((path, _)) = left {
            let finding = format!("{path} is needed by nobody, and was not deleted");
            env.fail(finding);
            return;
        }
        env.count("everything vacuumed");
    }
}
