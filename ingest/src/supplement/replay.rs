//! Replay: reads a range of arrival times again and adds the missing rows, beside a running worker.
//!
//! Guarantees: nothing that a table holds, or held until it expired, is added again, no position moves, and running it twice changes nothing. What lies
//! behind a shard's committed position is left to the worker. Leaves to others: gaps, and what Kinesis has discarded.

pub(crate) mod known;
pub(crate) mod plan;
pub(crate) mod range;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use arrow::{
    array::{AsArray as _, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::Int32Type,
};
use aws_sdk_kinesis::types::Record;
use bluelake_lake::{
    Chance, CommitOutcome, ControlTotals, Lake, REJECTED_EVENTS, RecentRanges, ShardId, StreamTable, Writer,
    expired_before, recent_events, rejected_positions,
};
use bluelake_schemas::{Contract, Millis, Stream};
use bluelake_transform::{BatchBuilder, Decoder, RecordPosition, TransformError};
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, stream::select_all};

use crate::{
    clock::Clock,
    error::IngestError,
    kinesis::{listed::ListedShard, stream::KinesisStream},
    landing::retry::{self, Patience},
    reading::dedup::window::EventPosition,
    supplement::{
        commit::{SupplementBase, SupplementRows, commit_supplement},
        kept::KeptDays,
        replay::{
            known::{Known, Verdict},
            plan::{Limit, ReplayPlan, plan, relatives, slices},
            range::RangeReader,
        },
    },
};

/// Shards read side by side; their rows in the tables are read back together.
const SHARDS_AT_ONCE: usize = 8;
/// Arrival times read at once: bounds what is remembered of the tables.
const SLICE: Duration = Duration::from_secs(15 * 60);
/// Bytes of rows decoded at once: bounds what records unpack to, and not only what they weigh.
const CHUNK_BYTES: usize = 4 << 20;
/// Tries of one slice; each is lost only to a commit of another replay, a backfill or an erasure.
const ATTEMPTS: usize = 10;

/// What to replay, and how.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// Records that arrived from this time on, …
    pub from: DateTime<Utc>,
    /// … and before here.
    pub to: DateTime<Utc>,
    /// Go on if `from` is older than the oldest record of Kinesis.
    pub allow_partial: bool,
    /// Span of the deduplication window.
    pub dedup_span: Duration,
    /// Bytes of rows in memory at which they are committed.
    pub buffer_bytes: usize,
    /// Name of the writer in the checkpoint documents.
    pub worker: String,
    /// The wall clock.
    pub clock: Clock,
}

/// The outcome of a replay. Counts are of events unless said otherwise.
#[derive(Clone, Debug)]
pub struct ReplaySummary {
    /// The stream.
    pub stream: Stream,
    /// Where reading really began: `from`, or the oldest record that Kinesis may still hold.
    pub read_from: DateTime<Utc>,
    /// Where it ended, exclusive.
    pub read_to: DateTime<Utc>,
    /// Shards that were read.
    pub shards: usize,
    /// Shards without a commit yet: they are left to the worker.
    pub skipped_shards: Vec<ShardId>,
    /// Kinesis records read.
    pub records: u64,
    /// In the tables already, or expired: of days that the tables do not keep any more.
    pub present: u64,
    /// In no table, and not added: they arrived on days of which rejected events expired, so they may have been rejected. How
    /// many are missing, nobody can tell.
    pub undecided: u64,
    /// Not added, because their id is in the table from another record.
    pub duplicate: u64,
    /// Added to the event table.
    pub stored: u64,
    /// Added to `rejected_events`.
    pub rejected: u64,
    /// Commits.
    pub commits: u64,
    /// Version of the event table afterwards.
    pub table_version: Option<u64>,
}

/// Reads the range again and adds the missing rows.
///
/// # Errors
/// [`IngestError::Horizon`] when the start is older than what Kinesis holds; else the first permanent error. Earlier
/// commits stay, and a new run goes on from there.
pub async fn replay(
    source: KinesisStream,
    stream: Stream,
    lake: &Lake,
    contract: &Contract,
    options: ReplayOptions,
) -> Result<ReplaySummary, IngestError> {
    let description = source.describe().await?;
    let now = options.clock.now();
    let retention = chrono::TimeDelta::from_std(description.retention).unwrap_or(chrono::TimeDelta::MAX);
    let horizon = now.checked_sub_signed(retention).unwrap_or(DateTime::UNIX_EPOCH);
    if options.from < horizon && !options.allow_partial {
        return Err(IngestError::Horizon { stream: source.name().to_owned(), from: options.from, horizon });
    }
    let writer = Writer {
        worker: options.worker.clone(),
        stream_arn: description.arn,
        stream_created_at: description.created_at,
        contract_version: contract.version(),
    };
    let table = StreamTable::open(lake, contract, stream, writer).await?;
    let decoder = Decoder::new(contract, stream).map_err(|source| IngestError::Transform { stream, source })?;
    let (read_from, read_to) = (options.from.max(horizon), options.to.min(now));
    let run = Replay {
        source,
        lake: lake.clone(),
        table,
        decoder: Arc::new(decoder),
        chance: lake.chance().clone(),
        options,
        summary: ReplaySummary {
            stream,
            read_from,
            read_to,
            shards: 0,
            skipped_shards: Vec::new(),
            records: 0,
            present: 0,
            undecided: 0,
            duplicate: 0,
            stored: 0,
            rejected: 0,
            commits: 0,
            table_version: None,
        },
    };
    run.run().await
}

