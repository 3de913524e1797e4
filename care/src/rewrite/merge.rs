//! Merges the rows of many sorted files, with memory only for files that overlap.
//!
//! A file is opened when the merge reaches its first row and there is room for it. Without room it waits for another
//! file to end, and its rows come late in the order. So do the rows of an unsorted file, as other engines may write it.
//! Rows are neither lost nor doubled in both cases; the writer of the rows notices the broken order.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use arrow::{
    array::{AsArray as _, RecordBatch},
    compute::interleave_record_batch,
    datatypes::TimestampMicrosecondType,
};
use bluelake_schemas::Micros;
use futures::future::BoxFuture;

use crate::error::CareError;

/// A file to merge.
pub(crate) trait Input: Send {
    /// The least value of the column that it is sorted by; `None` if unknown.
    fn first(&self) -> Option<Micros>;

    /// Bytes that it takes while it is open.
    fn weight(&self) -> usize;

    /// The next rows; `None` at the end. The first call opens the file.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<RecordBatch>, CareError>>;
}

/// A merge under way.
pub(crate) struct MergedRows<I> {
    /// Index of the column by which the inputs are sorted.
    column: usize,
    waiting: VecDeque<I>,
    open: Vec<Option<Open<I>>>,
    /// The next row of each open input.
    next: BinaryHeap<Reverse<(i64, usize)>>,
    room: usize,
    taken: usize,
}

/// An open input, with a part that has rows left.
struct Open<I> {
    input: I,
    part: RecordBatch,
    row: usize,
}

impl<I: Input> MergedRows<I> {
    /// Merges inputs whose rows have a time in `column`, with about `room` bytes of open files at once.
    pub(crate) fn new(mut inputs: Vec<I>, column: usize, room: usize) -> Self {
        inputs.sort_by_key(Input::first);
        Self { column, waiting: inputs.into(), open: Vec::new(), next: BinaryHeap::new(), room, taken: 0 }
    }

    /// The next rows: `rows` of them, fewer at the end or at the limit of bytes; `None` after the end.
    ///
    /// # Errors
    /// When an input cannot be read.
    pub(crate) async fn next(&mut self, rows: usize, bytes: usize) -> Result<Option<RecordBatch>, CareError> {
        let mut parts: Vec<RecordBatch> = Vec::new();
        let mut places: Vec<Option<usize>> = vec![None; self.open.len()];
        let mut order: Vec<(usize, usize)> = Vec::with_capacity(rows);
        let mut gathered = 0_usize;
        while order.len() < rows && gathered < bytes {
            self.open_those_reached().await?;
            places.resize(self.open.len(), None);
            let Some(Reverse((_, index))) = self.next.pop() else { break };
            let limit = self.limit();
            let Some(open) = self.open.get_mut(index).and_then(Option::as_mut) else { continue };
            let place = match places.get(index).copied().flatten() {
                Some(place) => place,
                None => {
                    parts.push(open.part.clone());
                    parts.len() - 1
                }
            };
            let row_bytes = (open.part.get_array_memory_size() / open.part.num_rows().max(1)).max(1);
            let most = (rows - order.len()).min((bytes - gathered).div_ceil(row_bytes));
            let end = run_end(open, self.column, limit, most)?;
            gathered = gathered.saturating_add((end - open.row).saturating_mul(row_bytes));
            order.extend((open.row..end).map(|row| (place, row)));
            open.row = end;
            // Another part of the input has another index.
            let left = open.row < open.part.num_rows();
            if let Some(known) = places.get_mut(index) {
                *known = left.then_some(place);
            }
            self.go_on(index).await?;
        }
        if order.is_empty() {
            return Ok(None);
        }
        let parts: Vec<&RecordBatch> = parts.iter().collect();
        Ok(Some(interleave_record_batch(&parts, &order)?))
    }

    /// The limit for the input with the least row: the next row of another input.
    fn limit(&self) -> i64 {
        let open = self.next.peek().map(|Reverse((key, _))| *key);
        let waiting = self.waiting.front().filter(|input| self.has_room_for(*input)).and_then(Input::first);
        let waiting = waiting.map(Micros::get);
        open.into_iter().chain(waiting).min().unwrap_or(i64::MAX)
    }

