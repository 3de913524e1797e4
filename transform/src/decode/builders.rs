//! Builders of texts and numbers that take the room of the last batch when the next one begins.
//!
//! The next batch is often as large as the last, so that its memory need not grow in steps. A builder without rows holds
//! nothing: thousands of shards may wait for their next record.

use arrow::array::builder::{ArrayBuilder as _, PrimitiveBuilder, StringBuilder};
use arrow::array::{ArrowPrimitiveType, PrimitiveArray, StringArray};

/// The most rows and the most bytes of a text column for which there is memory before the first row.
const MOST_ROWS_AHEAD: usize = 64 << 10;
const MOST_BYTES_AHEAD: usize = 1 << 20;

/// A builder of rows that can be told of rows without a value.
pub(crate) trait Rows {
    /// What a value is appended to.
    type Builder;

    /// Rows so far.
    fn rows(&self) -> usize;

    /// Adds rows without a value.
    fn append_nulls(&mut self, rows: usize);

    /// The builder, to append to.
    fn open(&mut self) -> &mut Self::Builder;
}

/// A builder of texts.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    builder: StringBuilder,
    /// Rows and bytes that it is to have room for; no rows once it has it.
    rows: usize,
    bytes: usize,
}

impl Rows for Texts {
    type Builder = StringBuilder;

    #[inline]
    fn rows(&self) -> usize {
        self.builder.len()
    }

    fn append_nulls(&mut self, rows: usize) {
        self.open().append_nulls(rows);
    }

    #[inline]
    fn open(&mut self) -> &mut StringBuilder {
        if self.rows > 0 {
            self.builder = StringBuilder::with_capacity(std::mem::take(&mut self.rows), self.bytes);
        }
        &mut self.builder
    }
}

impl Texts {
    /// Takes the texts.
    pub(crate) fn finish(&mut self) -> StringArray {
        let (rows, bytes) = (self.builder.len(), self.builder.values_slice().len());
        if rows > 0 {
            self.rows = more(rows).min(MOST_ROWS_AHEAD);
            self.bytes = more(bytes).min(MOST_BYTES_AHEAD);
        }
        // Not `finish`: that leaves a builder with room for 1,024 rows.
        std::mem::replace(&mut self.builder, StringBuilder::with_capacity(0, 0)).finish()
    }
}

/// A builder of numbers.
#[derive(Debug)]
pub(crate) struct Numbers<T: ArrowPrimitiveType> {
    builder: PrimitiveBuilder<T>,
    /// Rows that it is to have room for; none once it has it.
    rows: usize,
}

impl<T: ArrowPrimitiveType> Default for Numbers<T> {
    fn default() -> Self {
        Self { builder: PrimitiveBuilder::new(), rows: 0 }
    }
}

impl<T: ArrowPrimitiveType> Rows for Numbers<T> {
    type Builder = PrimitiveBuilder<T>;

    #[inline]
    fn rows(&self) -> usize {
        self.builder.len()
    }

    fn append_nulls(&mut self, rows: usize) {
        self.open().append_nulls(rows);
    }

    #[inline]
    fn open(&mut self) -> &mut PrimitiveBuilder<T> {
        if self.rows > 0 {
            self.builder = PrimitiveBuilder::with_capacity(std::mem::take(&mut self.rows));
        }
        &mut self.builder
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    /// Takes the numbers.
    pub(crate) fn finish(&mut self) -> PrimitiveArray<T> {
        let rows = self.builder.len();
        if rows > 0 {
            self.rows = more(rows).min(MOST_ROWS_AHEAD);
        }
        std::mem::replace(&mut self.builder, PrimitiveBuilder::with_capacity(0)).finish()
    }
}

/// A little more than the last batch had.
fn more(last: usize) -> usize {
    last + last / 8
}

#[cfg(test)]
mod tests {
    use arrow::array::Array as _;
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn a_builder_has_room_once_its_next_batch_begins() {
        let (mut texts, mut numbers) = (Texts::default(), Numbers::<Int64Type>::default());
        for _ in 0..2 {
            for row in 0..10_000 {
                texts.open().append_value("a text");
                numbers.open().append_value(row);
            }
            assert_eq!((texts.finish().len(), numbers.finish().len()), (10_000, 10_000));
            assert_eq!((texts.builder.values_slice().len(), numbers.builder.capacity()), (0, 0));
            assert_eq!((texts.rows(), numbers.rows()), (0, 0));
        }
        assert!(numbers.open().capacity() >= 10_000);
        assert_eq!((texts.finish().len(), numbers.finish().len()), (0, 0));
    }
}
