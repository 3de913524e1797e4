//! Where the reading of a stream starts.

use bluelake_lake::Position;
use chrono::{DateTime, Utc};

use crate::kinesis::stream::StreamDescription;

/// Where reading starts in a stream that is new to the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartPosition {
    /// The oldest record that Kinesis holds.
    TrimHorizon,
    /// Now: resolved to a time when the stream is first seen, and kept.
    Latest,
    /// Records that arrived at or after this time.
    AtTimestamp(DateTime<Utc>),
}

impl StartPosition {
    /// Where a stream that is new to the lake starts, at the time `local` by the local clock.
    pub(crate) fn position(&self, stream: &StreamDescription, local: DateTime<Utc>) -> Position {
        match self {
            Self::TrimHorizon => Position::TrimHorizon,
            Self::Latest => Position::AtTimestamp(stream.now(local).into()),
            Self::AtTimestamp(time) => Position::AtTimestamp((*time).into()),
        }
    }
}
