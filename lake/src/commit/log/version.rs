//! The versions of a table's Delta log, each as its own commit says it: what came, what left, and who did it.

use std::collections::BTreeMap;

use bluelake_schemas::Millis;
use chrono::{DateTime, Utc};
use deltalake::{
    DeltaTable,
    kernel::{Action, Add, LogicalFileView, Remove},
    logstore::get_actions,
};
use futures::{Stream, StreamExt as _};
use object_store::{ObjectStoreExt as _, path::Path};
use serde_json::Value;

use super::files::{LogFiles, commit};
use crate::error::LakeError;

/// Versions read at once.
const READS: usize = 64;

/// A file as a log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedFile {
    /// Path below the table, not percent-encoded.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Rows; `None` when the log has no count.
    pub rows: Option<u64>,
    /// Partition column → value.
    pub partition_values: BTreeMap<String, Option<String>>,
    /// By the clock of who wrote it.
    pub modified_at: Millis,
    /// Delta's statistics as JSON text.
    pub statistics: Option<String>,
    /// The log hides some of its rows.
    pub has_deletions: bool,
}

/// A file that a version took out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRemoval {
    /// Path below the table, not percent-encoded.
    pub path: String,
    /// Size in bytes; not every program says it.
    pub size: Option<u64>,
}

/// What one version did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogVersion {
    /// Its number.
    pub number: u64,
    /// By the store's clock.
    pub written_at: Millis,
    /// Files that it added.
    pub added: Vec<LoggedFile>,
    /// Files that it removed.
    pub removed: Vec<LoggedRemoval>,
    /// Files of both that it says came or left without a change of data.
    pub quiet: usize,
    /// What programs keep of their own progress: application → number.
    pub transactions: BTreeMap<String, u64>,
    /// It changed the table's columns, properties or protocol.
    pub changes_table: bool,
    /// What it was, in the words of who did it.
    pub operation: Option<String>,
    /// The program that did it, in its own words.
    pub engine: Option<String>,
    /// The kind of task that it says it was. A hint: the record decides.
    pub kind: Option<String>,
}

impl LogVersion {
    /// Whether files came or left.
    #[must_use]
    pub fn changes_files(&self) -> bool {
        !self.added.is_empty() || !self.removed.is_empty()
    }

    /// Whether files came or left, and by its own words no data changed.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.changes_files() && self.quiet == self.added.len() + self.removed.len()
    }

    /// Whether another program changed the files: there is no number of ours with them.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.changes_files() && !self.transactions.keys().any(|app_id| app_id.starts_with("bluelake/"))
    }

    fn take_in(&mut self, action: Action) {
        match action {
            Action::Add(add) => {
                self.quiet += usize::from(!add.data_change);
                self.added.push(added(add));
            }
            Action::Remove(remove) => {
                self.quiet += usize::from(!remove.data_change);
                self.removed.push(removed(&remove));
            }
            Action::Txn(txn) => {
                if let Ok(number) = u64::try_from(txn.version) {
                    self.transactions.insert(txn.app_id, number);
                }
            }
            Action::Metadata(_) | Action::Protocol(_) => self.changes_table = true,
            Action::CommitInfo(info) => {
                self.operation = info.operation;
                self.kind = info.info.get("bluelakeKind").and_then(Value::as_str).map(str::to_owned);
                let client = info.info.get("clientVersion").and_then(Value::as_str).map(str::to_owned);
                self.engine = info.engine_info.or(client);
            }
            Action::Cdc(_) | Action::DomainMetadata(_) => {}
        }
    }
}

/// Reads a version; `None` when it was cleared away, or is not there yet.
pub(crate) async fn read_version(name: &str, table: &DeltaTable, number: u64) -> Result<Option<LogVersion>, LakeError> {
    let log = table.log_store();
    let path = log.log_path().clone().join(commit(number));
    let failed = |error| LakeError::store("read", format!("{name}/{path}"))(error);
    let found = match log.object_store(None).get(&path).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let written_at = found.meta.last_modified.into();
    let bytes = found.bytes().await.map_err(failed)?;
    let actions = get_actions(number, &bytes).map_err(LakeError::table(name, "read a version of its Delta log"))?;
    let mut version = LogVersion {
        number,
        written_at,
        added: Vec::new(),
        removed: Vec::new(),
        quiet: 0,
        transactions: BTreeMap::new(),
        changes_table: false,
        operation: None,
        engine: None,
        kind: None,
    };
    for action in actions {
        version.take_in(action);
    }
    Ok(Some(version))
}

