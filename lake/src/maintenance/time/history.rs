//! The history of a table: one entry a version, the newest first, from its log, documents and records.
//!
//! Versions, documents and records are read many at once, and no more of them than are asked for. Where a document or record
//! was cleared away the log alone speaks.

use std::collections::{BTreeMap, HashMap};

use bluelake_schemas::{Millis, Stream};
use chrono::{DateTime, Utc};
use deltalake::DeltaTable;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::what::{What, may_be_replay};
use crate::{
    checkpoint::document::CheckpointDocument,
    commit::{
        chain::DocumentChain,
        log::version::{LogVersion, at_version, commits, logged_files, read_versions},
        stream_table::document_number,
    },
    error::LakeError,
    layout::{app_id, streams_of},
    maintenance::{
        record::{MaintenanceRecord, TaskKind},
        record_chain::{MAINTENANCE, RecordChain},
    },
    place::lake::Lake,
};

/// Versions whose document and record are read at once.
const READS: usize = 32;

/// Which versions are wanted.
#[derive(Clone, Debug, Default)]
pub struct HistoryOptions {
    /// This number of them, the newest; `None`: all that the log has.
    pub limit: Option<usize>,
    /// Written at this time or later, by the store's clock.
    pub since: Option<Millis>,
    /// Written at this time or earlier, by the store's clock.
    pub until: Option<Millis>,
    /// Only those of other programs.
    pub foreign: bool,
}

/// What the versions of a table did.
#[derive(Clone, Debug, Serialize)]
pub struct TableHistory {
    /// The table.
    pub table: String,
    /// Its newest version.
    pub version: u64,
    /// The oldest version that is promised to be readable.
    pub readable_from: u64,
    /// The oldest version that the log has, when reading came to it and there were older ones.
    pub log_begins_at: Option<u64>,
    /// The versions that were wanted, the newest first.
    pub versions: Vec<HistoryEntry>,
}

/// What one version did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistoryEntry {
    /// Its number.
    pub version: u64,
    /// By the store's clock.
    pub written_at: Option<DateTime<Utc>>,
    /// What it was.
    pub what: What,
    /// The worker that did it; of other programs their own words.
    pub who: Option<String>,
    /// The operation, in the words of the log.
    pub operation: Option<String>,
    /// Files that came.
    pub files_added: usize,
    /// Files that left.
    pub files_removed: usize,
    /// Rows in the files that came; `None` when nobody counted them.
    pub rows_added: Option<u64>,
    /// Rows in the files that left; `None` when nobody knows them any more.
    pub rows_removed: Option<u64>,
    /// Bytes that came.
    pub bytes_added: u64,
    /// Bytes that left; `None` when nobody knows them.
    pub bytes_removed: Option<u64>,
    /// It says of itself that rows are the same.
    pub quiet: bool,
    /// Number of the document that it put in force.
    pub document: Option<u64>,
    /// Number of the record that it put in force.
    pub record: Option<u64>,
    /// The version that it undid.
    pub undoes: Option<u64>,
    /// The version that undid it, as far as that is among those that were read.
    pub undone_by: Option<u64>,
    /// What of it cannot be read although it is there.
    pub remark: Option<String>,
}

