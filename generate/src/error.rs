//! The faults of making and putting events, and of reading a journal.

/// Error of this crate. The cause, where there is one, is the source and is not repeated in the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option of the generator is out of its range.
    #[error("{option} {problem}")]
    InvalidOption {
        /// Name of the option, a field of [`crate::GeneratorOptions`].
        option: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// Kinesis knows no such stream in this account and region.
    #[error("there is no Kinesis stream {stream:?}: create it, or check the name, region and endpoint")]
    StreamNotFound {
        /// Name of the stream in Kinesis.
        stream: String,
        /// Answer of the service.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Kinesis, or the way to it, refused a request for a permanent reason.
    #[error("putting records into the Kinesis stream {stream:?} was refused")]
    Refused {
        /// Name of the stream in Kinesis.
        stream: String,
        /// Answer of the service or of the SDK.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Several attempts in a row stored no record.
    #[error(
        "gave up on {records} records for the Kinesis stream {stream:?} after {attempts} attempts without progress"
    )]
    GaveUp {
        /// Name of the stream in Kinesis.
        stream: String,
        /// Records of the request that were not confirmed.
        records: usize,
        /// Attempts in a row that stored nothing.
        attempts: usize,
        /// Last failure, if the request failed as a whole.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The observer of answers (a journal, for instance) failed, so putting stopped.
    #[error("recording the answer of a put failed")]
    Observer {
        /// What the observer reported.
        source: std::io::Error,
    },
    /// A line of a journal cannot be read or is no entry.
    #[error("line {line} of the journal is not an entry")]
    Journal {
        /// Line number, from 1.
        line: u64,
        /// Why not.
        source: serde_json::Error,
    },
    /// The runtime was shut down while records were being put.
    #[error("putting was cancelled before all records were answered")]
    Cancelled,
}
