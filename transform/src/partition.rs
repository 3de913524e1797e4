//! Splits buffered rows by their partition values and sorts them, one partition at a time, so that memory beyond
//! the buffer is bounded by the largest file.

use std::collections::HashMap;

use arrow::{
    array::{AsArray as _, RecordBatch, StringArray},
    compute::interleave_record_batch,
    datatypes::{Date32Type, SchemaRef, TimestampMicrosecondType},
};

use crate::error::TransformError;

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

/// Rows of one partition in sorted order, without the partition columns.
#[derive(Clone, Debug)]
pub struct PartitionRows {
    /// Value of the text partition column.
    pub text_value: String,
    /// Value of the date partition column, days since the epoch.
    pub date_value: i32,
    /// The rows; their schema is the table's less the partition columns.
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
    file_columns: Vec<usize>,
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
        let file_columns = batches.first().map(|batch| file_columns(&batch.schema(), layout)).unwrap_or_default();
        Ok(Self { batches, file_columns, texts, order, next: 0, max_rows: max_rows.max(1) })
    }

    /// Keeps only the largest partitions, until they hold at least `rows` rows, and gives the rows of all others as one
    /// batch of the schema that was planned, copied, so that the batches planned can go.
    ///
    /// # Errors
    /// When the rows do not fit into one batch: a text column holds 2 GiB at most.
    pub fn split_largest(mut self, rows: usize) -> Result<(Self, Option<RecordBatch>), TransformError> {
        let mut runs: Vec<&[RowKey]> =
            self.order.chunk_by(|left, right| left.text == right.text && left.date == right.date).collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
        let mut kept = 0;
        let largest = runs.iter().take_while(|run| {
            let wanted = kept < rows;
            kept += run.len();
            wanted
        });
        let (largest, others) = runs.split_at(largest.count());
        let rest: Vec<_> = others.iter().flat_map(|run| run.iter().map(|key| (key.batch, key.row))).collect();
        let rest = if rest.is_empty() {
            None
        } else {
            Some(interleave_record_batch(&self.batches.iter().collect::<Vec<_>>(), &rest)?)
        };
        self.order = largest.concat();
        Ok((self, rest))
    }

    fn take_run(&mut self) -> Option<Run> {
        let rest = self.order.get(self.next..)?;
        let first = *rest.first()?;
        let run: Vec<_> = rest
            .iter()
            .take(self.max_rows)
            .take_while(|key| key.text == first.text && key.date == first.date)
            .map(|key| (key.batch, key.row))
            .collect();
        self.next += run.len();
        let text = self.texts.get(first.text)?.clone();
        Some(Run { text_value: text, date_value: first.date, rows: run })
    }
}

impl Iterator for Partitions {
    type Item = Result<PartitionRows, TransformError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Run { text_value, date_value, rows: run } = self.take_run()?;
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let rows = interleave_record_batch(&batches, &run)
            .and_then(|rows| rows.project(&self.file_columns))
            .map_err(TransformError::from);
        Some(rows.map(|rows| PartitionRows { text_value, date_value, rows }))
    }
}

fn file_columns(schema: &SchemaRef, layout: TableLayout) -> Vec<usize> {
    schema
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| field.name() != layout.text_partition && field.name() != layout.date_partition)
        .map(|(index, _)| index)
        .collect()
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

    /// Rows of these types and days; the time is the row's number, backwards.
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
    fn the_largest_partitions_are_split_off_and_the_rest_can_be_planned_again() {
        let batches = [
            batch(&[("a", 1), ("a", 2), ("a", 2), ("b", 1)]),
            batch(&[("a", 2), ("b", 1), ("b", 3), ("a", 1), ("b", 1), ("b", 1)]),
        ];
        let all = sizes(plan(&batches));
        assert_eq!(all.iter().map(|part| part.2).collect::<Vec<_>>(), [2, 3, 4, 1]);
        for rows in 0..=11 {
            let (largest, rest) = plan(&batches).split_largest(rows).unwrap();
            let largest = sizes(largest);
            let rest = rest.map(|rest| sizes(plan(&[rest]))).unwrap_or_default();
            assert!(largest.iter().map(|part| part.2).sum::<usize>() >= rows.min(10));
            let smallest_kept = largest.iter().map(|part| part.2).min().unwrap_or(usize::MAX);
            assert!(rest.iter().all(|part| part.2 <= smallest_kept), "{largest:?} before {rest:?}");
            let mut together = [largest, rest].concat();
            together.sort();
            assert_eq!(together, all, "no row is lost or doubled");
        }
        let (five, rest) = plan(&batches).split_largest(5).unwrap();
        assert_eq!(sizes(five), [("b".to_owned(), 1, 4), ("a".to_owned(), 2, 3)]);
        assert_eq!(rest.unwrap().num_rows(), 3);
    }
}