/// Reads what the versions of a table did.
///
/// # Errors
/// When the table, its log or the store cannot be read. A document or record that is missing or at fault is none.
pub async fn history(lake: &Lake, name: &str, options: &HistoryOptions) -> Result<TableHistory, LakeError> {
    let table = lake.table(name).await?;
    let newest = table.version().unwrap_or_default();
    let reader = Reader { name, table: &table, records: RecordChain::new(lake, name), chains: chains(lake, name) };
    let numbers = wanted(name, &table, newest, options).await?;
    let at_once = options.limit.filter(|_| !options.foreign).unwrap_or(usize::MAX);
    let mut read = std::pin::pin!(read_versions(name, &table, numbers, at_once));
    let (mut raw, mut found, mut oldest, mut log_begins_at) = (Vec::new(), 0, None, None);
    while let Some(version) = read.next().await {
        let Some(version) = version? else {
            log_begins_at = oldest;
            break;
        };
        oldest = Some(version.number);
        let is_wanted = !options.foreign || version.is_foreign();
        found += usize::from(is_wanted);
        // The undos tell which of the foreign ones were undone.
        if is_wanted || version.kind.as_deref() == Some(TaskKind::UNDO) {
            raw.push(without_statistics(version));
        }
        if options.limit.is_some_and(|limit| found >= limit) {
            break;
        }
    }
    let rows = reader.rows_of_removed(&raw).await?;
    let mut versions: Vec<HistoryEntry> =
        futures::stream::iter(&raw).map(|version| reader.entry(version, &rows)).buffered(READS).try_collect().await?;
    mark_undone(&mut versions);
    if options.foreign {
        versions.retain(|entry| entry.what == What::Foreign);
    }
    let readable_from = reader.readable_from().await?;
    Ok(TableHistory { table: name.to_owned(), version: newest, readable_from, log_begins_at, versions })
}

/// Numbers of the versions that are wanted, descending. Those of a time are looked for in a listing: only that says when each
/// was written.
async fn wanted(name: &str, table: &DeltaTable, newest: u64, options: &HistoryOptions) -> Result<Vec<u64>, LakeError> {
    if options.since.is_none() && options.until.is_none() {
        return Ok((0..=newest).rev().collect());
    }
    let listed = commits(name, table).await?;
    let is_wanted =
        |at: Millis| options.since.is_none_or(|since| at >= since) && options.until.is_none_or(|until| at <= until);
    Ok(listed.into_iter().rev().filter(|(_, at)| is_wanted((*at).into())).map(|(number, _)| number).collect())
}

fn chains(lake: &Lake, name: &str) -> BTreeMap<Stream, DocumentChain> {
    streams_of(name).map(|stream| (stream, DocumentChain::new(lake, stream))).collect()
}

fn without_statistics(mut version: LogVersion) -> LogVersion {
    for file in &mut version.added {
        file.statistics = None;
    }
    version
}

/// Says of the versions that were undone by which.
fn mark_undone(versions: &mut [HistoryEntry]) {
    let undos: HashMap<u64, u64> = versions.iter().filter_map(|entry| Some((entry.undoes?, entry.version))).collect();
    for entry in versions {
        entry.undone_by = undos.get(&entry.version).copied();
    }
}

/// Rows and bytes of files by path.
type KnownFiles = HashMap<String, (Option<u64>, u64)>;

/// Reads what belongs to a version.
struct Reader<'a> {
    name: &'a str,
    table: &'a DeltaTable,
    records: RecordChain,
    chains: BTreeMap<Stream, DocumentChain>,
}

