//! Exact sums and counts: the base of `sum` and `avg` of whole and decimal numbers.

use std::collections::HashSet;
use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field};
use datafusion::common::exec_datafusion_err;
use datafusion::error::DataFusionError;
use datafusion::scalar::ScalarValue;

use crate::postgres::numbers::casts::cast;

/// Digits of the values that are added up.
pub(super) const PRECISION: u8 = 38;

/// The scale of a type that is added up here; `None` if the engine's sum is used.
pub(super) fn scale(data_type: &DataType) -> Option<i8> {
    match data_type {
        DataType::Int64 | DataType::UInt64 => Some(0),
        DataType::Decimal128(_, scale) => Some(*scale),
        _ => None,
    }
}

/// Values that were added up, in their last digit.
#[derive(Debug)]
pub(super) struct Tally {
    /// Their sum.
    pub(super) sum: i128,
    /// How many there are.
    pub(super) count: u64,
    /// The values themselves, when each counts once.
    seen: Option<HashSet<i128>>,
}

impl Tally {
    pub(super) fn new(is_distinct: bool) -> Self {
        Self { sum: 0, count: 0, seen: is_distinct.then(HashSet::new) }
    }

    pub(super) fn is_distinct(&self) -> bool {
        self.seen.is_some()
    }

    pub(super) fn take(&mut self, values: &ArrayRef) -> Result<(), DataFusionError> {
        for value in digits(values)?.iter().flatten() {
            if self.seen.as_mut().is_none_or(|seen| seen.insert(value)) {
                self.add(value, 1)?;
            }
        }
        Ok(())
    }

    /// Takes out values that leave the frame of a window.
    pub(super) fn give_back(&mut self, values: &ArrayRef) -> Result<(), DataFusionError> {
        for value in digits(values)?.iter().flatten() {
            self.sum = self.sum.checked_sub(value).ok_or_else(overflow)?;
            self.count = self.count.saturating_sub(1);
        }
        Ok(())
    }

    /// The distinct values of other tallies, as [`Tally::distinct_state`] gives them.
    pub(super) fn take_lists(&mut self, lists: &ArrayRef) -> Result<(), DataFusionError> {
        lists.as_list::<i32>().iter().flatten().try_for_each(|list| self.take(&list))
    }

    /// The sum and the count of another tally.
    pub(super) fn add(&mut self, sum: i128, count: u64) -> Result<(), DataFusionError> {
        self.sum = add(self.sum, sum)?;
        self.count += count;
        Ok(())
    }

    /// Its distinct values as the state of an aggregate, when each counts once.
    pub(super) fn distinct_state(&self, scale: i8) -> Result<Option<ScalarValue>, DataFusionError> {
        let Some(seen) = &self.seen else { return Ok(None) };
        let values = Decimal128Array::from_iter_values(seen.iter().copied());
        let values = values.with_precision_and_scale(PRECISION, scale)?;
        let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        let list = ListArray::new(item, OffsetBuffer::from_lengths([values.len()]), Arc::new(values), None);
        Ok(Some(ScalarValue::List(Arc::new(list))))
    }

    pub(super) fn bytes_of_distinct(&self) -> usize {
        self.seen.as_ref().map_or(0, |seen| seen.capacity() * size_of::<i128>())
    }
}

/// Whole and decimal numbers in their last digit.
pub(super) fn digits(values: &ArrayRef) -> Result<Decimal128Array, DataFusionError> {
    let decimals = match values.data_type() {
        DataType::Decimal128(..) => Arc::clone(values),
        _ => cast(values, &DataType::Decimal128(PRECISION, 0))?,
    };
    Ok(decimals.as_primitive::<Decimal128Type>().clone())
}

pub(super) fn overflow() -> DataFusionError {
    exec_datafusion_err!("a sum is too large for 38 digits: cast the values to DOUBLE first")
}

pub(super) fn add(sum: i128, value: i128) -> Result<i128, DataFusionError> {
    sum.checked_add(value).ok_or_else(overflow)
}

/// Rows that a filter takes.
pub(super) fn is_taken(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}
