//! Rows as PostgreSQL's COPY has them in its binary form: what is sent, and what comes back, byte for byte. Pure.

use arrow::{
    array::{
        Array, AsArray as _, BinaryArray, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, ListArray,
        RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType},
};
use chrono::{DateTime, NaiveDate, SecondsFormat};
use uuid::Uuid;

use crate::{
    columns::{Kind, Table},
    error::DeliverError,
};

/// Before the first row: signature, flags, no extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Behind the last row.
pub(super) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// 2000-01-01, from which PostgreSQL counts, in microseconds and days since 1970.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i32 = 10_957;
/// Stands for a character that PostgreSQL cannot store.
const REPLACEMENT: &str = "\u{fffd}";

/// The values of a column in a batch.
enum Values {
    /// All null.
    Absent,
    /// All these bytes.
    Constant(Vec<u8>),
    Text(StringArray),
    Uuid(StringArray),
    Integer(Int64Array),
    SmallInteger(Int32Array),
    Number(Float64Array),
    Truth(BooleanArray),
    Timestamp(TimestampMicrosecondArray),
    Date(Date32Array),
    Bytes(BinaryArray),
    List(ListArray),
}

/// Encodes the rows of a batch.
pub(super) struct Rows<'a> {
    table: &'a Table,
    columns: Vec<Values>,
    points: Vec<usize>,
}

impl<'a> Rows<'a> {
    /// Rows of a partition. A column that the batch lacks names the partition, or is null.
    pub(super) fn new(table: &'a Table, batch: &RecordBatch, partition: &[String; 2]) -> Result<Self, DeliverError> {
        let mut columns = Vec::new();
        for column in &table.columns {
            let fault = table.fault(&column.name);
            let Some(found) = batch.column_by_name(&column.name) else {
                columns.push(of_partition(table, &column.name, partition).map_err(fault)?);
                continue;
            };
            let array = column.values(found).map_err(fault)?;
            let values = match column.kind {
                Kind::Text | Kind::Json => Values::Text(array.as_string().clone()),
                Kind::Uuid => Values::Uuid(array.as_string().clone()),
                Kind::Integer => Values::Integer(array.as_primitive::<Int64Type>().clone()),
                Kind::SmallInteger => Values::SmallInteger(array.as_primitive::<Int32Type>().clone()),
                Kind::Number => Values::Number(array.as_primitive::<Float64Type>().clone()),
                Kind::Truth => Values::Truth(array.as_boolean().clone()),
                Kind::Timestamp => Values::Timestamp(array.as_primitive::<TimestampMicrosecondType>().clone()),
                Kind::Date => Values::Date(array.as_primitive::<Date32Type>().clone()),
                Kind::Bytes => Values::Bytes(array.as_binary().clone()),
                Kind::List => Values::List(array.as_list().clone()),
            };
            columns.push(values);
        }
        let points = table.columns.iter().enumerate().filter(|(_, column)| column.is_points).map(|(place, _)| place);
        Ok(Self { table, columns, points: points.collect() })
    }

    /// Adds a row to the bytes.
    pub(super) fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<(), DeliverError> {
        let count = i16::try_from(self.columns.len()).unwrap_or(i16::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        for (values, column) in self.columns.iter().zip(&self.table.columns) {
            values.encode(row, out).map_err(self.table.fault(&column.name))?;
        }
        Ok(())
    }

    /// The text of a column in a row.
    pub(super) fn text(&self, place: usize, row: usize) -> Option<&str> {
        match self.columns.get(place)? {
            Values::Text(values) if values.is_valid(row) => Some(values.value(row)),
            _ => None,
        }
    }

    /// The points of a row.
    pub(super) fn points(&self, row: usize) -> i64 {
        let value = |place: &usize| match self.columns.get(*place) {
            Some(Values::Integer(values)) if values.is_valid(row) => values.value(row),
            _ => 0,
        };
        self.points.iter().map(value).fold(0, i64::saturating_add)
    }
}

fn of_partition(table: &Table, column: &str, partition: &[String; 2]) -> Result<Values, String> {
    let [first, day] = partition;
    if column == table.partition[0] {
        return Ok(Values::Constant(plain(first).into_owned().into_bytes()));
    }
    if column == table.partition[1] {
        let day: NaiveDate = day.parse().map_err(|_| format!("{day:?} is no day"))?;
        return Ok(Values::Constant(days_since_2000(day).to_be_bytes().to_vec()));
    }
    Ok(Values::Absent)
}

fn days_since_2000(day: NaiveDate) -> i32 {
    chrono::Datelike::num_days_from_ce(&day) - 730_120
}

/// The day of a date in the binary form.
pub(super) fn day_of(bytes: &[u8]) -> Option<NaiveDate> {
    let days = i32::from_be_bytes(bytes.try_into().ok()?);
    NaiveDate::from_num_days_from_ce_opt(days.checked_add(730_120)?)
}

/// The text without the one character that PostgreSQL cannot store. The contract refuses it in events; the place of a fault
/// of a rejected one may hold it.
fn plain(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', REPLACEMENT).into() } else { text.into() }
}

impl Values {
    fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Absent => {
                out.extend_from_slice(&(-1_i32).to_be_bytes());
                Ok(())
            }
            Self::Constant(bytes) => put(out, bytes),
            Self::Text(values) => on(values, row, out, |out| put(out, plain(values.value(row)).as_bytes())),
            Self::Uuid(values) => on(values, row, out, |out| {
                let id = Uuid::try_parse(values.value(row)).map_err(|_| "a value is no UUID".to_owned())?;
                put(out, id.as_bytes())
            }),
            Self::Integer(values) => on(values, row, out, |out| put(out, &values.value(row).to_be_bytes())),
            Self::SmallInteger(values) => on(values, row, out, |out| put(out, &values.value(row).to_be_bytes())),
            Self::Number(values) => on(values, row, out, |out| put(out, &values.value(row).to_be_bytes())),
            Self::Truth(values) => on(values, row, out, |out| put(out, &[u8::from(values.value(row))])),
            Self::Timestamp(values) => on(values, row, out, |out| {
                let micros = values.value(row).checked_sub(EPOCH_MICROS).ok_or("a time is out of range")?;
                put(out, &micros.to_be_bytes())
            }),
            Self::Date(values) => on(values, row, out, |out| {
                let days = values.value(row).checked_sub(EPOCH_DAYS).ok_or("a date is out of range")?;
                put(out, &days.to_be_bytes())
            }),
            Self::Bytes(values) => on(values, row, out, |out| put(out, values.value(row))),
            Self::List(values) => on(values, row, out, |out| {
                // The version of the form, then the text.
                let mut json = String::from("\u{1}");
                list(&values.value(row), &mut json)?;
                put(out, json.as_bytes())
            }),
        }
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), String> {
    let length = i32::try_from(bytes.len()).map_err(|_| "a value is longer than 2 GB".to_owned())?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

fn on(
    values: &dyn Array,
    row: usize,
    out: &mut Vec<u8>,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), String>,
) -> Result<(), String> {
    if values.is_null(row) {
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        return Ok(());
    }
    encode(out)
}

