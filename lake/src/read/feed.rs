//! The change feed: what each Delta version of a table did to its rows, in order, for those who keep a copy of them.
//!
//! A copy is exact when it stores the version that it holds and moves it together with the rows. Nothing is skipped: where
//! a version or a file is no longer there, the copy must be rebuilt, and a version that another program changed is refused.

pub(crate) mod plan;
mod rows;
mod touched;

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{Schema, SchemaRef};
use bluelake_schemas::Millis;
use chrono::NaiveDate;
use deltalake::{DeltaTable, kernel::engine::arrow_conversion::TryIntoArrow as _};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::{
    commit::log::version::{LogVersion, at_version, logged_files, read_version, read_versions},
    error::LakeError,
    layout::{day_of, folder_of, partitions_of},
    maintenance::{
        record::{MaintenanceRecord, TaskKind},
        record_chain::{MAINTENANCE, RecordChain},
    },
    place::lake::Lake,
    read::expired::{Expired, expired_before},
};
use plan::{Obstacle, Seen};
pub use rows::FeedRows;
pub use touched::{Touch, TouchedRow, touched_path};

/// Records that are read at once.
const RECORDS: usize = 32;
/// Versions that are read for one answer.
const VERSIONS: u64 = 1_000;

/// What a version, or several in a row, did to the rows of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableChange {
    /// The rows are the same.
    Same,
    /// The table got columns; [`Feed::schema`] has them. The rows are the same.
    Columns,
    /// The rows of these files came.
    Append(Vec<FeedFile>),
    /// Some rows were erased or changed.
    Changed {
        /// The file that lists them, below the table: see [`Feed::touched`].
        touched: String,
        /// Files with the rows that changed, among others that did not.
        files: Vec<FeedFile>,
    },
    /// The rows of days before this one expired.
    Expired(NaiveDate),
    /// Rows of these partitions came, left or changed: [`Feed::files_at`] the end of the step has those that they hold now.
    Replaced(Extent),
}

/// Some partitions of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of them.
    All,
    /// Those with these values.
    Partitions(BTreeSet<[String; 2]>),
    /// Those of some days.
    Days {
        /// The first; `None`: from the beginning.
        from: Option<NaiveDate>,
        /// The day after the last.
        before: NaiveDate,
    },
}

impl Extent {
    /// Whether the partition of these values is one of them.
    #[must_use]
    pub fn holds(&self, partition: &[String; 2]) -> bool {
        match self {
            Self::All => true,
            Self::Partitions(partitions) => partitions.contains(partition),
            Self::Days { from, before } => {
                partition[1].parse::<NaiveDate>().is_ok_and(|day| day < *before && from.is_none_or(|from| from <= day))
            }
        }
    }
}

/// A step of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedStep {
    /// The version that a copy must hold before it.
    pub from: u64,
    /// The version that it holds after it.
    pub to: u64,
    /// When that version was written, by the store's clock.
    pub written_at: Millis,
    /// What happened between them.
    pub change: TableChange,
}

/// A data file as the feed names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedFile {
    /// Path below the table.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Rows by the log.
    pub rows: u64,
    /// Values of the columns that name its partition.
    pub partition: [String; 2],
}

/// Consecutive appends are joined up to these bounds. A single version may be larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepBounds {
    /// Rows.
    pub rows: u64,
    /// Bytes of files.
    pub bytes: u64,
}

/// Why there is no next step.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// What happened since is no longer known in full: the copy must be loaded anew.
    #[error("table '{table}': what happened since version {version} is no longer known in full: {reason}")]
    Rebuild {
        /// The table.
        table: String,
        /// The version that the copy holds.
        version: u64,
        /// What is missing.
        reason: String,
    },
    /// Another program changed rows.
    #[error(
        "table '{table}': version {version} is of another program and changed rows; undo it (`bluelake lake undo {version} --table {table}`), or rebuild the copies to take it in"
    )]
    Foreign {
        /// The table.
        table: String,
        /// The version.
        version: u64,
    },
    /// The lake could not be read.
    #[error(transparent)]
    Lake(#[from] LakeError),
}

