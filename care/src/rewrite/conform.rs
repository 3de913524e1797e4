//! Rows of a file in the form of the table: its columns in their order, with null where a file is older than a column.
//! Pure.
//!
//! There are no guesses: a column that the table lacks, or a value that its type cannot hold, is an error, and the file
//! stays as it is.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray as _, Date32Array, ListArray, RecordBatch, StringArray, StructArray, new_null_array,
    },
    compute::cast,
    datatypes::{DataType, Date32Type, Field, SchemaRef},
};
use bluelake_lake::TableFile;
use bluelake_transform::TableLayout;
use chrono::NaiveDate;

use crate::error::CareError;

/// Values of the partition columns, which are in the folder's name and not in the file.
#[derive(Clone, Debug)]
pub(crate) struct PartitionValues {
    /// Column and value of the text column.
    pub(crate) text: (String, String),
    /// Column and days since the epoch of the date column.
    pub(crate) date: (String, i32),
}

impl PartitionValues {
    /// The values of a file, by the log.
    ///
    /// # Errors
    /// [`CareError::Column`] when the log lacks them.
    pub(crate) fn of(file: Option<&TableFile>, layout: TableLayout) -> Result<Self, CareError> {
        let value = |column: &str| {
            let value = file.and_then(|file| file.partition_values.get(column)).cloned();
            value.ok_or_else(|| fault(column, "the log has no value of it for a file"))
        };
        let (text, date) = (layout.text_partition, layout.date_partition);
        let day: Option<NaiveDate> = value(date)?.parse().ok();
        let days = day.map(Date32Type::from_naive_date);
        let days = days.ok_or_else(|| fault(date, "the log has a value of it that is no date"))?;
        Ok(Self { text: (text.to_owned(), value(text)?), date: (date.to_owned(), days) })
    }
}

/// The rows in the columns of the table.
///
/// # Errors
/// [`CareError::Column`] for a column that the table lacks, or whose values it cannot hold.
pub(crate) fn conform(
    rows: &RecordBatch,
    table: &SchemaRef,
    partition: &PartitionValues,
) -> Result<RecordBatch, CareError> {
    if let Some(unknown) = rows.schema().fields().iter().find(|field| table.index_of(field.name()).is_err()) {
        return Err(fault(unknown.name(), "the table does not have it"));
    }
    let count = rows.num_rows();
    let columns = table.fields().iter().map(|field| {
        if *field.name() == partition.text.0 {
            return Ok(Arc::new(StringArray::from(vec![partition.text.1.as_str(); count])) as ArrayRef);
        }
        if *field.name() == partition.date.0 {
            return Ok(Arc::new(Date32Array::from(vec![partition.date.1; count])) as ArrayRef);
        }
        match rows.column_by_name(field.name()) {
            Some(values) => of_type(values, field, field.name()),
            None => missing(field, field.name(), count),
        }
    });
    let columns: Vec<ArrayRef> = columns.collect::<Result<_, CareError>>()?;
    Ok(RecordBatch::try_new(table.clone(), columns)?)
}

fn missing(field: &Field, path: &str, count: usize) -> Result<ArrayRef, CareError> {
    if field.is_nullable() {
        Ok(new_null_array(field.data_type(), count))
    } else {
        Err(fault(path, "the file does not have it, and the table needs it"))
    }
}

/// The values in the type of the field; `path` names it in messages, as in `items.sku`.
fn of_type(values: &ArrayRef, field: &Field, path: &str) -> Result<ArrayRef, CareError> {
    let same = match (values.data_type(), field.data_type()) {
        (left, right) if left == right => values.clone(),
        (DataType::List(_), DataType::List(entry)) => {
            let lists = values.as_list::<i32>();
            let entries = of_type(lists.values(), entry, path)?;
            let lists = ListArray::try_new(entry.clone(), lists.offsets().clone(), entries, lists.nulls().cloned())?;
            Arc::new(lists)
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let structs = values.as_struct();
            if let Some(unknown) =
                structs.fields().iter().find(|inner| !fields.iter().any(|f| f.name() == inner.name()))
            {
                return Err(fault(&format!("{path}.{}", unknown.name()), "the table does not have it"));
            }
            let columns = fields.iter().map(|inner| match structs.column_by_name(inner.name()) {
                Some(values) => of_type(values, inner, &format!("{path}.{}", inner.name())),
                None => missing(inner, &format!("{path}.{}", inner.name()), structs.len()),
            });
            let columns: Vec<ArrayRef> = columns.collect::<Result<_, CareError>>()?;
            Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                structs.nulls().cloned(),
                structs.len(),
            )?)
        }
        (from, to) if holds_the_same(from, to) => exactly(values, field, path)?,
        (from, to) => return Err(fault(path, &format!("the file has it as {from}, the table as {to}"))),
    };
    if same.null_count() > 0 && !field.is_nullable() {
        return Err(fault(path, "a value is missing, and the table needs it"));
    }
    Ok(same)
}