impl Reader<'_> {
    /// Rows of the files that other programs took out: their logs do not say them. The table before the oldest of these
    /// versions does, where it can still be loaded.
    async fn rows_of_removed(&self, versions: &[LogVersion]) -> Result<KnownFiles, LakeError> {
        let taken =
            |version: &&LogVersion| !version.removed.is_empty() && !version.transactions.contains_key(MAINTENANCE);
        let Some(oldest) = versions.iter().filter(taken).map(|version| version.number).min() else {
            return Ok(KnownFiles::new());
        };
        let mut known = KnownFiles::new();
        match at_version(self.name, self.table.clone(), oldest.saturating_sub(1)).await {
            Ok(before) => {
                let files = logged_files(self.name, &before)?.into_values();
                known.extend(files.map(|file| (file.path, (file.rows, file.size))));
            }
            Err(LakeError::NoSuchVersion { .. } | LakeError::Table { .. }) => {}
            Err(error) => return Err(error),
        }
        for file in versions.iter().flat_map(|version| &version.added) {
            known.insert(file.path.clone(), (file.rows, file.size));
        }
        Ok(known)
    }

    async fn readable_from(&self) -> Result<u64, LakeError> {
        let state = self.table.snapshot().map_err(LakeError::table(self.name, "load its Delta log"))?;
        let Some(number) = document_number(self.name, self.table, state, MAINTENANCE).await? else { return Ok(0) };
        // What is wrong with it stands at the version that put it in force.
        let record = self.readable(self.records.get(number).await, &mut None)?;
        Ok(record.map_or(0, |record| record.standing.readable_from))
    }

    async fn entry(&self, version: &LogVersion, known: &KnownFiles) -> Result<HistoryEntry, LakeError> {
        let record_number = version.transactions.get(MAINTENANCE).copied();
        let (mut remark, mut record, mut document, mut before) = (None, None, None, None);
        if let Some(number) = record_number {
            record = self.readable(self.records.get(number).await, &mut remark)?;
        }
        let named = self
            .chains
            .iter()
            .find_map(|(stream, chain)| version.transactions.get(&app_id(*stream)).map(|number| (chain, *number)));
        if let Some((chain, number)) = named.filter(|_| record_number.is_none()) {
            document = read_document(chain, number, &mut remark).await?;
            let previous = document.as_ref().filter(|document| may_be_replay(document));
            if let Some(previous) = previous.and_then(|document| document.head.previous.as_ref()) {
                before = read_document(chain, previous.number, &mut None).await?;
            }
        }
        let what = match (record_number, &named) {
            (Some(_), _) => What::of_record(record.as_ref()),
            (None, Some(_)) => What::of_document(self.name, version, document.as_ref(), before.as_ref()),
            (None, None) => What::of_others(version),
        };
        let document_number = named.map(|(_, number)| number);
        let who = record.as_ref().map(|record| record.worker.clone());
        let who = who.or_else(|| document.map(|document| document.head.worker));
        let ours = record_number.is_some() || document_number.is_some();
        let removed = removed(version, record.as_ref(), known);
        Ok(HistoryEntry {
            version: version.number,
            written_at: version.written_at.time(),
            what,
            who: if ours { who } else { version.engine.clone() },
            operation: version.operation.clone(),
            files_added: version.added.len(),
            files_removed: version.removed.len(),
            rows_added: sum(version.added.iter().map(|file| file.rows)),
            rows_removed: removed.0,
            bytes_added: version.added.iter().map(|file| file.size).fold(0, u64::saturating_add),
            bytes_removed: removed.1,
            quiet: version.is_quiet(),
            document: document_number,
            record: record_number,
            undoes: record.and_then(|record| record.kind.undone_version()),
            undone_by: None,
            remark,
        })
    }

    fn readable(
        &self,
        read: Result<MaintenanceRecord, LakeError>,
        remark: &mut Option<String>,
    ) -> Result<Option<MaintenanceRecord>, LakeError> {
        match read {
            Ok(record) => Ok(Some(record)),
            Err(error @ LakeError::Record { .. }) => {
                *remark = Some(error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// A document, unless it was cleared away; what is wrong with one that is there becomes a remark.
async fn read_document(
    chain: &DocumentChain,
    number: u64,
    remark: &mut Option<String>,
) -> Result<Option<CheckpointDocument>, LakeError> {
    match chain.get(number).await {
        Ok(document) => Ok(Some(document)),
        Err(error @ LakeError::Document { .. }) => {
            if chain.is_there(number).await? {
                *remark = Some(error.to_string());
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Rows and bytes of the files that left.
fn removed(version: &LogVersion, record: Option<&MaintenanceRecord>, known: &KnownFiles) -> (Option<u64>, Option<u64>) {
    if let Some(record) = record {
        let files = || record.removed_files().map(|(_, file)| file);
        return (sum(files().map(|file| Some(file.rows))), sum(files().map(|file| Some(file.size))));
    }
    let rows = version.removed.iter().map(|file| known.get(&file.path).and_then(|(rows, _)| *rows));
    let bytes = version.removed.iter().map(|file| file.size.or_else(|| known.get(&file.path).map(|(_, size)| *size)));
    (sum(rows), sum(bytes))
}

fn sum(mut numbers: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    numbers.try_fold(0_u64, |sum, number| sum.checked_add(number?))
}
