//! Checks the files of a Delta log: they must exist, with the log's size, and in the log's partition.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use chrono::NaiveDate;
use deltalake::DeltaTable;
use futures::TryStreamExt as _;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, path::Path};

use super::report::Findings;
use crate::{
    error::LakeError,
    layout::{REJECTED_EVENTS, partitions_of},
    place::lake::Lake,
};

/// A file of a table, by its log.
#[derive(Debug)]
pub(super) struct ActiveFile {
    /// The table's name.
    pub(super) table: &'static str,
    pub(super) store: Arc<dyn ObjectStore>,
    /// Below the table.
    pub(super) path: Path,
    pub(super) size: u64,
    /// Rows by the log's statistics.
    pub(super) rows: Option<u64>,
    pub(super) partition: BTreeMap<String, Option<String>>,
    /// The log hides some of its rows, which Bluelake never does.
    has_deletions: bool,
    /// It exists with the right size, and is worth reading.
    pub(super) usable: bool,
    /// What the store says by which it would be seen that the object is another one: its ETag, or else when it was written.
    pub(super) stamp: String,
}

impl ActiveFile {
    pub(super) fn is_rejected(&self) -> bool {
        self.table == REJECTED_EVENTS
    }

    /// The date of its partition.
    pub(super) fn date(&self) -> Option<NaiveDate> {
        let [_, column] = partitions_of(self.table);
        let text = self.partition.get(column)?.as_deref()?;
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        (date.format("%Y-%m-%d").to_string() == text).then_some(date)
    }

    /// The folder of its partition, below the table.
    pub(super) fn folder(&self) -> &str {
        self.path.as_ref().rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Name for messages.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.table, self.path)
    }
}

/// The active files of a table as loaded, ordered by path.
pub(super) async fn active_files(
    name: &'static str,
    table: &DeltaTable,
    partitions: &[&str],
) -> Result<Vec<ActiveFile>, LakeError> {
    let log_store = table.log_store();
    let state = table.snapshot().map_err(LakeError::table(name, "load its Delta log"))?;
    let store = table.object_store();
    let mut files: Vec<ActiveFile> = state
        .snapshot()
        .file_views(log_store.as_ref(), None)
        .map_ok(|file| {
            let mut values = file.partition_values_map();
            ActiveFile {
                table: name,
                store: store.clone(),
                path: file.object_store_path(),
                size: u64::try_from(file.size()).unwrap_or_default(),
                rows: file.num_records().and_then(|rows| u64::try_from(rows).ok()),
                partition: partitions
                    .iter()
                    .map(|column| ((*column).to_owned(), values.remove(*column).flatten()))
                    .collect(),
                has_deletions: file.deletion_vector_descriptor().is_some(),
                usable: true,
                stamp: String::new(),
            }
        })
        .try_collect()
        .await
        .map_err(LakeError::table(name, "list its files"))?;
    files.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(files)
}

/// Checks the files against the store without reading them. Files that fail are no longer usable.
pub(super) async fn check_log(lake: &Lake, files: &mut [ActiveFile]) -> Result<Findings, LakeError> {
    let mut findings = Findings::default();
    for file in files.iter() {
        check_partition(file, &mut findings);
        if file.has_deletions {
            findings.add(|| format!("{}: the log hides some of its rows", file.name()));
        }
    }
    let found = found(lake, files).await?;
    for (file, object) in files.iter_mut().zip(found) {
        let size = object.as_ref().map(|object| object.size);
        file.usable = size == Some(file.size);
        file.stamp = object.map(stamp).unwrap_or_default();
        match size {
            None => findings.add(|| format!("{}: it is missing", file.name())),
            Some(size) if size != file.size => {
                findings.add(|| format!("{}: it has {size} bytes, the log says {}", file.name(), file.size));
            }
            Some(_) => {}
        }
    }
    Ok(findings)
}

fn check_partition(file: &ActiveFile, findings: &mut Findings) {
    let mut folder = String::new();
    for column in partitions_of(file.table) {
        match file.partition.get(column).and_then(Option::as_ref) {
            Some(value) => folder.push_str(&format!("{column}={value}/")),
            None => return findings.add(|| format!("{}: the log has no value of {column} for it", file.name())),
        }
    }
    if file.date().is_none() {
        findings.add(|| format!("{}: the date of its partition is none", file.name()));
    } else if !file.path.as_ref().starts_with(&folder) {
        findings.add(|| format!("{}: by the log it belongs into {folder}", file.name()));
    }
}

fn stamp(object: ObjectMeta) -> String {
    object.e_tag.unwrap_or_else(|| object.last_modified.to_rfc3339())
}

/// Each file as the store has it; `None` for those that are missing.
async fn found(lake: &Lake, files: &[ActiveFile]) -> Result<Vec<Option<ObjectMeta>>, LakeError> {
    let mut found = vec![None; files.len()];
    let mut wanted: HashMap<Path, Vec<usize>> = HashMap::new();
    let mut folders = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let folder = lake.table_path(file.table);
        wanted.entry(folder.parts().chain(file.path.parts()).collect()).or_default().push(index);
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    for folder in folders {
        let mut listed = lake.root().list(Some(&folder));
        let failed = LakeError::store("list", lake.describe(&folder));
        let listing = async {
            while let Some(object) = listed.try_next().await? {
                for index in wanted.get(&object.location).into_iter().flatten() {
                    if let Some(file) = found.get_mut(*index) {
                        *file = Some(object.clone());
                    }
                }
            }
            Ok(())
        };
        listing.await.map_err(failed)?;
    }
    // A listing may write a path differently from the log; the store itself decides.
    for (file, object) in files.iter().zip(&mut found).filter(|(_, object)| object.is_none()) {
        *object = match file.store.head(&file.path).await {
            Ok(object) => Some(object),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => return Err(LakeError::store("look at", file.name())(error)),
        };
    }
    Ok(found)
}
