//! One table, open for maintenance: the fenced commit of a task.
//!
//! A task happens at the Delta commit: files leave and come, and the record and, if rows change, the document of the
//! stream come into force, all in one version. Everything before it is unreferenced.

mod steps;
pub(crate) mod undo;

use std::collections::{BTreeMap, BTreeSet};

use bluelake_schemas::Stream;
use deltalake::{DeltaTable, table::state::DeltaTableState};
use uuid::Uuid;

use crate::{
    backoff::Backoff,
    checkpoint::document::CheckpointDocument,
    commit::{
        chain::DocumentChain, log::checkpoint::LogCheckpoints, self_check, stream_table::document_number,
        uploader::Uploader,
    },
    error::LakeError,
    layout::{REJECTED_EVENTS, app_id},
    maintenance::{
        attempt::{FoundFile, TableView, TaskAttempt},
        record::{MaintenanceRecord, TaskKind},
        record_chain::{MAINTENANCE, RecordChain},
        self_check::{check_protocol, check_rejected},
        task::{Lost, Task, UndoTerms},
        undo::UndoView,
    },
    place::lake::Lake,
};

/// The outcome of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskOutcome {
    /// It happened.
    Committed {
        /// Its Delta version; if the task was found to have happened already, the version of the table as read then.
        version: u64,
        /// Number of its record.
        record: u64,
    },
    /// It can never happen. Its files are orphans.
    Lost(Lost),
}

/// A stream whose events a table holds.
#[derive(Debug)]
struct Held {
    stream: Stream,
    chain: DocumentChain,
    /// The event table, if that is another one: it names the document in force.
    events: Option<DeltaTable>,
}

/// A table that is open for maintenance. It has one owner, which alone refreshes it.
#[derive(Debug)]
pub struct MaintainedTable {
    lake: Lake,
    name: &'static str,
    table: DeltaTable,
    records: RecordChain,
    /// The streams whose events it holds: one, or all for `rejected_events`.
    streams: Vec<Held>,
    current: Option<MaintenanceRecord>,
    documents: BTreeMap<Stream, Option<CheckpointDocument>>,
    worker: String,
    /// Version that was checked against its documents and records.
    checked: Option<u64>,
    /// It is open for undos alone: rows that no document counts are judged when one is committed, and not before.
    only_undo: bool,
    log_checkpoints: LogCheckpoints,
}

impl MaintainedTable {
    /// Opens an event table or `rejected_events`, and checks it against its documents and records.
    ///
    /// # Errors
    /// [`LakeError::NotALake`] without the table; [`LakeError::Refused`] when a check fails.
    pub async fn open(lake: &Lake, name: &str, worker: &str) -> Result<Self, LakeError> {
        Self::open_as(lake, name, worker, false).await
    }

    async fn open_as(lake: &Lake, name: &str, worker: &str, only_undo: bool) -> Result<Self, LakeError> {
        let stream = Stream::ALL.into_iter().find(|stream| stream.table() == name);
        let (name, streams) = match stream {
            Some(stream) => (stream.table(), vec![stream]),
            None if name == REJECTED_EVENTS => (REJECTED_EVENTS, Stream::ALL.to_vec()),
            None => {
                let reason = format!("'{name}' is no table of it");
                return Err(LakeError::NotALake { url: lake.location().to_string(), reason });
            }
        };
        let table = lake.table(name).await?;
        lake.probe_put_if_absent().await?;
        let mut held = Vec::new();
        for stream in streams {
            let events = if stream.table() == name { None } else { Some(lake.table(stream.table()).await?) };
            held.push(Held { stream, chain: DocumentChain::new(lake, stream), events });
        }
        let mut table = Self {
            lake: lake.clone(),
            name,
            table,
            records: RecordChain::new(lake, name),
            streams: held,
            current: None,
            documents: BTreeMap::new(),
            worker: worker.to_owned(),
            checked: None,
            only_undo,
            log_checkpoints: LogCheckpoints::default(),
        };
        table.reload().await?;
        Ok(table)
    }

    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The Delta table, as last loaded.
    #[must_use]
    pub fn delta_table(&self) -> &DeltaTable {
        &self.table
    }

