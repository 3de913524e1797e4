//! What of a version is held when many are: the files that left, and the numbers that it put in force.

use std::{collections::BTreeMap, ops::RangeInclusive};

use deltalake::DeltaTable;
use futures::TryStreamExt as _;

use super::version::{LogVersion, read_version, read_versions};
use crate::error::LakeError;

/// What a version did, without what the log says of the files that came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VersionOutline {
    pub(crate) number: u64,
    /// Files that left, by their paths below the table, with their sizes where the log has them.
    pub(crate) removed: BTreeMap<String, u64>,
    /// How many files came.
    pub(crate) added: usize,
    /// Application → the number that it put in force.
    pub(crate) numbers: BTreeMap<String, u64>,
}

impl From<LogVersion> for VersionOutline {
    fn from(version: LogVersion) -> Self {
        Self {
            number: version.number,
            removed: version.removed.into_iter().map(|file| (file.path, file.size.unwrap_or_default())).collect(),
            added: version.added.len(),
            numbers: version.transactions,
        }
    }
}

/// Reads a version; `None` when it was cleared away.
pub(crate) async fn read(name: &str, table: &DeltaTable, number: u64) -> Result<Option<VersionOutline>, LakeError> {
    Ok(read_version(name, table, number).await?.map(VersionOutline::from))
}

/// Reads versions, in their order, many at once; those that were cleared away are left out.
pub(crate) async fn read_all(
    name: &str,
    table: &DeltaTable,
    numbers: RangeInclusive<u64>,
) -> Result<Vec<VersionOutline>, LakeError> {
    read_versions(name, table, numbers, usize::MAX)
        .try_filter_map(|version| std::future::ready(Ok(version.map(VersionOutline::from))))
        .try_collect()
        .await
}