    fn has_room_for(&self, input: &I) -> bool {
        self.taken == 0 || self.taken.saturating_add(input.weight()) <= self.room
    }

    /// Opens inputs until the first that begins after the least row, or has no room.
    async fn open_those_reached(&mut self) -> Result<(), CareError> {
        loop {
            let least = self.next.peek().map(|Reverse((key, _))| *key);
            let reached = |first: Option<Micros>| match (first, least) {
                (Some(first), Some(least)) => first.get() <= least,
                (None, _) | (_, None) => true,
            };
            let is_next = self.waiting.front().is_some_and(|input| self.has_room_for(input) && reached(input.first()));
            let Some(mut input) = is_next.then(|| self.waiting.pop_front()).flatten() else { return Ok(()) };
            self.taken = self.taken.saturating_add(input.weight());
            match next_part(&mut input).await? {
                Some(part) => {
                    self.open.push(Some(Open { input, part, row: 0 }));
                    self.queue(self.open.len() - 1)?;
                }
                None => self.taken = self.taken.saturating_sub(input.weight()),
            }
        }
    }

    /// Puts an input back in the queue, with its next part if it needs one. An input that has ended is closed.
    async fn go_on(&mut self, index: usize) -> Result<(), CareError> {
        let Some(slot) = self.open.get_mut(index) else { return Ok(()) };
        let Some(open) = slot.as_mut() else { return Ok(()) };
        if open.row >= open.part.num_rows() {
            match next_part(&mut open.input).await? {
                Some(part) => {
                    open.part = part;
                    open.row = 0;
                }
                None => {
                    self.taken = self.taken.saturating_sub(open.input.weight());
                    *slot = None;
                    return Ok(());
                }
            }
        }
        self.queue(index)
    }

    fn queue(&mut self, index: usize) -> Result<(), CareError> {
        if let Some(open) = self.open.get(index).and_then(Option::as_ref) {
            let key = times(&open.part, self.column)?.value(open.row);
            self.next.push(Reverse((key, index)));
        }
        Ok(())
    }
}

/// The next part that has rows.
async fn next_part<I: Input>(input: &mut I) -> Result<Option<RecordBatch>, CareError> {
    loop {
        match input.next().await? {
            Some(part) if part.num_rows() == 0 => {}
            part => return Ok(part),
        }
    }
}

/// The end of the rows that may be taken: at least one row, and none after the limit.
fn run_end<I>(open: &Open<I>, column: usize, limit: i64, most: usize) -> Result<usize, CareError> {
    let times = times(&open.part, column)?;
    let last = open.part.num_rows().min(open.row.saturating_add(most));
    let mut end = open.row + 1;
    while end < last && times.value(end) <= limit {
        end += 1;
    }
    Ok(end.min(last))
}

