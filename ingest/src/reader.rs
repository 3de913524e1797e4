//! Reads one shard: pages of records through the decoder into chunks, from a position on, until the shard ends, its
//! tip is reached (when only that is wanted), or it is told to stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_kinesis::types::Record;
use bluelake_lake::{ControlTotals, SequenceNumber};
use bluelake_schemas::{KnownBug, Stream};
use bluelake_transform::{BatchBuilder, DecodedBatch, Decoder, RecordPosition};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    admission::Admission,
    buffer::Chunk,
    cursor::{PageFacts, ShardCursor},
    error::IngestError,
    kinesis::KinesisStream,
    lineage::ReadableShard,
    options::Clock,
    pages::{Next, Page, Pages, ShardSource},
    progress::{Progress, ReadCounts, Reading},
    skew::Skew,
    tip::Listed,
    window::{DedupWindow, EventPosition},
};

/// Records decoded before other tasks get their turn: a few milliseconds of work.
const RECORDS_AT_ONCE: usize = 500;

/// How a reader ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReaderEnd {
    /// The shard is closed and was read to its end.
    ShardEnded,
    /// The tip was reached and only that was wanted.
    AtTip,
    /// The shard has left the stream before it was read to its end.
    ShardVanished,
    /// So long has passed since the last read that records may be discarded unread.
    MayHaveLost,
    /// It was told to stop, or nobody takes its chunks any more.
    Stopped,
}

/// Reads one shard.
pub(crate) struct ShardReader {
    pub(crate) source: KinesisStream,
    pub(crate) stream: Stream,
    pub(crate) shard: ReadableShard,
    pub(crate) decoder: Arc<Decoder>,
    pub(crate) window: DedupWindow,
    pub(crate) chunks: mpsc::Sender<Chunk>,
    /// Counts the chunks that were sent.
    pub(crate) sent: Arc<AtomicUsize>,
    pub(crate) stop_at_tip: bool,
    /// What ListShards says of the shard, as often as it is asked.
    pub(crate) listed: watch::Receiver<Listed>,
    /// How long Kinesis keeps a record.
    pub(crate) retention: Duration,
    pub(crate) admission: Admission,
    pub(crate) clock: Clock,
    pub(crate) skew: Skew,
    pub(crate) progress: Arc<Progress>,
}

/// What decoding needs from page to page.
struct Desk {
    builder: BatchBuilder,
    window: DedupWindow,
    /// Hash keys of the shard.
    hash_keys: Option<(u128, u128)>,
}

impl ShardReader {
    /// Reads until the end. Chunks are contiguous: each starts where the one before it ended.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<ReaderEnd, IngestError> {
        let known_until = self.shard.state.safe_until();
        let _reading = Reading::start(&self.progress, &self.shard.shard.id, known_until, self.window.len());
        let this = stop.clone();
        tokio::select! {
            biased;
            () = this.cancelled() => Ok(ReaderEnd::Stopped),
            end = self.read() => end,
        }
    }

    async fn read(self) -> Result<ReaderEnd, IngestError> {
        let Self {
            source,
            stream,
            shard,
            decoder,
            window,
            chunks,
            sent,
            stop_at_tip,
            listed: listings,
            retention,
            admission,
            clock,
            skew,
            progress,
        } = self;
        let mut desk = Desk { builder: decoder.batch(), window, hash_keys: shard.shard.hash_keys };
        let id = shard.shard.id.clone();
        let at_start = if stop_at_tip { ShardCursor::once } else { ShardCursor::new };
        let mut cursor = at_start(shard, retention);
        let shard_source = ShardSource { stream: source.clone(), shard: id.clone(), admission };
        let mut pages = Pages::new(shard_source.clone(), stop_at_tip);
        let committed = KnownBug::RenewFromCommit.is_on().then(|| cursor.clone());
        loop {
            if let Some(committed) = &committed {
                (cursor, pages) = (committed.clone(), Pages::new(shard_source.clone(), stop_at_tip));
            }
            // A record may arrive after the answer left and before it is here.
            let asked = skew.earliest(clock.now());
            let listed = *listings.borrow();
            let (page, _room) = match pages.next(cursor.position()).await? {
                Next::Page(page, room) => (page, room),
                Next::Vanished => return Ok(ReaderEnd::ShardVanished),
            };
            let fault = |fault: DecodeFault| fault.of(stream, &source, &id);
            // Its children may hold more: a closed shard is not at a tip.
            let behind = page.millis_behind.filter(|_| listed != Listed::Closed || !page.is_tip());
            progress.observe_answer(&id, behind, page.records.is_empty());
            if cursor.may_have_lost(skew.latest(clock.now())) {
                return Ok(ReaderEnd::MayHaveLost);
            }
            let asked = asked.saturating_sub(page.on_its_way);
            let outcome = cursor.take(&facts(&page).map_err(fault)?, asked, listed);
            if let Some(step) = outcome.step {
                let read = decode(&mut desk, &page.records, &outcome.new, &id).await.map_err(fault)?;
                drop(page);
                observe(&progress, &id, &desk.window, &read);
                cursor.arrived(read.tally.newest);
                let advance = step.advance(read.tally.counts, read.tally.newest);
                if chunks.send(Chunk { advance, rows: read.rows }).await.is_err() {
                    return Ok(ReaderEnd::Stopped);
                }
                sent.fetch_add(1, Ordering::Release);
            }
            if outcome.ended {
                return Ok(ReaderEnd::ShardEnded);
            }
            if outcome.at_tip && stop_at_tip {
                return Ok(ReaderEnd::AtTip);
            }
        }
    }
}

