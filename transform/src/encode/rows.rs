//! The rows of a file to come, where they are: in batches that several files share. They are copied once, into the order
//! of the file.

use std::sync::Arc;

use ahash::RandomState;
use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, RecordBatch, StringArray, new_null_array},
    compute::interleave,
    datatypes::{Schema, SchemaRef},
};

use crate::error::TransformError;

/// Texts of a column that a compressor has in its window, as ids of 36 bytes.
const SHORT_COLUMN: usize = 14_000;
/// Percent of different values above which a dictionary is no use, in a short column and in a long one (measured:
/// docs/performance.md, "Landing").
const SELDOM_IF_SHORT: usize = 70;
const SELDOM: usize = 90;

/// A row: its value of the column by which files are sorted, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) sorted_by: i64,
    pub(crate) batch: u32,
    pub(crate) row: u32,
}

impl Place {
    /// The numbers of its batch and row.
    pub(crate) fn numbers(&self) -> (usize, usize) {
        let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        (number(self.batch), number(self.row))
    }
}

/// The rows of a file, in its order.
#[derive(Debug)]
pub(crate) struct FileRows {
    batches: Arc<Vec<RecordBatch>>,
    rows: Vec<(usize, usize)>,
    /// Whether each column has a value in any of the rows: in a partition half of them have none.
    valued: Vec<bool>,
}

