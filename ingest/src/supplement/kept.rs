//! The days that the tables still keep: rows of older ones expired, and are not added anew. Pure.
//!
//! | a row that no table holds | then |
//! | --- | --- |
//! | an event of a day that expired | passed over: it was there, or would expire |
//! | a rejected event that arrived on a day that expired | passed over, for the same reason |
//! | an event that arrived on such a day, of a day that is kept | undecided: it may have been rejected then |

use arrow::{
    array::{ArrayRef, AsArray as _, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::{Date32Type, TimestampMicrosecondType},
};
use bluelake_transform::TransformError;
use chrono::{NaiveDate, NaiveTime};

/// The first days that are kept; `None`: all are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeptDays {
    /// Of the event table, by the day of the event.
    pub(crate) events: Option<NaiveDate>,
    /// Of `rejected_events`, by the day of arrival.
    pub(crate) rejected: Option<NaiveDate>,
}

impl KeptDays {
    /// The events that may be added, how many expired, and how many may have been rejected.
    pub(crate) fn events(&self, events: &RecordBatch) -> Result<(RecordBatch, u64, u64), TransformError> {
        let kept = match self.events {
            Some(_) => filter_record_batch(events, &self.is_kept(events)?)?,
            None => events.clone(),
        };
        let decided = self.arrived(&kept)?;
        let fewer = |from: &RecordBatch, to: &RecordBatch| {
            u64::try_from(from.num_rows().saturating_sub(to.num_rows())).unwrap_or(u64::MAX)
        };
        let (expired, undecided) = (fewer(events, &kept), fewer(&kept, &decided));
        Ok((decided, expired, undecided))
    }

    /// Which events are of days that are kept.
    pub(crate) fn is_kept(&self, events: &RecordBatch) -> Result<BooleanArray, TransformError> {
        let Some(first) = self.events else { return Ok(BooleanArray::from(vec![true; events.num_rows()])) };
        let days = column(events, "event_date")?.as_primitive_opt::<Date32Type>();
        let days = days.ok_or(TransformError::Layout { column: "event_date" })?;
        let first = Date32Type::from_naive_date(first);
        Ok(days.iter().map(|day| Some(day.is_some_and(|day| day >= first))).collect())
    }

    /// The rejected events that may be added.
    pub(crate) fn rejected(&self, rejected: &RecordBatch) -> Result<RecordBatch, TransformError> {
        self.arrived(rejected)
    }

    /// Rows that arrived on a day of which rejected events are kept.
    fn arrived(&self, rows: &RecordBatch) -> Result<RecordBatch, TransformError> {
        let Some(first) = self.rejected else { return Ok(rows.clone()) };
        let begins = first.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
        let times = column(rows, "arrived_at")?.as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or(TransformError::Layout { column: "arrived_at" })?;
        let kept: BooleanArray = times.iter().map(|time| Some(time.is_some_and(|time| time >= begins))).collect();
        Ok(filter_record_batch(rows, &kept)?)
    }
}

fn column<'a>(rows: &'a RecordBatch, name: &'static str) -> Result<&'a ArrayRef, TransformError> {
    rows.column_by_name(name).ok_or(TransformError::Layout { column: name })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, TimestampMicrosecondArray};

    use super::*;

    /// Rows by the days since 2026-01-01 on which they happened and arrived.
    fn rows(days: &[(i64, i64)]) -> RecordBatch {
        let new_year = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap().and_time(NaiveTime::MIN).and_utc();
        let date = |day: &(i64, i64)| i32::try_from(new_year.timestamp() / 86_400 + day.0).unwrap();
        let time = |day: &(i64, i64)| new_year.timestamp_micros() + day.1 * 86_400_000_000;
        let dates: ArrayRef = Arc::new(Date32Array::from_iter_values(days.iter().map(date)));
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(days.iter().map(time)));
        RecordBatch::try_from_iter([("event_date", dates), ("arrived_at", times)]).unwrap()
    }

    fn day(number: u64) -> Option<NaiveDate> {
        NaiveDate::from_ymd_opt(2026, 1, 1).and_then(|day| day.checked_add_days(chrono::Days::new(number)))
    }

    #[test]
    fn what_expired_is_passed_over() {
        let all = rows(&[(0, 0), (1, 5), (2, 2), (2, 5)]);
        for (kept, expected) in [
            (KeptDays::default(), (4, 0, 0)),
            (KeptDays { events: day(2), rejected: None }, (2, 2, 0)),
            // The event of the second day arrived while rejected events are not kept any more.
            (KeptDays { events: day(2), rejected: day(5) }, (1, 2, 1)),
            (KeptDays { events: None, rejected: day(5) }, (2, 0, 2)),
        ] {
            let (events, expired, undecided) = kept.events(&all).unwrap();
            assert_eq!((events.num_rows(), expired, undecided), expected, "{kept:?}");
        }
        let kept = KeptDays { events: day(9), rejected: day(2) };
        assert_eq!(kept.rejected(&all).unwrap().num_rows(), 3, "by the day of arrival alone");
    }
}
