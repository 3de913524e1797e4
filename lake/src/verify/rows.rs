//! The rows themselves: read file by file, in as many passes as memory asks for.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch, StringArray},
    datatypes::{Int32Type, TimestampMicrosecondType},
};
use bluelake_schemas::Micros;
use chrono::{DateTime, NaiveDate};
use futures::{StreamExt as _, TryStreamExt as _};
use parquet::{arrow::ProjectionMask, errors::ParquetError};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    VerifyOptions,
    duplicates::{
        IdEntry, Lineage, PositionEntry, RepeatedId, RowPlace, UNKNOWN_SHARD, pass_of, repeated_ids, repeated_positions,
    },
    files::ActiveFile,
    history::{History, Reach},
    report::{Check, Findings},
};
use crate::{checkpoint::sequence::SequenceNumber, error::LakeError, place::parquet_object::ParquetObject};

/// Files read at once.
const FILES_AT_ONCE: usize = 4;

/// Columns of the rows of an event table; those of `rejected_events` lack the first and third.
const COLUMNS: [&str; 6] =
    ["event_id", "stream_shard", "occurred_at", "stream_sequence", "stream_sub_sequence", "arrived_at"];

/// What the rows showed.
#[derive(Debug, Default)]
pub(super) struct RowFindings {
    pub(super) files_read: usize,
    pub(super) rows: u64,
    files: usize,
    unreadable: usize,
    sampled: bool,
    unknown_shards: u64,
    uniqueness: Findings,
    window: Findings,
    reach: Findings,
    partitions: Findings,
    pub(super) warnings: Findings,
}

impl RowFindings {
    pub(super) fn sample_note(&self) -> Option<String> {
        self.sampled.then(|| format!("the bodies of {} of {} files were read", self.files_read, self.files))
    }

    pub(super) fn checks(self, history: &History, has_document: bool) -> Vec<Check> {
        let note = self.sample_note();
        let unread = (self.unreadable > 0).then(|| format!("{} files cannot be read", self.unreadable));
        let unread_document = match &history.reach {
            Reach::Broken(reason) if !has_document => Some(reason.clone()),
            _ => None,
        };
        let unknown = (self.unknown_shards > 0)
            .then(|| format!("{} rows are of shards that no document left names", self.unknown_shards));
        let lineage = if self.warnings.found().found > 0 { history.gap() } else { None };
        let check = |findings: Findings, name| findings.into_check(name).unless(unread.clone()).with_note(note.clone());
        vec![
            check(self.uniqueness, "uniqueness"),
            check(self.window, "window").unless(unread_document.clone().or(lineage)),
            check(self.reach, "reach").unless(unread_document.or(unknown)),
            check(self.partitions, "partitions"),
        ]
    }
}

/// One pass: rows whose hash falls to it are held.
#[derive(Clone, Copy)]
struct Pass {
    number: u32,
    of: u32,
    /// Every column is decoded.
    deep: bool,
}

/// What one file gave to a pass.
#[derive(Default)]
struct FileRows {
    file: usize,
    rows: u64,
    unknown_shards: u64,
    positions: Vec<PositionEntry>,
    ids: Vec<IdEntry>,
    reach: Findings,
    partitions: Findings,
    /// Why the file is at fault.
    fault: Option<String>,
}

