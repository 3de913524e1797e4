//! Reads one shard: pages of records through the decoder into chunks, from a position on, until the shard ends, its
//! tip is reached (when only that is wanted), or it is told to stop.

use std::{sync::Arc, time::Duration};

use aws_sdk_kinesis::{operation::get_records::GetRecordsOutput, types::Record};
use backon::BackoffBuilder as _;
use bluelake_lake::{ControlTotals, Position, SequenceNumber, ShardAdvance};
use bluelake_schemas::Stream;
use bluelake_transform::{BatchBuilder, DecodedBatch, Decoder, RecordPosition};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    admission::{Admission, Admitted},
    buffer::Chunk,
    error::IngestError,
    kinesis::{KinesisStream, ReadFault},
    lineage::ReadableShard,
    options::Clock,
    progress::{Progress, Reading},
    window::{DedupWindow, EventPosition},
};

/// Kinesis allows five GetRecords calls a second on a shard.
const CALL_INTERVAL: Duration = Duration::from_millis(200);
/// Pause between calls at the tip.
const TIP_INTERVAL: Duration = Duration::from_millis(1_000);
/// Records decoded before other tasks get their turn: a few milliseconds of work.
const RECORDS_AT_ONCE: usize = 500;
/// Failures in a row after which a run that should end gives up.
const MAX_FAILURES_ONCE: usize = 8;

/// How a reader ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReaderEnd {
    /// The shard is closed and was read to its end.
    ShardEnded,
    /// The tip was reached and only that was wanted.
    AtTip,
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
    pub(crate) stop_at_tip: bool,
    /// While drained, the position is committed at least this often.
    pub(crate) drained_interval: Duration,
    pub(crate) admission: Admission,
    pub(crate) clock: Clock,
    pub(crate) progress: Arc<Progress>,
}

/// What decoding needs from page to page.
struct Desk {
    builder: BatchBuilder,
    window: DedupWindow,
}

impl ShardReader {
    /// Reads until the end. Chunks are contiguous: each starts where the one before it ended.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<ReaderEnd, IngestError> {
        let known_until = self.shard.drained_at;
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
            stop_at_tip,
            drained_interval,
            admission,
            clock,
            progress,
        } = self;
        let mut desk = Desk { builder: decoder.batch(), window };
        let mut position = shard.position;
        let mut drained_at = shard.drained_at;
        let shard = shard.shard;
        let mut pages = Pages::new(&source, &shard.id, admission, stop_at_tip);
        loop {
            let (page, _room) = pages.next(&position).await?;
            let ended = page.next_shard_iterator.is_none();
            let at_tip = page.records.is_empty() && page.millis_behind_latest == Some(0);
            progress.observe_answer(&shard.id, page.millis_behind_latest, page.records.is_empty());
            let now = clock.now().timestamp_millis();
            let interval = i64::try_from(drained_interval.as_millis()).unwrap_or(i64::MAX);
            let tell_drained = at_tip && drained_at.is_none_or(|before| now.saturating_sub(before) >= interval);
            if !page.records.is_empty() || ended || tell_drained {
                let from = position.clone();
                let read = decode(&mut desk, &page.records, &shard.id, &position)
                    .await
                    .map_err(|fault| fault.of(stream, &source, &shard.id))?;
                drop(page);
                if let Some(last) = read.last {
                    position = Position::After(last);
                }
                if at_tip {
                    drained_at = Some(now);
                }
                pages.last_page = usize::try_from(read.tally.bytes).ok();
                progress.observe_window(&shard.id, desk.window.len(), desk.window.is_shortened());
                progress.observe_read(read.records, read.tally.bytes, read.tally.counts, read.rows.unknown_fields);
                let advance = ShardAdvance {
                    shard: shard.id.clone(),
                    starting_sequence: shard.starting_sequence.clone(),
                    parents: shard.parents.clone(),
                    from_exclusive: Some(from),
                    to_inclusive: position.clone(),
                    ended,
                    arrived_at: read.tally.newest,
                    drained_at: at_tip.then_some(now),
                    counts: read.tally.counts,
                    gap: None,
                };
                if chunks.send(Chunk { advance, rows: read.rows }).await.is_err() {
                    return Ok(ReaderEnd::Stopped);
                }
            }
            if ended {
                return Ok(ReaderEnd::ShardEnded);
            }
            if at_tip && stop_at_tip {
                return Ok(ReaderEnd::AtTip);
            }
            pages.at_tip = at_tip;
        }
    }
}

/// Pages of one shard, paced and retried.
struct Pages<'a> {
    source: &'a KinesisStream,
    shard: &'a str,
    admission: Admission,
    /// Bytes of the shard's last page that had records.
    last_page: Option<usize>,
    iterator: Option<String>,
    last_call: Option<Instant>,
    at_tip: bool,
    max_failures: Option<usize>,
}

impl<'a> Pages<'a> {
    fn new(source: &'a KinesisStream, shard: &'a str, admission: Admission, stop_at_tip: bool) -> Self {
        let max_failures = stop_at_tip.then_some(MAX_FAILURES_ONCE);
        Self { source, shard, admission, last_page: None, iterator: None, last_call: None, at_tip: false, max_failures }
    }

