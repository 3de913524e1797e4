//! Rows in the form in which they are staged: what Parquet and COPY might read in two ways (times, days, ids, lists, bytes)
//! travels as text, and what does not fit becomes null and a loss. Pure.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray as _, BooleanArray, RecordBatch, StringArray, StringBuilder, StructArray,
        new_null_array,
    },
    compute::filter_record_batch,
    datatypes::{
        DataType, Date32Type, Field, Float64Type, Int32Type, Int64Type, Schema, SchemaRef, TimestampMicrosecondType,
    },
};
use chrono::{DateTime, SecondsFormat};

use super::fit;
use crate::{
    columns::{Column, Kind, Table},
    digest::Partition,
    error::DeliverError,
};

/// Stands for the character that Redshift cannot store.
const REPLACEMENT: &str = "\u{fffd}";

/// The place of a row in its stream.
pub(super) type RowPlace = (String, String, i32);

/// A value that did not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) partition: Partition,
    pub(super) place: RowPlace,
    pub(super) event_id: Option<String>,
    pub(super) column: String,
    /// The length of the value.
    pub(super) bytes: usize,
    pub(super) reason: &'static str,
}

/// A value of a column that does not fit, by its row in the batch.
struct Unfit {
    row: usize,
    column: String,
    bytes: usize,
    reason: &'static str,
}

/// Rows as they are staged, and what of them is lost.
pub(super) struct Rows {
    pub(super) batch: RecordBatch,
    pub(super) losses: Vec<Loss>,
    /// Points of each row.
    pub(super) points: Vec<i64>,
}

/// The columns of a table as they are staged, in the table's order.
pub(super) fn schema(table: &Table) -> SchemaRef {
    let kind = |column: &Column| match column.kind {
        Kind::Integer => DataType::Int64,
        Kind::SmallInteger => DataType::Int32,
        Kind::Number => DataType::Float64,
        Kind::Truth => DataType::Boolean,
        _ => DataType::Utf8,
    };
    let fields: Vec<Field> = table.columns.iter().map(|column| Field::new(&column.name, kind(column), true)).collect();
    Arc::new(Schema::new(fields))
}

/// The rows of a batch of a partition, or those of them that are kept. `widths` has the bytes that each text column holds.
pub(super) fn staged(
    table: &Table,
    widths: &BTreeMap<String, usize>,
    batch: &RecordBatch,
    partition: &Partition,
    keep: Option<&BooleanArray>,
) -> Result<Rows, DeliverError> {
    let kept = keep.map(|keep| filter_record_batch(batch, keep)).transpose();
    let kept = kept.map_err(|error| table.fault("stream_sequence")(error.to_string()))?;
    let batch = kept.as_ref().unwrap_or(batch);
    let schema = schema(table);
    let (mut columns, mut losses, mut lost): (Vec<ArrayRef>, Vec<Loss>, Vec<Unfit>) = Default::default();
    for (column, field) in table.columns.iter().zip(schema.fields()) {
        let failed = table.fault(&column.name);
        let found = batch.column_by_name(&column.name);
        let array = match (found, table.partition.iter().position(|name| *name == column.name)) {
            (Some(found), _) => {
                let found = column.values(found).map_err(&failed)?;
                lost.extend(no_numbers(column, &found));
                of_kind(column, &found).map_err(&failed)?
            }
            (None, Some(place)) => {
                let value = partition.get(place).map_or("", String::as_str);
                Arc::new(StringArray::from(vec![value; batch.num_rows()])) as ArrayRef
            }
            (None, None) => new_null_array(field.data_type(), batch.num_rows()),
        };
        let width = widths.get(&column.name).copied().unwrap_or(fit::LONGEST);
        columns.push(fitting(column, width, array, &mut lost));
    }
    if !lost.is_empty() {
        let places = places(batch).ok_or_else(|| table.fault("stream_sequence")("it is not there".to_owned()))?;
        let ids = batch.column_by_name("event_id").and_then(|ids| ids.as_string_opt::<i32>());
        losses.extend(lost.into_iter().filter_map(|Unfit { row, column, bytes, reason }| {
            let event_id = ids.filter(|ids| ids.is_valid(row)).map(|ids| ids.value(row).to_owned());
            Some(Loss {
                partition: partition.clone(),
                place: places.get(row)?.clone(),
                event_id,
                column,
                bytes,
                reason,
            })
        }));
    }
    let points = points(table, batch);
    let failed = |error: arrow::error::ArrowError| table.fault("rows")(error.to_string());
    Ok(Rows { batch: RecordBatch::try_new(schema, columns).map_err(failed)?, losses, points })
}

