//! The faults of ingest, named by what the caller can do about them.

use bluelake_lake::{LakeError, ShardId};
use bluelake_schemas::Stream;
use bluelake_transform::TransformError;
use tokio::task::JoinError;

/// An error of the ingest room.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A Kinesis call failed for good: the stream is missing, access is denied, or the call failed too often.
    #[error("stream '{stream}': {operation} failed: {reason}{}", remedy.map(|text| format!("; {text}")).unwrap_or_default())]
    Kinesis {
        /// Name or ARN of the stream.
        stream: String,
        /// The Kinesis call.
        operation: &'static str,
        /// The answer of Kinesis, or the fault of the network.
        reason: String,
        /// What the operator can do.
        remedy: Option<&'static str>,
        /// Trying again later may succeed.
        transient: bool,
    },
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Rows could not be built or encoded.
    #[error("stream '{stream}': rows cannot be encoded")]
    Transform {
        /// The stream.
        stream: Stream,
        /// The cause.
        source: TransformError,
    },
    /// An answer of Kinesis breaks its contract.
    #[error("stream '{stream}', shard '{shard}': {reason}")]
    Protocol {
        /// Name or ARN of the stream.
        stream: String,
        /// The shard.
        shard: ShardId,
        /// What was wrong.
        reason: String,
    },
    /// A replay asked for records that Kinesis no longer holds.
    #[error(
        "stream '{stream}': the replay would start at {from}, but Kinesis holds records from {horizon} on; start there, or give --allow-partial"
    )]
    Horizon {
        /// Name or ARN of the stream.
        stream: String,
        /// Where the replay was to start.
        from: chrono::DateTime<chrono::Utc>,
        /// Older records are gone.
        horizon: chrono::DateTime<chrono::Utc>,
    },
    /// Another replay, a backfill or an erasure committed first each time.
    #[error("stream '{stream}': fenced {times} times in a row by other replays, backfills or erasures; run it again")]
    Outrun {
        /// The stream.
        stream: Stream,
        /// How often.
        times: usize,
    },
    /// A task of the worker ended before its time.
    #[error("stream '{stream}': a task ended unexpectedly: {reason}")]
    Task {
        /// The stream.
        stream: Stream,
        /// How it ended.
        reason: String,
    },
}

impl IngestError {
    /// A task ended before its time. The message of a panic is left out: it can quote the data that caused it.
    pub(crate) fn task(stream: Stream, error: &JoinError) -> Self {
        let reason = if error.is_panic() { "it panicked" } else { "it was cancelled" };
        Self::Task { stream, reason: reason.to_owned() }
    }

    /// Whether trying again later, without any change by an operator, may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Kinesis { transient, .. } => *transient,
            Self::Lake(error) => error.is_transient(),
            _ => false,
        }
    }
}
