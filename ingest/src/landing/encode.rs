//! Rows to files: planned into partitions and encoded, several files at once, no further ahead of the uploads than memory
//! allows.

use std::{collections::VecDeque, num::NonZero, thread};

use arrow::array::RecordBatch;
use bluelake_schemas::Stream;
use bluelake_transform::{DecodedBatch, EncodedFile, Partitions, PlannedFile, TransformError, encode_planned};
use tokio::task::JoinHandle;

use crate::{error::IngestError, landing::draft::Target};

/// The most files that are encoded at once, or wait for those before them: one for each core and one more, at
/// most this. Files differ in size, and a core is not to wait for the largest.
const MOST_AT_ONCE: usize = 8;
/// The most bytes of their rows together, or one file: a file holds a copy of its rows, and what becomes of them.
const BYTES_AT_ONCE: usize = 32 << 20;
/// The most rows of a file.
const MAX_FILE_ROWS: usize = 1_000_000;

/// The partitions of each table that rows were planned into.
pub(crate) type Planned = Vec<(Target, Partitions)>;

/// Rows of both tables, each with its target.
pub(crate) fn by_target(rows: Vec<DecodedBatch>) -> [(Target, Vec<RecordBatch>); 2] {
    let (events, rejected) = rows.into_iter().map(|rows| (rows.events, rows.rejected)).unzip();
    [(Target::Events, events), (Target::Rejected, rejected)]
}

/// The largest partitions of each table, with at least half of its rows, and all other rows.
pub(crate) fn split_largest(rows: Vec<DecodedBatch>) -> Result<(Planned, Option<DecodedBatch>), TransformError> {
    let mut rest = rows.first().map(|first| DecodedBatch {
        events: RecordBatch::new_empty(first.events.schema()),
        rejected: RecordBatch::new_empty(first.rejected.schema()),
        unknown_fields: 0,
    });
    let mut largest = Vec::new();
    for (target, batches) in by_target(rows) {
        let partitions = Partitions::plan(batches, target.layout(), MAX_FILE_ROWS)?;
        let half = partitions.bytes().div_ceil(2);
        let (partitions, others) = partitions.split_largest(half)?;
        largest.push((target, partitions));
        if let (Some(rest), Some(others)) = (&mut rest, others) {
            match target {
                Target::Events => rest.events = others,
                Target::Rejected => rest.rejected = others,
            }
        }
    }
    Ok((largest, rest))
}

/// A file that is being encoded.
struct Encoding {
    target: Target,
    row_bytes: usize,
    file: JoinHandle<Result<EncodedFile, TransformError>>,
}

/// Files as they are encoded, several at once, in the order in which they were planned.
pub(crate) struct EncodedFiles {
    planning: Option<JoinHandle<Result<Planned, TransformError>>>,
    planned: VecDeque<(Target, Partitions)>,
    /// The next file, when it has to wait.
    next: Option<(Target, PlannedFile)>,
    /// Files that are being encoded, or that wait for those before them.
    under_way: VecDeque<Encoding>,
    most: usize,
    /// The most bytes of their rows together.
    room: usize,
}

impl EncodedFiles {
    /// Plans on a thread of its own. No file is begun before the first is asked for.
    pub(crate) fn of(rows: impl FnOnce() -> Result<Planned, TransformError> + Send + 'static) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            planning: Some(tokio::task::spawn_blocking(rows)),
            planned: VecDeque::new(),
            next: None,
            under_way: VecDeque::new(),
            most: (cores + 1).min(MOST_AT_ONCE),
            room: BYTES_AT_ONCE,
        }
    }

    /// The next file. After an error nothing more is begun.
    pub(crate) async fn next(&mut self, stream: Stream) -> Option<Result<(Target, EncodedFile), IngestError>> {
        let transform = |source| IngestError::Transform { stream, source };
        if let Some(planning) = self.planning.take() {
            match planning.await {
                Ok(Ok(planned)) => self.planned = planned.into(),
                Ok(Err(error)) => return Some(Err(transform(error))),
                Err(error) => return Some(Err(IngestError::task(stream, &error))),
            }
        }
        self.begin();
        let Encoding { target, file, .. } = self.under_way.pop_front()?;
        let file = match file.await {
            Ok(file) => file.map(|file| (target, file)).map_err(transform),
            Err(error) => Err(IngestError::task(stream, &error)),
        };
        if file.is_err() {
            (self.next, self.planned, self.under_way) = (None, VecDeque::new(), VecDeque::new());
        }
        // The one that was taken made room.
        self.begin();
        Some(file)
    }

    /// Begins files as long as there is room.
    fn begin(&mut self) {
        while let Some((target, file)) = self.next.take().or_else(|| self.plan()) {
            let bytes: usize = self.under_way.iter().map(|file| file.row_bytes).sum();
            let has_room = self.under_way.len() < self.most && bytes + file.row_bytes() <= self.room;
            if !has_room && !self.under_way.is_empty() {
                self.next = Some((target, file));
                return;
            }
            let row_bytes = file.row_bytes();
            let file = tokio::task::spawn_blocking(move || encode_planned(&file, target.layout()));
            self.under_way.push_back(Encoding { target, row_bytes, file });
        }
    }

    fn plan(&mut self) -> Option<(Target, PlannedFile)> {
        loop {
            let (target, partitions) = self.planned.front_mut()?;
            if let Some(file) = partitions.next_file() {
                return Some((*target, file));
            }
            self.planned.pop_front();
        }
    }
}

