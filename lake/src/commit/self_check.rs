//! The checks before any write: refuse rather than guess.

use bluelake_schemas::Stream;
use deltalake::table::state::DeltaTableState;

use crate::{checkpoint::document::CheckpointDocument, commit::chain::DocumentChain, error::LakeError};

/// What to do about rows that no document counts.
pub(crate) const FOREIGN_ROWS: &str = "rows were added or removed by another program, or the table was rolled back; \
     `bluelake lake history` names the version, `bluelake lake undo` takes it back, or restore the version that the \
     documents describe";

/// Checks an event table against its document.
pub(crate) async fn check(
    stream: Stream,
    state: &DeltaTableState,
    document: Option<&CheckpointDocument>,
    chain: &DocumentChain,
) -> Result<(), LakeError> {
    check_memory(stream, state)?;
    check_rows(stream, state, document)?;
    check_chain(stream, document, chain).await
}

/// Checks that the table does not forget how far it is.
pub(crate) fn check_memory(stream: Stream, state: &DeltaTableState) -> Result<(), LakeError> {
    let retention = "delta.setTransactionRetentionDuration";
    if !state.metadata().configuration().contains_key(retention) {
        return Ok(());
    }
    let check = format!("property {retention} is set, which makes Delta forget how far the table is");
    Err(refused(stream, check, "unset the property"))
}

/// Checks that a table without a document has never had one.
pub(crate) async fn check_chain(
    stream: Stream,
    document: Option<&CheckpointDocument>,
    chain: &DocumentChain,
) -> Result<(), LakeError> {
    if document.is_some() {
        return Ok(());
    }
    // A first document alone is left by a worker that died before its first commit. A later one builds on
    // a commit, so the table has lost that commit.
    match chain.newest().await? {
        Some(newest) if newest.head.previous.is_some() => Err(refused(
            stream,
            format!("it has no txn 'bluelake/{stream}' although document {} builds on a commit", newest.head.number),
            "the table was made anew or rolled back; restore it, or use an empty lake",
        )),
        _ => Ok(()),
    }
}

fn check_rows(stream: Stream, state: &DeltaTableState, document: Option<&CheckpointDocument>) -> Result<(), LakeError> {
    let rows = rows(state);
    let Some(document) = document else {
        if rows == Some(0) {
            return Ok(());
        }
        return Err(refused(
            stream,
            format!("it has no txn 'bluelake/{stream}' although it holds rows"),
            "the rows are from another program, or the log was rolled back; use an empty lake or restore the log",
        ));
    };
    match (rows, document.expected_rows()) {
        (Some(found), Some(expected)) if found == expected => Ok(()),
        (Some(found), Some(expected)) => Err(refused(
            stream,
            format!("it holds {found} rows by its log, its documents say {expected}"),
            FOREIGN_ROWS,
        )),
        _ => Err(refused(
            stream,
            "its rows cannot be counted from its log".to_owned(),
            "a file without statistics was added by another program; `bluelake lake history` names the version, \
             `bluelake lake undo` takes it back",
        )),
    }
}

fn refused(stream: Stream, check: String, remedy: &str) -> LakeError {
    LakeError::Refused { table: stream.table().to_owned(), check, remedy: remedy.to_owned() }
}

/// Rows of a table by the statistics of its log; `None` when a file has none.
pub(crate) fn rows(state: &DeltaTableState) -> Option<u64> {
    state.log_data().iter().map(|file| file.num_records().and_then(|count| u64::try_from(count).ok())).sum()
}
