//! Settings of the ingest worker.

use std::{fmt, sync::Arc, time::Duration};

use bluelake_lake::Position;
use chrono::{DateTime, Utc};

use crate::{
    kinesis::stream::StreamDescription, reading::admission::Admission, shards::fleet::Fleet,
    worker::memory::MemoryBudget,
};

/// Where reading starts in a stream that the lake does not know yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartPosition {
    /// The oldest record that Kinesis holds.
    TrimHorizon,
    /// Now: resolved to a time once, when the stream is first seen, and kept.
    Latest,
    /// Records that arrived at or after this time.
    AtTimestamp(DateTime<Utc>),
}

impl StartPosition {
    /// Where a stream starts that the lake does not know, at the time `local` by the local clock.
    pub(crate) fn position(&self, stream: &StreamDescription, local: DateTime<Utc>) -> Position {
        match self {
            Self::TrimHorizon => Position::TrimHorizon,
            Self::Latest => Position::AtTimestamp(stream.now(local).timestamp_millis()),
            Self::AtTimestamp(time) => Position::AtTimestamp(time.timestamp_millis()),
        }
    }
}

/// When what is buffered is committed, whichever comes first, and what of it may be in memory. For each stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushLimits {
    /// Bytes of rows in memory (Arrow buffers), of the batch that is filling and of the one that is on its way. When half
    /// of it is full and no commit is due, the largest partitions are written ahead.
    pub memory: usize,
    /// Bytes of rows of one batch, wherever they are.
    pub batch_bytes: usize,
    /// Bytes of the files of one batch, by estimate.
    pub file_bytes: usize,
    /// Rows of one batch.
    pub rows: usize,
    /// Age of the oldest row of a batch.
    pub age: Duration,
}

impl Default for FlushLimits {
    fn default() -> Self {
        Self {
            memory: MemoryBudget(1 << 30).row_bytes(2),
            batch_bytes: usize::MAX,
            file_bytes: 128 << 20,
            rows: 2_000_000,
            age: Duration::from_secs(60),
        }
    }
}

/// How long event ids are remembered, by the shard's arrival time, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupLimits {
    /// Ids older than this are forgotten; zero: nothing is a duplicate.
    pub span: Duration,
    /// At most so many ids a stream, shared out over its shards; beyond that the oldest are forgotten early, and that
    /// is reported.
    pub max_ids: usize,
}

impl Default for DedupLimits {
    fn default() -> Self {
        Self { span: Duration::from_secs(15 * 60), max_ids: 4_000_000 }
    }
}

/// Settings of one worker for one stream.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// Stop when every shard has been read to its tip and committed.
    pub once: bool,
    /// Where reading starts in a stream that the lake does not know yet.
    pub start: StartPosition,
    /// When to commit.
    pub flush: FlushLimits,
    /// The deduplication window.
    pub dedup: DedupLimits,
    /// How often the list of shards is read again.
    pub lineage_interval: Duration,
    /// Bounds the pages that are read and not yet buffered, over all streams that share it.
    pub admission: Admission,
    /// Name of the worker in the checkpoint documents.
    pub worker: String,
    /// The wall clock.
    pub clock: Clock,
    /// Shares the shards with other workers; `None` reads every shard.
    pub fleet: Option<Fleet>,
    /// What to do about records that Kinesis discarded unread.
    pub on_gap: OnGap,
}

/// What to do about a gap. Either way it is written to the lake and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnGap {
    /// The shard stands still until somebody has looked.
    Stop,
    /// The shard goes on behind the gap.
    Continue,
}

/// The wall clock, passed in so that tests can set it.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Utc::now))
    }

    /// A clock that tells what `now` tells.
    #[must_use]
    pub fn from_fn(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