/// A list of objects as `jsonb` writes it: keys by length and then by bytes, a space behind colons and commas.
fn list(entries: &dyn Array, json: &mut String) -> Result<(), String> {
    let entries: &StructArray = entries.as_struct_opt().ok_or("its entries are no objects")?;
    let mut fields: Vec<(&str, &dyn Array)> =
        entries.column_names().into_iter().zip(entries.columns().iter().map(AsRef::as_ref)).collect();
    fields.sort_by_key(|(name, _)| (name.len(), *name));
    json.push('[');
    for row in 0..entries.len() {
        if row > 0 {
            json.push_str(", ");
        }
        if entries.is_null(row) {
            json.push_str("null");
            continue;
        }
        json.push('{');
        for (number, (name, values)) in fields.iter().enumerate() {
            if number > 0 {
                json.push_str(", ");
            }
            text(name, json);
            json.push_str(": ");
            scalar(*values, row, json)?;
        }
        json.push('}');
    }
    json.push(']');
    Ok(())
}

fn scalar(values: &dyn Array, row: usize, json: &mut String) -> Result<(), String> {
    use std::fmt::Write as _;
    if values.is_null(row) {
        json.push_str("null");
        return Ok(());
    }
    match values.data_type() {
        DataType::Utf8 => text(&plain(values.as_string::<i32>().value(row)), json),
        DataType::Int64 => _ = write!(json, "{}", values.as_primitive::<Int64Type>().value(row)),
        DataType::Int32 => _ = write!(json, "{}", values.as_primitive::<Int32Type>().value(row)),
        DataType::Boolean => _ = write!(json, "{}", values.as_boolean().value(row)),
        DataType::Float64 => match values.as_primitive::<Float64Type>().value(row) {
            0.0 => json.push('0'),
            number if number.is_finite() => _ = write!(json, "{number}"),
            _ => json.push_str("null"),
        },
        DataType::Timestamp(..) => {
            let micros =
                values.as_primitive_opt::<TimestampMicrosecondType>().ok_or("a time is not in microseconds")?;
            let time = DateTime::from_timestamp_micros(micros.value(row)).ok_or("a time is out of range")?;
            text(&time.to_rfc3339_opts(SecondsFormat::Micros, true), json);
        }
        other => return Err(format!("values of the type {other} in a list cannot be delivered")),
    }
    Ok(())
}

/// A text as `jsonb` writes it.
fn text(text: &str, json: &mut String) {
    use std::fmt::Write as _;
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            control if control < ' ' => _ = write!(json, "\\u{:04x}", u32::from(control)),
            other => json.push(other),
        }
    }
    json.push('"');
}

/// Splits what comes back into rows. It is given bytes as they come, which may end anywhere.
#[derive(Default)]
pub(super) struct Split {
    bytes: Vec<u8>,
    /// The part of them that was taken.
    taken: usize,
    has_begun: bool,
    has_ended: bool,
}

impl Split {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes of the next row, once it is there in full.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        if !self.has_begun {
            self.bytes.get(HEADER.len() - 1)?;
            (self.taken, self.has_begun) = (HEADER.len(), true);
        }
        let start = self.taken;
        let left = self.bytes.get(start..)?;
        let count = i16::from_be_bytes(*left.first_chunk()?);
        if count < 0 {
            self.has_ended = true;
            return None;
        }
        let mut at = 2_usize;
        for _ in 0..count {
            let length = i32::from_be_bytes(*left.get(at..)?.first_chunk()?);
            at = at.checked_add(4)?.checked_add(usize::try_from(length).unwrap_or_default())?;
        }
        if at > left.len() {
            return None;
        }
        self.taken = start + at;
        self.bytes.get(start..start + at)
    }

    /// Whether the end has come.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }
}

/// The value in a place of a row; `None`: null, or not there.
pub(super) fn value(row: &[u8], place: usize) -> Option<&[u8]> {
    let mut rest = row.get(2..)?;
    for _ in 0..place {
        let length = i32::from_be_bytes(*rest.first_chunk()?);
        rest = rest.get(4 + usize::try_from(length).unwrap_or_default()..)?;
    }
    let length = usize::try_from(i32::from_be_bytes(*rest.first_chunk()?)).ok()?;
    rest.get(4..4 + length)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