    /// The page that follows `position`, and the room that it takes. Waits out throttling and failures.
    async fn next(&mut self, position: &Position) -> Result<(GetRecordsOutput, Admitted), IngestError> {
        let mut delays = backon::ExponentialBuilder::default()
            .with_min_delay(CALL_INTERVAL)
            .with_max_delay(Duration::from_secs(20))
            .with_jitter()
            .without_max_times()
            .build();
        let mut failures = 0;
        loop {
            self.pace().await;
            let room = self.admission.admit(self.last_page).await;
            let fault = match self.attempt(position).await {
                Ok(page) => return Ok((page, room)),
                Err(fault) => fault,
            };
            drop(room);
            let reason = match fault {
                ReadFault::ExpiredIterator => {
                    self.iterator = None;
                    continue;
                }
                ReadFault::Final(error) => return Err(error),
                ReadFault::Throttled(reason) => reason,
                ReadFault::Transient(reason) => {
                    failures += 1;
                    reason
                }
            };
            if self.max_failures.is_some_and(|most| failures >= most) {
                return Err(IngestError::Kinesis {
                    stream: self.source.name().to_owned(),
                    operation: "GetRecords",
                    reason: format!("{failures} failures in a row, the last: {reason}"),
                    remedy: None,
                    transient: true,
                });
            }
            tracing::warn!(stream = self.source.name(), shard = self.shard, reason, "reading again after a pause");
            tokio::time::sleep(delays.next().unwrap_or(TIP_INTERVAL)).await;
        }
    }

    async fn attempt(&mut self, position: &Position) -> Result<GetRecordsOutput, ReadFault> {
        let iterator = match self.iterator.take() {
            Some(iterator) => iterator,
            None => self.source.iterator(self.shard, position).await?,
        };
        match self.source.records(&iterator).await {
            Ok(page) => {
                self.iterator.clone_from(&page.next_shard_iterator);
                Ok(page)
            }
            Err(fault) => {
                self.iterator = Some(iterator);
                Err(fault)
            }
        }
    }

    async fn pace(&mut self) {
        let interval = if self.at_tip { TIP_INTERVAL } else { CALL_INTERVAL };
        if let Some(last) = self.last_call {
            tokio::time::sleep_until(last + interval).await;
        }
        self.last_call = Some(Instant::now());
    }
}

#[derive(Default)]
struct Tally {
    counts: ControlTotals,
    bytes: u64,
    /// Newest arrival time, microseconds since the epoch.
    newest: Option<i64>,
}

struct Decoded {
    rows: DecodedBatch,
    tally: Tally,
    records: u64,
    last: Option<SequenceNumber>,
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

/// Decodes a page in slices: other tasks get their turn in between, and the memory of a page stays with few threads.
/// A record at or before `position` was read already (the same answer twice) and is passed over.
async fn decode(desk: &mut Desk, records: &[Record], shard: &str, position: &Position) -> Result<Decoded, DecodeFault> {
    let mut tally = Tally::default();
    let mut last = match position {
        Position::After(sequence) => Some(sequence.clone()),
        Position::TrimHorizon | Position::AtTimestamp(_) => None,
    };
    for slice in records.chunks(RECORDS_AT_ONCE) {
        for record in slice {
            let sequence = SequenceNumber::parse(record.sequence_number()).map_err(|_| DecodeFault::SequenceNumber)?;
            if last.as_ref().is_none_or(|last| sequence > *last) {
                desk.push(record, shard, &mut tally)?;
                last = Some(sequence);
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(Decoded {
        rows: desk.builder.finish().map_err(DecodeFault::Transform)?,
        records: u64::try_from(records.len()).unwrap_or(u64::MAX),
        last,
        tally,
    })
}

impl Desk {
    fn push(&mut self, record: &Record, shard: &str, tally: &mut Tally) -> Result<(), DecodeFault> {
        let sequence = record.sequence_number();
        let arrived = record.approximate_arrival_timestamp().ok_or(DecodeFault::NoArrivalTime)?;
        let arrived_at = arrived.to_millis().map_err(|_| DecodeFault::NoArrivalTime)?.saturating_mul(1_000);
        let data = record.data().as_ref();
        let position = RecordPosition { shard, sequence, arrived_at };
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
        tally.bytes += u64::try_from(data.len()).unwrap_or(u64::MAX);
        tally.newest = tally.newest.max(Some(arrived_at));
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use aws_sdk_kinesis::primitives::{Blob, DateTime};
    use bluelake_schemas::Contract;

    use super::*;
    use crate::options::DedupLimits;

    fn record(sequence: u32) -> Record {
        Record::builder()
            .sequence_number(sequence.to_string())
            .partition_key("p")
            .approximate_arrival_timestamp(DateTime::from_secs(1_767_225_600))
            .data(Blob::new(format!("not json {sequence}")))
            .build()
            .unwrap()
    }

    #[tokio::test]
    async fn the_same_answer_twice_is_read_once() {
        let decoder = Decoder::new(&Contract::embedded().unwrap(), Stream::UserEvents).unwrap();
        let mut desk = Desk { builder: Arc::new(decoder).batch(), window: DedupWindow::new(DedupLimits::default()) };
        let page: Vec<Record> = (9..=12).map(record).collect();
        let first = decode(&mut desk, &page, "shardId-0", &Position::TrimHorizon).await.ok().unwrap();
        assert_eq!((first.tally.counts.received, first.tally.counts.rejected), (4, 4));
        let position = Position::After(first.last.unwrap());
        let again = decode(&mut desk, &page, "shardId-0", &position).await.ok().unwrap();
        assert_eq!((again.tally.counts.received, again.rows.rejected.num_rows()), (0, 0));
        assert_eq!(Position::After(again.last.unwrap()), position);
        let overlap: Vec<Record> = (11..=14).map(record).collect();
        let overlap = decode(&mut desk, &overlap, "shardId-0", &position).await.ok().unwrap();
        assert_eq!(overlap.tally.counts.received, 2);
    }
}
