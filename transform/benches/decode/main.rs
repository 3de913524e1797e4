//! Bytes of JSON decoded a second, beside two readers of JSON that judge nothing: `arrow-json`, which also makes
//! columns, and `serde_json`, which makes a tree of each event.
//!
//!     cargo bench -p bluelake-transform --bench decode

#![allow(clippy::unwrap_used, missing_docs)]

mod events;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::json::ReaderBuilder;
use bluelake_schemas::{Contract, LINEAGE_COLUMNS, Micros, Stream};
use bluelake_transform::{BatchBuilder, Decoder, RecordPosition};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::Value;

/// 2026-11-23T17:05:00Z in microseconds.
const ARRIVED_AT: i64 = 1_795_453_500_000_000;
const EVENTS: usize = 20_000;
/// Rows are taken when they are so many bytes, as a reader of a shard does.
const CHUNK_BYTES: usize = 2 << 20;

/// Decodes records of one event each and gives the rows that were stored.
fn decode(builder: &mut BatchBuilder, events: &[Vec<u8>]) -> usize {
    let mut rows = 0;
    for event in events {
        let position = RecordPosition {
            shard: "shardId-000000000007",
            sequence: "49590338271490256608559692538361571095921575989136588898",
            arrived_at: Micros::new(ARRIVED_AT),
            hash_keys: None,
        };
        builder.push(&position, event, &mut |_, _| false);
        if builder.buffered_bytes() >= CHUNK_BYTES {
            rows += black_box(builder.finish().unwrap()).events.num_rows();
        }
    }
    rows + black_box(builder.finish().unwrap()).events.num_rows()
}

/// The columns of the contract, without a check.
fn arrow_json(contract: &Contract, stream: Stream, events: &[Vec<u8>]) -> usize {
    let schema = contract.stream(stream).table_schema();
    let of_contract = schema.fields().iter().take(schema.fields().len() - LINEAGE_COLUMNS.len());
    let nullable = of_contract.map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let mut reader = ReaderBuilder::new(schema).with_batch_size(5_000).build_decoder().unwrap();
    let mut rows = 0;
    let mut add = |batch: Option<RecordBatch>| rows += black_box(batch).map_or(0, |batch| batch.num_rows());
    for event in events {
        while reader.decode(event).unwrap() < event.len() {
            add(reader.flush().unwrap());
        }
    }
    add(reader.flush().unwrap());
    rows
}

fn serde_json(events: &[Vec<u8>]) {
    for event in events {
        black_box(serde_json::from_slice::<Value>(event).unwrap());
    }
}

fn streams(criterion: &mut Criterion) {
    let contract = Contract::embedded().unwrap();
    for stream in Stream::ALL {
        let events = events::of(stream, EVENTS);
        let mut group = criterion.benchmark_group(stream.name());
        group.throughput(Throughput::Bytes(events.iter().map(|event| event.len() as u64).sum()));
        let mut builder = Arc::new(Decoder::new(&contract, stream).unwrap()).batch();
        group.bench_function("decode", |bencher| {
            bencher.iter(|| assert_eq!(decode(&mut builder, &events), EVENTS));
        });
        group.bench_function("arrow-json", |bencher| {
            bencher.iter(|| assert_eq!(arrow_json(&contract, stream, &events), EVENTS));
        });
        group.bench_function("serde_json", |bencher| {
            bencher.iter(|| serde_json(&events));
        });
    }
}

criterion_group! {
    name = decoding;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(6));
    targets = streams
}
criterion_main!(decoding);
