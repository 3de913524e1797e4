//! Why a read of a stream failed.

use crate::error::IngestError;

/// Why a read failed, by what to do about it.
#[derive(Debug)]
pub(crate) enum ReadFault {
    /// Ask for a new iterator and read on.
    ExpiredIterator,
    /// Kinesis does not know the sequence number of the position, or no longer: read on from the trim horizon.
    Trimmed(String),
    /// Wait, then try again: too many calls or bytes.
    Throttled(String),
    /// Wait, then try again: another reader has the subscription, or had it seconds ago.
    InUse(String),
    /// Wait, then try again: the service or the network failed.
    Transient(String),
    /// The stream, the shard or the consumer is not there.
    NotFound(IngestError),
    /// Access is denied, or Kinesis does not know the caller.
    Denied(IngestError),
    /// Another try is of no use.
    Final(IngestError),
}

impl ReadFault {
    /// Its name in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::ExpiredIterator => "expired_iterator",
            Self::Trimmed(_) => "trimmed",
            Self::Throttled(_) => "throttled",
            Self::InUse(_) => "in_use",
            Self::NotFound(_) => "not_found",
            Self::Denied(_) => "denied",
            Self::Transient(_) => "transient",
            Self::Final(_) => "final",
        }
    }
}