/// Plans rows into partitions, and those into files.
pub(crate) fn plan_all(rows: [(Target, Vec<RecordBatch>); 2]) -> Result<Planned, TransformError> {
    let plan =
        |(target, batches): (Target, _)| Ok((target, Partitions::plan(batches, target.layout(), MAX_FILE_ROWS)?));
    rows.into_iter().map(plan).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{AsArray as _, Date32Array},
        datatypes::Date32Type,
    };
    use bluelake_schemas::{Contract, Micros};
    use bluelake_transform::{Decoder, RecordPosition, encode};
    use uuid::Uuid;

    use super::*;

    /// Events on `days` days, one on the first, two on the second and so on, and one rejected event a day.
    fn rows(days: u32) -> DecodedBatch {
        let decoder = Arc::new(Decoder::new(&Contract::embedded().unwrap(), Stream::UserEvents).unwrap());
        let mut batch = decoder.batch();
        let arrived_at = 1_790_000_000_000_000;
        let mut number = 0;
        for day in 1..=days {
            for _ in 0..day {
                number += 1;
                let event = format!(
                    r#"{{"event_id":"{}","event_type":"user_created","occurred_at":"2026-01-{day:02}T00:00:00Z",
                    "source":"onboarding","channel":"web","user_id":"u{number}","user_kind":"civilian"}}"#,
                    Uuid::now_v7()
                );
                let sequence = number.to_string();
                let position = RecordPosition {
                    shard: "s",
                    sequence: &sequence,
                    arrived_at: Micros::new(arrived_at),
                    hash_keys: None,
                };
                let counts = batch.push(&position, event.as_bytes(), &mut |_, _| false);
                assert_eq!(counts.stored, 1, "{event}");
            }
            batch.push(
                &RecordPosition { shard: "s", sequence: "1", arrived_at: Micros::new(arrived_at), hash_keys: None },
                b"not json",
                &mut |_, _| false,
            );
        }
        batch.finish().unwrap()
    }

    #[test]
    fn the_largest_partitions_are_uploaded_first() {
        let (largest, rest) = split_largest(vec![rows(4), rows(3)]).unwrap();
        let rest = rest.unwrap();
        let mut written = Vec::new();
        for (target, partitions) in largest {
            let files = partitions.map(|rows| encode(&rows.unwrap(), target.layout()).unwrap());
            written.extend(files.map(|file| (target, file.partition_values[1].1.clone(), file.rows)));
        }
        // Of 16 events, days 1 to 4 have 2, 4, 6 and 4; the rejected are one partition.
        assert_eq!(written.len(), 3, "{written:?}");
        assert_eq!(written[0], (Target::Events, "2026-01-03".to_owned(), 6));
        // Days 2 and 4 have as many rows; a few bytes decide.
        assert_eq!((written[1].0, written[1].2), (Target::Events, 4), "{written:?}");
        assert_eq!((written[2].0, written[2].2), (Target::Rejected, 7));
        assert_eq!((rest.events.num_rows(), rest.rejected.num_rows()), (6, 0));
        let days = plan_all(by_target(vec![rest])).unwrap().into_iter().flat_map(|(_, partitions)| partitions);
        assert_eq!(days.map(|rows| rows.unwrap().rows.num_rows()).collect::<Vec<_>>(), [2, 4]);
    }

    fn encoded(rows: DecodedBatch) -> EncodedFiles {
        EncodedFiles::of(move || plan_all(by_target(vec![rows])))
    }

    /// The day and rows of each file, and the most files that were under way.
    async fn all(mut files: EncodedFiles) -> (Vec<(String, u64)>, usize) {
        let (mut found, mut most) = (Vec::new(), 0);
        while let Some(file) = files.next(Stream::UserEvents).await {
            let (_, file) = file.unwrap();
            found.push((file.partition_values[1].1.clone(), file.rows));
            most = most.max(files.under_way.len());
        }
        (found, most)
    }

    #[tokio::test]
    async fn several_files_are_encoded_at_once_and_come_in_order() {
        let (files, most) = all(encoded(rows(20))).await;
        let days = files.iter().take(20).map(|(day, rows)| (day.as_str(), *rows));
        let expected: Vec<_> = (1..=20).map(|day| (format!("2026-01-{day:02}"), day)).collect();
        assert!(days.eq(expected.iter().map(|(day, rows)| (day.as_str(), *rows))), "{files:?}");
        assert_eq!((files.len(), files[20].1), (21, 20), "the rejected come last");
        assert!((2..=MOST_AT_ONCE).contains(&most), "{most} at once");
    }

    #[tokio::test]
    async fn a_file_waits_for_room() {
        let one_at_a_time = EncodedFiles { room: 1, ..encoded(rows(5)) };
        let (files, most) = all(one_at_a_time).await;
        assert_eq!((files.len(), most), (6, 1));
    }

    #[tokio::test]
    async fn an_error_of_one_file_ends_the_others() {
        let mut rows = rows(4);
        let schema = rows.events.schema();
        let at = schema.index_of("event_date").unwrap();
        let mut columns = rows.events.columns().to_vec();
        // The three rows of the third day are of a day without a name.
        let days = columns[at].as_primitive::<Date32Type>().values().iter().enumerate();
        let days = days.map(|(row, day)| Some(if (3..6).contains(&row) { i32::MAX } else { *day }));
        columns[at] = Arc::new(days.collect::<Date32Array>());
        rows.events = RecordBatch::try_new(schema, columns).unwrap();
        let mut files = encoded(rows);
        let mut written = 0;
        let error = loop {
            match files.next(Stream::UserEvents).await.unwrap() {
                Ok((_, file)) => written += file.rows,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, IngestError::Transform { .. }), "{error}");
        assert_eq!(written, 1 + 2 + 4, "those before it in their order");
        assert!(files.next(Stream::UserEvents).await.is_none(), "no further file is begun");
    }
}
