//! The cost of the exactly-once protocol for a commit. In turns, a batch goes through [`StreamTable::commit`] (read
//! back, document, fence, `txn`), and the same file through a bare Delta commit, into two lakes on one disk.
//!
//!     cargo bench --workspace --bench commit

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, missing_docs)]

use std::time::{Duration, Instant};

use bluelake_lake::{
    Batch, ControlTotals, DataFile, Lake, NewFile, Position, SequenceNumber, ShardAdvance, StreamTable, Writer,
};
use bluelake_schemas::{Contract, Stream};
use bytes::Bytes;
use deltalake::{
    DeltaTable,
    kernel::{
        Action, Add,
        transaction::{CommitBuilder, CommitProperties},
    },
    protocol::{DeltaOperation, SaveMode},
};
use uuid::Uuid;

const STREAM: Stream = Stream::TransactionEvents;
const COMMITS: u32 = 300;
/// Shards of the stream: each has an entry in every document.
const SHARDS: [u32; 2] = [4, 256];

#[tokio::main]
async fn main() {
    println!("{COMMITS} commits of one file, milliseconds\n");
    println!("| shards | commit | median | 95 % | slowest |\n| --- | --- | --- | --- | --- |");
    for shards in SHARDS {
        let mut protocol = Protocol::new(shards).await;
        let mut bare = Bare::new().await;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for number in 1..=COMMITS {
            with.push(protocol.commit(number).await);
            without.push(bare.commit().await);
        }
        let with = row(shards, "exactly once", &mut with);
        let without = row(shards, "bare Delta", &mut without);
        println!("| {shards} | ratio | {:.2} | | |", with.as_secs_f64() / without.as_secs_f64());
    }
}

/// Prints a row of the table and gives the median.
fn row(shards: u32, name: &str, times: &mut [Duration]) -> Duration {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!("| {shards} | {name} | {:.2} | {:.2} | {:.2} |", millis(at(50)), millis(at(95)), millis(at(100)));
    at(50)
}

async fn lake() -> (tempfile::TempDir, Lake, Contract) {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::at(&folder.path().to_str().unwrap().parse().unwrap(), None).unwrap();
    let contract = Contract::embedded().unwrap();
    lake.init(&contract).await.unwrap();
    (folder, lake, contract)
}

fn sequence(number: u32) -> SequenceNumber {
    SequenceNumber::parse(&format!("4959033827149025660855969253836157109592157598913658{number:04}")).unwrap()
}

fn shard(number: u32) -> String {
    format!("shardId-{number:012}")
}

/// The file that every commit adds. Its content does not matter; it is uploaded and described.
fn file(id: Uuid) -> NewFile {
    NewFile {
        path: format!("event_type=donation/event_date=2026-01-01/{id}-00000.parquet"),
        partition_values: vec![
            ("event_type".to_owned(), "donation".to_owned()),
            ("event_date".to_owned(), "2026-01-01".to_owned()),
        ],
        bytes: Bytes::from(vec![7_u8; 64 << 10]),
        rows: 1_000,
        statistics: r#"{"numRecords":1000}"#.to_owned(),
    }
}

struct Protocol {
    table: StreamTable,
    shards: u32,
    _folder: tempfile::TempDir,
}

impl Protocol {
    async fn new(shards: u32) -> Self {
        let (folder, lake, contract) = lake().await;
        let writer = Writer {
            worker: "bench".to_owned(),
            stream_arn: "arn".to_owned(),
            stream_created_at: None,
            contract_version: 1,
        };
        let table = StreamTable::open(&lake, &contract, STREAM, writer).await.unwrap();
        let mut this = Self { table, shards, _folder: folder };
        let pins = (0..shards).map(|number| advance(number, None, Position::TrimHorizon, 0)).collect();
        let pins = this.batch(pins, Vec::new());
        this.table.commit(&pins).await.unwrap();
        this
    }

    fn batch(&self, shards: Vec<ShardAdvance>, files: Vec<DataFile>) -> Batch {
        Batch {
            id: files.first().map_or_else(Uuid::now_v7, |file| file_id(&file.path)),
            base: self.table.document().map_or(0, |document| document.head.number),
            erasure_epoch: 0,
            shards,
            retire: Vec::new(),
            supplement: None,
            files,
            rejected_files: Vec::new(),
        }
    }

    async fn commit(&mut self, number: u32) -> Duration {
        let file = self.table.event_uploader().upload(file(Uuid::now_v7())).await.unwrap();
        let before = if number == 1 { Position::TrimHorizon } else { Position::After(sequence(number - 1)) };
        let counts = |shard| if shard == 0 { file.rows } else { 0 };
        let moved = (0..self.shards)
            .map(|shard| advance(shard, Some(before.clone()), Position::After(sequence(number)), counts(shard)));
        let batch = self.batch(moved.collect(), vec![file.clone()]);
        let started = Instant::now();
        self.table.commit(&batch).await.unwrap();
        started.elapsed()
    }
}

fn file_id(path: &str) -> Uuid {
    let name = path.rsplit('/').next().unwrap();
    Uuid::parse_str(&name[..36]).unwrap()
}

fn advance(number: u32, from: Option<Position>, to: Position, stored: u64) -> ShardAdvance {
    ShardAdvance {
        shard: shard(number).into(),
        starting_sequence: sequence(0),
        parents: Vec::new(),
        from_exclusive: from,
        to_inclusive: to,
        ended: false,
        arrived_at: None,
        drained_at: None,
        pinned_at: None,
        counts: ControlTotals { received: stored, stored, ..ControlTotals::default() },
        gap: None,
    }
}

struct Bare {
    table: DeltaTable,
    uploader: bluelake_lake::Uploader,
    _folder: tempfile::TempDir,
}

impl Bare {
    async fn new() -> Self {
        let (folder, lake, contract) = lake().await;
        let writer = Writer {
            worker: "bench".to_owned(),
            stream_arn: "arn".to_owned(),
            stream_created_at: None,
            contract_version: 1,
        };
        let opened = StreamTable::open(&lake, &contract, STREAM, writer).await.unwrap();
        let table = lake.table(STREAM.table()).await.unwrap();
        Self { table, uploader: opened.event_uploader(), _folder: folder }
    }

    async fn commit(&mut self) -> Duration {
        let file = self.uploader.upload(file(Uuid::now_v7())).await.unwrap();
        let add = Add {
            path: file.path.clone(),
            partition_values: file
                .partition_values
                .iter()
                .map(|(key, value)| (key.clone(), Some(value.clone())))
                .collect(),
            size: i64::try_from(file.size).unwrap(),
            modification_time: file.modified_at.get(),
            data_change: true,
            stats: Some(file.statistics),
            ..Add::default()
        };
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec!["event_type".to_owned(), "event_date".to_owned()]),
            predicate: None,
        };
        let started = Instant::now();
        self.table.update_incremental(None).await.unwrap();
        let properties =
            CommitProperties::default().with_create_checkpoint(false).with_cleanup_expired_logs(Some(false));
        let state = self.table.snapshot().unwrap().clone();
        let finished = CommitBuilder::from(properties)
            .with_actions(vec![Action::Add(add)])
            .build(Some(&state), self.table.log_store(), operation)
            .await
            .unwrap();
        self.table.state = Some(finished.snapshot());
        started.elapsed()
    }
}