    /// The record in force, as last loaded; `None` before the first task.
    #[must_use]
    pub fn record(&self) -> Option<&MaintenanceRecord> {
        self.current.as_ref()
    }

    /// The chain of its records.
    pub(crate) fn records(&self) -> &RecordChain {
        &self.records
    }

    /// The streams whose events it holds, with their chains and the documents in force.
    pub(crate) fn followed(&self) -> impl Iterator<Item = (Stream, &DocumentChain, Option<&CheckpointDocument>)> {
        self.streams.iter().map(|held| {
            let document = self.documents.get(&held.stream).and_then(Option::as_ref);
            (held.stream, &held.chain, document)
        })
    }

    /// The document of a stream that `rejected_events` follows.
    pub(crate) async fn followed_by_rejected(&self, stream: Stream) -> Result<Option<u64>, LakeError> {
        let rejected = self.lake.table(REJECTED_EVENTS).await?;
        let state = rejected.snapshot().map_err(LakeError::table(REJECTED_EVENTS, "load its Delta log"))?;
        document_number(REJECTED_EVENTS, &rejected, state, &app_id(stream)).await
    }

    /// Uploads into the table's folder.
    #[must_use]
    pub fn uploader(&self) -> Uploader {
        Uploader::of(&self.table)
    }

    /// Begins a task on the table as last loaded, without files yet. Call it before the first upload: files of the task
    /// are orphans an hour later.
    ///
    /// # Errors
    /// When the store does not give its time.
    pub async fn begin(&self, kind: TaskKind) -> Result<Task, LakeError> {
        let epoch =
            |document: &Option<CheckpointDocument>| document.as_ref().map_or(0, |document| document.head.erasure_epoch);
        Ok(Task {
            id: Uuid::now_v7(),
            kind,
            base: self.current.as_ref().map_or(0, |record| record.number),
            planned_on: self.table.version().unwrap_or_default(),
            began_at: self.lake.store_time().await?,
            erasure_epochs: self.documents.iter().map(|(stream, document)| (*stream, epoch(document))).collect(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            rows: BTreeMap::new(),
            content: None,
            undo: UndoTerms::default(),
        })
    }

    /// Commits a task exactly once, or reports that it can never happen.
    ///
    /// # Errors
    /// When the outcome could not be settled: the task may then be tried again as it is, with the same files.
    pub async fn commit(&mut self, task: &Task) -> Result<TaskOutcome, LakeError> {
        let mut last_error = None;
        let mut backoff = Backoff::of_conflicts(self.lake.chance());
        for attempt in 0..TaskAttempt::TRIES {
            backoff.before(attempt).await;
            match self.attempt(task).await {
                Ok(outcome) => {
                    if matches!(outcome, TaskOutcome::Committed { .. }) {
                        self.log_checkpoints.write_if_due(self.name, &self.table).await;
                    }
                    return Ok(outcome);
                }
                Err(error) if error.is_transient() => {
                    tracing::info!(
                        table = self.name, task = %task.id, kind = task.kind.name(), attempt,
                        error = crate::causes(&error),
                        "a maintenance commit was refused or not acknowledged; reading the table back"
                    );
                    last_error = Some(Box::new(error));
                }
                Err(error) => return self.settle(task, error).await,
            }
        }
        let table = self.name.to_owned();
        Err(LakeError::Contention { table, attempts: TaskAttempt::TRIES, source: last_error })
    }

    /// Loads the newest version with its record and documents, and checks them against each other if the table moved.
    ///
    /// # Errors
    /// When the log, a record or a document cannot be read or is invalid, and [`LakeError::Refused`] when a check
    /// fails.
    pub async fn reload(&mut self) -> Result<(), LakeError> {
        self.read_back().await.map(drop)
    }

    async fn read_back(&mut self) -> Result<DeltaTableState, LakeError> {
        let name = self.name;
        self.table.update_incremental(None).await.map_err(LakeError::table(name, "load its Delta log"))?;
        let state = self.table.snapshot().map_err(LakeError::table(name, "load its Delta log"))?.clone();
        check_protocol(name, &state)?;
        self.current = match document_number(name, &self.table, &state, MAINTENANCE).await? {
            Some(number) if self.current.as_ref().map(|record| record.number) == Some(number) => self.current.take(),
            Some(number) => Some(self.records.get(number).await?),
            None => None,
        };
        if name == REJECTED_EVENTS {
            self.check_rejected(&state).await?
        } else {
            self.check_events(&state).await?
        }
        self.checked = Some(state.version());
        Ok(state)
    }

    /// The document in force of an event table is named by the same snapshot.
    async fn check_events(&mut self, state: &DeltaTableState) -> Result<(), LakeError> {
        for Held { stream, chain, .. } in &self.streams {
            let number = document_number(self.name, &self.table, state, &app_id(*stream)).await?;
            let known = self.documents.remove(stream).flatten();
            let document = document(chain, number, known).await?;
            match self.checked == Some(state.version()) {
                true => {}
                false if self.only_undo => {
                    self_check::check_memory(*stream, state)?;
                    self_check::check_chain(*stream, document.as_ref(), chain).await?;
                }
                false => self_check::check(*stream, state, document.as_ref(), chain).await?,
            }
            self.documents.insert(*stream, document);
        }
        Ok(())
    }

    /// The rows of `rejected_events` are those of the documents that it follows. The epochs are those of the documents
    /// in force, which the event tables name.
    async fn check_rejected(&mut self, state: &DeltaTableState) -> Result<(), LakeError> {
        let mut followed = BTreeMap::new();
        for Held { stream, chain, events } in &mut self.streams {
            let follows = document_number(self.name, &self.table, state, &app_id(*stream)).await?;
            let known = self.documents.remove(stream).flatten();
            if let Some(document) = document(chain, follows, known.clone()).await? {
                followed.insert(*stream, document);
            }
            let Some(events) = events else { continue };
            events.update_incremental(None).await.map_err(LakeError::table(stream.table(), "load its Delta log"))?;
            let events_state = events.snapshot().map_err(LakeError::table(stream.table(), "load its Delta log"))?;
            let number = document_number(stream.table(), events, events_state, &app_id(*stream)).await?;
            self.documents.insert(*stream, document(chain, number, known).await?);
        }
        if !self.only_undo && self.checked != Some(state.version()) {
            check_rejected(state, &followed, self.current.as_ref())?;
        }
        Ok(())
    }

    /// The view of the table for a task.
    fn view(&self, state: &DeltaTableState, task: &Task) -> TableView {
        let inputs = task.inputs.iter().map(|file| file.path.as_str());
        let wanted: BTreeSet<&str> = inputs.chain(task.outputs.iter().map(|file| file.path.as_str())).collect();
        let mut files = BTreeMap::new();
        for file in state.log_data().iter() {
            let path = file.object_store_path();
            if wanted.contains(path.as_ref()) {
                let found = FoundFile {
                    size: u64::try_from(file.size()).unwrap_or_default(),
                    rows: file.num_records().and_then(|rows| u64::try_from(rows).ok()),
                    has_deletions: file.deletion_vector_descriptor().is_some(),
                };
                files.insert(path.as_ref().to_owned(), found);
            }
        }
        let (record, documents) = (self.current.clone(), self.documents.clone());
        TableView { table: self.name, record, documents, files, undo: UndoView::default() }
    }
}

/// Document `number`, which may be known already.
async fn document(
    chain: &DocumentChain,
    number: Option<u64>,
    known: Option<CheckpointDocument>,
) -> Result<Option<CheckpointDocument>, LakeError> {
    match number {
        Some(number) if known.as_ref().map(|document| document.head.number) == Some(number) => Ok(known),
        Some(number) => chain.get(number).await.map(Some),
        None => Ok(None),
    }
}
