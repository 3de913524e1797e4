//! Arrow builders of a table's columns: one append for each row, from a checked cell.

use std::sync::Arc;

use arrow::array::builder::{
    BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, NullBufferBuilder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::array::{ArrayRef, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use uuid::Uuid;

use crate::decode::cell::{Cell, CellSource};
use crate::decode::plan::{Check, ListPlan};

/// Builder of one column of the contract.
#[derive(Debug)]
pub(crate) enum Column {
    Text(StringBuilder),
    Integer(Int64Builder),
    Version(Int32Builder),
    Number(Float64Builder),
    Boolean(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
    List(ListColumn),
}

impl Column {
    /// A builder for values that pass this check.
    pub(crate) fn new(check: &Check) -> Self {
        match check {
            Check::Text { .. } | Check::Uuid | Check::Enum { .. } | Check::EventType => {
                Column::Text(StringBuilder::new())
            }
            Check::Integer { .. } => Column::Integer(Int64Builder::new()),
            Check::SchemaVersion => Column::Version(Int32Builder::new()),
            Check::Number { .. } => Column::Number(Float64Builder::new()),
            Check::Boolean => Column::Boolean(BooleanBuilder::new()),
            Check::Timestamp => Column::Time(TimestampMicrosecondBuilder::new()),
            Check::List(list) => Column::List(ListColumn::new(list)),
        }
    }

    /// Adds a row and gives its approximate bytes. A cell of another type counts as null.
    pub(crate) fn append(&mut self, cell: Cell, source: CellSource<'_>) -> usize {
        match (self, cell) {
            (Column::Text(builder), Cell::Uuid(uuid)) => append_uuid(builder, uuid),
            (Column::Text(builder), cell) => {
                let text = source.text_of(cell);
                builder.append_option(text);
                4 + text.map_or(0, str::len)
            }
            (Column::Integer(builder), cell) => {
                builder.append_option(integer(cell));
                8
            }
            (Column::Version(builder), cell) => {
                builder.append_option(integer(cell).and_then(|version| i32::try_from(version).ok()));
                4
            }
            (Column::Time(builder), cell) => {
                builder.append_option(integer(cell));
                8
            }
            (Column::Number(builder), cell) => {
                builder.append_option(if let Cell::Number(number) = cell { Some(number) } else { None });
                8
            }
            (Column::Boolean(builder), cell) => {
                builder.append_option(if let Cell::Boolean(boolean) = cell { Some(boolean) } else { None });
                1
            }
            (Column::List(list), cell) => list.append(cell, source),
        }
    }

    /// Takes the appended rows as an array of the column's type, and begins anew.
    pub(crate) fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Column::Text(builder) => Arc::new(builder.finish()),
            Column::Integer(builder) => Arc::new(builder.finish()),
            Column::Version(builder) => Arc::new(builder.finish()),
            Column::Number(builder) => Arc::new(builder.finish()),
            Column::Boolean(builder) => Arc::new(builder.finish()),
            Column::Time(builder) => times(builder, data_type),
            Column::List(list) => Arc::new(list.finish(data_type)?),
        })
    }
}

/// The times of a builder in the time zone that the column has.
pub(crate) fn times(builder: &mut TimestampMicrosecondBuilder, data_type: &DataType) -> ArrayRef {
    let zone = if let DataType::Timestamp(_, zone) = data_type { zone.clone() } else { None };
    Arc::new(builder.finish().with_timezone_opt(zone))
}

fn integer(cell: Cell) -> Option<i64> {
    if let Cell::Integer(integer) = cell { Some(integer) } else { None }
}

fn append_uuid(builder: &mut StringBuilder, uuid: Uuid) -> usize {
    let mut text = Uuid::encode_buffer();
    let text = uuid.hyphenated().encode_lower(&mut text);
    builder.append_value(&*text);
    4 + text.len()
}

/// Builder of a list of objects: the number of entries of each row, and a column for each of their fields.
#[derive(Debug)]
pub(crate) struct ListColumn {
    columns: Vec<Column>,
    lengths: Vec<usize>,
    nulls: NullBufferBuilder,
}

impl ListColumn {
    fn new(list: &ListPlan) -> Self {
        let columns = list.fields.iter().map(|field| Column::new(&field.check)).collect();
        Self { columns, lengths: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    fn append(&mut self, cell: Cell, source: CellSource<'_>) -> usize {
        let Cell::List { first, entries } = cell else {
            self.lengths.push(0);
            self.nulls.append_null();
            return 4;
        };
        let mut cells = source.entries.iter().skip(first);
        let mut bytes = 4;
        for _ in 0..entries {
            for column in &mut self.columns {
                bytes += column.append(cells.next().copied().unwrap_or(Cell::Null), source);
            }
        }
        self.lengths.push(entries);
        self.nulls.append_non_null();
        bytes
    }

    fn finish(&mut self, data_type: &DataType) -> Result<ListArray, ArrowError> {
        let not_a_list = || ArrowError::SchemaError(format!("{data_type} is no list of objects"));
        let DataType::List(entry) = data_type else { return Err(not_a_list()) };
        let DataType::Struct(fields) = entry.data_type() else { return Err(not_a_list()) };
        let columns = self.columns.iter_mut().zip(fields).map(|(column, field)| column.finish(field.data_type()));
        let entries = StructArray::try_new(fields.clone(), columns.collect::<Result<Vec<_>, _>>()?, None)?;
        let offsets = OffsetBuffer::from_lengths(std::mem::take(&mut self.lengths));
        ListArray::try_new(Arc::clone(entry), offsets, Arc::new(entries), self.nulls.finish())
    }
}