/// Reads the rows of the files, or of a sample of them. A file that cannot be read goes to `file_findings`.
pub(super) async fn check(
    files: &[ActiveFile],
    file_findings: &mut Findings,
    history: &History,
    options: &VerifyOptions,
) -> Result<RowFindings, LakeError> {
    let mut found = RowFindings { files: files.len(), sampled: options.sample.is_some(), ..RowFindings::default() };
    let chosen: Vec<usize> =
        (0..files.len()).filter(|index| files.get(*index).is_some_and(|file| is_chosen(file, options))).collect();
    let usable = |index: &usize| files.get(*index).is_some_and(|file| file.usable);
    found.unreadable = chosen.iter().filter(|index| !usable(index)).count();
    let chosen: Vec<usize> = chosen.into_iter().filter(usable).collect();
    let rows = chosen.iter().filter_map(|index| files.get(*index)).filter_map(|file| file.rows);
    let rows = rows.fold(0_u64, u64::saturating_add);
    let of = u32::try_from(rows.div_ceil(options.rows_per_pass.max(1))).unwrap_or(u32::MAX).max(1);
    let lineage = Lineage::of(history);
    // Without a window no repeat is a fault, not even one at the same moment.
    let window = (!options.window.is_zero()).then_some(options.window);
    for number in 0..of {
        // Once is enough to see that all can be decoded.
        let pass = Pass { number, of, deep: options.deep && number == 0 };
        let share = usize::try_from(rows / u64::from(of)).unwrap_or_default();
        let mut held = Held { positions: Vec::with_capacity(share), ids: Vec::with_capacity(share) };
        let reading = chosen.iter().filter_map(|index| Some(read_file(files.get(*index)?, *index, history, pass)));
        let mut results = futures::stream::iter(reading).buffer_unordered(FILES_AT_ONCE);
        while let Some(result) = results.try_next().await? {
            held.positions.extend_from_slice(&result.positions);
            held.ids.extend_from_slice(&result.ids);
            if number == 0 {
                found.take_in(result, files, file_findings);
            }
        }
        found.judge(held, files, &lineage, window).await?;
    }
    Ok(found)
}

/// The rows that a pass holds.
struct Held {
    positions: Vec<PositionEntry>,
    ids: Vec<IdEntry>,
}

impl RowFindings {
    fn take_in(&mut self, result: FileRows, files: &[ActiveFile], file_findings: &mut Findings) {
        let Some(file) = files.get(result.file) else { return };
        if let Some(fault) = result.fault {
            self.unreadable += 1;
            return file_findings.add(|| format!("{}: {fault}", file.name()));
        }
        if let Some(logged) = file.rows.filter(|logged| *logged != result.rows) {
            file_findings.add(|| format!("{}: it has {} rows, the log says {logged}", file.name(), result.rows));
        }
        self.files_read += 1;
        self.rows += result.rows;
        self.unknown_shards += result.unknown_shards;
        self.reach.append(result.reach);
        self.partitions.append(result.partitions);
    }

    async fn judge(
        &mut self,
        mut held: Held,
        files: &[ActiveFile],
        lineage: &Lineage,
        window: Option<Duration>,
    ) -> Result<(), LakeError> {
        // Naming a position takes a read of its file: only those that become examples are named.
        let mut named = Vec::new();
        repeated_positions(&mut held.positions, &mut |left, right| {
            if self.uniqueness.count() {
                named.push((left, right));
            }
        });
        for (left, right) in named {
            let position = position_text(files, left).await?;
            self.uniqueness.show(format!("{position} in {} and {}", place(files, left), place(files, right)));
        }
        repeated_ids(&mut held.ids, lineage, window, &mut |pair: RepeatedId| {
            let findings = if pair.within_window { &mut self.window } else { &mut self.warnings };
            findings.add(|| {
                let apart = pair.later.arrived_at.get().saturating_sub(pair.earlier.arrived_at.get());
                format!(
                    "event {} again after {apart} µs, in {} and {}",
                    Uuid::from_u128(pair.later.id),
                    place(files, pair.earlier.place),
                    place(files, pair.later.place)
                )
            });
        });
        Ok(())
    }
}

/// Whether the file is in the sample.
fn is_chosen(file: &ActiveFile, options: &VerifyOptions) -> bool {
    options.sample.is_none_or(|fraction| {
        let mut hash = Sha256::new();
        hash.update(options.seed.to_le_bytes());
        hash.update(file.name());
        let bytes: [u8; 32] = hash.finalize().into();
        let lot = bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        f64::from(lot) / f64::from(u32::MAX) <= fraction
    })
}

