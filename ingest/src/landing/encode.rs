//! Rows to files: planned into partitions and encoded, no further ahead of the uploads than memory allows.

use arrow::array::RecordBatch;
use bluelake_transform::{DecodedBatch, EncodedFile, Partitions, TransformError, encode};
use tokio::sync::mpsc;

use crate::landing::draft::Target;

/// Files that are encoded ahead of the uploads. Each holds at most a file's rows in memory.
const ENCODED_AHEAD: usize = 2;
/// The most rows of a file.
const MAX_FILE_ROWS: usize = 1_000_000;

/// Files as they are encoded.
pub(crate) type EncodedFiles = mpsc::Receiver<Result<(Target, EncodedFile), TransformError>>;
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

/// Encodes on a thread of its own, a file at a time, no further ahead than the channel holds.
pub(crate) fn encode_all(rows: impl FnOnce() -> Result<Planned, TransformError> + Send + 'static) -> EncodedFiles {
    let (sender, receiver) = mpsc::channel(ENCODED_AHEAD);
    tokio::task::spawn_blocking(move || {
        let planned = match rows() {
            Ok(planned) => planned,
            Err(error) => {
                let _ = sender.blocking_send(Err(error));
                return;
            }
        };
        for (target, partitions) in planned {
            for rows in partitions {
                let file = rows.and_then(|rows| encode(&rows, target.layout())).map(|file| (target, file));
                let failed = file.is_err();
                // A receiver that is gone has met an error of its own and reports it.
                if sender.blocking_send(file).is_err() || failed {
                    return;
                }
            }
        }
    });
    receiver
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

    use bluelake_schemas::{Contract, Micros, Stream};
    use bluelake_transform::{Decoder, RecordPosition};
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
}
