//! Splits buffered rows by their partition values and sorts them, one file at a time. Nothing is copied here: a file names
//! its rows by batch and row (`rows.rs` gathers them). A file is bounded by the memory of its readers.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{AsArray as _, RecordBatch, StringArray},
    compute::interleave_record_batch,
    datatypes::{Date32Type, TimestampMicrosecondType},
};

use crate::decode::row_weight::{HEAVY_ROW, RowWeights, row_bytes};
use crate::encode::rows::{FileRows, Place};
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

/// A file to come: its partition, and where its rows are. Cheap to hold beside the batches.
#[derive(Debug)]
pub struct PlannedFile {
    pub(crate) text_value: String,
    pub(crate) date_value: i32,
    pub(crate) rows: FileRows,
    bytes: usize,
}

impl PlannedFile {
    /// Bytes of its rows, about.
    #[must_use]
    pub fn row_bytes(&self) -> usize {
        self.bytes
    }

    /// Its rows, copied in their order.
    ///
    /// # Errors
    /// When Arrow cannot build the batch.
    pub fn gather(&self) -> Result<PartitionRows, TransformError> {
        let rows = self.rows.gather()?;
        Ok(PartitionRows { text_value: self.text_value.clone(), date_value: self.date_value, rows })
    }
}

/// The rows of one partition that have no file yet.
struct Partition {
    text: String,
    date: i32,
    /// In the order of the file.
    rows: Vec<Place>,
    next: usize,
}

/// An iterator over the partitions of some batches of one schema.
pub struct Partitions {
    batches: Arc<Vec<RecordBatch>>,
    weights: Vec<RowWeights>,
    partitions: Vec<Partition>,
    next: usize,
    max_rows: usize,
}

impl Partitions {
    /// Plans the partitions; `max_rows` bounds the rows of each file.
    ///
    /// # Errors
    /// When a column of the layout is missing, null or of another type.
    pub fn plan(batches: Vec<RecordBatch>, layout: TableLayout, max_rows: usize) -> Result<Self, TransformError> {
        let mut found = Found::default();
        for (batch, rows) in (0_u32..).zip(&batches) {
            found.add(batch, &LayoutColumns::of(rows, layout)?);
        }
        let weights = batches.iter().map(RowWeights::of).collect();
        Ok(Self { batches: Arc::new(batches), weights, partitions: found.sorted(), next: 0, max_rows: max_rows.max(1) })
    }

    /// Bytes of all rows, about.
    pub fn bytes(&self) -> usize {
        self.partitions.iter().map(|partition| self.bytes_of_all(partition)).sum()
    }

    /// Keeps only the largest partitions, until they hold at least `bytes` of rows. Gives the rows of all others as one
    /// batch of the planned schema. It is a copy, so that the planned batches can be dropped.
    ///
    /// # Errors
    /// When the rows do not fit into one batch: a text column holds 2 GiB at most.
    pub fn split_largest(mut self, bytes: usize) -> Result<(Self, Option<RecordBatch>), TransformError> {
        let partitions = std::mem::take(&mut self.partitions).into_iter();
        let mut largest: Vec<_> = partitions.map(|partition| (self.bytes_of_all(&partition), partition)).collect();
        largest.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let mut kept = 0;
        let wanted = largest.iter().take_while(|(partition, _)| {
            let wanted = kept < bytes;
            kept += partition;
            wanted
        });
        let others = largest.split_off(wanted.count());
        let rest: Vec<_> = others.iter().flat_map(|(_, others)| others.rows.iter().map(Place::numbers)).collect();
        let rest = if rest.is_empty() {
            None
        } else {
            Some(interleave_record_batch(&self.batches.iter().collect::<Vec<_>>(), &rest)?)
        };
        self.partitions = largest.into_iter().map(|(_, partition)| partition).collect();
        Ok((self, rest))
    }