fn place(files: &[ActiveFile], place: RowPlace) -> String {
    let file = usize::try_from(place.file).ok().and_then(|index| files.get(index));
    format!("row {} of {}", place.row, file.map_or_else(String::new, ActiveFile::name))
}

async fn read_file(file: &ActiveFile, index: usize, history: &History, pass: Pass) -> Result<FileRows, LakeError> {
    let mut rows = FileRows { file: index, ..FileRows::default() };
    let read = async {
        let mut batches = batches(file, pass.deep).await?;
        while let Some(batch) = batches.try_next().await? {
            let columns = Columns::of(&batch, file.is_rejected()).ok_or_else(|| {
                ParquetError::General("its lineage columns are missing or of another type".to_owned())
            })?;
            columns.read(file, history, pass, &mut rows)?;
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

    fn read(&self, file: &ActiveFile, history: &History, pass: Pass, rows: &mut FileRows) -> Result<(), ParquetError> {
        let partition = file.date();
        let file_index = u32::try_from(rows.file).unwrap_or(u32::MAX);
        let times = self.sub_sequence.iter().zip(self.arrived).zip(self.dated);
        for (index, ((sub_sequence, arrived_at), dated)) in times.enumerate() {
            let (shard, sequence) = (self.shard.value(index), self.sequence.value(index));
            let row = u32::try_from(rows.rows).unwrap_or(u32::MAX);
            rows.rows += 1;
            let known = history.shards.get(shard);
            if pass.number == 0 {
                check_reach(file, row, (shard, sequence), history, rows);
                check_date(file, row, (partition, *dated), &mut rows.partitions);
            }
            let place = RowPlace { file: file_index, row };
            let position = position_hash(shard, sequence, *sub_sequence);
            if pass_of(position, pass.of) == pass.number {
                rows.positions.push(PositionEntry { position, place });
            }
            let Some(ids) = self.ids else { continue };
            let id = Uuid::parse_str(ids.value(index))
                .map_err(|_| ParquetError::General(format!("the event id of row {row} is no UUID")))?
                .as_u128();
            // Random bits alone choose the pass: the first of a version 7 UUID are its time.
            if pass_of(id & u128::from(u32::MAX), pass.of) == pass.number {
                let half = u64::try_from(position >> 64).unwrap_or_default();
                let shard = known.map_or(UNKNOWN_SHARD, |shard| shard.index);
                rows.ids.push(IdEntry { id, arrived_at: Micros::new(*arrived_at), position: half, shard, place });
            }
        }
        Ok(())
    }
}

/// No row lies after the position that the documents say of its shard.
fn check_reach(file: &ActiveFile, row: u32, (shard, sequence): (&str, &str), history: &History, rows: &mut FileRows) {
    if let Some(archive) = history.archives.get(shard) {
        let offset = sequence.parse().ok().filter(|offset| (archive.from..archive.to).contains(offset));
        if offset.is_none() {
            rows.reach.add(|| format!("row {row} of {}: {shard} was not read at byte {sequence}", file.name()));
        }
        return;
    }
    let Some(known) = history.shards.get(shard) else {
        if history.reach == Reach::Whole {
            rows.reach.add(|| format!("row {row} of {}: no document knows shard {shard}", file.name()));
        } else {
            rows.unknown_shards += 1;
        }
        return;
    };
    let reached = match (SequenceNumber::parse(sequence), &known.highest) {
        (Ok(sequence), Some(highest)) => sequence <= *highest,
        _ => false,
    };
    if !reached {
        rows.reach.add(|| {
            let highest = known.highest.as_ref().map_or("nothing", SequenceNumber::as_str);
            format!("row {row} of {}: shard {shard} sequence {sequence}, committed is {highest}", file.name())
        });
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
async fn position_text(files: &[ActiveFile], place: RowPlace) -> Result<String, LakeError> {
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
