//! A table that is open for an undo, what it shows of its past, and what an undo asks of it when it is committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use bluelake_schemas::Stream;
use deltalake::table::state::DeltaTableState;
use futures::TryStreamExt as _;
use object_store::{ObjectStoreExt as _, path::Path};

use super::MaintainedTable;
use crate::{
    commit::{
        log::version::{LogVersion, LoggedFile, at_version, logged_files, missing, read_version, read_versions},
        stream_table::document_number,
    },
    error::LakeError,
    layout::{REJECTED_EVENTS, app_id, stream_of},
    maintenance::{
        attempt::TaskAttempt,
        record::{MaintenanceRecord, TaskKind},
        record_chain::MAINTENANCE,
        task::{Lost, Task},
        undo::{UndoView, Undone},
    },
    place::lake::Lake,
};

/// A table as it was at a version.
#[derive(Clone, Debug)]
pub struct PastTable {
    /// Its files, by path.
    pub files: BTreeMap<String, LoggedFile>,
    /// Erasure epochs of the documents that were in force; of a stream whose document is gone there is none.
    pub erasure_epochs: BTreeMap<Stream, u64>,
}

impl MaintainedTable {
    /// As [`MaintainedTable::open`], for undos alone: rows that no document counts do not keep it from being opened.
    ///
    /// # Errors
    /// As [`MaintainedTable::open`], for every other check.
    pub async fn open_for_undo(lake: &Lake, name: &str, worker: &str) -> Result<Self, LakeError> {
        Self::open_as(lake, name, worker, true).await
    }

    /// A version of the log.
    ///
    /// # Errors
    /// [`LakeError::NoSuchVersion`] when the log does not have it (any more).
    pub async fn version(&self, number: u64) -> Result<LogVersion, LakeError> {
        match read_version(self.name, &self.table, number).await? {
            Some(version) => Ok(version),
            None => Err(missing(self.name, &self.table, number).await?),
        }
    }

    /// Versions of the log in the order of their numbers, up to the first that it does not have.
    pub fn versions(
        &self,
        numbers: RangeInclusive<u64>,
    ) -> impl futures::Stream<Item = Result<LogVersion, LakeError>> + Send + '_ {
        let read = read_versions(self.name, &self.table, numbers, usize::MAX);
        read.try_take_while(|version| std::future::ready(Ok(version.is_some())))
            .try_filter_map(|version| async move { Ok(version) })
    }

    /// Its files, as last loaded, by path.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn logged_files(&self) -> Result<BTreeMap<String, LoggedFile>, LakeError> {
        logged_files(self.name, &self.table)
    }

    /// The table as it was at a version.
    ///
    /// # Errors
    /// [`LakeError::NoSuchVersion`] when the log does not have it (any more).
    pub async fn past(&self, version: u64) -> Result<PastTable, LakeError> {
        let table = at_version(self.name, self.table.clone(), version).await?;
        let state = table.snapshot().map_err(LakeError::table(self.name, "load its Delta log"))?;
        let mut erasure_epochs = BTreeMap::new();
        for held in &self.streams {
            let epoch = match document_number(self.name, &table, state, &app_id(held.stream)).await? {
                None => Some(0),
                Some(number) => match held.chain.get(number).await {
                    Ok(document) => Some(document.head.erasure_epoch),
                    Err(LakeError::Document { .. }) => None,
                    Err(error) => return Err(error),
                },
            };
            erasure_epochs.extend(epoch.map(|epoch| (held.stream, epoch)));
        }
        Ok(PastTable { files: logged_files(self.name, &table)?, erasure_epochs })
    }

    /// The number of the record that a version put in force.
    #[must_use]
    pub fn record_of(version: &LogVersion) -> Option<u64> {
        version.transactions.get(MAINTENANCE).copied()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`LakeError::Record`] when it cannot be used.
    pub async fn read_record(&self, number: u64) -> Result<MaintenanceRecord, LakeError> {
        self.records.get(number).await
    }

    /// Looks for a record in the chain, and for what became of it.
    ///
    /// # Errors
    /// When the chain cannot be read.
    pub async fn undone(&self, record: u64) -> Result<Option<Undone>, LakeError> {
        self.records.undone(self.current.as_ref(), record).await
    }

    /// Rows of a file by its footer, when it stands in the store with this size.
    ///
    /// # Errors
    /// [`LakeError::DataFile`] when it has another size or is no Parquet file, [`LakeError::Store`] when it cannot be read.
    pub async fn footer_rows(&self, path: &str, size: u64) -> Result<u64, LakeError> {
        let fault = |reason: String| LakeError::DataFile { path: path.to_owned(), reason };
        let location = Path::parse(path).map_err(|error| fault(error.to_string()))?;
        let found = self.table.object_store().head(&location).await;
        let found = found.map_err(LakeError::store("look at", format!("{}/{path}", self.name)))?;
        if found.size != size {
            return Err(fault(format!("it has {} bytes, the log says {size}", found.size)));
        }
        Ok(self.open_file(path, size).await?.rows())
    }

    /// The stream whose rows a file of the table holds, by its partition.
    #[must_use]
    pub fn stream_of(&self, file: &LoggedFile) -> Option<Stream> {
        let named = file.partition_values.get("stream").and_then(Option::as_deref);
        stream_of(self.name, named)
    }

    /// Whether the table, as last loaded, would hold the rows that its documents say, by the terms of an undo.
    ///
    /// # Errors
    /// When a document or record cannot be read, or the undo contradicts itself.
    pub async fn balances(&self, task: &Task) -> Result<bool, LakeError> {
        let state = self.table.snapshot().map_err(LakeError::table(self.name, "load its Delta log"))?.clone();
        match self.decide(&state, task, None).await? {
            TaskAttempt::Lost(Lost::Rows { .. }) => Ok(false),
            _ => Ok(true),
        }
    }

    /// What the table shows to an undo.
    pub(super) async fn undo_view(&self, state: &DeltaTableState, task: &Task) -> Result<UndoView, LakeError> {
        let TaskKind::Undo { record, .. } = task.kind else { return Ok(UndoView::default()) };
        let undone = match record {
            Some(record) => self.undone(record).await?,
            None => None,
        };
        let leaving: BTreeSet<&str> = task.inputs.iter().map(|file| file.path.as_str()).collect();
        let mut view = UndoView { undone, ..UndoView::default() };
        for held in &self.streams {
            let log = state.log_data();
            let staying = log.iter().filter(|file| {
                let named = file.partition_values_map().remove("stream").flatten();
                let is_of = stream_of(self.name, named.as_deref()) == Some(held.stream);
                is_of && !leaving.contains(file.object_store_path().as_ref())
            });
            let rows = staying.map(|file| file.num_records().and_then(|rows| u64::try_from(rows).ok()));
            view.rows.insert(held.stream, rows.sum());
            if self.name == REJECTED_EVENTS
                && let Some(number) = document_number(self.name, &self.table, state, &app_id(held.stream)).await?
            {
                view.given.insert(held.stream, held.chain.get(number).await?.rejected_so_far());
            }
        }
        Ok(view)
    }
}