struct Replay {
    source: KinesisStream,
    lake: Lake,
    table: StreamTable,
    decoder: Arc<Decoder>,
    chance: Chance,
    options: ReplayOptions,
    summary: ReplaySummary,
}

/// How one try of a slice ended.
enum SliceEnd {
    Done(Tally),
    /// Another replay, a backfill or an erasure came between: the missing rows may be there by now.
    Fenced,
}

/// Counts of a slice that do not depend on commits.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    records: u64,
    present: u64,
    undecided: u64,
    duplicate: u64,
}

/// One try of a slice.
struct Slice {
    known: Known,
    kept: KeptDays,
    builder: BatchBuilder,
    base: SupplementBase,
    rows: SupplementRows,
    bytes: usize,
    tally: Tally,
}

impl Replay {
    async fn run(mut self) -> Result<ReplaySummary, IngestError> {
        let listed = self.source.list_shards().await?;
        let ReplayPlan { shards, skipped } = plan(&listed, self.table.document());
        self.summary.shards = shards.len();
        self.summary.skipped_shards = skipped;
        let names: Vec<ShardId> = shards.into_keys().collect();
        let range = self.summary.read_from.into()..self.summary.read_to.into();
        for group in names.chunks(SHARDS_AT_ONCE) {
            for slice in slices(range.clone(), SLICE) {
                self.replay_slice(&listed, group, slice).await?;
            }
        }
        self.summary.table_version = self.table.delta_table().version();
        Ok(self.summary)
    }

    async fn replay_slice(
        &mut self,
        listed: &[ListedShard],
        group: &[ShardId],
        arrived: Range<Millis>,
    ) -> Result<(), IngestError> {
        let mut tries = Patience::few(&self.chance).tries("replay");
        let mut fenced = 0;
        loop {
            match tries.judge(self.try_slice(listed, group, arrived.clone()).await).await? {
                None => {}
                Some(SliceEnd::Done(tally)) => {
                    self.summary.records += tally.records;
                    self.summary.present += tally.present;
                    self.summary.undecided += tally.undecided;
                    self.summary.duplicate += tally.duplicate;
                    return Ok(());
                }
                Some(SliceEnd::Fenced) => {
                    fenced += 1;
                    if fenced == ATTEMPTS {
                        return Err(IngestError::Outrun { stream: self.summary.stream, times: fenced });
                    }
                    tokio::time::sleep(retry::pause_after_fence(&self.chance)).await;
                }
            }
        }
    }

    /// Reads back the rows of the tables, reads the slice again, and commits what is missing.
    async fn try_slice(
        &mut self,
        listed: &[ListedShard],
        group: &[ShardId],
        arrived: Range<Millis>,
    ) -> Result<SliceEnd, IngestError> {
        self.table.reload().await?;
        self.table.follow_rejected().await?;
        let limits = plan(listed, self.table.document()).shards;
        let mut slice = Slice {
            known: self.known(listed, group, &arrived).await?,
            kept: KeptDays {
                events: self.table.expired_before(),
                rejected: expired_before(&self.lake, REJECTED_EVENTS, self.table.rejected_table()).await?,
            },
            builder: self.decoder.batch(),
            base: SupplementBase::of(&self.table),
            rows: SupplementRows::default(),
            bytes: 0,
            tally: Tally::default(),
        };
        let readers = group.iter().filter_map(|shard| {
            let limit: Limit = limits.get(shard)?.clone();
            Some(RangeReader::new(self.source.clone(), shard.clone(), limit, arrived.clone()))
        });
        let mut pages = select_all(readers.map(|reader| futures::stream::try_unfold(reader, next_page).boxed()));
        while let Some(page) = pages.next().await {
            let (shard, records) = page?;
            let mut records = records.into_iter().peekable();
            while records.peek().is_some() {
                self.take(&mut slice, &shard, &mut records)?;
                if slice.bytes >= self.options.buffer_bytes && !self.commit(&mut slice).await? {
                    return Ok(SliceEnd::Fenced);
                }
            }
        }
        drop(pages);
        if slice.rows.counts.received > 0 && !self.commit(&mut slice).await? {
            return Ok(SliceEnd::Fenced);
        }
        Ok(SliceEnd::Done(slice.tally))
    }

