//! The two streams that Bluelake reads, and the tables they land in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the event streams. Each lands in a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// `user-events`, written by onboarding.
    #[serde(rename = "user-events")]
    UserEvents,
    /// `transaction-events`, written by scoring.
    #[serde(rename = "transaction-events")]
    TransactionEvents,
}

impl Stream {
    /// Both streams, in the order in which they are shown.
    pub const ALL: [Stream; 2] = [Stream::UserEvents, Stream::TransactionEvents];

    /// Name in the contract, in the lineage and, unless configured otherwise, in Kinesis.
    pub fn name(self) -> &'static str {
        match self {
            Stream::UserEvents => "user-events",
            Stream::TransactionEvents => "transaction-events",
        }
    }

    /// Table that the stream's events land in.
    pub fn table(self) -> &'static str {
        match self {
            Stream::UserEvents => "user_events",
            Stream::TransactionEvents => "transactions",
        }
    }

    /// File of the contract that describes the stream.
    pub(crate) const fn file(self) -> &'static str {
        match self {
            Stream::UserEvents => "user_events.toml",
            Stream::TransactionEvents => "transaction_events.toml",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A text that names no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no stream {name:?}: use user-events or transaction-events")]
pub struct UnknownStream {
    /// What was given.
    pub name: String,
}

impl FromStr for Stream {
    type Err = UnknownStream;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Stream::ALL
            .into_iter()
            .find(|stream| stream.name() == name)
            .ok_or_else(|| UnknownStream { name: name.to_owned() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_written_and_read_by_name() {
        for stream in Stream::ALL {
            assert_eq!(stream.name().parse::<Stream>(), Ok(stream));
            assert_eq!(serde_json::to_value(stream).unwrap(), stream.name());
            assert_eq!(stream.to_string(), stream.name());
        }
        assert!("users".parse::<Stream>().unwrap_err().to_string().contains("user-events"));
    }
}
