//! Decodes a block of an object. Blocks are decoded beside each other, so one that comes too early must not wait for
//! room: the blocks before it may hold that, and have to be handed on first.

use std::{fmt::Write as _, sync::Arc};

use bluelake_lake::{ArchivedObject, ShardId};
use bluelake_schemas::{Micros, Millis, Stream};
use bluelake_transform::{Counts, Decoder, FailedRecord, OpenedRecord, RecordPosition};
use tokio::runtime::Handle;

use super::{blocks::Block, object::Chunk, unseen::ids_of};
use crate::{
    error::IngestError,
    memory::admission::Admission,
    reading::decoder::{HEAVY_BYTES, kept},
};

/// Approximate bytes of rows of one chunk.
const CHUNK_BYTES: usize = 4 << 20;

/// When a block is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Perhaps before the blocks that precede it: it ends before a record that needs room.
    Early,
    /// After them: it waits for room.
    Next,
}

/// Rows of the beginning of a block, and the rest of it.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) chunk: Option<Chunk>,
    pub(crate) rest: Option<Block>,
}

/// What decoding needs to know of an object.
#[derive(Debug)]
pub(crate) struct BlockDecoder {
    pub(crate) object: Arc<ArchivedObject>,
    pub(crate) shard: ShardId,
    pub(crate) arrived_at: Micros,
    pub(crate) stream: Stream,
    pub(crate) decoder: Arc<Decoder>,
    pub(crate) admission: Admission,
}

impl BlockDecoder {
    /// Decodes the records of a block until its rows are enough for a chunk.
    ///
    /// # Errors
    /// Only those of our own: a bad record is a rejected row.
    pub(crate) fn decode(&self, mut block: Block, turn: Turn) -> Result<Decoded, IngestError> {
        let mut builder = self.decoder.batch();
        let (mut counts, mut room) = (Counts::default(), None);
        let mut sequence = String::new();
        let (mut taken, mut end) = (0, 0);
        for range in &block.records {
            let record = block.text.get(range.clone()).unwrap_or_default();
            let failed = FailedRecord::of(record);
            let data = failed.as_ref().map_or(record, |failed| &failed.data);
            let opened = OpenedRecord::open(data, HEAVY_BYTES);
            let admitted = match (opened.most_row_bytes(), turn) {
                (bytes, Turn::Early) if bytes > HEAVY_BYTES => break,
                (bytes, Turn::Next) if bytes > HEAVY_BYTES => {
                    Handle::current().block_on(self.admission.admit_rows(bytes))
                }
                _ => None,
            };
            sequence.clear();
            // A text takes whatever is written.
            let _ = write!(sequence, "{}", offset(block.base, range.start));
            let arrived = failed.as_ref().and_then(|failed| failed.arrived_at).map(Millis::micros);
            let position = RecordPosition {
                shard: &self.shard,
                sequence: &sequence,
                arrived_at: arrived.unwrap_or(self.arrived_at),
                hash_keys: None,
            };
            let before = builder.buffered_bytes();
            // The table is asked for many events at once whether it has them.
            counts += builder.push_opened(&position, opened, &mut |_, _| false);
            room = kept(admitted, builder.buffered_bytes() - before, data.len());
            (taken, end) = (taken + 1, range.end);
            if builder.buffered_bytes() >= CHUNK_BYTES || room.is_some() {
                break;
            }
        }
        let stream = self.stream;
        let transform = |source| IngestError::Transform { stream, source };
        let rows = builder.finish().map_err(transform)?;
        let is_whole = taken == block.records.len();
        let to = if is_whole { block.to } else { offset(block.base, end) };
        let chunk = (is_whole || taken > 0).then(|| {
            Ok(Chunk {
                object: self.object.clone(),
                from: block.from,
                to,
                ended: is_whole && block.ended,
                counts,
                ids: ids_of(&rows.events)?,
                rows,
                room,
            })
        });
        let chunk = chunk.transpose().map_err(transform)?;
        let rest = (!is_whole).then(|| {
            block.records.drain(..taken);
            block.from = if taken > 0 { to } else { block.from };
            block
        });
        Ok(Decoded { chunk, rest })
    }
}

fn offset(base: u64, at: usize) -> u64 {
    base + u64::try_from(at).unwrap_or(u64::MAX)
}
