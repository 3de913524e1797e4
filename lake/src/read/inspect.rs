//! The facts of the lake about a stream, for commands that only look: they write, create and repair nothing.

use bluelake_schemas::{Millis, Stream};

use crate::{
    checkpoint::document::CheckpointDocument,
    commit::{chain::DocumentChain, self_check, stream_table::document_number},
    error::LakeError,
    layout::{REJECTED_EVENTS, app_id},
    place::lake::Lake,
};

/// A stream's table as found.
#[derive(Clone, Debug)]
pub struct StreamInspection {
    /// The stream.
    pub stream: Stream,
    /// Delta version of its event table.
    pub table_version: Option<u64>,
    /// The document in force; `None` before the first commit, or when it cannot be used.
    pub document: Option<CheckpointDocument>,
    /// When that was written by the store's clock.
    pub committed_at: Option<Millis>,
    /// Delta version of `rejected_events`.
    pub rejected_version: Option<u64>,
    /// Whether rejected events of documents are not in `rejected_events` yet; the next commit or start adds them.
    pub rejected_behind: bool,
    /// Broken invariants: why a worker would refuse to write.
    pub faults: Vec<String>,
}

impl Lake {
    /// Inspects a stream's table, its document in force and the invariants that follow from these.
    ///
    /// # Errors
    /// [`LakeError::NotALake`] without tables, or when the place cannot be read. A readable fault is no error but among
    /// the faults.
    pub async fn inspect(&self, stream: Stream) -> Result<StreamInspection, LakeError> {
        let name = stream.table();
        let table = self.table(name).await?;
        let rejected = self.table(REJECTED_EVENTS).await?;
        let state = table.snapshot().map_err(LakeError::table(name, "load its Delta log"))?.clone();
        let rejected_state =
            rejected.snapshot().map_err(LakeError::table(REJECTED_EVENTS, "load its Delta log"))?.clone();
        let mut found = StreamInspection {
            stream,
            table_version: table.version(),
            document: None,
            committed_at: None,
            rejected_version: rejected.version(),
            rejected_behind: false,
            faults: Vec::new(),
        };
        let app_id = app_id(stream);
        let chain = DocumentChain::new(self, stream);
        let followed = fault(document_number(REJECTED_EVENTS, &rejected, &rejected_state, &app_id).await, &mut found)?;
        let number = fault(document_number(name, &table, &state, &app_id).await, &mut found)?.flatten();
        if let Some(number) = number {
            let Some(document) = fault(chain.get(number).await, &mut found)? else { return Ok(found) };
            found.committed_at = fault(chain.written_at(number).await, &mut found)?;
            found.rejected_behind = document.links.last_rejected > followed.flatten();
            found.faults.extend(unbalanced(&document));
            found.document = Some(document);
        }
        let checked = self_check::check(stream, &state, found.document.as_ref(), &chain).await;
        fault(checked, &mut found)?;
        Ok(found)
    }
}

/// A refused check is a finding, not an error: refusals and unusable documents are among the faults.
fn fault<T>(result: Result<T, LakeError>, found: &mut StreamInspection) -> Result<Option<T>, LakeError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error @ (LakeError::Refused { .. } | LakeError::Document { .. })) => {
            found.faults.push(error.to_string());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Shards whose control totals do not balance.
fn unbalanced(document: &CheckpointDocument) -> Vec<String> {
    let shards = document.shards.iter().filter(|(_, state)| !state.totals.balance());
    let mut faults: Vec<String> = shards
        .map(|(id, _)| {
            format!(
                "shard {id}: its control totals do not balance: received ≠ stored + rejected + duplicate + suppressed"
            )
        })
        .collect();
    if !document.tally.retired.balance() || !document.tally.supplemented.balance() {
        faults.push("the control totals of retired shards or of replays do not balance".to_owned());
    }
    faults
}