impl FileRows {
    pub(crate) fn new(batches: &Arc<Vec<RecordBatch>>, places: &[Place]) -> Self {
        let rows: Vec<_> = places.iter().map(Place::numbers).collect();
        let columns = batches.first().map_or(0, RecordBatch::num_columns);
        let valued = (0..columns).map(|index| has_value(&sources(batches, index), &rows)).collect();
        Self { batches: batches.clone(), rows, valued }
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether each column has a value, in the order of the schema.
    pub(crate) fn valued(&self) -> &[bool] {
        &self.valued
    }

    /// Whether the texts of a column repeat so seldom that a dictionary of them is no use. A compressor sees what repeats
    /// in a short column by itself.
    pub(crate) fn seldom_repeats(&self, index: usize) -> bool {
        let Some((values, different)) = self.different(index) else { return false };
        let share = if values <= SHORT_COLUMN { SELDOM_IF_SHORT } else { SELDOM };
        different * 100 > values * share
    }

    /// The texts of a column, and how many of them are different, about (linear counting: Whang, Vander-Zanden and Taylor
    /// 1990, with four places for a value).
    fn different(&self, index: usize) -> Option<(usize, usize)> {
        let texts = |column: &&'_ ArrayRef| column.as_string_opt::<i32>().cloned();
        let texts: Vec<StringArray> = sources(&self.batches, index).iter().map(texts).collect::<Option<_>>()?;
        let places = (4 * self.rows.len()).next_power_of_two();
        let mut taken = vec![0_u64; places.div_ceil(64)];
        let hash = RandomState::with_seeds(1, 2, 3, 4);
        let (mut values, mut occupied) = (0, 0);
        for (batch, row) in &self.rows {
            let Some(texts) = texts.get(*batch).filter(|texts| texts.is_valid(*row)) else { continue };
            values += 1;
            let place = usize::try_from(hash.hash_one(texts.value(*row)) >> 1).unwrap_or_default() & (places - 1);
            if let Some(word) = taken.get_mut(place / 64) {
                occupied += usize::from(*word & (1 << (place % 64)) == 0);
                *word |= 1 << (place % 64);
            }
        }
        // Of few values in many places hardly two meet; this is their number within a percent or two.
        Some((values, occupied + occupied * occupied / (2 * places)))
    }

    /// All rows as one batch.
    pub(crate) fn gather(&self) -> Result<RecordBatch, TransformError> {
        self.batch(&self.rows)
    }

    /// The rows in batches of at most so many. A small one is still in the cache when it is encoded.
    pub(crate) fn pieces(&self, rows: usize) -> impl Iterator<Item = Result<RecordBatch, TransformError>> {
        self.rows.chunks(rows.max(1)).map(|rows| self.batch(rows))
    }

    /// Rows as one batch: a slice of their batch if they are adjacent, else a copy.
    fn batch(&self, rows: &[(usize, usize)]) -> Result<RecordBatch, TransformError> {
        let (batch, row) = rows.first().copied().unwrap_or_default();
        let side_by_side = rows.iter().enumerate().all(|(offset, place)| *place == (batch, row + offset));
        match self.batches.get(batch) {
            Some(batch) if side_by_side => return Ok(batch.slice(row, rows.len())),
            _ => {}
        }
        let schema = self.schema();
        let columns = schema.fields().iter().zip(&self.valued).enumerate().map(|(index, (field, valued))| {
            if *valued {
                let sources = sources(&self.batches, index);
                Ok(interleave(&sources.iter().map(|column| column.as_ref()).collect::<Vec<_>>(), rows)?)
            } else {
                Ok(new_null_array(field.data_type(), rows.len()))
            }
        });
        let columns = columns.collect::<Result<_, TransformError>>()?;
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

/// A column of each of the batches.
fn sources(batches: &[RecordBatch], index: usize) -> Vec<&ArrayRef> {
    batches.iter().filter_map(|batch| batch.columns().get(index)).collect()
}

fn has_value(sources: &[&ArrayRef], rows: &[(usize, usize)]) -> bool {
    let is_valid = |(batch, row): &(usize, usize)| {
        sources.get(*batch).is_some_and(|column| column.nulls().is_none_or(|nulls| nulls.is_valid(*row)))
    };
    rows.iter().any(is_valid)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use arrow::{
        array::{AsArray as _, Date32Array, Int64Array, StringArray, TimestampMicrosecondArray, UInt32Array},
        compute::{concat_batches, filter_record_batch, kernels::cmp::eq, take_record_batch},
        datatypes::{DataType, TimestampMicrosecondType},
    };
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::encode::parquet_file::{encode, encode_planned};
    use crate::encode::partition::{Partitions, TableLayout};

    /// Rows of this type, with these times and notes; ids only for gifts.
    fn batch(rows: &[(bool, i64, Option<&str>)]) -> RecordBatch {
        let texts = |values: Vec<Option<String>>| -> ArrayRef { Arc::new(StringArray::from(values)) };
        let gift = |row: &(bool, i64, Option<&str>)| row.0.then(|| format!("donor {}", row.1 % 7));
        let event_type = |row: &(bool, i64, Option<&str>)| Some(if row.0 { "donation" } else { "transfer" }.to_owned());
        let id = |(number, row): (usize, &(bool, i64, Option<&str>))| Some(format!("{:032x}-{number}", row.1 * 7_919));
        let columns: [(&str, ArrayRef, bool); 8] = [
            ("event_id", texts(rows.iter().enumerate().map(id).collect()), false),
            ("event_type", texts(rows.iter().map(event_type).collect()), false),
            ("occurred_at", Arc::new(rows.iter().map(|row| Some(row.1)).collect::<TimestampMicrosecondArray>()), false),
            ("donor_id", texts(rows.iter().map(gift).collect()), true),
            ("points", Arc::new(rows.iter().map(|row| row.0.then_some(row.1)).collect::<Int64Array>()), true),
            ("extras", texts(rows.iter().map(|row| row.2.map(str::to_owned)).collect()), true),
            ("stream_shard", texts(rows.iter().map(|row| Some(format!("s-{}", row.1 % 3))).collect()), false),
            ("event_date", Arc::new(Date32Array::from(vec![20_780; rows.len()])), false),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    fn plan(batches: &[RecordBatch]) -> Partitions {
        Partitions::plan(batches.to_vec(), TableLayout::EVENTS, 1_000_000).unwrap()
    }

    /// Each file has the rows of its partition in their order, and its bytes give them back.
    fn check(batches: &[RecordBatch]) {
        let all = concat_batches(&batches[0].schema(), batches).unwrap();
        let (mut written, mut planned) = (0, plan(batches));
        for rows in plan(batches) {
            let rows = rows.unwrap();
            let of_type = eq(all.column(1).as_string::<i32>(), &StringArray::new_scalar(&rows.text_value)).unwrap();
            let expected = filter_record_batch(&all, &of_type).unwrap();
            let mut order: Vec<u32> = (0_u32..).take(expected.num_rows()).collect();
            let time = |row: &u32| expected.column(2).as_primitive::<TimestampMicrosecondType>().value(*row as usize);
            // Rows of one time are in the order in which they came.
            order.sort_by_key(|row| (time(row), *row));
            let expected = take_record_batch(&expected, &UInt32Array::from(order)).unwrap();
            assert_eq!(rows.rows.columns(), expected.columns());
            let file = encode(&rows, TableLayout::EVENTS).unwrap();
            let planned = encode_planned(&planned.next_file().unwrap(), TableLayout::EVENTS).unwrap();
            assert_eq!((planned.rows, &planned.statistics), (file.rows, &file.statistics));
            assert_eq!(planned.partition_values, file.partition_values);
            let reader = ParquetRecordBatchReaderBuilder::try_new(planned.bytes).unwrap().with_batch_size(1 << 20);
            let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
            assert_eq!(read.len(), 1);
            assert_eq!(read[0].columns(), rows.rows.columns());
            written += rows.rows.num_rows();
        }
        assert_eq!(written, all.num_rows());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
        #[test]
        fn a_file_has_its_rows_in_order_whatever_batches_they_come_in(
            batches in prop::collection::vec(
                prop::collection::vec((any::<bool>(), 0_i64..50, prop::option::of("[a-z]{0,3}")), 0..300), 1..5),
            // Batches of their own times follow each other, batches of the same times take turns.
            apart in 0_i64..60,
        ) {
            let batches: Vec<RecordBatch> = (0_i64..).zip(&batches).map(|(number, rows)| {
                let rows: Vec<_> =
                    rows.iter().map(|row| (row.0, row.1 + number * apart, row.2.as_deref())).collect();
                batch(&rows)
            }).collect();
            check(&batches);
        }
    }

    #[test]
    fn what_seldom_repeats_is_seen() {
        let seldom = |rows: i64, different: i64| {
            let rows: Vec<_> = (0..rows).map(|row| (true, row, None)).collect();
            let batch = batch(&rows);
            let ids: StringArray =
                (0_i64..).take(rows.len()).map(|row| Some(format!("{:x}", row % different))).collect();
            let mut columns = batch.columns().to_vec();
            columns[3] = Arc::new(ids);
            let planned = plan(&[RecordBatch::try_new(batch.schema(), columns).unwrap()]).next_file().unwrap();
            planned.rows.seldom_repeats(3)
        };
        for (rows, different, expected) in [
            (1_000, 1_000, true),
            (1_000, 760, true),
            (1_000, 640, false),
            (1_000, 1, false),
            (20_000, 19_000, true),
            (20_000, 17_000, false),
        ] {
            assert_eq!(seldom(rows, different), expected, "{different} of {rows}");
        }
    }

    #[test]
    fn a_column_without_values_is_a_column() {
        let rows: Vec<_> = (0..300).map(|row| (false, row, None)).collect();
        let gifts: Vec<_> = (0..300).map(|row| (true, row, None)).collect();
        let batches = [batch(&rows[..100]), batch(&gifts), batch(&rows[50..])];
        let transfers = plan(&batches).next_file().unwrap().gather().unwrap();
        let donors = transfers.rows.column_by_name("donor_id").unwrap();
        assert_eq!((donors.data_type(), donors.null_count()), (&DataType::Utf8, 350));
        check(&batches);
    }
}
