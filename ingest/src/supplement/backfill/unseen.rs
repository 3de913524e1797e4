//! Which of a batch's events are not in the table yet. Events are distinguished by their id, within their type and day,
//! because a repeated event repeats both. Pure: the answer of the table is handed in.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ahash::RandomState;
use arrow::{
    array::{AsArray as _, RecordBatch},
    compute::{and, filter_record_batch},
    datatypes::Date32Type,
};
use bluelake_lake::{ArchiveRange, ControlTotals};
use bluelake_transform::TransformError;
use uuid::Uuid;

use super::object::Chunk;
use crate::{
    memory::admission::RowRoom,
    supplement::{commit::SupplementRows, kept::KeptDays},
};

/// Event ids.
pub(crate) type Ids = HashSet<Uuid, RandomState>;

/// Chunks that are to be committed together.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    chunks: Vec<Chunk>,
    bytes: usize,
    /// The rooms of the heavy rows among them: others may wait for these.
    rooms: Vec<RowRoom>,
}

impl Pending {
    pub(crate) fn add(&mut self, mut chunk: Chunk) {
        self.rooms.extend(chunk.room.take());
        self.bytes += chunk.rows.events.get_array_memory_size() + chunk.rows.rejected.get_array_memory_size();
        self.chunks.push(chunk);
    }

    /// The first byte of each chunk.
    #[cfg(test)]
    pub(crate) fn starts(&self) -> Vec<u64> {
        self.chunks.iter().map(|chunk| chunk.from).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether it holds `bytes` of rows, parts of `chunks` objects, or rows for whose room others may wait.
    pub(crate) fn is_due(&self, bytes: usize, chunks: usize) -> bool {
        self.bytes >= bytes || self.chunks.len() >= chunks || !self.rooms.is_empty()
    }

    /// The room that its rows hold until they are written.
    pub(crate) fn take_rooms(&mut self) -> Vec<RowRoom> {
        std::mem::take(&mut self.rooms)
    }

    /// The ids of its events.
    pub(crate) fn ids(&self) -> Ids {
        let mut ids = self.room_for_ids();
        ids.extend(self.chunks.iter().flat_map(|chunk| &chunk.ids));
        ids
    }

    fn room_for_ids(&self) -> Ids {
        let ids = self.chunks.iter().map(|chunk| chunk.ids.len()).sum();
        Ids::with_capacity_and_hasher(ids, RandomState::default())
    }

    /// The folders of the partitions that its events belong to.
    pub(crate) fn folders(&self) -> Result<BTreeSet<String>, TransformError> {
        let mut folders = BTreeSet::new();
        for chunk in &self.chunks {
            folders.extend(folders_of(&chunk.rows.events)?);
        }
        Ok(folders)
    }

    /// The rows that are to be added when the table has `stored`, and keeps these days. Of several events of one id the first
    /// counts.
    pub(crate) fn unseen(self, stored: Ids, kept: KeptDays) -> Result<SupplementRows, TransformError> {
        let mut taken = self.room_for_ids();
        taken.extend(stored);
        let mut rows = SupplementRows::default();
        let mut ranges: BTreeMap<(String, String), ArchiveRange> = BTreeMap::new();
        for chunk in self.chunks {
            let ids = chunk.ids.into_iter().map(|id| Some(taken.insert(id)));
            // What expired was there, or would expire: it counts as what is there.
            let is_new = and(&ids.collect(), &kept.is_kept(&chunk.rows.events)?)?;
            let events = filter_record_batch(&chunk.rows.events, &is_new)?;
            let dropped = u64::try_from(chunk.rows.events.num_rows() - events.num_rows()).unwrap_or(u64::MAX);
            let counts = ControlTotals {
                received: chunk.counts.received,
                stored: chunk.counts.stored.saturating_sub(dropped),
                rejected: chunk.counts.rejected,
                duplicate: chunk.counts.duplicate + dropped,
                suppressed: 0,
            };
            rows.counts += counts;
            let (object, version) = (chunk.object.name.clone(), chunk.object.version.clone());
            let range = ranges.entry((object.clone(), version.clone())).or_insert_with(|| ArchiveRange {
                object,
                version,
                from: chunk.from,
                to: chunk.from,
                ended: false,
                counts: ControlTotals::default(),
            });
            range.to = chunk.to;
            range.ended |= chunk.ended;
            range.counts += counts;
            for (batch, held) in [(events, &mut rows.events), (chunk.rows.rejected, &mut rows.rejected)] {
                if batch.num_rows() > 0 {
                    held.push(batch);
                }
            }
        }
        rows.archive_ranges = ranges.into_values().collect();
        Ok(rows)
    }
}

/// The id of each event.
pub(crate) fn ids_of(events: &RecordBatch) -> Result<Vec<Uuid>, TransformError> {
    let fault = || TransformError::Layout { column: "event_id" };
    let ids = events.column_by_name("event_id").and_then(|column| column.as_string_opt::<i32>()).ok_or_else(fault)?;
    (0..events.num_rows()).map(|row| Uuid::parse_str(ids.value(row)).map_err(|_| fault())).collect()
}

/// `event_type=…/event_date=…/` of each row, once.
fn folders_of(events: &RecordBatch) -> Result<BTreeSet<String>, TransformError> {
    let types = events.column_by_name("event_type").and_then(|column| column.as_string_opt::<i32>());
    let types = types.ok_or(TransformError::Layout { column: "event_type" })?;
    let dates = events.column_by_name("event_date").and_then(|column| column.as_primitive_opt::<Date32Type>());
    let dates = dates.ok_or(TransformError::Layout { column: "event_date" })?;
    // The next event is often of the same type and day.
    let mut rows: Vec<(&str, i32)> = (0..events.num_rows()).map(|row| (types.value(row), dates.value(row))).collect();
    rows.dedup();
    let found: BTreeSet<(&str, i32)> = rows.into_iter().collect();
    let folder = |(event_type, date): (&str, i32)| {
        let date = Date32Type::to_naive_date_opt(date).ok_or(TransformError::Layout { column: "event_date" })?;
        Ok(format!("event_type={event_type}/event_date={}/", date.format("%Y-%m-%d")))
    };
    found.into_iter().map(folder).collect()
}
