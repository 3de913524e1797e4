//! Splits buffered rows by their partition values and sorts them, one partition at a time. Memory beyond the buffer is
//! bounded by the largest file, and a file by the memory of its readers.

use std::collections::HashMap;

use arrow::{
    array::{AsArray as _, RecordBatch, StringArray},
    compute::interleave_record_batch,
    datatypes::{Date32Type, TimestampMicrosecondType},
};

use crate::decode::row_weight::{HEAVY_ROW, RowWeights, row_bytes};
use crate::error::TransformError;

/// The most bytes of rows in one file: a text column of a batch holds 2 GiB, and a reader may ask for the whole file.
const MAX_FILE_BYTES: usize = 1 << 30;
/// The most bytes of heavy rows in one file, or one row: readers take thousands of rows at once.
const MAX_HEAVY_BYTES: usize = 64 << 20;

/// Which columns a table is partitioned by (text, then date) and sorted by (timestamp, microseconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableLayout {
    /// Partition column of text.
    pub text_partition: &'static str,
    /// Partition column of type date.
    pub date_partition: &'static str,
    /// Rows of a file are in ascending order of this column.
    pub sort_by: &'static str,
}

impl TableLayout {
    /// `event_type=…/event_date=…`, sorted by `occurred_at`.
    pub const EVENTS: Self =
        Self { text_partition: "event_type", date_partition: "event_date", sort_by: "occurred_at" };
    /// `stream=…/arrival_date=…`, sorted by `arrived_at`.
    pub const REJECTED: Self = Self { text_partition: "stream", date_partition: "arrival_date", sort_by: "arrived_at" };
}

/// Rows of one partition in sorted order.
#[derive(Clone, Debug)]
pub struct PartitionRows {
    /// Value of the text partition column.
    pub text_value: String,
    /// Value of the date partition column, days since the epoch.
    pub date_value: i32,
    /// The rows, in the table's schema. They include the partition columns, because engines that read a file by itself,
    /// such as those for Iceberg, look for them there.
    pub rows: RecordBatch,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RowKey {
    text: usize,
    date: i32,
    sorted_by: i64,
    batch: usize,
    row: usize,
}

/// Rows of one partition, as batch and row numbers.
struct Run {
    text_value: String,
    date_value: i32,
    rows: Vec<(usize, usize)>,
}

/// An iterator over the partitions of some batches of one schema.
pub struct Partitions {
    batches: Vec<RecordBatch>,
    weights: Vec<RowWeights>,
    texts: Vec<String>,
    order: Vec<RowKey>,
    next: usize,
    max_rows: usize,
}

impl Partitions {
    /// Plans the partitions; `max_rows` bounds the rows of each [`PartitionRows`].
    ///
    /// # Errors
    /// When a column of the layout is missing, null or of another type.
    pub fn plan(batches: Vec<RecordBatch>, layout: TableLayout, max_rows: usize) -> Result<Self, TransformError> {
        let mut texts = Vec::new();
        let mut numbers = HashMap::new();
        let mut order = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        for (batch, rows) in batches.iter().enumerate() {
            let columns = LayoutColumns::of(rows, layout)?;
            for row in 0..rows.num_rows() {
                let value = columns.text.value(row);
                let text = match numbers.get(value) {
                    Some(number) => *number,
                    None => {
                        texts.push(value.to_owned());
                        numbers.insert(value.to_owned(), texts.len() - 1);
                        texts.len() - 1
                    }
                };
                order.push(RowKey {
                    text,
                    date: columns.date.value(row),
                    sorted_by: columns.sort_by.value(row),
                    batch,
                    row,
                });
            }
        }
        order.sort_unstable();
        let weights = batches.iter().map(RowWeights::of).collect();
        Ok(Self { batches, weights, texts, order, next: 0, max_rows: max_rows.max(1) })
    }

    /// Bytes of all rows, about.
    pub fn bytes(&self) -> usize {
        self.order.iter().map(|key| self.bytes_of(key)).sum()
    }