/// A table whose changes are followed. It has one owner, which alone refreshes it.
#[derive(Debug)]
pub struct Feed {
    lake: Lake,
    name: &'static str,
    table: DeltaTable,
    records: RecordChain,
}

impl Feed {
    /// Opens a table of the lake at its newest version.
    ///
    /// # Errors
    /// [`LakeError::NotALake`] without the table; others when it cannot be read.
    pub async fn open(lake: &Lake, name: &str) -> Result<Self, LakeError> {
        let Some(name) = crate::layout::table_names().find(|known| *known == name) else {
            let reason = format!("'{name}' is no table of it");
            return Err(LakeError::NotALake { url: lake.location().to_string(), reason });
        };
        let table = lake.table(name).await?;
        Ok(Self { lake: lake.clone(), name, table, records: RecordChain::new(lake, name) })
    }

    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The id that the table was made with: another lake, or the same made anew, has another.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn table_id(&self) -> Result<String, LakeError> {
        let state = self.table.snapshot().map_err(LakeError::table(self.name, "load its Delta log"))?;
        Ok(state.metadata().id().to_owned())
    }

    /// The newest version, as last loaded.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.table.version().unwrap_or_default()
    }

    /// The columns of the table as last loaded.
    ///
    /// # Errors
    /// When the log cannot be read, or has a type that Arrow does not.
    pub fn schema(&self) -> Result<SchemaRef, LakeError> {
        let state = self.table.snapshot().map_err(LakeError::table(self.name, "read its schema"))?;
        let schema: Result<Schema, _> = state.schema().as_ref().try_into_arrow();
        schema.map(Into::into).map_err(|source| {
            LakeError::table(self.name, "read its schema")(deltalake::DeltaTableError::Arrow { source })
        })
    }

    /// Loads the newest version.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn reload(&mut self) -> Result<(), LakeError> {
        self.table.update_incremental(None).await.map_err(LakeError::table(self.name, "load its Delta log"))
    }

    /// The next steps from a version on, in order, of at most a thousand versions; none when it is the newest as last
    /// loaded.
    ///
    /// # Errors
    /// [`FeedError`] when a step cannot be told exactly.
    pub async fn changes(&self, from: u64, bounds: StepBounds) -> Result<Vec<FeedStep>, FeedError> {
        let newest = self.version();
        if from > newest {
            let reason = format!("the newest version is {newest}: the lake is an older one than the copy");
            return Err(FeedError::Rebuild { table: self.name.to_owned(), version: from, reason });
        }
        let some = newest.min(from.saturating_add(VERSIONS));
        match self.steps(from, some, bounds).await? {
            Ok(steps) => Ok(steps),
            // A later version may undo it.
            Err(Obstacle::Foreign(_)) if some < newest => {
                self.steps(from, newest, bounds).await?.map_err(|obstacle| self.error(from, obstacle))
            }
            Err(obstacle) => Err(self.error(from, obstacle)),
        }
    }

    fn error(&self, from: u64, obstacle: Obstacle) -> FeedError {
        let table = self.name.to_owned();
        match obstacle {
            Obstacle::Foreign(version) => FeedError::Foreign { table, version },
            Obstacle::Unknown { version, path } => {
                let reason = format!("version {version} takes out '{path}', and nobody knows its partition");
                FeedError::Rebuild { table, version: from, reason }
            }
        }
    }

    async fn steps(
        &self,
        from: u64,
        to: u64,
        bounds: StepBounds,
    ) -> Result<Result<Vec<FeedStep>, Obstacle>, FeedError> {
        let read = read_versions(self.name, &self.table, from + 1..=to, usize::MAX);
        let numbered = read.zip(futures::stream::iter(from + 1..=to));
        let read = numbered.map(|(version, number)| async move {
            match version? {
                Some(version) => self.with_record(version).await,
                None => {
                    let reason = format!("the log no longer has version {number}");
                    Err(FeedError::Rebuild { table: self.name.to_owned(), version: from, reason })
                }
            }
        });
        let seen: Vec<Seen> = read.buffered(RECORDS).try_collect().await?;
        let expired_before = self.expired_before(&seen, to).await?;
        Ok(plan::plan(&seen, from, partitions_of(self.name), expired_before, bounds))
    }

    async fn with_record(&self, mut version: LogVersion) -> Result<Seen, FeedError> {
        for file in &mut version.added {
            file.statistics = None;
        }
        let record = match version.transactions.get(MAINTENANCE) {
            Some(number) => Some(self.records.get(*number).await?),
            None => None,
        };
        let touched = match &record {
            Some(record) if matches!(record.kind, TaskKind::Erase { .. }) => {
                let path = touched_path(record.task);
                self.has(&path).await?.then_some(path)
            }
            _ => None,
        };
        Ok(Seen { version, record, touched })
    }

    /// Since when days expired before the first of these versions; `to` is the last.
    async fn expired_before(&self, seen: &[Seen], to: u64) -> Result<Option<NaiveDate>, FeedError> {
        match seen.iter().find_map(|seen| seen.record.as_ref()) {
            Some(MaintenanceRecord { previous: Some(previous), number, .. }) if previous.number < *number => {
                Ok(self.records.get(previous.number).await?.standing.expired_before)
            }
            Some(_) => Ok(None),
            // None of them has a record: what held at the end did so at the beginning.
            None => {
                let at = at_version(self.name, self.table.clone(), to).await?;
                Ok(expired_before(&self.lake, self.name, &at).await?)
            }
        }
    }

    /// The files that the table shows in these partitions at a version: without those of days that had expired by then.
    ///
    /// # Errors
    /// [`FeedError::Rebuild`] when the log does not have the version any more.
    pub async fn files_at(&self, version: u64, extent: &Extent) -> Result<Vec<FeedFile>, FeedError> {
        let at = at_version(self.name, self.table.clone(), version).await.map_err(|error| match error {
            LakeError::NoSuchVersion { table, reason } => FeedError::Rebuild { table, version, reason },
            error => FeedError::Lake(error),
        })?;
        let expired_before = Expired::of(&self.lake, self.name, &at).await?.before;
        let mut files = Vec::new();
        for file in logged_files(self.name, &at)?.into_values() {
            let Some(found) = plan::feed_file(&file, partitions_of(self.name)) else {
                let reason =
                    "the log does not say its partition or its rows, or hides some of them: another program wrote it; \
                              `bluelake lake history --foreign` names the version"
                        .to_owned();
                return Err(FeedError::Lake(LakeError::DataFile { path: file.path, reason }));
            };
            let day = found.partition[1].parse::<NaiveDate>().ok();
            let is_expired = day.zip(expired_before).is_some_and(|(day, before)| day < before);
            if extent.holds(&found.partition) && !is_expired {
                files.push(found);
            }
        }
        files.sort();
        Ok(files)
    }

    /// When a version was written, by the store's clock; `None` when the log does not have it.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn written_at(&self, version: u64) -> Result<Option<Millis>, LakeError> {
        Ok(read_version(self.name, &self.table, version).await?.map(|version| version.written_at))
    }
}

/// The values that name the partition of a path, by its folder.
fn partition_of(path: &str, columns: [&str; 2]) -> Option<[String; 2]> {
    let folder = folder_of(path);
    let mut parts = folder.split('/').map(|part| part.split_once('='));
    let mut value = |column: &str| parts.next().flatten().filter(|(name, _)| *name == column).map(|(_, value)| value);
    let values = [value(columns[0])?.to_owned(), value(columns[1])?.to_owned()];
    (parts.next().is_none() && day_of(folder).is_some()).then_some(values)
}

/// Values of the partition columns as the log has them.
fn partition_values(values: &BTreeMap<String, Option<String>>, columns: [&str; 2]) -> Option<[String; 2]> {
    let value = |column: &str| values.get(column)?.clone();
    Some([value(columns[0])?, value(columns[1])?])
}
