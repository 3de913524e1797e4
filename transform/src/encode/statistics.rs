//! Delta per-file statistics (Delta protocol, "Per-file Statistics"): row count, smallest and largest values, and the
//! nulls of one column. Text columns other than the shard are left out: ids and names are personal data and the log
//! outlives an erased file.
//!
//! Every worker holds the statistics of all files of a table, and each log checkpoint holds them again. Null counts of
//! all columns would be more than half of them, and only a search for text needs any.
//!
//! They are added up batch by batch, with the same result for every split into batches.

use std::{cmp::Ordering, collections::BTreeMap};

use arrow::{
    array::{Array, ArrayRef, AsArray as _, RecordBatch},
    compute::{max, max_string, min, min_string},
    datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType},
};
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use crate::error::TransformError;

/// The one text column whose range is in the log: a worker finds its shards' files by it.
const RANGED_TEXT: &str = "stream_shard";
/// The one column whose nulls are counted: a search for a text skips a file in which it is always null.
const COUNTED: &str = "extras";

/// What is known of a file's rows so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FileStatistics {
    rows: u64,
    ranges: BTreeMap<String, Range>,
    nulls: BTreeMap<String, u64>,
}

/// The smallest and the largest value of a column.
#[derive(Clone, Debug, PartialEq)]
enum Range {
    Integers(i64, i64),
    Numbers(f64, f64),
    /// Microseconds since the epoch.
    Times(i64, i64),
    Texts(String, String),
}

impl FileStatistics {
    /// Adds the rows of a batch.
    pub(crate) fn add(&mut self, rows: &RecordBatch) {
        self.rows += count(rows.num_rows());
        for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
            if field.name() == COUNTED {
                *self.nulls.entry(field.name().clone()).or_default() += count(column.null_count());
            }
            let Some(range) = Range::of(field.name(), column) else { continue };
            match self.ranges.get_mut(field.name()) {
                Some(known) => known.widen(range),
                None => {
                    self.ranges.insert(field.name().clone(), range);
                }
            }
        }
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// As JSON text.
    pub(crate) fn to_json(&self) -> Result<String, TransformError> {
        let mut smallest = Map::new();
        let mut largest = Map::new();
        for (column, range) in &self.ranges {
            if let Some((low, high)) = range.ends() {
                smallest.insert(column.clone(), low);
                largest.insert(column.clone(), high);
            }
        }
        let text = serde_json::to_string(&json!({
            "numRecords": self.rows,
            "minValues": smallest,
            "maxValues": largest,
            "nullCount": self.nulls,
        }))?;
        Ok(text)
    }
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

impl Range {
    /// The range of a batch's column; `None` without a value, or when the range is not for the log.
    fn of(name: &str, column: &ArrayRef) -> Option<Self> {
        match column.data_type() {
            DataType::Int32 => {
                let values = column.as_primitive::<Int32Type>();
                Some(Self::Integers(min(values)?.into(), max(values)?.into()))
            }
            DataType::Int64 => {
                let values = column.as_primitive::<Int64Type>();
                Some(Self::Integers(min(values)?, max(values)?))
            }
            DataType::Float64 => {
                let values = column.as_primitive::<Float64Type>();
                Some(Self::Numbers(min(values)?, max(values)?))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let values = column.as_primitive::<TimestampMicrosecondType>();
                Some(Self::Times(min(values)?, max(values)?))
            }
            DataType::Utf8 if name == RANGED_TEXT => {
                let values = column.as_string::<i32>();
                Some(Self::Texts(min_string(values)?.to_owned(), max_string(values)?.to_owned()))
            }
            _ => None,
        }
    }

    /// Widens the range by another one of the same column, which has the same type in every batch of a file.
    fn widen(&mut self, other: Self) {
        match (self, other) {
            (Self::Integers(low, high), Self::Integers(lower, higher))
            | (Self::Times(low, high), Self::Times(lower, higher)) => {
                (*low, *high) = (lower.min(*low), higher.max(*high));
            }
            (Self::Numbers(low, high), Self::Numbers(lower, higher)) => {
                // In the order of Arrow within a batch.
                if lower.total_cmp(low) == Ordering::Less {
                    *low = lower;
                }
                if higher.total_cmp(high) == Ordering::Greater {
                    *high = higher;
                }
            }
            (Self::Texts(low, high), Self::Texts(lower, higher)) => {
                if lower < *low {
                    *low = lower;
                }
                if higher > *high {
                    *high = higher;
                }
            }
            _ => {}
        }
    }

    /// Both ends as the log writes them; `None` for times out of the calendar.
    fn ends(&self) -> Option<(Value, Value)> {
        match self {
            Self::Integers(low, high) => Some((json!(low), json!(high))),
            Self::Numbers(low, high) => Some((json!(low), json!(high))),
            Self::Times(low, high) => Some((time_text(*low)?, time_text(*high)?)),
            Self::Texts(low, high) => Some((json!(low), json!(high))),
        }
    }
}

fn time_text(micros: i64) -> Option<Value> {
    let time = DateTime::from_timestamp_micros(micros)?;
    Some(json!(time.to_rfc3339_opts(SecondsFormat::Micros, true)))
}
