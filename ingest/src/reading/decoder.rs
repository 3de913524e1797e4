//! Decodes the records of a page into chunks of rows, as many as the page needs, so that memory is bounded by what
//! records unpack to and not only by what they weigh. A chunk ends at a whole record.

use std::iter::Peekable;

use aws_sdk_kinesis::types::Record;
use bluelake_lake::{ControlTotals, SequenceNumber, ShardId};
use bluelake_schemas::{Micros, Millis, Stream};
use bluelake_transform::{BatchBuilder, OpenedRecord, RecordPosition, TransformError};

use crate::{
    error::IngestError,
    kinesis::stream::KinesisStream,
    memory::{
        admission::{Admission, RowRoom},
        budget::PAGE_COPIES,
    },
    reading::{
        chunk::ReadRows,
        dedup::window::{DedupWindow, EventPosition},
    },
};

/// Records decoded before other tasks get their turn: a few milliseconds of work.
const RECORDS_AT_ONCE: usize = 500;
/// A chunk is handed on at this many bytes of rows.
const CHUNK_BYTES: usize = 2 << 20;
/// A record whose rows may take more than this waits for room; rows that do take more keep the room until they are
/// written.
pub(crate) const HEAVY_BYTES: usize = 2 << 20;

/// What decoding needs from page to page.
pub(crate) struct PageDecoder {
    builder: BatchBuilder,
    pub(crate) window: DedupWindow,
    /// Hash keys of the shard.
    hash_keys: Option<(u128, u128)>,
}

/// Counts of some records.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) counts: ControlTotals,
    pub(crate) bytes: u64,
    pub(crate) misrouted: u64,
    /// Newest arrival time.
    pub(crate) newest: Option<Micros>,
}

/// Records of a page, decoded.
pub(crate) struct Decoded {
    pub(crate) rows: ReadRows,
    pub(crate) tally: Tally,
    pub(crate) records: u64,
    /// The last of the records.
    pub(crate) last: Option<SequenceNumber>,
}

/// Why a page cannot be decoded.
pub(crate) enum DecodeFault {
    SequenceNumber,
    NoArrivalTime,
    Transform(TransformError),
}

impl DecodeFault {
    /// The error, of this shard.
    pub(crate) fn of(self, stream: Stream, source: &KinesisStream, shard: &ShardId) -> IngestError {
        let protocol = |reason: &str| IngestError::Protocol {
            stream: source.name().to_owned(),
            shard: shard.to_owned(),
            reason: reason.to_owned(),
        };
        match self {
            Self::SequenceNumber => protocol("a record's sequence number is not a decimal number"),
            Self::NoArrivalTime => protocol("a record has no arrival time"),
            Self::Transform(source) => IngestError::Transform { stream, source },
        }
    }
}

impl PageDecoder {
    /// Decodes into a builder of the stream, with the window of the shard.
    pub(crate) fn new(builder: BatchBuilder, window: DedupWindow, hash_keys: Option<(u128, u128)>) -> Self {
        Self { builder, window, hash_keys }
    }

    /// Decodes records until their rows make a chunk or none are left. Other tasks get their turn in between, and the
    /// memory of a page stays with few threads.
    pub(crate) async fn decode(
        &mut self,
        records: &mut Peekable<std::vec::IntoIter<Record>>,
        shard: &ShardId,
        admission: &Admission,
    ) -> Result<Decoded, DecodeFault> {
        let (mut tally, mut number, mut last, mut room) = (Tally::default(), 0_usize, None, None);
        while self.builder.buffered_bytes() < CHUNK_BYTES
            && let Some(record) = records.next()
        {
            room = self.push(&record, shard, &mut tally, admission).await?;
            last = Some(record.sequence_number);
            number += 1;
            if number % RECORDS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        tokio::task::yield_now().await;
        let last = last.map(|sequence| SequenceNumber::parse(&sequence));
        Ok(Decoded {
            rows: ReadRows { decoded: self.builder.finish().map_err(DecodeFault::Transform)?, room },
            tally,
            records: u64::try_from(number).unwrap_or(u64::MAX),
            last: last.transpose().map_err(|_| DecodeFault::SequenceNumber)?,
        })
    }

    /// Decodes a record. Gives the room of its rows if they are heavy; the chunk then ends with this record.
    async fn push(
        &mut self,
        record: &Record,
        shard: &ShardId,
        tally: &mut Tally,
        admission: &Admission,
    ) -> Result<Option<RowRoom>, DecodeFault> {
        let sequence = record.sequence_number();
        let arrived = record.approximate_arrival_timestamp().ok_or(DecodeFault::NoArrivalTime)?;
        let arrived_at = Millis::new(arrived.to_millis().map_err(|_| DecodeFault::NoArrivalTime)?).micros();
        let data = record.data().as_ref();
        let position = RecordPosition { shard, sequence, arrived_at, hash_keys: self.hash_keys };
        let opened = OpenedRecord::open(data, HEAVY_BYTES);
        let before = self.builder.buffered_bytes();
        let room = match opened.most_row_bytes() {
            bytes if bytes > HEAVY_BYTES => admission.admit_rows(bytes).await,
            _ => None,
        };
        let window = &mut self.window;
        let result = self.builder.push_opened(&position, opened, &mut |id, sub_sequence| {
            window.check_and_remember(id, EventPosition { sequence, sub_sequence }, arrived_at)
        });
        tally.counts += ControlTotals {
            received: result.received,
            stored: result.stored,
            rejected: result.rejected,
            duplicate: result.duplicate,
            suppressed: 0,
        };
        tally.misrouted += result.misrouted;
        tally.bytes += u64::try_from(data.len()).unwrap_or(u64::MAX);
        tally.newest = tally.newest.max(Some(arrived_at));
        Ok(kept(room, self.builder.buffered_bytes() - before, data.len()))
    }
}

/// The part of the room that a record's rows keep, now that their bytes are known.
pub(crate) fn kept(room: Option<RowRoom>, row_bytes: usize, record_bytes: usize) -> Option<RowRoom> {
    // Rows of the expected weight were admitted with their record.
    let expected = record_bytes.saturating_mul(PAGE_COPIES).max(HEAVY_BYTES);
    room.filter(|_| row_bytes > expected).map(|mut room| {
        room.shrink(row_bytes);
        room
    })
}
