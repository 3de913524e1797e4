//! A Kinesis record that is unwrapped as far as there is room, with the most that its rows may weigh. The weight is
//! known before the first row is made, so that the decoder can wait for room.

use crate::decode::reason::ReasonCode;
use crate::decode::record::MAX_VALUES;
use crate::unpack::compression::{Compression, MAX_DECOMPRESSED_BYTES};
use crate::unpack::kpl;
use crate::unpack::kpl::Aggregate;

/// The most bytes of a row beside its event: shard, sequence number, times, offsets, and null columns.
const ROW_BYTES: usize = 256;

/// A record on its way to a [`crate::BatchBuilder`].
#[derive(Debug)]
pub struct OpenedRecord<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) inside: Inside,
}

/// The kind of a record, by its first bytes.
#[derive(Debug)]
pub(crate) enum Inside {
    /// The values themselves.
    Plain,
    /// The values were compressed and are here.
    Unpacked(Vec<u8>),
    /// Compressed, and too large for the room.
    Packed,
    /// Many records in one; compressed ones stay compressed.
    Aggregate(Aggregate),
    /// Nothing that can be unwrapped.
    Broken(ReasonCode),
}

impl<'a> OpenedRecord<'a> {
    /// Unwraps a record, but decompresses at most `room` bytes: a larger one stays packed until its rows are made.
    pub fn open(data: &'a [u8], room: usize) -> Self {
        Self { data, inside: inside(data, room.min(MAX_DECOMPRESSED_BYTES)) }
    }

    /// The approximate most bytes of its rows.
    pub fn most_row_bytes(&self) -> usize {
        match &self.inside {
            Inside::Plain => of_text(self.data.len()),
            Inside::Unpacked(text) => of_text(text.len()),
            Inside::Packed => of_text(MAX_DECOMPRESSED_BYTES),
            Inside::Aggregate(aggregate) => {
                let packed = aggregate.data().any(|data| Compression::of(data).is_some());
                let bytes: usize = aggregate.data().map(<[u8]>::len).sum();
                // An empty sub-record is a row too.
                let rows = aggregate.data().count() * ROW_BYTES;
                of_text(bytes).saturating_add(rows) + if packed { of_text(MAX_DECOMPRESSED_BYTES) } else { 0 }
            }
            Inside::Broken(_) => self.data.len() + ROW_BYTES,
        }
    }
}

fn inside(data: &[u8], room: usize) -> Inside {
    if kpl::is_aggregated(data) {
        return Aggregate::open(data).map_or_else(Inside::Broken, Inside::Aggregate);
    }
    let Some(compression) = Compression::of(data) else { return Inside::Plain };
    let mut budget = room;
    match compression.decompress(data, &mut budget) {
        Ok(text) if kpl::is_aggregated(&text) || Compression::of(&text).is_some() => {
            Inside::Broken(ReasonCode::DecompressionFailed)
        }
        Ok(text) => Inside::Unpacked(text),
        Err(ReasonCode::DecompressionLimit) if room < MAX_DECOMPRESSED_BYTES => Inside::Packed,
        Err(reason) => Inside::Broken(reason),
    }
}

/// The most that `bytes` of text become: two bytes can be a value, and each value a row.
fn of_text(bytes: usize) -> usize {
    bytes + (bytes / 2 + 1).min(MAX_VALUES + 1) * ROW_BYTES
}
