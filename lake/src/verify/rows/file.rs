//! One data file: its rows as the checks look at them.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch, StringArray},
    datatypes::{Int32Type, TimestampMicrosecondType},
};
use bluelake_schemas::Micros;
use chrono::{DateTime, NaiveDate};
use futures::TryStreamExt as _;
use parquet::{arrow::ProjectionMask, errors::ParquetError};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{fingerprints, sealed::ShardRows};
use crate::{
    checkpoint::sequence::SequenceNumber,
    error::LakeError,
    place::parquet_object::ParquetObject,
    verify::{
        duplicates::{IdEntry, PositionEntry, RowPlace, UNKNOWN_SHARD, pass_of},
        files::ActiveFile,
        history::{History, Reach},
        report::Findings,
    },
};

/// Columns of the rows of an event table; those of `rejected_events` lack the first and third.
const COLUMNS: [&str; 6] =
    ["event_id", "stream_shard", "occurred_at", "stream_sequence", "stream_sub_sequence", "arrived_at"];

/// How files are read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) history: &'a History,
    pub(super) held: Wanted<'a>,
    /// Each row is checked by itself, too.
    pub(super) checks: bool,
    /// Every column is decoded.
    pub(super) deep: bool,
}

/// Which rows are held.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// Those whose hash falls to a pass.
    Pass { number: u32, of: u32 },
    /// Those with one of these fingerprints, which ascend.
    Suspects { positions: &'a [u64], ids: &'a [u64] },
}

impl Wanted<'_> {
    fn has_position(&self, position: u128) -> bool {
        match self {
            Self::Pass { number, of } => pass_of(position, *of) == *number,
            Self::Suspects { positions, .. } => positions.binary_search(&fingerprints::of_position(position)).is_ok(),
        }
    }

    fn has_id(&self, id: u128) -> bool {
        match self {
            // Random bits alone choose the pass: the first of a version 7 UUID are its time.
            Self::Pass { number, of } => pass_of(id & u128::from(u32::MAX), *of) == *number,
            Self::Suspects { ids, .. } => ids.binary_search(&fingerprints::of_id(id)).is_ok(),
        }
    }
}

/// What one file gave.
#[derive(Default)]
pub(super) struct FileRows {
    pub(super) file: usize,
    pub(super) rows: u64,
    pub(super) unknown_shards: u64,
    pub(super) positions: Vec<PositionEntry>,
    pub(super) ids: Vec<IdEntry>,
    pub(super) shards: BTreeMap<String, ShardRows>,
    pub(super) reach: Findings,
    pub(super) partitions: Findings,
    /// Why the file is at fault.
    pub(super) fault: Option<String>,
}

/// Reads a file; `index` is its place among the files.
pub(super) async fn read(file: &ActiveFile, index: usize, reading: Reading<'_>) -> Result<FileRows, LakeError> {
    let mut rows = FileRows { file: index, ..FileRows::default() };
    let read = async {
        let mut batches = batches(file, reading.deep).await?;
        while let Some(batch) = batches.try_next().await? {
            let columns = Columns::of(&batch, file.is_rejected()).ok_or_else(|| {
                ParquetError::General("its lineage columns are missing or of another type".to_owned())
            })?;
            columns.read(file, reading, &mut rows)?;
        }
        Ok(())
    };
    match read.await {
        Ok(()) => Ok(rows),
        Err(error) => Ok(FileRows { file: index, fault: Some(fault_of(error, file)?), ..FileRows::default() }),
    }
}

type Batches = parquet::arrow::async_reader::ParquetRecordBatchStream<ParquetObject>;

async fn batches(file: &ActiveFile, deep: bool) -> Result<Batches, ParquetError> {
    let object = ParquetObject::new(Arc::clone(&file.store), file.path.clone(), file.size);
    let builder = object.reader().await?;
    let mask = if deep { ProjectionMask::all() } else { ProjectionMask::columns(builder.parquet_schema(), COLUMNS) };
    builder.with_projection(mask).build()
}

