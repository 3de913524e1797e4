//! Arrow builders of a table's columns: one append for each value, from a checked cell.
//!
//! Most columns of a row are empty, because an event has the fields of its type only. So a column is not told of rows
//! without a value: it makes up for them before its next value, or at the end.

use std::sync::Arc;

use arrow::array::builder::{ArrayBuilder as _, BooleanBuilder, NullBufferBuilder, StringBuilder};
use arrow::array::{ArrayRef, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use uuid::Uuid;

use crate::decode::builders::{Numbers, Rows, Texts};
use crate::decode::cell::{Cell, CellSource};
use crate::decode::plan::{Check, ListPlan};

/// Builder of one column of the contract.
#[derive(Debug)]
pub(crate) enum Column {
    Text(Texts),
    Integer(Numbers<Int64Type>),
    Version(Numbers<Int32Type>),
    Number(Numbers<Float64Type>),
    Boolean(BooleanBuilder),
    Time(Numbers<TimestampMicrosecondType>),
    List(ListColumn),
}

impl Column {
    /// A builder for values that pass this check.
    pub(crate) fn new(check: &Check) -> Self {
        match check {
            Check::Text { .. } | Check::Uuid | Check::Enum(_) | Check::EventType => Column::Text(Texts::default()),
            Check::Integer { .. } => Column::Integer(Numbers::default()),
            Check::SchemaVersion => Column::Version(Numbers::default()),
            Check::Number { .. } => Column::Number(Numbers::default()),
            Check::Boolean => Column::Boolean(BooleanBuilder::new()),
            Check::Timestamp => Column::Time(Numbers::default()),
            Check::List(list) => Column::List(ListColumn::new(list)),
        }
    }

    /// The approximate bytes of a row, less the texts and entries that [`Column::append`] counts.
    pub(crate) fn row_bytes(&self) -> usize {
        match self {
            Column::Text(_) | Column::Version(_) | Column::List(_) => 4,
            Column::Integer(_) | Column::Number(_) | Column::Time(_) => 8,
            Column::Boolean(_) => 1,
        }
    }

    /// Adds the value of a row and gives the bytes of its texts and entries. The rows between the last value and this
    /// one are null, and so is this one if the cell is of another type.
    pub(crate) fn append(&mut self, row: usize, cell: Cell, source: &CellSource<'_>) -> usize {
        match (self, cell) {
            (Column::Text(builder), Cell::Uuid(uuid)) => return append_uuid(at(builder, row), uuid),
            (Column::Text(builder), cell) => {
                if let Some(text) = source.text_of(cell) {
                    at(builder, row).append_value(text);
                    return text.len();
                }
            }
            (Column::Integer(builder), Cell::Integer(integer)) => at(builder, row).append_value(integer),
            (Column::Version(builder), Cell::Integer(version)) => {
                at(builder, row).append_option(i32::try_from(version).ok());
            }
            (Column::Time(builder), Cell::Integer(micros)) => at(builder, row).append_value(micros),
            (Column::Number(builder), Cell::Number(number)) => at(builder, row).append_value(number),
            (Column::Boolean(builder), Cell::Boolean(boolean)) => at(builder, row).append_value(boolean),
            (Column::List(list), Cell::List { first, entries }) => return at(list, row).append(first, entries, source),
            _ => {}
        }
        0
    }

    /// Takes so many rows as an array of the column's type, and begins anew.
    pub(crate) fn finish(&mut self, rows: usize, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Column::Text(builder) => Arc::new(filled(builder, rows).finish()),
            Column::Integer(builder) => Arc::new(filled(builder, rows).finish()),
            Column::Version(builder) => Arc::new(filled(builder, rows).finish()),
            Column::Number(builder) => Arc::new(filled(builder, rows).finish()),
            Column::Boolean(builder) => Arc::new(filled(builder, rows).finish()),
            Column::Time(builder) => times(filled(builder, rows), data_type),
            Column::List(list) => Arc::new(filled(list, rows).finish(data_type)?),
        })
    }
}

impl Rows for BooleanBuilder {
    type Builder = Self;

    #[inline]
    fn rows(&self) -> usize {
        self.len()
    }

    fn append_nulls(&mut self, rows: usize) {
        self.append_nulls(rows);
    }

    #[inline]
    fn open(&mut self) -> &mut Self {
        self
    }
}

impl Rows for ListColumn {
    type Builder = Self;

    #[inline]
    fn rows(&self) -> usize {
        self.lengths.len()
    }

    fn append_nulls(&mut self, rows: usize) {
        self.lengths.resize(self.lengths.len() + rows, 0);
        self.nulls.append_n_nulls(rows);
    }

    #[inline]
    fn open(&mut self) -> &mut Self {
        self
    }
}

/// The builder, to append this row to.
#[inline]
fn at<B: Rows>(builder: &mut B, row: usize) -> &mut B::Builder {
    filled(builder, row).open()
}

/// The builder with a null for each of so many rows that it lacks.
#[inline]
fn filled<B: Rows>(builder: &mut B, rows: usize) -> &mut B {
    let missing = rows.saturating_sub(builder.rows());
    if missing > 0 {
        builder.append_nulls(missing);
    }
    builder
}

/// The times of a builder in the time zone that the column has.
pub(crate) fn times(builder: &mut Numbers<TimestampMicrosecondType>, data_type: &DataType) -> ArrayRef {
    let zone = if let DataType::Timestamp(_, zone) = data_type { zone.clone() } else { None };
    Arc::new(builder.finish().with_timezone_opt(zone))
}

fn append_uuid(builder: &mut StringBuilder, uuid: Uuid) -> usize {
    let mut text = Uuid::encode_buffer();
    let text = uuid.hyphenated().encode_lower(&mut text);
    builder.append_value(&*text);
    text.len()
}

/// Builder of a list of objects: the number of entries of each row, and a column for each of their fields.
#[derive(Debug)]
pub(crate) struct ListColumn {
    columns: Vec<Column>,
    entries: usize,
    lengths: Vec<usize>,
    nulls: NullBufferBuilder,
}

impl ListColumn {
    fn new(list: &ListPlan) -> Self {
        let columns = list.fields.iter().map(|field| Column::new(&field.check)).collect();
        Self { columns, entries: 0, lengths: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    fn append(&mut self, first: usize, entries: usize, source: &CellSource<'_>) -> usize {
        let mut cells = source.entries.iter().skip(first);
        let mut bytes = 0;
        for entry in self.entries..self.entries + entries {
            for column in &mut self.columns {
                let cell = cells.next().copied().unwrap_or(Cell::Null);
                bytes += column.row_bytes() + column.append(entry, cell, source);
            }
        }
        self.entries += entries;
        self.lengths.push(entries);
        self.nulls.append_non_null();
        bytes
    }

    fn finish(&mut self, data_type: &DataType) -> Result<ListArray, ArrowError> {
        let not_a_list = || ArrowError::SchemaError(format!("{data_type} is no list of objects"));
        let DataType::List(entry) = data_type else { return Err(not_a_list()) };
        let DataType::Struct(fields) = entry.data_type() else { return Err(not_a_list()) };
        let rows = std::mem::take(&mut self.entries);
        let columns = self.columns.iter_mut().zip(fields);
        let columns = columns.map(|(column, field)| column.finish(rows, field.data_type()));
        let entries = StructArray::try_new(fields.clone(), columns.collect::<Result<Vec<_>, _>>()?, None)?;
        let offsets = OffsetBuffer::from_lengths(std::mem::take(&mut self.lengths));
        ListArray::try_new(Arc::clone(entry), offsets, Arc::new(entries), self.nulls.finish())
    }
}
