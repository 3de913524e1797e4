//! The edge to deltalake: how our commits are made.

use deltalake::{
    kernel::{Transaction, transaction::CommitProperties},
    protocol::{DeltaOperation, SaveMode},
};

use crate::error::LakeError;

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