/// What the cursor wants to know of a page.
fn facts(page: &Page) -> Result<PageFacts, DecodeFault> {
    let sequence = |record: &Record| SequenceNumber::parse(record.sequence_number());
    Ok(PageFacts {
        sequences: page
            .records
            .iter()
            .map(sequence)
            .collect::<Result<_, _>>()
            .map_err(|_| DecodeFault::SequenceNumber)?,
        millis_behind: page.millis_behind,
        end_of_shard: page.end_of_shard,
    })
}

fn observe(progress: &Progress, shard: &str, window: &DedupWindow, read: &Decoded) {
    progress.observe_window(shard, window.len(), window.is_shortened());
    progress.observe_read(ReadCounts {
        records: read.records,
        bytes: read.tally.bytes,
        events: read.tally.counts.received,
        unknown_fields: read.rows.unknown_fields,
        misrouted: read.tally.misrouted,
    });
}

#[derive(Default)]
struct Tally {
    counts: ControlTotals,
    bytes: u64,
    misrouted: u64,
    /// Newest arrival time, microseconds since the epoch.
    newest: Option<i64>,
}

struct Decoded {
    rows: DecodedBatch,
    tally: Tally,
    records: u64,
}

enum DecodeFault {
    SequenceNumber,
    NoArrivalTime,
    Transform(bluelake_transform::TransformError),
}

impl DecodeFault {
    fn of(self, stream: Stream, source: &KinesisStream, shard: &str) -> IngestError {
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

/// Decodes the records of a page that are new, in slices: other tasks get their turn in between, and the memory of a page
/// stays with few threads.
async fn decode(desk: &mut Desk, records: &[Record], new: &[usize], shard: &str) -> Result<Decoded, DecodeFault> {
    let mut tally = Tally::default();
    for slice in new.chunks(RECORDS_AT_ONCE) {
        for record in slice.iter().filter_map(|index| records.get(*index)) {
            desk.push(record, shard, &mut tally)?;
        }
        tokio::task::yield_now().await;
    }
    Ok(Decoded {
        rows: desk.builder.finish().map_err(DecodeFault::Transform)?,
        records: u64::try_from(new.len()).unwrap_or(u64::MAX),
        tally,
    })
}

impl Desk {
    fn push(&mut self, record: &Record, shard: &str, tally: &mut Tally) -> Result<(), DecodeFault> {
        let sequence = record.sequence_number();
        let arrived = record.approximate_arrival_timestamp().ok_or(DecodeFault::NoArrivalTime)?;
        let arrived_at = arrived.to_millis().map_err(|_| DecodeFault::NoArrivalTime)?.saturating_mul(1_000);
        let data = record.data().as_ref();
        let position = RecordPosition { shard, sequence, arrived_at, hash_keys: self.hash_keys };
        let window = &mut self.window;
        let result = self.builder.push(&position, data, &mut |id, sub_sequence| {
            window.is_duplicate(id, EventPosition { sequence, sub_sequence }, arrived_at)
        });
        tally.counts += ControlTotals {
            received: result.received,
            stored: result.stored,
            rejected: result.rejected,
            duplicate: result.duplicate,
        };
        tally.misrouted += result.misrouted;
        tally.bytes += u64::try_from(data.len()).unwrap_or(u64::MAX);
        tally.newest = tally.newest.max(Some(arrived_at));
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