    /// Keeps only the largest partitions, until they hold at least `bytes` of rows. Gives the rows of all others as one
    /// batch of the planned schema. It is a copy, so that the planned batches can be dropped.
    ///
    /// # Errors
    /// When the rows do not fit into one batch: a text column holds 2 GiB at most.
    pub fn split_largest(mut self, bytes: usize) -> Result<(Self, Option<RecordBatch>), TransformError> {
        let runs = self.order.chunk_by(|left, right| left.text == right.text && left.date == right.date);
        let mut runs: Vec<(usize, &[RowKey])> =
            runs.map(|run| (run.iter().map(|key| self.bytes_of(key)).sum(), run)).collect();
        runs.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let mut kept = 0;
        let largest = runs.iter().take_while(|(run, _)| {
            let wanted = kept < bytes;
            kept += run;
            wanted
        });
        let (largest, others) = runs.split_at(largest.count());
        let rest: Vec<_> = others.iter().flat_map(|(_, run)| run.iter().map(|key| (key.batch, key.row))).collect();
        let rest = if rest.is_empty() {
            None
        } else {
            Some(interleave_record_batch(&self.batches.iter().collect::<Vec<_>>(), &rest)?)
        };
        self.order = largest.iter().flat_map(|(_, run)| run.iter().copied()).collect();
        Ok((self, rest))
    }

    fn bytes_of(&self, key: &RowKey) -> usize {
        match self.weights.get(key.batch) {
            Some(RowWeights::Even(bytes)) => *bytes,
            _ => self.batches.get(key.batch).map_or(0, |batch| row_bytes(batch, key.row)),
        }
    }

    fn take_run(&mut self) -> Option<Run> {
        let rest = self.order.get(self.next..)?;
        let first = *rest.first()?;
        let (mut all, mut heavy) = (0, 0);
        let has_room = |key: &&RowKey| {
            let bytes = self.bytes_of(key);
            all += bytes;
            heavy += if bytes > HEAVY_ROW { bytes } else { 0 };
            // The first row of a file always has room.
            all == bytes || (all <= MAX_FILE_BYTES && heavy <= MAX_HEAVY_BYTES)
        };
        let run: Vec<_> = rest
            .iter()
            .take(self.max_rows)
            .take_while(|key| key.text == first.text && key.date == first.date)
            .take_while(has_room)
            .map(|key| (key.batch, key.row))
            .collect();
        self.next += run.len();
        let text = self.texts.get(first.text)?.clone();
        Some(Run { text_value: text, date_value: first.date, rows: run })
    }

    /// The rows of a run: a slice of their batch if they are adjacent, else a copy.
    fn gather(&self, run: &[(usize, usize)]) -> Result<RecordBatch, TransformError> {
        let (batch, row) = run.first().copied().unwrap_or_default();
        let side_by_side = run.iter().enumerate().all(|(offset, place)| *place == (batch, row + offset));
        match self.batches.get(batch) {
            Some(rows) if side_by_side => Ok(rows.slice(row, run.len())),
            _ => Ok(interleave_record_batch(&self.batches.iter().collect::<Vec<_>>(), run)?),
        }
    }
}

impl Iterator for Partitions {
    type Item = Result<PartitionRows, TransformError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Run { text_value, date_value, rows: run } = self.take_run()?;
        Some(self.gather(&run).map(|rows| PartitionRows { text_value, date_value, rows }))
    }
}

struct LayoutColumns<'a> {
    text: &'a StringArray,
    date: &'a arrow::array::Date32Array,
    sort_by: &'a arrow::array::TimestampMicrosecondArray,
}

