//! A lake in a temporary folder and batches made by hand.

use std::sync::{Arc, atomic::AtomicUsize};

use arrow::{
    array::{ArrayRef, Date32Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array},
    datatypes::{DataType, SchemaRef},
};
use bluelake_lake::{
    Batch, ControlTotals, DataFile, Lake, NewFile, Position, RecentRanges, SequenceNumber, ShardAdvance, StreamTable,
    Uploader, Writer, recent_events,
};
use bluelake_schemas::{Contract, Micros, Stream, rejected_events_schema};
use bluelake_transform::{EncodedFile, Partitions, TableLayout, encode};
use object_store::{ObjectStore, memory::InMemory};
use uuid::Uuid;

use crate::stores::{Fault, Faulty, audit::audit_of, with_concern};

pub(crate) const STREAM: Stream = Stream::TransactionEvents;
/// 2026-01-01T00:00:00Z in microseconds.
const NEW_YEAR: i64 = 1_767_225_600_000_000;

pub(crate) struct Fixture {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) lake: Lake,
    pub(crate) contract: Contract,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = lake_at(folder.path());
        let contract = Contract::embedded().unwrap();
        lake.init(&contract).await.unwrap();
        Self { folder, lake, contract }
    }

    /// A lake in memory: without syncs, so that many commits take little time. Its folders stay empty.
    pub(crate) async fn in_memory() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Before a log is read, its folder is looked for at the URL.
        for table in Stream::ALL.map(Stream::table).into_iter().chain(["rejected_events"]) {
            std::fs::create_dir(folder.path().join(table)).unwrap();
        }
        let lake =
            lake_at(folder.path()).with_store(|_| with_concern(Arc::new(InMemory::new()), audit_of(folder.path())));
        let contract = Contract::embedded().unwrap();
        lake.init(&contract).await.unwrap();
        Self { folder, lake, contract }
    }

    /// The same lake over a store of the caller's.
    pub(crate) fn over(&self, decorate: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Lake {
        lake_at(self.folder.path()).with_store(decorate)
    }

    /// The same lake over a store that meets `fault` on the next `times` puts whose path contains `pattern`.
    pub(crate) fn faulty(&self, pattern: &'static str, fault: Fault, times: usize) -> Lake {
        self.over(|inner| with_concern(inner, Faulty { pattern, fault, left: AtomicUsize::new(times) }))
    }

    pub(crate) async fn open(&self) -> StreamTable {
        self.try_open(&self.lake).await.unwrap()
    }

    pub(crate) async fn try_open(&self, lake: &Lake) -> Result<StreamTable, bluelake_lake::LakeError> {
        let writer = Writer {
            worker: "test".to_owned(),
            stream_arn: "arn:test".to_owned(),
            stream_created_at: None,
            contract_version: self.contract.version(),
        };
        StreamTable::open(lake, &self.contract, STREAM, writer).await
    }

    /// Sequence numbers of the rows in the event table.
    pub(crate) async fn sequences(&self) -> Vec<String> {
        let table = self.lake.table(STREAM.table()).await.unwrap();
        let wanted: RecentRanges =
            ["shardId-0", "shardId-1"].map(|shard| (shard.into(), Micros::new(0)..=Micros::MAX)).into();
        let mut found = Vec::new();
        recent_events(STREAM.table(), &table, &wanted, &mut |event| found.push(event.sequence.to_owned()))
            .await
            .unwrap();
        found.sort();
        found
    }

    pub(crate) async fn rejected_rows(&self) -> usize {
        let table = self.lake.table("rejected_events").await.unwrap();
        table.snapshot().unwrap().log_data().iter().map(|file| file.num_records().unwrap()).sum()
    }
}

pub(crate) fn lake_at(folder: &std::path::Path) -> Lake {
    let lake = Lake::at(&folder.to_str().unwrap().parse().unwrap(), None).unwrap();
    lake.with_store(|inner| with_concern(inner, audit_of(folder)))
}

/// The state that a shard is in after `sequence`.
pub(crate) fn after(sequence: u32) -> Position {
    Position::After(SequenceNumber::parse(&sequence.to_string()).unwrap())
}

pub(crate) fn advance(shard: &str, from: Option<Position>, to: Position, stored: u64, rejected: u64) -> ShardAdvance {
    ShardAdvance {
        shard: shard.into(),
        starting_sequence: SequenceNumber::parse("1").unwrap(),
        parents: Vec::new(),
        from_exclusive: from,
        to_inclusive: to,
        ended: false,
        arrived_at: Some(Micros::new(NEW_YEAR)),
        drained_at: None,
        pinned_at: None,
        counts: ControlTotals { received: stored + rejected, stored, rejected, ..ControlTotals::default() },
        gap: None,
    }
}

/// A batch of positions alone.
pub(crate) fn empty(table: &StreamTable, shards: Vec<ShardAdvance>) -> Batch {
    Batch {
        id: Uuid::now_v7(),
        base: table.document().map_or(0, |document| document.head.number),
        erasure_epoch: 0,
        shards,
        retire: Vec::new(),
        supplement: None,
        files: Vec::new(),
        rejected_files: Vec::new(),
    }
}

pub(crate) async fn pin(table: &mut StreamTable, shard: &str) {
    let batch = empty(table, vec![advance(shard, None, Position::TrimHorizon, 0, 0)]);
    table.commit(&batch).await.unwrap();
}

