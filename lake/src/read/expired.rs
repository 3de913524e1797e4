//! What expired of a table, as its document or its maintenance record in force says at the version that is read.

use std::collections::BTreeMap;

use bluelake_schemas::Stream;
use chrono::NaiveDate;
use deltalake::{DeltaTable, table::state::DeltaTableState};

use crate::{
    commit::stream_table::document_number,
    error::LakeError,
    layout::{partitions_of, stream_of},
    maintenance::record_chain::{MAINTENANCE, RecordChain},
    place::lake::Lake,
};

/// What a table does not show of its streams.
#[derive(Debug, Default)]
pub(crate) struct Expired {
    /// Rows of days before this one expired; those that are in the table came late.
    pub(crate) before: Option<NaiveDate>,
    /// Rows that were erased or expired so far, of `rejected_events`.
    gone: BTreeMap<Stream, u64>,
    /// Rows that came late: the next expiry takes them.
    late: BTreeMap<Stream, u64>,
}

impl Expired {
    /// Of a table as loaded. A record that cannot be read is an error: without it nobody knows what is missing.
    pub(crate) async fn of(lake: &Lake, name: &str, table: &DeltaTable) -> Result<Self, LakeError> {
        let state = table.snapshot().map_err(LakeError::table(name, "load its Delta log"))?;
        let Some(number) = document_number(name, table, state, MAINTENANCE).await? else { return Ok(Self::default()) };
        let record = RecordChain::new(lake, name).get(number).await?;
        let gone = record.counts.rows_left.iter();
        let gone = gone.map(|(stream, left)| (*stream, left.erased.saturating_add(left.expired))).collect();
        Ok(Self { gone, ..Self::before(name, state, record.standing.expired_before) })
    }

    /// Of an event table of which rows of days before this one expired.
    pub(crate) fn before(name: &str, state: &DeltaTableState, before: Option<NaiveDate>) -> Self {
        let late = before.map(|before| late_rows(name, state, before)).unwrap_or_default();
        Self { before, late, gone: BTreeMap::new() }
    }

    /// Rows of a stream that the table once had and does not show.
    pub(crate) fn hidden(&self, stream: Stream) -> u64 {
        self.gone.get(&stream).copied().unwrap_or_default().saturating_add(self.late(stream))
    }

    /// Rows of a stream that came late.
    pub(crate) fn late(&self, stream: Stream) -> u64 {
        self.late.get(&stream).copied().unwrap_or_default()
    }

    /// Rows that came late.
    pub(crate) fn all_late(&self) -> u64 {
        self.late.values().copied().fold(0, u64::saturating_add)
    }
}

/// Rows of days (in UTC) before this one expired, by the record in force of a table as loaded.
///
/// # Errors
/// When the record cannot be read.
pub async fn expired_before(lake: &Lake, name: &str, table: &DeltaTable) -> Result<Option<NaiveDate>, LakeError> {
    Expired::of(lake, name, table).await.map(|expired| expired.before)
}

/// Rows of days before this one, by the log.
fn late_rows(name: &str, state: &DeltaTableState, before: NaiveDate) -> BTreeMap<Stream, u64> {
    let mut late = BTreeMap::new();
    let [_, column] = partitions_of(name);
    for file in state.log_data().iter() {
        let mut values = file.partition_values_map();
        let day = values.remove(column).flatten().and_then(|day| day.parse::<NaiveDate>().ok());
        if day.is_none_or(|day| day >= before) {
            continue;
        }
        let named = values.remove("stream").flatten();
        let rows = file.num_records().and_then(|rows| u64::try_from(rows).ok()).unwrap_or_default();
        if let Some(stream) = stream_of(name, named.as_deref()) {
            let sum: &mut u64 = late.entry(stream).or_default();
            *sum = sum.saturating_add(rows);
        }
    }
    late
}