impl<'a> LayoutColumns<'a> {
    fn of(rows: &'a RecordBatch, layout: TableLayout) -> Result<Self, TransformError> {
        let column = |name: &'static str| {
            rows.column_by_name(name)
                .filter(|column| column.null_count() == 0)
                .ok_or(TransformError::Layout { column: name })
        };
        let wrong_type = |column| TransformError::Layout { column };
        Ok(Self {
            text: column(layout.text_partition)?.as_string_opt::<i32>().ok_or(wrong_type(layout.text_partition))?,
            date: column(layout.date_partition)?
                .as_primitive_opt::<Date32Type>()
                .ok_or(wrong_type(layout.date_partition))?,
            sort_by: column(layout.sort_by)?
                .as_primitive_opt::<TimestampMicrosecondType>()
                .ok_or(wrong_type(layout.sort_by))?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Date32Array, TimestampMicrosecondArray};

    use super::*;

    /// Rows of these types and days; times descend with the row number.
    fn batch(rows: &[(&str, i32)]) -> RecordBatch {
        let texts: StringArray = rows.iter().map(|row| Some(row.0)).collect();
        let dates: Date32Array = rows.iter().map(|row| Some(row.1)).collect();
        let times: TimestampMicrosecondArray = (0_i64..).take(rows.len()).map(|row| Some(-row)).collect();
        let columns: [(&str, ArrayRef); 3] =
            [("event_type", Arc::new(texts)), ("event_date", Arc::new(dates)), ("occurred_at", Arc::new(times))];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn plan(batches: &[RecordBatch]) -> Partitions {
        Partitions::plan(batches.to_vec(), TableLayout::EVENTS, usize::MAX).unwrap()
    }

    fn sizes(partitions: Partitions) -> Vec<(String, i32, usize)> {
        let size = |part: PartitionRows| (part.text_value, part.date_value, part.rows.num_rows());
        partitions.map(|part| size(part.unwrap())).collect()
    }

    #[test]
    fn the_largest_partitions_are_split_off() {
        let batches = [
            batch(&[("a", 1), ("a", 2), ("a", 2), ("b", 1)]),
            batch(&[("a", 2), ("b", 1), ("b", 3), ("a", 1), ("b", 1), ("b", 1)]),
        ];
        let all = sizes(plan(&batches));
        assert_eq!(all.iter().map(|part| part.2).collect::<Vec<_>>(), [2, 3, 4, 1]);
        let row = plan(&batches).bytes() / 10;
        for rows in 0..=11 {
            let (largest, rest) = plan(&batches).split_largest(rows * row).unwrap();
            let largest = sizes(largest);
            let rest = rest.map(|rest| sizes(plan(&[rest]))).unwrap_or_default();
            assert!(largest.iter().map(|part| part.2).sum::<usize>() >= rows.min(10));
            let smallest_kept = largest.iter().map(|part| part.2).min().unwrap_or(usize::MAX);
            assert!(rest.iter().all(|part| part.2 <= smallest_kept), "{largest:?} before {rest:?}");
            let mut together = [largest, rest].concat();
            together.sort();
            assert_eq!(together, all, "no row is lost or doubled");
        }
        let (five, rest) = plan(&batches).split_largest(5 * row).unwrap();
        assert_eq!(sizes(five), [("b".to_owned(), 1, 4), ("a".to_owned(), 2, 3)]);
        assert_eq!(rest.unwrap().num_rows(), 3);
    }

    /// Rows of one partition with texts of these `bytes`.
    fn with_texts(bytes: &[usize]) -> RecordBatch {
        let texts: StringArray = bytes.iter().map(|bytes| Some("x".repeat(*bytes))).collect();
        let rows = batch(&vec![("a", 1); bytes.len()]);
        let mut columns: Vec<(&str, ArrayRef)> = vec![("text", Arc::new(texts))];
        let names = ["event_type", "event_date", "occurred_at"];
        columns.extend(names.into_iter().zip(rows.columns().iter().cloned()));
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn a_file_has_limited_bytes_or_one_row() {
        let mebibyte = 1 << 20;
        let batches =
            [with_texts(&[30 * mebibyte, 100, 30 * mebibyte, 200]), with_texts(&[70 * mebibyte, 10 * mebibyte])];
        let texts = |part: &PartitionRows| {
            let texts = part.rows.column_by_name("text").unwrap().as_string::<i32>().clone();
            texts.iter().map(|text| text.unwrap().len()).collect::<Vec<_>>()
        };
        let files: Vec<Vec<usize>> = plan(&batches).map(|part| texts(&part.unwrap())).collect();
        for file in &files {
            let heavy: usize = file.iter().filter(|bytes| **bytes > HEAVY_ROW).sum();
            assert!(heavy <= MAX_HEAVY_BYTES || file.len() == 1, "{files:?}");
        }
        let mut all = files.concat();
        all.sort_unstable();
        assert_eq!(all, [100, 200, 10 * mebibyte, 30 * mebibyte, 30 * mebibyte, 70 * mebibyte]);
        assert!(files.len() <= 4, "{files:?}");
    }

    #[test]
    fn a_heavy_row_goes_before_many_light_ones() {
        let heavy = with_texts(&[1 << 20]);
        let light = RecordBatch::try_new(
            heavy.schema(),
            [
                vec![Arc::new(StringArray::from(vec!["x"; 500])) as ArrayRef],
                batch(&vec![("b", 2); 500]).columns().to_vec(),
            ]
            .concat(),
        );
        let planned = plan(&[light.unwrap(), heavy]);
        let half = planned.bytes() / 2;
        let (largest, rest) = planned.split_largest(half).unwrap();
        assert_eq!(sizes(largest), [("a".to_owned(), 1, 1)]);
        assert_eq!(rest.unwrap().num_rows(), 500);
    }
}
