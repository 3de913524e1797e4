//! Reads one shard from a position on: pages of records through the decoder into chunks. Ends with the shard, at its
//! tip (if the run ends there), or when it is to stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_kinesis::types::Record;
use bluelake_lake::{SequenceNumber, ShardId};
use bluelake_schemas::Stream;
use bluelake_transform::Decoder;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    error::IngestError,
    kinesis::{skew::Skew, stream::KinesisStream},
    memory::admission::Admission,
    progress::{Progress, ReadCounts, Reading},
    reading::{
        chunk::Chunk,
        cursor::{PageFacts, ShardCursor},
        decoder::{DecodeFault, Decoded, PageDecoder},
        dedup::window::DedupWindow,
        page::{Page, ShardSource},
        pages::{Next, Pages},
    },
    shards::{lineage::ReadableShard, tip::Listed},
};

/// How a reader ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReaderEnd {
    /// The shard is closed and was read to its end.
    ShardEnded,
    /// The tip was reached, and the run ends there.
    AtTip,
    /// The shard has left the stream before it was read to its end.
    ShardVanished,
    /// The last read is so long ago that records may be discarded unread.
    MayHaveLost,
    /// It was to stop, or its chunks are no longer taken.
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
    /// The newest answer of ListShards about the shard.
    pub(crate) listed: watch::Receiver<Listed>,
    /// How long Kinesis keeps a record.
    pub(crate) retention: Duration,
    pub(crate) admission: Admission,
    pub(crate) clock: Clock,
    pub(crate) skew: Skew,
    pub(crate) progress: Arc<Progress>,
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
        let mut desk = PageDecoder::new(decoder.batch(), window, shard.shard.hash_keys);
        let id = shard.shard.id.clone();
        let at_start = if stop_at_tip { ShardCursor::once } else { ShardCursor::new };
        let mut cursor = at_start(shard, retention);
        let shard_source = ShardSource { stream: source.clone(), shard: id.clone(), admission: admission.clone() };
        let mut pages = Pages::new(shard_source, stop_at_tip);
        loop {
            // A record may arrive after the answer left and before it is here.
            let asked = skew.earliest(clock.now());
            let listed = *listings.borrow();
            let (page, _room) = match pages.next(cursor.position()).await? {
                Next::Page(page, room) => (page, room),
                Next::Vanished => return Ok(ReaderEnd::ShardVanished),
            };
            let fault = |fault: DecodeFault| fault.of(stream, &source, &id);
            // Its children may hold more: a closed shard has no tip.
            let behind = page.millis_behind.filter(|_| listed != Listed::Closed || !page.is_tip());
            progress.observe_answer(&id, behind, page.records.is_empty());
            if cursor.may_have_lost(skew.latest(clock.now())) {
                return Ok(ReaderEnd::MayHaveLost);
            }
            let asked = asked.earlier(page.on_its_way);
            let outcome = cursor.take(&facts(&page).map_err(fault)?, asked, listed);
            let mut records = only(page.records, &outcome.new).into_iter().peekable();
            let mut step = outcome.step;
            while let Some(mut rest) = step.take() {
                let read = desk.decode(&mut records, &id, &admission).await.map_err(fault)?;
                observe(&progress, &id, &desk.window, &read);
                cursor.arrived(read.tally.newest);
                let part = match (records.peek(), read.last) {
                    (Some(_), Some(last)) => {
                        let part = rest.take_up_to(last);
                        step = Some(rest);
                        part
                    }
                    _ => rest,
                };
                let advance = part.advance(read.tally.counts, read.tally.newest);
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

/// The facts of a page for the cursor.
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

/// The records at these ascending indices.
fn only(records: Vec<Record>, indices: &[usize]) -> Vec<Record> {
    if records.len() == indices.len() {
        return records;
    }
    let mut wanted = indices.iter().peekable();
    let numbered = records.into_iter().enumerate();
    numbered.filter(|(index, _)| wanted.next_if(|next| *next == index).is_some()).map(|(_, record)| record).collect()
}

fn observe(progress: &Progress, shard: &ShardId, window: &DedupWindow, read: &Decoded) {
    progress.observe_window(shard, window.len(), window.is_shortened());
    progress.observe_read(ReadCounts {
        records: read.records,
        bytes: read.tally.bytes,
        events: read.tally.counts.received,
        unknown_fields: read.rows.decoded.unknown_fields,
        misrouted: read.tally.misrouted,
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