    /// Positions and ids that the tables hold of a group of shards and their relatives around a slice.
    async fn known(
        &self,
        listed: &[ListedShard],
        group: &[ShardId],
        arrived: &Range<Millis>,
    ) -> Result<Known, IngestError> {
        let document = self.table.document();
        let families: BTreeMap<ShardId, BTreeSet<ShardId>> =
            group.iter().map(|shard| (shard.clone(), relatives(shard, listed, document))).collect();
        let span = self.options.dedup_span;
        let mut known = Known::new(&families, span);
        let (first, last) = (arrived.start.micros(), arrived.end.micros());
        let around = first.earlier(span)..=last.later(span);
        let wanted: RecentRanges = families.values().flatten().map(|shard| (shard.clone(), around.clone())).collect();
        let name = self.summary.stream.table();
        recent_events(name, self.table.delta_table(), &wanted, &mut |event| {
            let position = EventPosition { sequence: event.sequence, sub_sequence: event.sub_sequence };
            known.remember_event(event.shard, position, event.event_id, event.arrived_at);
        })
        .await?;
        let wanted: RecentRanges = group.iter().map(|shard| (shard.clone(), first..=last)).collect();
        rejected_positions(self.summary.stream, self.table.rejected_table(), &wanted, &mut |place| {
            let position = EventPosition { sequence: place.sequence, sub_sequence: place.sub_sequence };
            known.remember_rejected(place.shard, position);
        })
        .await?;
        Ok(known)
    }

    /// Decodes records of a page until none are left or their rows weigh enough, and keeps the missing rows.
    fn take(
        &self,
        slice: &mut Slice,
        shard: &ShardId,
        records: &mut impl Iterator<Item = Record>,
    ) -> Result<(), IngestError> {
        let stream = self.summary.stream;
        let transform = |source: TransformError| IngestError::Transform { stream, source };
        let Slice { known, kept, builder, rows, bytes, tally, .. } = slice;
        while builder.buffered_bytes() < CHUNK_BYTES
            && let Some(record) = records.next()
        {
            let sequence = record.sequence_number();
            let arrived = record.approximate_arrival_timestamp().and_then(|time| time.to_millis().ok());
            let arrived_at = Millis::new(arrived.unwrap_or_default()).micros();
            let position = RecordPosition { shard, sequence, arrived_at, hash_keys: None };
            builder.push(&position, record.data().as_ref(), &mut |id, sub_sequence| match known.judge(
                shard,
                EventPosition { sequence, sub_sequence },
                id,
                arrived_at,
            ) {
                Verdict::Missing => false,
                Verdict::Known => {
                    tally.present += 1;
                    true
                }
                Verdict::Duplicate => {
                    tally.duplicate += 1;
                    true
                }
            });
            tally.records += 1;
        }
        let decoded = builder.finish().map_err(transform)?;
        let (events, expired, undecided) = kept.events(&decoded.events).map_err(transform)?;
        let rejected = missing_rows(&decoded.rejected, known)
            .ok_or(TransformError::Layout { column: "stream_sequence" })
            .and_then(|missing| Ok(filter_record_batch(&decoded.rejected, &missing)?))
            .and_then(|missing| kept.rejected(&missing))
            .map_err(transform)?;
        tally.present += expired + count(decoded.rejected.num_rows() - rejected.num_rows());
        tally.undecided += undecided;
        let (stored, left_out) = (count(events.num_rows()), count(rejected.num_rows()));
        let received = stored + left_out;
        rows.counts += ControlTotals { received, stored, rejected: left_out, ..ControlTotals::default() };
        for (batch, held) in [(events, &mut rows.events), (rejected, &mut rows.rejected)] {
            if batch.num_rows() > 0 {
                *bytes += batch.get_array_memory_size();
                held.push(batch);
            }
        }
        Ok(())
    }

    /// Commits the held rows; false when fenced.
    async fn commit(&mut self, slice: &mut Slice) -> Result<bool, IngestError> {
        let rows = std::mem::take(&mut slice.rows);
        slice.bytes = 0;
        let counts = rows.counts;
        match commit_supplement(&mut self.table, slice.base, rows, &Patience::few(&self.chance)).await? {
            CommitOutcome::Committed { .. } => {
                self.summary.stored += counts.stored;
                self.summary.rejected += counts.rejected;
                self.summary.commits += 1;
                slice.base = slice.base.after_own_commit(&self.table);
                Ok(true)
            }
            CommitOutcome::Fenced { .. } | CommitOutcome::Expired => Ok(false),
        }
    }
}

async fn next_page(mut reader: RangeReader) -> Result<Option<((ShardId, Vec<Record>), RangeReader)>, IngestError> {
    let records = reader.next().await?;
    Ok(records.map(|records| ((reader.shard().to_owned(), records), reader)))
}

/// The rejected rows that no table holds; `None` when the batch lacks the columns for that.
fn missing_rows(rejected: &RecordBatch, known: &Known) -> Option<BooleanArray> {
    let shard = rejected.column_by_name("stream_shard")?.as_string_opt::<i32>()?;
    let sequence = rejected.column_by_name("stream_sequence")?.as_string_opt::<i32>()?;
    let sub_sequence = rejected.column_by_name("stream_sub_sequence")?.as_primitive_opt::<Int32Type>()?;
    let is_missing = |row: usize| {
        let sub_sequence = u32::try_from(sub_sequence.value(row)).ok()?;
        Some(!known.holds(shard.value(row), EventPosition { sequence: sequence.value(row), sub_sequence }))
    };
    (0..rejected.num_rows()).map(|row| is_missing(row).map(Some)).collect()
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