/// What is wrong with the file; an unreachable store is an error.
fn fault_of(error: ParquetError, file: &ActiveFile) -> Result<String, LakeError> {
    let ParquetError::External(source) = error else { return Ok(error.to_string()) };
    match source.downcast::<object_store::Error>() {
        Ok(source) if matches!(*source, object_store::Error::NotFound { .. }) => Ok("it is missing".to_owned()),
        Ok(source) => Err(LakeError::store("read", file.name())(*source)),
        Err(source) => Ok(source.to_string()),
    }
}

/// The columns of a batch that the checks look at.
struct Columns<'a> {
    ids: Option<&'a StringArray>,
    shard: &'a StringArray,
    sequence: &'a StringArray,
    sub_sequence: &'a [i32],
    arrived: &'a [i64],
    /// The time whose date is the partition's, microseconds since the epoch.
    dated: &'a [i64],
}

impl<'a> Columns<'a> {
    /// `None` when one is missing, of another type, or has nulls.
    fn of(batch: &'a RecordBatch, rejected: bool) -> Option<Self> {
        let text = |name| batch.column_by_name(name)?.as_string_opt::<i32>().filter(|column| column.null_count() == 0);
        let time = |name| {
            let column = batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()?;
            (column.null_count() == 0).then(|| column.values().as_ref())
        };
        let sub_sequence = batch.column_by_name("stream_sub_sequence")?.as_primitive_opt::<Int32Type>()?;
        Some(Self {
            ids: if rejected { None } else { Some(text("event_id")?) },
            shard: text("stream_shard")?,
            sequence: text("stream_sequence")?,
            sub_sequence: (sub_sequence.null_count() == 0).then(|| sub_sequence.values().as_ref())?,
            arrived: time("arrived_at")?,
            dated: time(if rejected { "arrived_at" } else { "occurred_at" })?,
        })
    }

    fn read(&self, file: &ActiveFile, reading: Reading<'_>, rows: &mut FileRows) -> Result<(), ParquetError> {
        let partition = file.date();
        let file_index = u32::try_from(rows.file).unwrap_or(u32::MAX);
        let times = self.sub_sequence.iter().zip(self.arrived).zip(self.dated);
        for (index, ((sub_sequence, arrived_at), dated)) in times.enumerate() {
            let (shard, sequence) = (self.shard.value(index), self.sequence.value(index));
            let row = u32::try_from(rows.rows).unwrap_or(u32::MAX);
            rows.rows += 1;
            if reading.checks {
                check_reach(file, row, (shard, sequence), reading.history, rows);
                check_date(file, row, (partition, *dated), &mut rows.partitions);
            }
            let place = RowPlace { file: file_index, row };
            let position = position_hash(shard, sequence, *sub_sequence);
            if reading.held.has_position(position) {
                rows.positions.push(PositionEntry { position, place });
            }
            let Some(ids) = self.ids else { continue };
            let id = Uuid::parse_str(ids.value(index))
                .map_err(|_| ParquetError::General(format!("the event id of row {row} is no UUID")))?
                .as_u128();
            if reading.held.has_id(id) {
                let half = u64::try_from(position >> 64).unwrap_or_default();
                let shard = reading.history.shards.get(shard).map_or(UNKNOWN_SHARD, |shard| shard.index);
                rows.ids.push(IdEntry { id, arrived_at: Micros::new(*arrived_at), position: half, shard, place });
            }
        }
        Ok(())
    }
}

/// No row lies after the position that the documents say of its shard.
fn check_reach(file: &ActiveFile, row: u32, (shard, sequence): (&str, &str), history: &History, rows: &mut FileRows) {
    let parsed = SequenceNumber::parse(sequence).ok();
    let found = match &parsed {
        Some(sequence) => within(history, shard, (sequence, sequence)),
        None => Within::Outside,
    };
    match found {
        Within::Reach => {}
        Within::Unknown => rows.unknown_shards += 1,
        Within::Outside => rows.reach.add(|| outside(file, row, (shard, sequence), history)),
    }
    if let Some(sequence) = parsed {
        match rows.shards.get_mut(shard) {
            Some(known) => known.take_in(sequence),
            None => {
                rows.shards.insert(shard.to_owned(), ShardRows::new(sequence));
            }
        }
    }
}

