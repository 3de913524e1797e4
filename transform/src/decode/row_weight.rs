//! The weight of one row of a batch: texts and lists by their own length, everything else by its width.

use arrow::{
    array::{Array, AsArray as _, RecordBatch},
    datatypes::DataType,
};

/// A usual event makes a lighter row than this.
pub(crate) const HEAVY_ROW: usize = 64 << 10;

/// The weights of the rows of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RowWeights {
    /// About the same: none of them is heavy.
    Even(usize),
    /// Each its own.
    Uneven,
}

impl RowWeights {
    pub(crate) fn of(batch: &RecordBatch) -> Self {
        let rows = batch.num_rows();
        let most: usize = batch.columns().iter().map(|column| most_bytes(column.as_ref())).sum();
        if most > HEAVY_ROW {
            return Self::Uneven;
        }
        let all: usize = batch.columns().iter().map(|column| bytes_between(column.as_ref(), 0, rows)).sum();
        Self::Even(all.div_ceil(rows.max(1)))
    }
}

/// The approximate bytes of a row in Arrow.
pub(crate) fn row_bytes(batch: &RecordBatch, row: usize) -> usize {
    batch.columns().iter().map(|column| bytes_between(column.as_ref(), row, row + 1)).sum()
}

/// The most bytes of a value.
fn most_bytes(array: &dyn Array) -> usize {
    let longest = |offsets: &[i32]| {
        let lengths = offsets.windows(2).map(|pair| match pair {
            [from, to] => to.saturating_sub(*from),
            _ => 0,
        });
        usize::try_from(lengths.max().unwrap_or_default()).unwrap_or_default()
    };
    match array.data_type() {
        DataType::Utf8 => 4 + longest(array.as_string::<i32>().value_offsets()),
        DataType::Binary => 4 + longest(array.as_binary::<i32>().value_offsets()),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            4 + longest(list.value_offsets()).saturating_mul(most_bytes(list.values().as_ref()))
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| most_bytes(column.as_ref())).sum(),
        fixed => fixed.primitive_width().unwrap_or(1),
    }
}

/// Bytes of the values from `start` to `end`, exclusive. Both lie within the array.
fn bytes_between(array: &dyn Array, start: usize, end: usize) -> usize {
    let between = |offsets: &[i32]| {
        let at = |index: usize| offsets.get(index).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or_default();
        (at(start), at(end))
    };
    let rows = end.saturating_sub(start);
    match array.data_type() {
        DataType::Utf8 => {
            let (from, to) = between(array.as_string::<i32>().value_offsets());
            4 * rows + to.saturating_sub(from)
        }
        DataType::Binary => {
            let (from, to) = between(array.as_binary::<i32>().value_offsets());
            4 * rows + to.saturating_sub(from)
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (from, to) = between(list.value_offsets());
            4 * rows + bytes_between(list.values().as_ref(), from, to)
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns();
            columns.iter().map(|column| bytes_between(column.as_ref(), start, end)).sum()
        }
        fixed => fixed.primitive_width().unwrap_or(1) * rows,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, BinaryArray, Int64Array, ListArray, StringArray, StructArray},
        buffer::OffsetBuffer,
        datatypes::Field,
    };

    use super::*;

    #[test]
    fn a_row_weighs_its_own_texts_and_lists() {
        let items: ArrayRef = Arc::new(StructArray::from(vec![(
            Arc::new(Field::new("sku", DataType::Utf8, false)),
            Arc::new(StringArray::from(vec!["a", "bcd", "ef"])) as ArrayRef,
        )]));
        let field = Arc::new(Field::new("item", items.data_type().clone(), false));
        let lists = ListArray::new(field, OffsetBuffer::from_lengths([1, 0, 2]), items, None);
        let columns: [(&str, ArrayRef); 4] = [
            ("text", Arc::new(StringArray::from(vec![Some("1234567"), None, Some("")]))),
            ("bytes", Arc::new(BinaryArray::from(vec![b"12".as_slice(), b"", b"345"]))),
            ("number", Arc::new(Int64Array::from(vec![1, 2, 3]))),
            ("list", Arc::new(lists)),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let weights = |batch: &RecordBatch| (0..batch.num_rows()).map(|row| row_bytes(batch, row)).collect::<Vec<_>>();
        assert_eq!(weights(&batch), [11 + 6 + 8 + 4 + 5, 4 + 4 + 8 + 4, 4 + 7 + 8 + 4 + 13]);
        assert_eq!(weights(&batch.slice(1, 2)), weights(&batch).split_off(1), "also as a part of a batch");
        assert!(matches!(RowWeights::of(&batch), RowWeights::Even(30)), "{:?}", RowWeights::of(&batch));
        let heavy = "x".repeat(HEAVY_ROW);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", &heavy]));
        let batch = RecordBatch::try_from_iter([("text", texts)]).unwrap();
        assert!(matches!(RowWeights::of(&batch), RowWeights::Uneven));
        assert!(matches!(RowWeights::of(&batch.slice(0, 1)), RowWeights::Even(5)));
    }
}
