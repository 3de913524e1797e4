//! A row as a document: JSON with the columns that are not null. Pure.

use arrow::{
    array::{Array, ArrayRef, AsArray as _, RecordBatch, StructArray},
    datatypes::{DataType, Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat};
use serde_json::Value;

use crate::{
    columns::{Column, Table},
    digest::{Partition, hash},
    error::DeliverError,
};

/// The rows of a batch, as documents.
pub(super) struct Rows<'a> {
    table: &'a Table,
    /// A column that the batch lacks names the partition, or is null.
    columns: Vec<(&'a Column, Option<ArrayRef>, Option<&'a str>)>,
    points: Vec<ArrayRef>,
    id: Option<ArrayRef>,
    place: [Option<ArrayRef>; 3],
}

impl<'a> Rows<'a> {
    /// Rows of a partition.
    pub(super) fn new(table: &'a Table, batch: &RecordBatch, partition: &'a Partition) -> Result<Self, DeliverError> {
        let mut columns = Vec::new();
        for column in &table.columns {
            let named = table.partition.iter().position(|name| *name == column.name);
            let value = named.and_then(|place| partition.get(place)).map(String::as_str);
            let array = batch.column_by_name(&column.name).map(|found| column.values(found));
            let array = array.transpose().map_err(table.fault(&column.name))?;
            columns.push((column, array, value));
        }
        let array = |name: &str| columns.iter().find(|(column, ..)| column.name == name)?.1.clone();
        let points = columns.iter().filter(|(column, ..)| column.is_points).filter_map(|(_, array, _)| array.clone());
        let place = [array("stream_shard"), array("stream_sequence"), array("stream_sub_sequence")];
        Ok(Self { table, points: points.collect(), id: array("event_id"), place, columns })
    }

    /// What tells the document from others: the event's id, or without one the place of the row in the stream.
    pub(super) fn id(&self, row: usize) -> Result<String, DeliverError> {
        match &self.id {
            Some(ids) if ids.is_valid(row) => Ok(ids.as_string::<i32>().value(row).to_owned()),
            _ => self.place(row),
        }
    }

    /// The place of a row in the stream, for people and as an id.
    pub(super) fn place(&self, row: usize) -> Result<String, DeliverError> {
        let missing = || self.table.fault("stream_sequence")("a row has no place in the stream".to_owned());
        match &self.place {
            [Some(shards), Some(sequences), Some(numbers)]
                if shards.is_valid(row) && sequences.is_valid(row) && numbers.is_valid(row) =>
            {
                Ok(place(
                    shards.as_string::<i32>().value(row),
                    sequences.as_string::<i32>().value(row),
                    numbers.as_primitive::<Int32Type>().value(row),
                ))
            }
            _ => Err(missing()),
        }
    }

    /// The points of a row.
    pub(super) fn points(&self, row: usize) -> i64 {
        let valid = self.points.iter().filter(|array| array.is_valid(row));
        valid.map(|array| array.as_primitive::<Int64Type>().value(row)).fold(0, i64::saturating_add)
    }

    /// Adds the document to the bytes.
    pub(super) fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<(), DeliverError> {
        out.push(b'{');
        let mut is_first = true;
        for (column, array, named) in &self.columns {
            let start = out.len();
            if !is_first {
                out.push(b',');
            }
            text(&column.name, out);
            out.push(b':');
            let is_there = match (array, named) {
                (Some(array), _) => value(array, row, out).map_err(self.table.fault(&column.name))?,
                (None, Some(named)) => {
                    text(named, out);
                    true
                }
                (None, None) => false,
            };
            if is_there {
                is_first = false;
            } else {
                out.truncate(start);
            }
        }
        out.push(b'}');
        Ok(())
    }
}

/// A place in the stream.
pub(super) fn place(shard: &str, sequence: &str, number: i32) -> String {
    format!("{shard}:{sequence}:{number}")
}