/// The places of the rows of a batch in their streams; `None` when it lacks a column of them.
pub(super) fn places(batch: &RecordBatch) -> Option<Vec<RowPlace>> {
    let shards = batch.column_by_name("stream_shard")?.as_string_opt::<i32>()?;
    let sequences = batch.column_by_name("stream_sequence")?.as_string_opt::<i32>()?;
    let numbers = batch.column_by_name("stream_sub_sequence")?.as_primitive_opt::<Int32Type>()?;
    let place = |row| (shards.value(row).to_owned(), sequences.value(row).to_owned(), numbers.value(row));
    Some((0..batch.num_rows()).map(place).collect())
}

fn points(table: &Table, batch: &RecordBatch) -> Vec<i64> {
    let arrays = table.columns.iter().filter(|column| column.is_points);
    let arrays: Vec<_> =
        arrays.filter_map(|column| batch.column_by_name(&column.name)?.as_primitive_opt::<Int64Type>()).collect();
    let of = |row| {
        let valid = arrays.iter().filter(|array| array.is_valid(row)).map(|array| array.value(row));
        valid.fold(0, i64::saturating_add)
    };
    (0..batch.num_rows()).map(of).collect()
}

/// The values in the form of their kind.
fn of_kind(column: &Column, values: &ArrayRef) -> Result<ArrayRef, String> {
    Ok(match column.kind {
        Kind::Integer | Kind::SmallInteger | Kind::Truth => values.clone(),
        // JSON of a list has no form of these either.
        Kind::Number => Arc::new(values.as_primitive::<Float64Type>().unary_opt::<_, Float64Type>(|number| {
            number.is_finite().then_some(if number == 0.0 { 0.0 } else { number })
        })),
        Kind::Text | Kind::Json => {
            let texts = values.as_string::<i32>();
            if texts.value_data().contains(&0) {
                texted(texts, |row, out| plain(texts.value(row), out))?
            } else {
                values.clone()
            }
        }
        Kind::Uuid => values.clone(),
        Kind::Timestamp => {
            let times = values.as_primitive::<TimestampMicrosecondType>();
            texted(times, |row, out| {
                let time = DateTime::from_timestamp_micros(times.value(row)).ok_or("a time is out of range")?;
                out.push_str(&time.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string());
                Ok(())
            })?
        }
        Kind::Date => {
            let days = values.as_primitive::<Date32Type>();
            texted(days, |row, out| {
                let day = Date32Type::to_naive_date_opt(days.value(row));
                out.push_str(&day.ok_or("a date is out of range")?.to_string());
                Ok(())
            })?
        }
        Kind::Bytes => {
            let bytes = values.as_binary::<i32>();
            texted(bytes, |row, out| {
                bytes.value(row).iter().for_each(|byte| out.push_str(&format!("{byte:02x}")));
                Ok(())
            })?
        }
        Kind::List => {
            let lists = values.as_list::<i32>();
            texted(lists, |row, out| list(&lists.value(row), out))?
        }
    })
}

