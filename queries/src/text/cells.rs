//! Arrow values as the few kinds of cell that documents know. Integers and decimals stay exact.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, Date32Array, Decimal128Array, Float64Array, PrimitiveArray, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, Days, NaiveDate, NaiveDateTime};

use crate::text::json_text;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// NULL.
    Empty,
    /// Words, ids, and everything without a kind of its own.
    Text(String),
    /// `unscaled` / 10^`scale`, exactly.
    Number {
        /// All digits.
        unscaled: i128,
        /// The number of digits behind the point.
        scale: u32,
    },
    /// A number that is not exact.
    Float(f64),
    /// A day.
    Date(NaiveDate),
    /// A moment, UTC.
    Instant(NaiveDateTime),
}

impl Cell {
    /// The number for a chart or a spreadsheet, which has about 15 digits.
    #[expect(clippy::cast_precision_loss, reason = "what the reader of this number knows")]
    pub(crate) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number { unscaled, scale } => {
                let power = i32::try_from(*scale).ok()?;
                Some(*unscaled as f64 / 10_f64.powi(power))
            }
            Self::Float(value) => Some(*value).filter(|value| value.is_finite()),
            _ => None,
        }
    }
}

/// The columns of a batch, each in one of the kinds.
pub(crate) struct Cells {
    columns: Vec<Column>,
    rows: usize,
}

enum Column {
    Text(StringArray),
    Number(Decimal128Array, u32),
    Float(Float64Array),
    Date(Date32Array),
    Instant(PrimitiveArray<TimestampMicrosecondType>),
}

impl Cells {
    /// Reads a batch.
    ///
    /// # Errors
    /// When a value cannot be shown, such as a list that cannot be written as JSON.
    pub(crate) fn new(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let batch = json_text::flatten(batch)?;
        let columns = batch.columns().iter().map(Column::new).collect::<Result<_, _>>()?;
        Ok(Self { columns, rows: batch.num_rows() })
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The values of a row, in the order of the columns.
    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = Cell> {
        self.columns.iter().map(move |column| column.cell(row))
    }

    /// One value; [`Cell::Empty`] beyond the columns.
    pub(crate) fn cell(&self, row: usize, column: usize) -> Cell {
        self.columns.get(column).map_or(Cell::Empty, |column| column.cell(row))
    }
}

impl Column {
    fn new(array: &ArrayRef) -> Result<Self, ArrowError> {
        let exact = |scale: u32, data_type: DataType| {
            let cast = cast(array, &data_type)?;
            Ok(Self::Number(cast.as_primitive::<Decimal128Type>().clone(), scale))
        };
        match array.data_type() {
            kind if kind.is_integer() => exact(0, DataType::Decimal128(20, 0)),
            DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
                let scale = (*scale).max(0);
                exact(u32::from(scale.unsigned_abs()), DataType::Decimal128(38, scale))
            }
            kind if kind.is_floating() => {
                Ok(Self::Float(cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone()))
            }
            DataType::Date32 | DataType::Date64 => {
                Ok(Self::Date(cast(array, &DataType::Date32)?.as_primitive::<Date32Type>().clone()))
            }
            DataType::Timestamp(_, zone) => {
                let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
                Ok(Self::Instant(micros.as_primitive::<TimestampMicrosecondType>().clone()))
            }
            kind if kind.is_string() => Ok(Self::Text(cast(array, &DataType::Utf8)?.as_string::<i32>().clone())),
            _ => texts(array).map(Self::Text),
        }
    }

    fn array(&self) -> &dyn Array {
        match self {
            Self::Text(array) => array,
            Self::Number(array, _) => array,
            Self::Float(array) => array,
            Self::Date(array) => array,
            Self::Instant(array) => array,
        }
    }

    fn cell(&self, row: usize) -> Cell {
        if row >= self.array().len() || self.array().is_null(row) {
            return Cell::Empty;
        }
        match self {
            Self::Text(array) => Cell::Text(array.value(row).to_owned()),
            Self::Number(array, scale) => Cell::Number { unscaled: array.value(row), scale: *scale },
            Self::Float(array) => Cell::Float(array.value(row)),
            Self::Date(array) => date(array.value(row)).map_or(Cell::Empty, Cell::Date),
            Self::Instant(array) => DateTime::from_timestamp_micros(array.value(row))
                .map_or(Cell::Empty, |moment| Cell::Instant(moment.naive_utc())),
        }
    }
}

fn date(days: i32) -> Option<NaiveDate> {
    let distance = Days::new(u64::from(days.unsigned_abs()));
    let epoch = NaiveDate::default();
    if days < 0 { epoch.checked_sub_days(distance) } else { epoch.checked_add_days(distance) }
}

fn texts(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    let options = FormatOptions::default().with_display_error(true);
    let formatter = ArrayFormatter::try_new(Arc::as_ref(array), &options)?;
    Ok((0..array.len()).map(|row| array.is_valid(row).then(|| formatter.value(row).to_string())).collect())
}
