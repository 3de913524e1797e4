//! Delta per-file statistics (Delta protocol, "Per-file Statistics"): row count, smallest and largest values, and the
//! nulls of one column. Text columns other than the shard are left out: ids and names are personal data and the log
//! outlives an erased file.
//!
//! Every worker holds the statistics of all files of a table, and each log checkpoint has them once more. Null counts of
//! all columns would be more than half of them, and nothing but a search for text asks for any.

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
/// The one column whose nulls are counted: a file in which it is null throughout need not be searched for a text.
const COUNTED: &str = "extras";

/// Statistics of a file's rows as JSON text.
pub(crate) fn statistics(rows: &RecordBatch) -> Result<String, TransformError> {
    let mut smallest = Map::new();
    let mut largest = Map::new();
    let mut nulls = Map::new();
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        if field.data_type().is_nested() {
            continue;
        }
        if field.name() == COUNTED {
            nulls.insert(field.name().clone(), json!(column.null_count()));
        }
        if let Some((low, high)) = range(field.name(), column) {
            smallest.insert(field.name().clone(), low);
            largest.insert(field.name().clone(), high);
        }
    }
    let text = serde_json::to_string(&json!({
        "numRecords": rows.num_rows(),
        "minValues": smallest,
        "maxValues": largest,
        "nullCount": nulls,
    }))?;
    Ok(text)
}

fn range(name: &str, column: &ArrayRef) -> Option<(Value, Value)> {
    match column.data_type() {
        DataType::Int32 => {
            let values = column.as_primitive::<Int32Type>();
            Some((json!(min(values)?), json!(max(values)?)))
        }
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>();
            Some((json!(min(values)?), json!(max(values)?)))
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            Some((json!(min(values)?), json!(max(values)?)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let values = column.as_primitive::<TimestampMicrosecondType>();
            Some((time_text(min(values)?)?, time_text(max(values)?)?))
        }
        DataType::Utf8 if name == RANGED_TEXT => {
            let values = column.as_string::<i32>();
            Some((json!(min_string(values)?), json!(max_string(values)?)))
        }
        _ => None,
    }
}

fn time_text(micros: i64) -> Option<Value> {
    let time = DateTime::from_timestamp_micros(micros)?;
    Some(json!(time.to_rfc3339_opts(SecondsFormat::Micros, true)))
}
