//! The edge to deltalake: how our commits are made.

pub(crate) mod log;

use deltalake::{
    DeltaTable,
    kernel::{Transaction, transaction::CommitProperties},
    protocol::{DeltaOperation, SaveMode},
};

use crate::error::LakeError;

/// A log checkpoint is written after each so many versions.
const LOG_CHECKPOINT_INTERVAL: u64 = 20;

/// Writes a log checkpoint when the table's version says that one is due. Best effort: readers only get slower without.
pub(crate) async fn write_log_checkpoint_if_due(name: &str, table: &DeltaTable) {
    let due = table.version().is_some_and(|version| version > 0 && version % LOG_CHECKPOINT_INTERVAL == 0);
    if due && let Err(error) = deltalake::checkpoints::create_checkpoint(table, None).await {
        tracing::warn!(table = name, error = crate::causes(&error), "no log checkpoint was written");
    }
}

/// Commit properties without the log checkpoint, which is written apart, and without log clean-up.
pub(crate) fn quiet_commit(max_retries: usize) -> CommitProperties {
    CommitProperties::default()
        .with_max_retries(max_retries)
        .with_create_checkpoint(false)
        .with_cleanup_expired_logs(Some(false))
}

/// The number of a document as the table's own progress, under the name of its application.
pub(crate) fn transaction(app_id: &str, number: u64) -> Result<Transaction, LakeError> {
    let number = i64::try_from(number).map_err(|_| LakeError::Document {
        path: app_id.to_owned(),
        reason: "its number is out of range".to_owned(),
    })?;
    Ok(Transaction::new(app_id, number))
}

/// The operation of a commit that adds rows.
pub(crate) fn append(partitions: &[&str]) -> DeltaOperation {
    DeltaOperation::Write {
        mode: SaveMode::Append,
        partition_by: Some(partitions.iter().map(ToString::to_string).collect()),
        predicate: None,
    }
}
