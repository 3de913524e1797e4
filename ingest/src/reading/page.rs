//! A page: records of a shard that follow each other.

use std::time::Duration;

use aws_sdk_kinesis::types::Record;
use bluelake_lake::ShardId;

use crate::{kinesis::stream::KinesisStream, memory::admission::Admission};

/// Which shard to read, and within which bounds.
#[derive(Clone, Debug)]
pub(crate) struct ShardSource {
    /// The stream.
    pub(crate) stream: KinesisStream,
    /// Id of the shard.
    pub(crate) shard: ShardId,
    /// Bounds the bytes of pages on their way.
    pub(crate) admission: Admission,
}

/// Records of a shard that follow each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// In the order of the shard.
    pub(crate) records: Vec<Record>,
    /// Milliseconds behind the tip, if the answer says so.
    pub(crate) millis_behind: Option<i64>,
    /// The shard is closed and nothing follows.
    pub(crate) end_of_shard: bool,
    /// The longest time that it may have been made before the request.
    pub(crate) on_its_way: Duration,
}

impl Page {
    /// Bytes of the records' data.
    pub(crate) fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.data().as_ref().len()).sum()
    }

    /// Nothing unread lies behind it.
    pub(crate) fn is_tip(&self) -> bool {
        self.records.is_empty() && self.millis_behind == Some(0)
    }
}

/// A shard gives a consumer one subscription per interval.
pub(crate) const SUBSCRIPTION_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);