/// A batch that moves `shard` to `to` with the rows `sequences` and some rejected events.
pub(crate) async fn batch(
    table: &StreamTable,
    shard: &str,
    from: Position,
    sequences: std::ops::RangeInclusive<u32>,
    rejected: usize,
) -> Batch {
    batch_of(table, (shard, from), sequences, rejected, RowShape::default()).await
}

/// The difference of a batch's rows from plain ones.
#[derive(Clone, Copy)]
pub(crate) struct RowShape {
    /// The id of each event is its sequence number less this.
    pub(crate) id_offset: u32,
    /// The date of the rows, in days since the epoch.
    pub(crate) event_date: i32,
    /// Days after New Year on which they happened.
    pub(crate) happened: i64,
    /// Their arrival, in seconds after New Year.
    pub(crate) arrived: i64,
    /// Sub-sequence number of each event.
    pub(crate) sub_sequence: i32,
}

impl Default for RowShape {
    fn default() -> Self {
        Self { id_offset: 0, event_date: 20_454, happened: 0, arrived: 0, sub_sequence: 0 }
    }
}

/// As [`batch`], with rows of another shape.
pub(crate) async fn batch_of(
    table: &StreamTable,
    (shard, from): (&str, Position),
    sequences: std::ops::RangeInclusive<u32>,
    rejected: usize,
    shape: RowShape,
) -> Batch {
    let to = after(*sequences.end());
    let rows: Vec<u32> = sequences.collect();
    let schema = Contract::embedded().unwrap().stream(STREAM).table_schema();
    let stored = u64::try_from(rows.len()).unwrap();
    let step = advance(shard, Some(from), to, stored, u64::try_from(rejected).unwrap());
    let mut batch = empty(table, vec![step]);
    let events = rows_of(&schema, shard, &rows, shape);
    batch.files = upload(table.event_uploader(), batch.id, events, TableLayout::EVENTS).await;
    if rejected > 0 {
        // Sub-records of the last record, beside its event.
        let rows = vec![*rows.last().unwrap(); rejected];
        let rows = rows_of(&rejected_events_schema(), shard, &rows, RowShape::default());
        batch.rejected_files = upload(table.rejected_uploader(), batch.id, rows, TableLayout::REJECTED).await;
    }
    batch
}

async fn upload(uploader: Uploader, id: Uuid, rows: RecordBatch, layout: TableLayout) -> Vec<DataFile> {
    let mut files = Vec::new();
    for (number, rows) in Partitions::plan(vec![rows], layout, 1_000).unwrap().enumerate() {
        files.push(upload_file(&uploader, id, number, encode(&rows.unwrap(), layout).unwrap()).await);
    }
    files
}

pub(crate) async fn upload_file(uploader: &Uploader, id: Uuid, number: usize, file: EncodedFile) -> DataFile {
    let path = file.path(id, number);
    let file = NewFile {
        path,
        partition_values: file.partition_values,
        bytes: file.bytes,
        rows: file.rows,
        statistics: file.statistics,
    };
    uploader.upload(file).await.unwrap()
}

/// Rows that fill the required columns of `schema` and leave the rest null.
pub(crate) fn rows_of(schema: &SchemaRef, shard: &str, sequences: &[u32], shape: RowShape) -> RecordBatch {
    let count = sequences.len();
    let rejected = schema.field_with_name("reason").is_ok();
    let columns = schema
        .fields()
        .iter()
        .map(|field| -> ArrayRef {
            let text = |value: &dyn Fn(&u32) -> String| -> ArrayRef {
                Arc::new(sequences.iter().map(|sequence| Some(value(sequence))).collect::<StringArray>())
            };
            match (field.name().as_str(), field.data_type()) {
                ("event_id", _) => {
                    text(&|sequence| Uuid::from_u128(u128::from(*sequence - shape.id_offset)).to_string())
                }
                ("event_type", _) => text(&|_| "donation".to_owned()),
                ("stream", _) => text(&|_| STREAM.name().to_owned()),
                ("stream_shard", _) => text(&|_| shard.to_owned()),
                ("stream_sequence", _) => text(&ToString::to_string),
                ("stream_sub_sequence", _) if rejected => {
                    Arc::new((1..=i32::try_from(count).unwrap()).collect::<Int32Array>())
                }
                ("stream_sub_sequence", _) => Arc::new(Int32Array::from(vec![shape.sub_sequence; count])),
                (_, DataType::Int32) => Arc::new(Int32Array::from(vec![0; count])),
                (_, DataType::Date32) => Arc::new(Date32Array::from(vec![shape.event_date; count])),
                ("arrived_at", _) => {
                    let arrived = NEW_YEAR + shape.arrived * 1_000_000;
                    Arc::new(TimestampMicrosecondArray::from(vec![arrived; count]).with_timezone("UTC"))
                }
                (_, DataType::Timestamp(_, _)) => {
                    let happened = NEW_YEAR + shape.happened * 86_400_000_000;
                    Arc::new(TimestampMicrosecondArray::from(vec![happened; count]).with_timezone("UTC"))
                }
                (_, kind) if field.is_nullable() => new_null_array(kind, count),
                (_, DataType::Utf8) => text(&|_| "x".to_owned()),
                (_, DataType::Binary) => Arc::new(arrow::array::BinaryArray::from_iter_values(vec![b"x"; count])),
                (name, kind) => panic!("no value for {name}: {kind}"),
            }
        })
        .collect();
    RecordBatch::try_new(schema.clone(), columns).unwrap()
}
