//! The faults of the embedded Kinesis.

use std::io;

use tokio::time::error::Elapsed;

/// Why a server or a stream is missing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port is taken, or may not be used.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Listen {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The system does not name the port that it gave.
    #[error("the address of the embedded Kinesis is not known")]
    Address(#[source] io::Error),
    /// A stream was not created.
    #[error("cannot create the stream {stream} in the embedded Kinesis")]
    Create {
        /// Its name.
        stream: String,
        /// The answer of the server, or the fault of the network.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The state of a stream cannot be seen.
    #[error("cannot describe the stream {stream}")]
    Describe {
        /// Its name.
        stream: String,
        /// The answer of the server, or the fault of the network.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A stream is being deleted while its start is awaited.
    #[error("the stream {stream} is being deleted")]
    Deleting {
        /// Its name.
        stream: String,
    },
    /// A stream took too long.
    #[error("the stream {stream} did not become active")]
    NotActive {
        /// Its name.
        stream: String,
        /// The time that was waited.
        source: Elapsed,
    },
}
