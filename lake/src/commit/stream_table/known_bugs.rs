//! Known bugs of a commit, for the tests of the tests ([`KnownBug`]). Compiled with the feature `failpoints` alone.

use bluelake_schemas::KnownBug;
use deltalake::table::state::DeltaTableState;
use object_store::{ObjectStoreExt as _, path::Path};

use super::StreamTable;
use crate::{checkpoint::advance::Batch, error::LakeError, failpoint};

impl StreamTable {
    /// A batch's position by itself, before its rows. Gives the snapshot to commit those from.
    pub(super) async fn commit_position_first(
        &mut self,
        state: DeltaTableState,
        batch: &Batch,
        number: u64,
    ) -> Result<DeltaTableState, LakeError> {
        if !KnownBug::PositionBeforeRows.is_on() || batch.files.is_empty() {
            return Ok(state);
        }
        self.commit_to_delta(&state, &Batch { files: Vec::new(), ..batch.clone() }, number).await?;
        failpoint::pass("after_position").await?;
        Ok(self.events.snapshot().map_err(LakeError::table(self.stream.table(), "load its Delta log"))?.clone())
    }

    /// Deletes what a commit that was not acknowledged would have added.
    pub(super) async fn delete_files_of(&self, batch: &Batch) {
        for file in batch.files.iter().filter(|_| KnownBug::DeleteFilesOnUnknownOutcome.is_on()) {
            let _ = self.events.object_store().delete(&Path::from(file.path.as_str())).await;
        }
    }
}
