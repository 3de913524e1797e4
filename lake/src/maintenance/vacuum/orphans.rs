//! Orphans: files that were uploaded and never committed, and what left the table so long ago that nothing names it.
//! They are found by listing the table's folder, now and then.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use bluelake_schemas::Millis;
use futures::TryStreamExt as _;
use object_store::{ObjectStore as _, ObjectStoreExt as _, path::Path};

use super::{
    VacuumOptions, past,
    plan::{self, GoneFile, is_old},
    sweep,
};
use crate::{
    error::LakeError,
    maintenance::{record_chain::FOLDER, table::MaintainedTable},
    place::lake::Lake,
};

/// Time from one listing of a table to the next.
const LISTED_EVERY: Duration = Duration::from_secs(7 * 24 * 3600);
/// Object beside the records whose age says when the table was listed last. It is only a hint.
const LISTED: &str = "orphans-listed";

/// Whether orphans are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrphanSearch {
    /// When a week has passed since the last time. The first time they are only listed, and stay.
    WhenDue,
    /// Now, and they are deleted.
    Now,
}

/// A search that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    /// Whether what it finds may go.
    pub(super) deletes: bool,
}

fn marker(lake: &Lake, table: &str) -> Path {
    lake.table_path(table).join(FOLDER).join(LISTED)
}

/// Whether a search is due.
pub(super) async fn due(
    lake: &Lake,
    table: &str,
    options: &VacuumOptions,
    now: Millis,
) -> Result<Option<Due>, LakeError> {
    if options.orphans == OrphanSearch::Now {
        return Ok(Some(Due { deletes: true }));
    }
    let path = marker(lake, table);
    match lake.root().head(&path).await {
        Ok(found) => {
            let is_due = now.since(Millis::from(found.last_modified)) >= LISTED_EVERY;
            Ok(is_due.then_some(Due { deletes: true }))
        }
        Err(object_store::Error::NotFound { .. }) => Ok(Some(Due { deletes: false })),
        Err(error) => Err(LakeError::store("look at", lake.describe(&path))(error)),
    }
}

/// Writes down that a search was done.
pub(super) async fn listed(lake: &Lake, table: &str) -> Result<(), LakeError> {
    let path = marker(lake, table);
    lake.root().put(&path, "1".into()).await.map_err(LakeError::store("write", lake.describe(&path)))?;
    Ok(())
}

/// Files of our naming that were written before `before`, are not `known`, and that neither the table, before and after
/// it is listed, nor a record after number `known_to` names. What the listing leaves out is only found later.
pub(super) async fn find(
    table: &mut MaintainedTable,
    mut known: HashSet<String>,
    known_to: u64,
    before: Millis,
) -> Result<Vec<GoneFile>, LakeError> {
    past::reload(table).await?;
    known.extend(sweep::active(table)?);
    let found = list(table, &known, before).await?;
    past::reload(table).await?;
    // What a task took out or put in meanwhile is named by its record.
    let since = past::named_since(table, known_to).await?;
    let found = plan::without(found, &sweep::active(table)?);
    let left = found.into_iter().filter(|(path, _)| !since.contains(path));
    Ok(left.map(|(path, size)| GoneFile { path, size }).collect())
}

async fn list(
    table: &MaintainedTable,
    known: &HashSet<String>,
    before: Millis,
) -> Result<BTreeMap<String, u64>, LakeError> {
    let store = table.delta_table().object_store();
    let failed = || LakeError::store("list", table.name());
    let top = store.list_with_delimiter(None).await.map_err(failed())?;
    let mut found = BTreeMap::new();
    for folder in top.common_prefixes.iter().filter(|folder| folder.as_ref().contains('=')) {
        let mut listed = store.list(Some(folder));
        while let Some(object) = listed.try_next().await.map_err(failed())? {
            let path = object.location.as_ref();
            if !known.contains(path) && is_old(path, Millis::from(object.last_modified), before) {
                found.insert(path.to_owned(), object.size);
            }
        }
    }
    Ok(found)
}