/// Whether two types are equivalent.
fn holds_the_same(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, BinaryView, Dictionary, LargeBinary, LargeUtf8, Timestamp, Utf8, Utf8View};
    match (from, to) {
        (LargeUtf8 | Utf8View, Utf8) | (LargeBinary | BinaryView, Binary) | (Timestamp(..), Timestamp(..)) => true,
        (Dictionary(_, value), to) => value.as_ref() == to || holds_the_same(value, to),
        _ => false,
    }
}

/// The values in another type, if the conversion can be reversed.
fn exactly(values: &ArrayRef, field: &Field, path: &str) -> Result<ArrayRef, CareError> {
    let changed = cast(values, field.data_type())?;
    if changed.null_count() == values.null_count() && cast(&changed, values.data_type())?.to_data() == values.to_data()
    {
        return Ok(changed);
    }
    Err(fault(path, &format!("{} cannot hold a value of the file exactly", field.data_type())))
}

fn fault(column: &str, reason: &str) -> CareError {
    CareError::Column { column: column.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use arrow::{
        array::{Int64Array, LargeStringArray, StringViewArray, TimestampMicrosecondArray, TimestampNanosecondArray},
        datatypes::{Fields, Schema, TimeUnit},
    };

    use super::*;

    fn time(unit: TimeUnit) -> DataType {
        DataType::Timestamp(unit, Some("UTC".into()))
    }

    fn items(names: &[&str]) -> DataType {
        let fields: Fields = names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect();
        DataType::List(Arc::new(Field::new("element", DataType::Struct(fields), true)))
    }

    fn table() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("event_type", DataType::Utf8, false),
            Field::new("user_id", DataType::Utf8, false),
            Field::new("occurred_at", time(TimeUnit::Microsecond), false),
            Field::new("items", items(&["price", "count"]), true),
            Field::new("tip", DataType::Int64, true),
            Field::new("event_date", DataType::Date32, false),
        ]))
    }

    fn partition() -> PartitionValues {
        PartitionValues { text: ("event_type".to_owned(), "gift".to_owned()), date: ("event_date".to_owned(), 20_000) }
    }

    fn rows(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn lists(names: &[&str]) -> ArrayRef {
        let DataType::List(entry) = items(names) else { unreachable!() };
        let DataType::Struct(fields) = entry.data_type() else { unreachable!() };
        let columns = names.iter().map(|_| Arc::new(Int64Array::from(vec![7])) as ArrayRef).collect();
        let entries = StructArray::new(fields.clone(), columns, None);
        Arc::new(ListArray::new(entry.clone(), arrow::buffer::OffsetBuffer::from_lengths([1]), Arc::new(entries), None))
    }

    fn micros(value: i64) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(vec![value]).with_timezone("UTC"))
    }

    #[test]
    fn a_column_is_null_in_files_before_it() {
        let user: ArrayRef = Arc::new(StringArray::from(vec!["u"]));
        let old = rows(vec![("occurred_at", micros(5)), ("items", lists(&["price"])), ("user_id", user)]);
        let batch = conform(&old, &table(), &partition()).unwrap();
        assert_eq!(batch.schema(), table());
        assert_eq!(batch.column(0).as_string::<i32>().value(0), "gift");
        assert!(batch.column(4).is_null(0));
        let entries = batch.column(3).as_list::<i32>().value(0);
        assert_eq!(entries.as_struct().column(0).len(), 1);
        assert!(entries.as_struct().column(1).is_null(0), "a field of an entry, too");
    }

    #[test]
    fn texts_and_times_of_other_engines_are_kept() {
        let nanos = |value| Arc::new(TimestampNanosecondArray::from(vec![value]).with_timezone("UTC")) as ArrayRef;
        for user in [
            Arc::new(LargeStringArray::from(vec!["u"])) as ArrayRef,
            Arc::new(StringViewArray::from(vec!["u"])) as ArrayRef,
            cast(&StringArray::from(vec!["u"]), &DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into()))
                .unwrap(),
        ] {
            let batch = conform(&rows(vec![("user_id", user), ("occurred_at", nanos(5_000))]), &table(), &partition());
            let batch = batch.unwrap();
            assert_eq!(batch.column(1).as_string::<i32>().value(0), "u");
            assert_eq!(batch.column(2), &micros(5));
        }
        let user: ArrayRef = Arc::new(StringArray::from(vec!["u"]));
        let error = conform(&rows(vec![("user_id", user), ("occurred_at", nanos(5_001))]), &table(), &partition());
        assert!(error.unwrap_err().to_string().contains("exactly"));
    }

    #[test]
    fn what_the_table_cannot_hold_is_refused() {
        let user = || Arc::new(StringArray::from(vec!["u"])) as ArrayRef;
        let number = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
        for (columns, words) in [
            (vec![("user_id", user()), ("occurred_at", micros(5)), ("color", user())], "does not have it"),
            (vec![("user_id", number()), ("occurred_at", micros(5))], "Int64"),
            (vec![("occurred_at", micros(5))], "needs it"),
            (vec![("user_id", user()), ("occurred_at", micros(5)), ("items", lists(&["color"]))], "items.color"),
            (
                vec![
                    ("user_id", Arc::new(StringArray::from(vec![None::<&str>])) as ArrayRef),
                    ("occurred_at", micros(5)),
                ],
                "is missing",
            ),
        ] {
            let error = conform(&rows(columns), &table(), &partition()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