/// Reads versions in the order of their numbers, many at once; `None` as of [`read_version`].
pub(crate) fn read_versions<'a>(
    name: &'a str,
    table: &'a DeltaTable,
    numbers: impl IntoIterator<Item = u64, IntoIter: Send + 'a>,
    at_most: usize,
) -> impl Stream<Item = Result<Option<LogVersion>, LakeError>> + Send + 'a {
    let numbers = futures::stream::iter(numbers);
    numbers.map(move |number| read_version(name, table, number)).buffered(at_most.clamp(1, READS))
}

/// The files of a table as loaded, by path.
pub(crate) fn logged_files(name: &str, table: &DeltaTable) -> Result<BTreeMap<String, LoggedFile>, LakeError> {
    let state = table.snapshot().map_err(LakeError::table(name, "load its Delta log"))?;
    let log = state.log_data();
    let files = log.iter().map(|file| logged(&file));
    Ok(files.map(|file| (file.path.clone(), file)).collect())
}

fn logged(file: &LogicalFileView) -> LoggedFile {
    LoggedFile {
        path: file.object_store_path().as_ref().to_owned(),
        size: u64::try_from(file.size()).unwrap_or_default(),
        rows: file.num_records().and_then(|rows| u64::try_from(rows).ok()),
        partition_values: file.partition_values_map().into_iter().collect(),
        modified_at: Millis::new(file.modification_time()),
        statistics: file.stats(),
        has_deletions: file.deletion_vector_descriptor().is_some(),
    }
}

fn added(add: Add) -> LoggedFile {
    LoggedFile {
        path: plain(&add.path),
        size: u64::try_from(add.size).unwrap_or_default(),
        rows: add.stats.as_deref().and_then(rows_of),
        partition_values: add.partition_values.into_iter().collect(),
        modified_at: Millis::new(add.modification_time),
        statistics: add.stats,
        has_deletions: add.deletion_vector.is_some(),
    }
}

fn removed(remove: &Remove) -> LoggedRemoval {
    LoggedRemoval { path: plain(&remove.path), size: remove.size.and_then(|size| u64::try_from(size).ok()) }
}

/// The path as the table's state has it.
fn plain(path: &str) -> String {
    Path::parse(path).unwrap_or_else(|_| Path::from(path)).as_ref().to_owned()
}

fn rows_of(statistics: &str) -> Option<u64> {
    serde_json::from_str::<Value>(statistics).ok()?.get("numRecords")?.as_u64()
}

/// The commits that the log still lists, with their times by the store's clock.
pub(crate) async fn commits(name: &str, table: &DeltaTable) -> Result<BTreeMap<u64, DateTime<Utc>>, LakeError> {
    let listed = LogFiles::list(name, table, 0).await?.commits;
    Ok(listed.into_iter().filter_map(|(version, at)| Some((version, at.time()?))).collect())
}

/// That the log does not have what is wanted.
pub(crate) fn no_such_version(name: &str, committed: &BTreeMap<u64, DateTime<Utc>>, wanted: &str) -> LakeError {
    let bound = |end: Option<(&u64, &DateTime<Utc>)>| {
        end.map_or_else(String::new, |(version, at)| format!("{version} ({})", at.format("%FT%TZ")))
    };
    let reason = format!(
        "there is no {wanted}; its log goes from version {} to {}",
        bound(committed.first_key_value()),
        bound(committed.last_key_value())
    );
    LakeError::NoSuchVersion { table: name.to_owned(), reason }
}

/// That the log does not have this version.
pub(crate) async fn missing(name: &str, table: &DeltaTable, version: u64) -> Result<LakeError, LakeError> {
    Ok(no_such_version(name, &commits(name, table).await?, &format!("version {version}")))
}

/// The table as it was at a version.
///
/// # Errors
/// [`LakeError::NoSuchVersion`] when the log does not have it (any more).
pub(crate) async fn at_version(name: &str, mut table: DeltaTable, version: u64) -> Result<DeltaTable, LakeError> {
    if table.version() == Some(version) {
        return Ok(table);
    }
    let Err(error) = table.load_version(version).await else { return Ok(table) };
    let committed = commits(name, &table).await?;
    if committed.contains_key(&version) {
        return Err(LakeError::table(name, "load an older version")(error));
    }
    Err(no_such_version(name, &committed, &format!("version {version}")))
}
