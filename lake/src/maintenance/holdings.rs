//! What a table holds in the store: its files by its log, and every object below its folder. Only looks.

use std::collections::{BTreeMap, BTreeSet};

use bluelake_schemas::Millis;
use futures::TryStreamExt as _;
use object_store::{ObjectMeta, path::Path};
use serde::Serialize;

use crate::{
    commit::{log::files::Hint, stream_table::document_number},
    error::LakeError,
    maintenance::{
        files::{OddFile, TableFile, table_files},
        record::{MaintenanceRecord, Standing},
        record_chain::{FOLDER, MAINTENANCE, RecordChain},
    },
    place::lake::Lake,
};

/// A number of objects, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Objects {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Objects {
    /// One more.
    pub fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// A data file as the store has it, whether the table refers to it or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataObject {
    /// Path below the table.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// By the store's clock.
    pub written_at: Millis,
}

/// Everything below the folder of a table.
#[derive(Clone, Debug, Default)]
pub struct TableHoldings {
    /// Its Delta version.
    pub version: Option<u64>,
    /// Its files, by its log.
    pub files: Vec<TableFile>,
    /// Those that maintenance leaves as they are.
    pub odd: Vec<OddFile>,
    /// Data files in the store.
    pub data: Vec<DataObject>,
    /// Entries of the Delta log.
    pub log: Objects,
    /// Log checkpoints.
    pub log_checkpoints: Objects,
    /// Version of the log checkpoint that readers begin with; `None`: they read the whole log.
    pub log_checkpoint: Option<u64>,
    /// Checkpoint documents, of each stream.
    pub documents: Objects,
    /// Maintenance records.
    pub records: Objects,
    /// Anything else.
    pub others: Objects,
    /// Objects of all kinds that were written since the time asked for, and are still there.
    pub written: Objects,
    /// When the oldest object was written.
    pub oldest: Option<Millis>,
    /// Number of the maintenance record in force.
    pub record: Option<u64>,
    /// What it says that stands.
    pub standing: Standing,
    /// Files that records took out and that are still in the store, those that came back left out.
    pub retired: Objects,
    /// What could not be read.
    pub faults: Vec<String>,
}

impl TableHoldings {
    /// Everything, in objects and bytes.
    #[must_use]
    pub fn all(&self) -> Objects {
        let data = Objects {
            objects: u64::try_from(self.data.len()).unwrap_or(u64::MAX),
            bytes: self.data.iter().map(|file| file.size).fold(0, u64::saturating_add),
        };
        let parts = [data, self.log, self.log_checkpoints, self.documents, self.records, self.others];
        parts.into_iter().fold(Objects::default(), |sum, part| Objects {
            objects: sum.objects + part.objects,
            bytes: sum.bytes.saturating_add(part.bytes),
        })
    }
}

impl Lake {
    /// Looks at everything that a table holds; `since` is the time after which objects count as written just now.
    ///
    /// # Errors
    /// [`LakeError::NotALake`] without the table, or when the place cannot be read.
    pub async fn holdings(&self, name: &str, since: Millis) -> Result<TableHoldings, LakeError> {
        let table = self.table(name).await?;
        let state = table.snapshot().map_err(LakeError::table(name, "load its Delta log"))?;
        let (files, odd) = table_files(name, state);
        let mut found = TableHoldings { version: table.version(), files, odd, ..TableHoldings::default() };
        let folder = self.table_path(name);
        let mut listed = self.root().list(Some(&folder));
        while let Some(object) = listed.try_next().await.map_err(LakeError::store("list", self.describe(&folder)))? {
            found.take_in(&folder, &object, since);
        }
        found.log_checkpoint = Hint::read(name, &table).await?.version();
        let number = document_number(name, &table, state, MAINTENANCE).await?;
        found.take_in_records(&RecordChain::new(self, name), number).await?;
        Ok(found)
    }

    /// The files of a table by its log, and those that maintenance leaves as they are: the store is not listed.
    ///
    /// # Errors
    /// As [`Lake::holdings`].
    pub async fn files(&self, name: &str) -> Result<(Vec<TableFile>, Vec<OddFile>), LakeError> {
        let table = self.table(name).await?;
        Ok(table_files(name, table.snapshot().map_err(LakeError::table(name, "load its Delta log"))?))
    }
}

impl TableHoldings {
    fn take_in(&mut self, folder: &Path, object: &ObjectMeta, since: Millis) {
        let written_at: Millis = object.last_modified.into();
        self.oldest = Some(self.oldest.map_or(written_at, |oldest| oldest.min(written_at)));
        if written_at >= since {
            self.written.add(object.size);
        }
        let path = object.location.as_ref();
        let below = path.strip_prefix(folder.as_ref()).unwrap_or(path).trim_start_matches('/');
        let (first, name) = (below.split('/').next().unwrap_or_default(), below.rsplit('/').next().unwrap_or_default());
        match first {
            "_delta_log" if name.contains(".checkpoint.") => self.log_checkpoints.add(object.size),
            "_delta_log" if name.ends_with(".json") => self.log.add(object.size),
            "_checkpoints" => self.documents.add(object.size),
            FOLDER if name.ends_with(".json") => self.records.add(object.size),
            _ if !first.starts_with('_') && name.ends_with(".parquet") => {
                self.data.push(DataObject { path: below.to_owned(), size: object.size, written_at });
            }
            _ => self.others.add(object.size),
        }
    }

    /// Reads the records back to the newest whose files were deleted.
    async fn take_in_records(&mut self, chain: &RecordChain, number: Option<u64>) -> Result<(), LakeError> {
        let Some(number) = number else { return Ok(()) };
        self.record = Some(number);
        let active: BTreeSet<&str> = self
            .files
            .iter()
            .map(|file| file.path.as_str())
            .chain(self.odd.iter().map(|file| file.path.as_str()))
            .collect();
        let mut there: BTreeMap<&str, u64> = self.data.iter().map(|file| (file.path.as_str(), file.size)).collect();
        let mut before = chain.before(number).await?;
        let (mut standing, mut retired, mut fault) = (None, Objects::default(), None);
        let mut wanted = Some(number);
        while let Some(number) = wanted {
            let read = if standing.is_none() { chain.get(number).await } else { before.get(number).await };
            let record: MaintenanceRecord = match read {
                Ok(record) => record,
                Err(error @ LakeError::Record { .. }) => {
                    fault = Some(error.to_string());
                    break;
                }
                Err(error) => return Err(error),
            };
            let purged_to = standing.get_or_insert(record.standing.clone()).purged_to;
            if number <= purged_to {
                break;
            }
            for (path, _) in record.removed_files() {
                if !active.contains(path.as_str())
                    && let Some(size) = there.remove(path.as_str())
                {
                    retired.add(size);
                }
            }
            wanted = record.previous.map(|previous| previous.number).filter(|previous| *previous < number);
        }
        self.standing = standing.unwrap_or_default();
        self.retired = retired;
        self.faults.extend(fault);
        Ok(())
    }
}
