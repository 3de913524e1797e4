//! A chunk: the rows of one read of one shard, and how far the read moved it.

use bluelake_lake::ShardAdvance;
use bluelake_transform::DecodedBatch;

use crate::memory::admission::RowRoom;

/// Rows that a buffer can hold.
pub(crate) trait Rows {
    /// How many there are.
    fn count(&self) -> usize;
    /// Bytes of memory that they take.
    fn bytes(&self) -> usize;
}

/// Rows that were read.
#[derive(Debug)]
pub(crate) struct ReadRows {
    /// The rows.
    pub(crate) decoded: DecodedBatch,
    /// The room that heavy rows hold until they are written.
    pub(crate) room: Option<RowRoom>,
}

impl Rows for ReadRows {
    fn count(&self) -> usize {
        self.decoded.events.num_rows() + self.decoded.rejected.num_rows()
    }

    fn bytes(&self) -> usize {
        let held = [&self.decoded.events, &self.decoded.rejected].into_iter().filter(|batch| batch.num_rows() > 0);
        held.map(arrow::array::RecordBatch::get_array_memory_size).sum()
    }
}

/// The outcome of one read of one shard.
#[derive(Debug)]
pub(crate) struct Chunk<R = ReadRows> {
    /// The shard and how far the read moved it.
    pub(crate) advance: ShardAdvance,
    /// The rows.
    pub(crate) rows: R,
}