/// A text for each value that is not null.
fn texted(values: &dyn Array, add: impl Fn(usize, &mut String) -> Result<(), String>) -> Result<ArrayRef, String> {
    let (mut builder, mut text) = (StringBuilder::new(), String::new());
    for row in 0..values.len() {
        if values.is_null(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        add(row, &mut text)?;
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}

fn plain(text: &str, out: &mut String) -> Result<(), String> {
    out.push_str(&text.replace('\0', REPLACEMENT));
    Ok(())
}

/// Doubles that are no numbers: the contract lets none pass, and another engine may have written one.
fn no_numbers<'a>(column: &'a Column, values: &'a ArrayRef) -> impl Iterator<Item = Unfit> + 'a {
    let numbers = values.as_primitive_opt::<Float64Type>();
    let odd = numbers.into_iter().flat_map(|numbers| numbers.iter().enumerate());
    let odd = odd.filter(|(_, number)| number.is_some_and(|number| !number.is_finite()));
    odd.map(|(row, _)| Unfit { row, column: column.name.clone(), bytes: 8, reason: "it is no finite number" })
}

/// Takes out what does not fit.
fn fitting(column: &Column, width: usize, array: ArrayRef, lost: &mut Vec<Unfit>) -> ArrayRef {
    let is_super = matches!(column.kind, Kind::Json | Kind::List);
    let Some(texts) = array.as_string_opt::<i32>() else { return array };
    let width = if is_super || column.kind == Kind::Bytes { fit::LONGEST } else { width };
    let fits = |text: &str| match (is_super, text.len() <= width) {
        (true, _) => fit::check_super(text),
        (false, true) => Ok(()),
        (false, false) => Err("it is longer than its column"),
    };
    let before = lost.len();
    for (row, text) in texts.iter().enumerate() {
        let Some((text, Err(reason))) = text.map(|text| (text, fits(text))) else { continue };
        let bytes = if column.kind == Kind::Bytes { text.len() / 2 } else { text.len() };
        lost.push(Unfit { row, column: column.name.clone(), bytes, reason });
    }
    let gone: std::collections::HashSet<usize> = lost.iter().skip(before).map(|unfit| unfit.row).collect();
    if gone.is_empty() {
        return array;
    }
    let kept = |(row, text)| if gone.contains(&row) { None } else { text };
    Arc::new(texts.iter().enumerate().map(kept).collect::<StringArray>())
}

/// A list of objects as JSON.
fn list(entries: &dyn Array, out: &mut String) -> Result<(), String> {
    let entries: &StructArray = entries.as_struct_opt().ok_or("its entries are no objects")?;
    let mut all = Vec::new();
    for row in 0..entries.len() {
        if entries.is_null(row) {
            all.push(serde_json::Value::Null);
            continue;
        }
        let mut object = serde_json::Map::new();
        for (name, values) in entries.column_names().into_iter().zip(entries.columns()) {
            object.insert(name.to_owned(), scalar(values, row)?);
        }
        all.push(object.into());
    }
    out.push_str(&serde_json::Value::Array(all).to_string());
    Ok(())
}

fn scalar(values: &dyn Array, row: usize) -> Result<serde_json::Value, String> {
    if values.is_null(row) {
        return Ok(serde_json::Value::Null);
    }
    Ok(match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().value(row).replace('\0', REPLACEMENT).into(),
        DataType::Int64 => values.as_primitive::<Int64Type>().value(row).into(),
        DataType::Int32 => values.as_primitive::<Int32Type>().value(row).into(),
        DataType::Boolean => values.as_boolean().value(row).into(),
        // A number that is none has no form in JSON.
        DataType::Float64 => values.as_primitive::<Float64Type>().value(row).into(),
        DataType::Timestamp(..) => {
            let micros =
                values.as_primitive_opt::<TimestampMicrosecondType>().ok_or("a time is not in microseconds")?;
            let time = DateTime::from_timestamp_micros(micros.value(row)).ok_or("a time is out of range")?;
            time.to_rfc3339_opts(SecondsFormat::Micros, true).into()
        }
        other => return Err(format!("values of the type {other} in a list cannot be delivered")),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use arrow::array::{Float64Array, Int32Array, Int64Array, TimestampMicrosecondArray};

    use super::*;
    use crate::columns::{Columns, transactions};

    fn table() -> Table {
        transactions(&Columns::All).0
    }

    fn batch() -> RecordBatch {
        let text = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
        let times = TimestampMicrosecondArray::from(vec![Some(1_793_534_400_123_456), None]).with_timezone("UTC");
        RecordBatch::try_from_iter([
            ("event_id", text(vec![Some("a"), Some("b")])),
            ("occurred_at", Arc::new(times) as ArrayRef),
            ("points", Arc::new(Int64Array::from(vec![Some(7), None])) as ArrayRef),
            ("distance_ft", Arc::new(Float64Array::from(vec![Some(-0.0), Some(f64::NAN)])) as ArrayRef),
            ("extras", text(vec![Some("{\"a\":1e999999}"), Some("{\"a\":1}")])),
            ("stream_shard", text(vec![Some("s"), Some("s")])),
            ("stream_sequence", text(vec![Some("49"), Some("50")])),
            ("stream_sub_sequence", Arc::new(Int32Array::from(vec![0, 1])) as ArrayRef),
            ("donor_id", text(vec![Some("a\0b"), Some("ééé")])),
        ])
        .unwrap()
    }

    fn text(rows: &Rows, name: &str, row: usize) -> Option<String> {
        let values = rows.batch.column_by_name(name).unwrap().as_string::<i32>();
        values.is_valid(row).then(|| values.value(row).to_owned())
    }

    #[test]
    fn rows_have_all_columns_in_the_order_of_the_table() {
        let (table, partition) = (table(), ["donation".to_owned(), "2026-11-01".to_owned()]);
        let rows = staged(&table, &BTreeMap::new(), &batch(), &partition, None).unwrap();
        let names: Vec<String> = rows.batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, table.names());
        assert_eq!(text(&rows, "occurred_at", 0).unwrap(), "2026-11-01 12:00:00.123456+00");
        assert_eq!(text(&rows, "event_type", 1).unwrap(), "donation");
        assert_eq!(text(&rows, "event_date", 1).unwrap(), "2026-11-01");
        assert_eq!(text(&rows, "donor_id", 0).unwrap(), "a\u{fffd}b");
        let distance = rows.batch.column_by_name("distance_ft").unwrap().as_primitive::<Float64Type>();
        assert_eq!((distance.value(0).to_bits(), distance.is_null(1)), (0, true));
        assert_eq!(rows.points, [7, 0]);
    }

    #[test]
    fn what_does_not_fit_is_null_and_a_loss_and_never_cut() {
        let (table, partition) = (table(), ["donation".to_owned(), "2026-11-01".to_owned()]);
        let widths = BTreeMap::from([("donor_id".to_owned(), 5)]);
        let rows = staged(&table, &widths, &batch(), &partition, None).unwrap();
        assert_eq!((text(&rows, "donor_id", 0), text(&rows, "donor_id", 1)), (Some("a\u{fffd}b".to_owned()), None));
        assert_eq!((text(&rows, "extras", 0), text(&rows, "extras", 1)), (None, Some("{\"a\":1}".to_owned())));
        let mut found: Vec<_> =
            rows.losses.iter().map(|it| (it.place.1.as_str(), it.column.as_str(), it.bytes, it.reason)).collect();
        found.sort_unstable();
        let expected = [
            ("49", "extras", 14, "a number would be changed"),
            ("50", "distance_ft", 8, "it is no finite number"),
            ("50", "donor_id", 6, "it is longer than its column"),
        ];
        assert_eq!(found, expected);
        assert!(
            rows.losses
                .iter()
                .all(|loss| loss.event_id.as_deref() == Some(if loss.place.1 == "49" { "a" } else { "b" }))
        );
        // Of rows that stay away nothing is lost.
        let keep = BooleanArray::from(vec![true, false]);
        let rows = staged(&table, &widths, &batch(), &partition, Some(&keep)).unwrap();
        assert_eq!((rows.batch.num_rows(), rows.losses.len(), rows.points.len()), (1, 1, 1));
    }
}