/// Adds a value; `false`, and nothing is added: it is null, or JSON has no form of it.
fn value(values: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<bool, String> {
    if values.is_null(row) {
        return Ok(false);
    }
    match values.data_type() {
        DataType::Utf8 => text(values.as_string::<i32>().value(row), out),
        DataType::Int64 => number(values.as_primitive::<Int64Type>().value(row), out),
        DataType::Int32 => number(values.as_primitive::<Int32Type>().value(row), out),
        DataType::Boolean => out.extend_from_slice(if values.as_boolean().value(row) { b"true" } else { b"false" }),
        DataType::Float64 => {
            let value = values.as_primitive::<Float64Type>().value(row);
            if !value.is_finite() {
                return Ok(false);
            }
            number(value, out);
        }
        DataType::Timestamp(..) => {
            let micros =
                values.as_primitive_opt::<TimestampMicrosecondType>().ok_or("a time is not in microseconds")?;
            let time = DateTime::from_timestamp_micros(micros.value(row)).ok_or("a time is out of range")?;
            text(&time.to_rfc3339_opts(SecondsFormat::Micros, true), out);
        }
        DataType::Date32 => {
            let day = Date32Type::to_naive_date_opt(values.as_primitive::<Date32Type>().value(row));
            let day = day.ok_or("a date is out of range")?;
            text(&day.to_string(), out);
        }
        DataType::Binary => text(&STANDARD.encode(values.as_binary::<i32>().value(row)), out),
        DataType::List(_) => list(&values.as_list::<i32>().value(row), out)?,
        other => return Err(format!("values of the type {other} cannot be delivered")),
    }
    Ok(true)
}

fn list(entries: &dyn Array, out: &mut Vec<u8>) -> Result<(), String> {
    let entries: &StructArray = entries.as_struct_opt().ok_or("its entries are no objects")?;
    out.push(b'[');
    let mut is_first = true;
    for row in (0..entries.len()).filter(|row| entries.is_valid(*row)) {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        out.push(b'{');
        let mut has_field = false;
        for (name, values) in entries.column_names().into_iter().zip(entries.columns()) {
            let start = out.len();
            if has_field {
                out.push(b',');
            }
            text(name, out);
            out.push(b':');
            if value(values, row, out)? {
                has_field = true;
            } else {
                out.truncate(start);
            }
        }
        out.push(b'}');
    }
    out.push(b']');
    Ok(())
}

fn text(value: &str, out: &mut Vec<u8>) {
    number(value, out);
}

/// A number or a text, which cannot fail to be written into memory.
fn number(value: impl serde::Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, &value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

/// 128 bits that equal documents share, however their server writes keys and numbers.
pub(super) fn fingerprint(document: &Value) -> u128 {
    let mut bytes = Vec::new();
    canonical(document, &mut bytes);
    hash(&bytes)
}

/// Keys in order, without nulls; a whole number has one form.
fn canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().filter(|(_, value)| !value.is_null()).collect();
            fields.sort_by_key(|(name, _)| *name);
            out.push(b'{');
            for (name, value) in fields {
                text(name, out);
                out.push(b':');
                canonical(value, out);
                out.push(b',');
            }
            out.push(b'}');
        }
        Value::Array(entries) => {
            out.push(b'[');
            for entry in entries {
                canonical(entry, out);
                out.push(b',');
            }
            out.push(b']');
        }
        Value::Number(found) => match (found.as_i64(), found.as_f64()) {
            (Some(whole), _) => number(whole, out),
            // To 2^53 such a number is a whole one for sure; zero has one sign.
            (None, Some(float)) if float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 => {
                out.extend_from_slice(format!("{:.0}", if float == 0.0 { 0.0 } else { float }).as_bytes());
            }
            _ => out.extend_from_slice(found.to_string().as_bytes()),
        },
        other => number(other, out),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use bluelake_schemas::Contract;
    use serde_json::json;

    use super::*;
    use crate::columns::{Columns, transactions};

    fn batch() -> RecordBatch {
        let text = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
        let times = TimestampMicrosecondArray::from(vec![Some(1_793_534_400_123_456), None]).with_timezone("UTC");
        RecordBatch::try_from_iter([
            ("event_id", text(vec![Some("a"), Some("b")])),
            ("occurred_at", Arc::new(times) as ArrayRef),
            ("points", Arc::new(Int64Array::from(vec![Some(10_000_000_000_000_000), None])) as ArrayRef),
            ("extras", text(vec![Some("{\"a\":1e999999}"), None])),
            ("stream_shard", text(vec![Some("s"), Some("s")])),
            ("stream_sequence", text(vec![Some("49"), Some("50")])),
            ("stream_sub_sequence", Arc::new(Int32Array::from(vec![0, 1])) as ArrayRef),
            ("donor_id", text(vec![Some("\u{0}\"\u{10ffff}\u{feff}\u{1}"), None])),
        ])
        .unwrap()
    }

    #[test]
    fn a_row_is_its_values_without_nulls() {
        let (table, _) = transactions(&Columns::All);
        let (partition, batch) = (["donation".to_owned(), "2026-11-01".to_owned()], batch());
        let rows = Rows::new(&table, &batch, &partition).unwrap();
        let document = |row| {
            let mut bytes = Vec::new();
            rows.encode(row, &mut bytes).unwrap();
            serde_json::from_slice::<Value>(&bytes).unwrap()
        };
        let first = json!({
            "event_id": "a", "event_type": "donation", "event_date": "2026-11-01", "points": 10_000_000_000_000_000_i64,
            "occurred_at": "2026-11-01T12:00:00.123456Z", "extras": "{\"a\":1e999999}", "stream_shard": "s",
            "stream_sequence": "49", "stream_sub_sequence": 0, "donor_id": "\u{0}\"\u{10ffff}\u{feff}\u{1}",
        });
        assert_eq!(document(0), first);
        assert_eq!(document(1).as_object().unwrap().len(), 6);
        assert_eq!((rows.id(1).unwrap(), rows.place(1).unwrap()), ("b".to_owned(), "s:50:1".to_owned()));
        assert_eq!((rows.points(0), rows.points(1)), (10_000_000_000_000_000, 0));
    }

    #[test]
    fn a_row_without_an_id_is_told_by_its_place() {
        let contract = Contract::embedded().unwrap();
        let schema = bluelake_schemas::rejected_events_schema();
        let table = Table::new("rejected_events", &schema, &contract, &Columns::WithoutPersonal).unwrap();
        let (partition, batch) = (["user-events".to_owned(), "2026-11-01".to_owned()], batch());
        assert_eq!(Rows::new(&table, &batch, &partition).unwrap().id(0).unwrap(), "s:49:0");
    }

    #[test]
    fn a_fingerprint_knows_values_and_not_their_form() {
        let print = |text: &str| fingerprint(&serde_json::from_str(text).unwrap());
        let one = print(r#"{"a":1,"b":[{"c":2.0,"d":null}],"e":0.0}"#);
        assert_eq!(one, print(r#"{"e":-0.0,"b":[{"c":2}],"a":1.0}"#));
        for other in [
            r#"{"a":1,"b":[{"c":2.5}],"e":0}"#,
            r#"{"a":"1","b":[{"c":2}],"e":0}"#,
            r#"{"a":1,"b":[{"c":2},{}],"e":0}"#,
            r#"{"a":1,"b":[{"c":2}]}"#,
            r#"{"a":1,"b":[{"c":2}],"e":0,"f":false}"#,
        ] {
            assert_ne!(one, print(other), "{other}");
        }
        assert_ne!(print("9007199254740993"), print("9007199254740992"));
    }
}
