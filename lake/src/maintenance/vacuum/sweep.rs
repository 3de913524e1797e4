//! Deletes files of a table that are not in it, a thousand at a time.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use object_store::{ObjectStore as _, path::Path};

use super::{Observe, plan::GoneFile};
use crate::{
    error::LakeError,
    failpoint,
    maintenance::{table::MaintainedTable, task::Step},
};

/// Files that are deleted between two looks at the table: as many as S3 takes in one call.
const AT_ONCE: usize = 1_000;

/// Paths of the files that the table as last loaded consists of.
pub(super) fn active(table: &MaintainedTable) -> Result<BTreeSet<String>, LakeError> {
    let state = table.delta_table().snapshot().map_err(LakeError::table(table.name(), "load its Delta log"))?;
    Ok(state.log_data().iter().map(|file| file.object_store_path().as_ref().to_owned()).collect())
}

/// Deletes files. The table is looked at again and again: what another program put back into it stays.
pub(super) async fn delete(
    table: &mut MaintainedTable,
    files: &[GoneFile],
    observe: Observe<'_>,
) -> Result<(), LakeError> {
    let mut done = 0;
    for part in files.chunks(AT_ONCE) {
        observe(Step { files: done, of: files.len() });
        table.reload().await?;
        let state = table.delta_table().snapshot().map_err(LakeError::table(table.name(), "load its Delta log"))?;
        let mut gone: BTreeSet<&str> = part.iter().map(|file| file.path.as_str()).collect();
        state.log_data().iter().for_each(|file| {
            gone.remove(file.object_store_path().as_ref());
        });
        delete_part(table, gone.into_iter().map(Path::from).collect()).await?;
        done += part.len();
    }
    observe(Step { files: done, of: files.len() });
    Ok(())
}

async fn delete_part(table: &MaintainedTable, paths: Vec<Path>) -> Result<(), LakeError> {
    let paths = futures::stream::iter(paths).then(|path| async {
        match failpoint::pass("before_vacuum_delete").await {
            Err(LakeError::Store { source, .. }) => Err(source),
            _ => Ok(path),
        }
    });
    let mut deleting = table.delta_table().object_store().delete_stream(paths.boxed());
    while let Some(gone) = deleting.next().await {
        match gone {
            // One that is gone already was deleted by a vacuum before.
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(LakeError::store("delete files of", table.name())(error)),
        }
    }
    Ok(())
}
