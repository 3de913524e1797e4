//! What can go wrong with the embedded Kinesis.

use std::io;

use tokio::time::error::Elapsed;

/// Why there is no server, or no stream in it.
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
    /// The system does not say which port it gave.
    #[error("cannot tell the address of the embedded Kinesis")]
    Address(#[source] io::Error),
    /// A stream was not created.
    #[error("cannot create the stream {stream} in the embedded Kinesis")]
    Create {
        /// Its name.
        stream: String,
        /// What the server or the network said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The state of a stream cannot be seen.
    #[error("cannot describe the stream {stream}")]
    Describe {
        /// Its name.
        stream: String,
        /// What the server or the network said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A stream that was waited for is going away.
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
        /// How long it was waited for.
        source: Elapsed,
    },
}