fn times(part: &RecordBatch, column: usize) -> Result<&arrow::array::TimestampMicrosecondArray, CareError> {
    let found = part.columns().get(column).and_then(|values| values.as_primitive_opt::<TimestampMicrosecondType>());
    found.ok_or_else(|| {
        let schema = part.schema();
        let name = schema.fields().get(column).map_or("", |field| field.name().as_str());
        CareError::Column { column: name.to_owned(), reason: "files are sorted by it, and it is no time".to_owned() }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_wrap)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use arrow::{
        array::{Int64Array, TimestampMicrosecondArray},
        datatypes::{DataType, Field, Int64Type, Schema, TimeUnit},
    };
    use futures::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    /// An input in memory that counts the open ones.
    struct Part {
        times: Vec<i64>,
        at: usize,
        cut: usize,
        id: i64,
        known: bool,
        open: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
    }

    impl Input for Part {
        fn first(&self) -> Option<Micros> {
            self.times.iter().min().filter(|_| self.known).copied().map(Micros::new)
        }

        fn weight(&self) -> usize {
            10
        }

        fn next(&mut self) -> BoxFuture<'_, Result<Option<RecordBatch>, CareError>> {
            async move {
                if self.at == 0 {
                    let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
                    self.most.fetch_max(open, Ordering::Relaxed);
                }
                if self.at >= self.times.len() {
                    self.open.fetch_sub(1, Ordering::Relaxed);
                    return Ok(None);
                }
                let end = (self.at + self.cut).min(self.times.len());
                let rows = batch(&self.times[self.at..end], self.id);
                self.at = end;
                Ok(Some(rows))
            }
            .boxed()
        }
    }

    fn batch(times: &[i64], id: i64) -> RecordBatch {
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        let schema =
            Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("occurred_at", time, false)]);
        let ids = Int64Array::from(vec![id; times.len()]);
        let times = TimestampMicrosecondArray::from(times.to_vec());
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(times)]).unwrap()
    }

    /// The rows of a merge of such inputs, and the most that were open at once.
    fn merged(inputs: &[Vec<i64>], cut: usize, room: usize, known: bool) -> (Vec<(i64, i64)>, usize) {
        merged_within(usize::MAX, inputs, cut, (room, known))
    }

    /// As [`merged`], with a limit of bytes of rows at once.
    fn merged_within(
        bytes: usize,
        inputs: &[Vec<i64>],
        cut: usize,
        (room, known): (usize, bool),
    ) -> (Vec<(i64, i64)>, usize) {
        let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let parts = inputs.iter().enumerate().map(|(id, times)| Part {
            times: times.clone(),
            at: 0,
            cut,
            id: id as i64,
            known,
            open: open.clone(),
            most: most.clone(),
        });
        let mut merge = MergedRows::new(parts.collect(), 1, room);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let rows = runtime.block_on(async {
            let mut rows = Vec::new();
            while let Some(batch) = merge.next(7, bytes).await.unwrap() {
                assert!(batch.num_rows() > 0 && batch.num_rows() <= 7);
                assert!(bytes > 1 || batch.num_rows() == 1, "a row at least, and no more than the bytes allow");
                let ids = batch.column(0).as_primitive::<Int64Type>().clone();
                let times = batch.column(1).as_primitive::<TimestampMicrosecondType>().clone();
                rows.extend((0..batch.num_rows()).map(|row| (times.value(row), ids.value(row))));
            }
            rows
        });
        (rows, most.load(Ordering::Relaxed))
    }

    fn expected(inputs: &[Vec<i64>]) -> Vec<(i64, i64)> {
        let rows = inputs.iter().enumerate().flat_map(|(id, times)| times.iter().map(move |time| (*time, id as i64)));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable();
        rows
    }

    proptest! {
        #[test]
        fn sorted_inputs_give_every_row_in_order(
            mut inputs in prop::collection::vec(prop::collection::vec(0_i64..50, 0..20), 0..8),
            cut in 1_usize..6, known in any::<bool>(),
        ) {
            inputs.iter_mut().for_each(|times| times.sort_unstable());
            let (mut rows, _) = merged(&inputs, cut, usize::MAX, known);
            prop_assert!(rows.is_sorted_by_key(|row| row.0), "{rows:?}");
            rows.sort_unstable();
            prop_assert_eq!(rows, expected(&inputs));
        }

        #[test]
        fn unsorted_inputs_and_little_room_lose_no_row(
            inputs in prop::collection::vec(prop::collection::vec(0_i64..50, 0..20), 0..8),
            cut in 1_usize..6, room in 0_usize..40, known in any::<bool>(),
        ) {
            let (mut rows, open) = merged(&inputs, cut, room, known);
            rows.sort_unstable();
            prop_assert_eq!(rows, expected(&inputs));
            prop_assert!(open <= (room / 10).max(1), "{open} open with room for {}", room / 10);
        }
    }

    #[test]
    fn heavy_rows_come_one_by_one() {
        let inputs: Vec<Vec<i64>> = (0..4).map(|day| (day * 3..day * 3 + 6).collect()).collect();
        let (rows, _) = merged_within(1, &inputs, 4, (usize::MAX, true));
        assert_eq!(rows, expected(&inputs));
    }

    #[test]
    fn consecutive_files_are_open_one_at_a_time() {
        let inputs: Vec<Vec<i64>> = (0..20).map(|day| (day * 100..day * 100 + 50).collect()).collect();
        let (rows, open) = merged(&inputs, 8, usize::MAX, true);
        assert_eq!((rows, open), (expected(&inputs), 1));
    }
}