    /// The next file, without a copy of its rows.
    pub fn next_file(&mut self) -> Option<PlannedFile> {
        let partition = loop {
            let partition = self.partitions.get(self.next)?;
            if partition.next < partition.rows.len() {
                break partition;
            }
            self.next += 1;
        };
        let rest = partition.rows.get(partition.next..)?;
        let (length, bytes) = self.room_of_file(rest);
        let file = PlannedFile {
            text_value: partition.text.clone(),
            date_value: partition.date,
            rows: FileRows::new(&self.batches, rest.get(..length)?),
            bytes,
        };
        self.partitions.get_mut(self.next)?.next += length;
        Some(file)
    }

    /// The rows of the next file, of these of its partition, and their bytes.
    fn room_of_file(&self, rest: &[Place]) -> (usize, usize) {
        let (mut length, mut all, mut heavy) = (0, 0, 0);
        for place in rest.iter().take(self.max_rows) {
            let bytes = self.bytes_of(place);
            heavy += if bytes > HEAVY_ROW { bytes } else { 0 };
            // The first row of a file always has room.
            if length > 0 && (all + bytes > MAX_FILE_BYTES || heavy > MAX_HEAVY_BYTES) {
                break;
            }
            all += bytes;
            length += 1;
        }
        (length, all)
    }

    fn bytes_of_all(&self, partition: &Partition) -> usize {
        partition.rows.iter().map(|place| self.bytes_of(place)).sum()
    }

    fn bytes_of(&self, place: &Place) -> usize {
        let (batch, row) = place.numbers();
        match self.weights.get(batch) {
            Some(RowWeights::Even(bytes)) => *bytes,
            _ => self.batches.get(batch).map_or(0, |batch| row_bytes(batch, row)),
        }
    }
}

impl Iterator for Partitions {
    type Item = Result<PartitionRows, TransformError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_file().map(|file| file.gather())
    }
}

/// The partitions that were found so far.
#[derive(Default)]
struct Found {
    /// In the order in which they were found: a handful of them.
    texts: Vec<FoundText>,
    /// The number of each partition, by the number of its text and its date.
    numbers: BTreeMap<(usize, i32), usize>,
    rows: Vec<Vec<Place>>,
}

/// A value of the text partition column.
struct FoundText {
    value: String,
    /// The date of its last row, and the number of that partition: mostly the next one's too.
    last: Option<(i32, usize)>,
}

impl Found {
    /// Adds the rows of a batch.
    fn add(&mut self, batch: u32, columns: &LayoutColumns<'_>) {
        let rows = columns.text.iter().zip(columns.date.values()).zip(columns.sort_by.values());
        for (row, ((text, date), sorted_by)) in (0_u32..).zip(rows) {
            let number = self.number_of(text.unwrap_or_default(), *date);
            if let Some(rows) = self.rows.get_mut(number) {
                rows.push(Place { sorted_by: *sorted_by, batch, row });
            }
        }
    }

    fn number_of(&mut self, text: &str, date: i32) -> usize {
        let known = self.texts.iter().position(|known| known.value == text);
        let number = known.unwrap_or(self.texts.len());
        if known.is_none() {
            self.texts.push(FoundText { value: text.to_owned(), last: None });
        }
        let last = self.texts.get_mut(number).map(|text| &mut text.last);
        match last {
            Some(Some((last_date, partition))) if *last_date == date => *partition,
            last => {
                let partition = *self.numbers.entry((number, date)).or_insert(self.rows.len());
                if partition == self.rows.len() {
                    self.rows.push(Vec::new());
                }
                if let Some(last) = last {
                    *last = Some((date, partition));
                }
                partition
            }
        }
    }

    /// The partitions, each with its rows in order.
    fn sorted(mut self) -> Vec<Partition> {
        let partition = |((text, date), number): ((usize, i32), usize)| {
            let mut rows = std::mem::take(self.rows.get_mut(number)?);
            // Events mostly come in the order of their times.
            if !rows.is_sorted() {
                rows.sort_unstable();
            }
            Some(Partition { text: self.texts.get(text)?.value.clone(), date, rows, next: 0 })
        };
        std::mem::take(&mut self.numbers).into_iter().filter_map(partition).collect()
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
