//! What a version of a table did, as its log says: the files that left and came, and the numbers that it put in force.

use std::collections::BTreeMap;

use deltalake::{DeltaTable, DeltaTableError, kernel::Action, logstore::get_actions};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::error::LakeError;

/// Versions read at once.
const READS: usize = 64;

/// What a version did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LoggedVersion {
    pub(crate) number: u64,
    /// Files that left, by their paths below the table, with their sizes where the log has them.
    pub(crate) removed: BTreeMap<String, u64>,
    /// How many files came.
    pub(crate) added: usize,
    /// Application → the number that it put in force.
    pub(crate) numbers: BTreeMap<String, u64>,
}

/// Reads a version; `None` when it was cleared away.
pub(crate) async fn read(name: &str, table: &DeltaTable, number: u64) -> Result<Option<LoggedVersion>, LakeError> {
    let failed = || LakeError::table(name, "read a version of its Delta log");
    let bytes = match table.log_store().read_commit_entry(number).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) | Err(DeltaTableError::ObjectStore { source: object_store::Error::NotFound { .. } }) => {
            return Ok(None);
        }
        Err(error) => return Err(failed()(error)),
    };
    let mut version = LoggedVersion { number, ..LoggedVersion::default() };
    for action in get_actions(number, &bytes).map_err(failed())? {
        match action {
            Action::Add(_) => version.added += 1,
            Action::Remove(remove) => {
                let size = remove.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
                version.removed.insert(remove.path, size);
            }
            Action::Txn(txn) => {
                if let Ok(number) = u64::try_from(txn.version) {
                    version.numbers.insert(txn.app_id, number);
                }
            }
            _ => {}
        }
    }
    Ok(Some(version))
}

/// Reads versions, in their order; those that were cleared away are left out.
pub(crate) async fn read_all(
    name: &str,
    table: &DeltaTable,
    numbers: std::ops::RangeInclusive<u64>,
) -> Result<Vec<LoggedVersion>, LakeError> {
    futures::stream::iter(numbers)
        .map(|number| read(name, table, number))
        .buffered(READS)
        .try_filter_map(|version| std::future::ready(Ok(version)))
        .try_collect()
        .await
}
