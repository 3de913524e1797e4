//! A maintainer's view of the event table, and what a task asks of it.

use std::collections::BTreeMap;

use bluelake_lake::{
    CheckpointDocument, FoundFile, MaintenanceRecord, Standing, TableView, Task, TaskAttempt, TaskKind, Trace,
    UndoTerms, UndoView, Undone, UndoneSearch,
};
use bluelake_schemas::{Millis, Stream};
use rand::Rng as _;
use uuid::Uuid;

use super::super::{
    env::Env,
    store::{Snapshot, StoreFault},
    table::{load_document, self_check},
};

/// The simulation has one stream.
pub(super) const STREAM: Stream = Stream::TransactionEvents;

#[derive(Clone, Debug, Default)]
pub(super) struct KeptTable {
    pub(super) snapshot: Snapshot,
    pub(super) document: Option<CheckpointDocument>,
    pub(super) record: Option<MaintenanceRecord>,
}

impl KeptTable {
    /// Loads the newest version with its document and record, and checks it.
    pub(super) fn reload(&mut self, env: &mut Env) -> Result<(), StoreFault> {
        env.read()?;
        let snapshot = env.store.snapshot();
        load_document(&snapshot, &mut self.document, env)?;
        if snapshot.record != self.record.as_ref().map(|record| record.number) {
            self.record = match snapshot.record {
                Some(number) => Some(read_record(number, env)?),
                None => None,
            };
        }
        self.snapshot = snapshot;
        self_check(&self.snapshot, self.document.as_ref(), env)
    }

    pub(super) fn standing(&self) -> Standing {
        self.record.as_ref().map(|record| record.standing.clone()).unwrap_or_default()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.document.as_ref().map_or(0, |document| document.head.erasure_epoch)
    }

    /// Begins a task on the table as last loaded, as `MaintainedTable::begin` does.
    pub(super) fn begin(&self, kind: TaskKind, env: &mut Env) -> Task {
        Task {
            id: Uuid::from_u128(env.random.random()),
            kind,
            base: self.record.as_ref().map_or(0, |record| record.number),
            planned_on: u64::try_from(self.snapshot.version).unwrap(),
            began_at: Millis::new(env.now),
            erasure_epochs: BTreeMap::from([(STREAM, self.epoch())]),
            inputs: Vec::new(),
            outputs: Vec::new(),
            rows: BTreeMap::new(),
            content: None,
            undo: UndoTerms::default(),
        }
    }

    /// The table as a task asks for it.
    pub(super) fn view(&self, task: &Task, env: &mut Env) -> Result<TableView, StoreFault> {
        let inputs = task.inputs.iter().map(|file| file.path.as_str());
        let wanted = inputs.chain(task.outputs.iter().map(|file| file.path.as_str()));
        let found = wanted.filter_map(|path| {
            let file = self.snapshot.files.get(path)?;
            Some((path.to_owned(), FoundFile { size: file.size, rows: Some(file.rows), has_deletions: false }))
        });
        Ok(TableView {
            table: STREAM.table(),
            record: self.record.clone(),
            documents: BTreeMap::from([(STREAM, self.document.clone())]),
            files: found.collect(),
            undo: self.undo_view(task, env)?,
        })
    }

    /// What the table shows to an undo. Reads record by record.
    fn undo_view(&self, task: &Task, env: &mut Env) -> Result<UndoView, StoreFault> {
        let TaskKind::Undo { record, .. } = task.kind else { return Ok(UndoView::default()) };
        let leaves = |path: &str| task.inputs.iter().any(|file| file.path == path);
        let staying = self.snapshot.files.iter().filter(|(path, _)| !leaves(path));
        let rows = staying.map(|(_, file)| file.rows).sum();
        let undone = match record {
            Some(record) => self.undone(record, env)?,
            None => None,
        };
        Ok(UndoView { undone, rows: BTreeMap::from([(STREAM, Some(rows))]), given: BTreeMap::new() })
    }

    fn undone(&self, wanted: u64, env: &mut Env) -> Result<Option<Undone>, StoreFault> {
        let mut search = UndoneSearch::new(wanted);
        let mut next = self.record.clone();
        while let Some(record) = next {
            if !search.take_in(&record) {
                break;
            }
            next = match record.previous {
                Some(previous) => Some(read_record(previous.number, env)?),
                None => None,
            };
        }
        Ok(search.found())
    }

    /// Number of the record that commits a task. Reads record by record.
    pub(super) fn find(&self, task: &Task, env: &mut Env) -> Result<Option<u64>, StoreFault> {
        let Some(mut record) = self.record.clone() else { return Ok(None) };
        loop {
            match TaskAttempt::trace(&record, task) {
                Trace::Found => return Ok(Some(record.number)),
                Trace::Absent => return Ok(None),
                Trace::Before(number) => record = read_record(number, env)?,
            }
        }
    }
}

fn read_record(number: u64, env: &mut Env) -> Result<MaintenanceRecord, StoreFault> {
    env.read()?;
    let read = env.store.record(number).map(|bytes| MaintenanceRecord::read(bytes, number));
    match read {
        Some(Ok(record)) => Ok(record),
        fault => {
            env.fail(format!("record {number}: {fault:?}"));
            Err(StoreFault::Unclear)
        }
    }
}
