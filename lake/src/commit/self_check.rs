//! What must hold before anything is written: refuse rather than guess.

use bluelake_schemas::Stream;
use deltalake::table::state::DeltaTableState;

use crate::{checkpoint::document::CheckpointDocument, commit::chain::DocumentChain, error::LakeError};

/// Checks an event table against its document.
pub(crate) async fn check(
    stream: Stream,
    state: &DeltaTableState,
    document: Option<&CheckpointDocument>,
    chain: &DocumentChain,
) -> Result<(), LakeError> {
    let refused = |check: String, remedy: &str| {
        Err(LakeError::Refused { table: stream.table().to_owned(), check, remedy: remedy.to_owned() })
    };
    let retention = "delta.setTransactionRetentionDuration";
    if state.metadata().configuration().contains_key(retention) {
        return refused(
            format!("property {retention} is set, which makes Delta forget how far the table is"),
            "unset the property",
        );
    }
    let rows = rows(state);
    let Some(document) = document else {
        if rows != Some(0) {
            return refused(
                format!("it has no txn 'bluelake/{stream}' although it holds rows"),
                "the rows are from another program, or the log was rolled back; use an empty lake or restore the log",
            );
        }
        // A first document alone is left by a worker that died before its first commit. A later one builds on
        // a commit, so the table has lost that commit.
        return match chain.newest().await? {
            Some(newest) if newest.head.previous.is_some() => refused(
                format!(
                    "it has no txn 'bluelake/{stream}' although document {} builds on a commit",
                    newest.head.number
                ),
                "the table was made anew or rolled back; restore it, or use an empty lake",
            ),
            _ => Ok(()),
        };
    };
    match (rows, document.expected_rows()) {
        (Some(found), Some(expected)) if found == expected => Ok(()),
        (Some(found), Some(expected)) => refused(
            format!("it holds {found} rows by its log, its documents say {expected}"),
            "rows were added or removed by another program, or the table was rolled back; restore the version that the documents describe",
        ),
        _ => refused(
            "its rows cannot be counted from its log".to_owned(),
            "a file without statistics was added by another program; remove it",
        ),
    }
}

/// Rows of a table by the statistics of its log; `None` when a file has none.
pub(crate) fn rows(state: &DeltaTableState) -> Option<u64> {
    state.log_data().iter().map(|file| file.num_records().and_then(|count| u64::try_from(count).ok())).sum()
}
