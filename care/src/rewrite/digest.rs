//! The content of rows in any order and any files: their number and a sum over them. Pure.
//!
//! Each row becomes bytes by its columns in the order of their names, with null, NaN, −0.0 and empty lists distinct
//! (Arrow's row format). The wrapping sum of 128 bits of each row's SHA-256 is the same for the same rows in any order;
//! a lost, doubled or changed row changes it.

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::Schema,
    error::ArrowError,
    row::{RowConverter, SortField},
};
use sha2::{Digest as _, Sha256};

/// Adds up rows of one schema.
#[derive(Debug)]
pub struct Content {
    /// Places of the columns, by their names.
    order: Vec<usize>,
    converter: RowConverter,
    rows: u64,
    sum: u128,
}

impl Content {
    /// Starts empty. Both sides of a comparison must have the same columns and types; their order may differ.
    ///
    /// # Errors
    /// For a type that has no row format.
    pub fn new(schema: &Schema) -> Result<Self, ArrowError> {
        let mut order: Vec<usize> = (0..schema.fields().len()).collect();
        order.sort_by_key(|index| schema.field(*index).name());
        let fields = order.iter().map(|index| SortField::new(schema.field(*index).data_type().clone())).collect();
        Ok(Self { order, converter: RowConverter::new(fields)?, rows: 0, sum: 0 })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When they are of another schema.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let columns: Option<Vec<ArrayRef>> =
            self.order.iter().map(|index| batch.columns().get(*index).cloned()).collect();
        let columns = columns.ok_or_else(|| ArrowError::SchemaError("rows with fewer columns".to_owned()))?;
        let rows = self.converter.convert_columns(&columns)?;
        for row in &rows {
            let digest = Sha256::digest(row.as_ref());
            let (head, _) = digest.split_at(16);
            let number = head.iter().fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
            self.sum = self.sum.wrapping_add(number);
            self.rows += 1;
        }
        Ok(())
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The sum over them.
    #[must_use]
    pub fn sum(&self) -> u128 {
        self.sum
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Float64Array, Int64Array, ListArray, StringArray},
        compute::{concat_batches, take_record_batch},
        datatypes::{DataType, Field, Int64Type},
    };
    use proptest::prelude::*;

    use super::*;

    type Row = (Option<i64>, Option<String>, Option<f64>, Option<Vec<Option<i64>>>);

    fn batch(rows: &[Row]) -> RecordBatch {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(rows.iter().map(|row| row.3.clone()));
        let list_type = lists_type(&lists);
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("text", DataType::Utf8, true),
            Field::new("float", DataType::Float64, true),
            Field::new("list", list_type, true),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.1.clone()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
            Arc::new(lists),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    fn lists_type(lists: &ListArray) -> DataType {
        use arrow::array::Array as _;
        lists.data_type().clone()
    }

    fn content(batches: &[RecordBatch]) -> (u64, u128) {
        let mut content = Content::new(&batches.first().unwrap().schema()).unwrap();
        batches.iter().for_each(|batch| content.add(batch).unwrap());
        (content.rows(), content.sum())
    }

    fn row() -> impl Strategy<Value = Row> {
        let float = prop_oneof![Just(f64::NAN), Just(-0.0), Just(0.0), any::<f64>()];
        (
            prop::option::of(any::<i64>()),
            prop::option::of(".{0,4}"),
            prop::option::of(float),
            prop::option::of(prop::collection::vec(prop::option::of(any::<i64>()), 0..3)),
        )
    }

    proptest! {
        #[test]
        fn equal_rows_have_one_digest_in_any_order(
            rows in prop::collection::vec(row(), 1..40), cut in 0_usize..40, seed in any::<u64>(),
        ) {
            let whole = batch(&rows);
            let cut = cut.min(rows.len());
            let parts = [whole.slice(cut, rows.len() - cut), whole.slice(0, cut)];
            prop_assert_eq!(content(&parts), content(std::slice::from_ref(&whole)));
            let mut order: Vec<u64> = (0..rows.len() as u64).collect();
            order.sort_by_key(|index| index.wrapping_mul(seed | 1).rotate_left(17));
            let shuffled = take_record_batch(&whole, &arrow::array::UInt64Array::from(order)).unwrap();
            prop_assert_eq!(content(&[shuffled]), content(std::slice::from_ref(&whole)));
            let doubled = concat_batches(&whole.schema(), &[whole.clone(), whole.slice(0, 1)]).unwrap();
            prop_assert_ne!(content(&[doubled]), content(&[whole]));
        }
    }

    #[test]
    fn what_looks_alike_and_is_not_differs() {
        let plain = (Some(1), Some(String::new()), Some(0.0), Some(vec![]));
        let others: [Row; 6] = [
            (Some(2), Some(String::new()), Some(0.0), Some(vec![])),
            (None, Some(String::new()), Some(0.0), Some(vec![])),
            (Some(1), None, Some(0.0), Some(vec![])),
            (Some(1), Some(String::new()), Some(-0.0), Some(vec![])),
            (Some(1), Some(String::new()), Some(0.0), None),
            (Some(1), Some(String::new()), Some(0.0), Some(vec![None])),
        ];
        for other in others {
            let of = |row: &Row| content(&[batch(std::slice::from_ref(row))]);
            assert_ne!(of(&other), of(&plain), "{other:?}");
        }
    }
}