/// Where rows of a shard lie by the documents.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Within {
    /// In what was committed.
    Reach,
    /// Beyond it.
    Outside,
    /// No document that is left names the shard.
    Unknown,
}

/// Where the rows of a shard from the lowest to the highest sequence number lie.
pub(super) fn within(history: &History, shard: &str, (lowest, highest): (&SequenceNumber, &SequenceNumber)) -> Within {
    if let Some(archive) = history.archives.get(shard) {
        let read = |sequence: &SequenceNumber| {
            sequence.as_str().parse().is_ok_and(|offset: u64| (archive.from..archive.to).contains(&offset))
        };
        return if read(lowest) && read(highest) { Within::Reach } else { Within::Outside };
    }
    match history.shards.get(shard) {
        Some(known) if known.highest.as_ref().is_some_and(|committed| highest <= committed) => Within::Reach,
        None if history.reach != Reach::Whole => Within::Unknown,
        _ => Within::Outside,
    }
}

fn outside(file: &ActiveFile, row: u32, (shard, sequence): (&str, &str), history: &History) -> String {
    let name = file.name();
    if history.archives.contains_key(shard) {
        return format!("row {row} of {name}: {shard} was not read at byte {sequence}");
    }
    match history.shards.get(shard) {
        None => format!("row {row} of {name}: no document knows shard {shard}"),
        Some(known) => {
            let highest = known.highest.as_ref().map_or("nothing", SequenceNumber::as_str);
            format!("row {row} of {name}: shard {shard} sequence {sequence}, committed is {highest}")
        }
    }
}

/// The row is of the date that its partition says.
fn check_date(file: &ActiveFile, row: u32, (partition, dated): (Option<NaiveDate>, i64), partitions: &mut Findings) {
    let date = DateTime::from_timestamp_micros(dated).map(|time| time.date_naive());
    if date.is_none() || date != partition {
        partitions.add(|| {
            let date = date.map_or_else(|| "no date".to_owned(), |date| date.to_string());
            format!("row {row} of {} is of {date}", file.name())
        });
    }
}

/// 128 bits of the SHA-256 of a position. A sequence number counts as the number that it is.
fn position_hash(shard: &str, sequence: &str, sub_sequence: i32) -> u128 {
    let mut hash = Sha256::new();
    hash.update(shard);
    hash.update([0]);
    hash.update(sequence.trim_start_matches('0'));
    hash.update([0]);
    hash.update(sub_sequence.to_le_bytes());
    let bytes: [u8; 32] = hash.finalize().into();
    bytes.first_chunk().map_or(0, |half| u128::from_le_bytes(*half))
}

/// Shard, sequence and sub-sequence of one row, for a message.
pub(super) async fn position_text(files: &[ActiveFile], place: RowPlace) -> Result<String, LakeError> {
    let unknown = || "a position".to_owned();
    let Some(file) = usize::try_from(place.file).ok().and_then(|index| files.get(index)) else { return Ok(unknown()) };
    let mut first = 0_usize;
    let wanted = usize::try_from(place.row).unwrap_or(usize::MAX);
    let read = async {
        let mut batches = batches(file, false).await?;
        while let Some(batch) = batches.try_next().await? {
            let row = wanted.saturating_sub(first);
            first += batch.num_rows();
            if let Some(columns) = Columns::of(&batch, file.is_rejected())
                && let Some(sub_sequence) = columns.sub_sequence.get(row)
            {
                let (shard, sequence) = (columns.shard.value(row), columns.sequence.value(row));
                return Ok(format!("shard {shard} sequence {sequence} sub-sequence {sub_sequence}"));
            }
        }
        Ok(unknown())
    };
    read.await.or_else(|error: ParquetError| fault_of(error, file))
}
