//! Worlds: generated events decoded into tables in memory, beside the facts read from the same bytes.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use bluelake_generate::{EventKind, GeneratedEvent, Generator, GeneratorOptions, Truth};
use bluelake_queries::{QueryOptions, QuerySession};
use bluelake_schemas::{Contract, REJECTED_TABLE, Stream, rejected_events_schema};
use bluelake_transform::{BatchBuilder, Decoder, RecordPosition};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use serde_json::{Value, json};

use crate::support::facts::{Arrival, Facts, Rejection, instant};
use crate::support::numbers::Numbers;

/// Rows after which the decoder's builders are emptied, so that tables have several batches.
const BATCH_ROWS: usize = 4_096;

/// A lake to query, with the facts of its events.
pub(crate) struct World {
    pub(crate) name: String,
    pub(crate) session: QuerySession,
    pub(crate) facts: Facts,
    pub(crate) truth: Truth,
    /// Events dropped because their id was seen on the same shard.
    pub(crate) dropped: usize,
}

/// How late the events of a world arrive, and where.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Delivery {
    /// Within seconds; a repetition comes to the shard of its event.
    Prompt,
    /// Up to four days late; every third repetition comes to another shard, where its event is unknown.
    Late,
}

/// The plan of a generated world.
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) zone: Tz,
    pub(crate) options: GeneratorOptions,
    pub(crate) delivery: Delivery,
}

impl Plan {
    pub(crate) async fn build(&self) -> World {
        let mut generator = Generator::new(self.options).unwrap();
        let mut landing = Landing::new(self.zone);
        let start = self.options.end - TimeDelta::days(i64::from(self.options.days));
        let mut post = Post { delivery: self.delivery, numbers: Numbers::new(self.options.seed), clock: start };
        for event in generator.by_ref() {
            let (shard, arrived_at) = post.route(&event);
            landing.put(&event, shard, arrived_at);
        }
        landing.finish(self.name, generator.into_truth()).await
    }
}

/// Decides where and when each event arrives.
struct Post {
    delivery: Delivery,
    numbers: Numbers,
    /// Newest time of a good event so far.
    clock: DateTime<Utc>,
}

impl Post {
    fn route(&mut self, event: &GeneratedEvent) -> (usize, DateTime<Utc>) {
        if event.kind == EventKind::Good {
            let value: Value = serde_json::from_slice(&event.bytes).unwrap();
            let at = instant(&value["occurred_at"]);
            self.clock = self.clock.max(at);
        }
        let home = event.partition_key.bytes().map(usize::from).sum::<usize>() % 3;
        let elsewhere = event.kind == EventKind::Duplicate && self.numbers.below(3) == 0;
        let seconds = match (self.delivery, self.numbers.below(10)) {
            (Delivery::Prompt, _) | (Delivery::Late, 0..5) => self.numbers.below(20),
            (Delivery::Late, 5..8) => self.numbers.below(3 * 3_600),
            (Delivery::Late, _) => self.numbers.below(4 * 86_400),
        };
        let shard = if elsewhere && self.delivery == Delivery::Late { (home + 1) % 3 } else { home };
        let delay = TimeDelta::milliseconds((seconds * 1_000 + self.numbers.below(1_000)) as i64);
        (shard, self.clock + delay)
    }
}

/// Takes events as ingest would, into tables and facts.
pub(crate) struct Landing {
    users: BatchBuilder,
    transactions: BatchBuilder,
    batches: [Vec<RecordBatch>; 2],
    rejected: Vec<RecordBatch>,
    facts: Facts,
    /// Ids by shard.
    seen: HashSet<(usize, String)>,
    /// Reason and arrival of the bad events of a builder's batch, in the order of its rows.
    bad: [Vec<(&'static str, DateTime<Utc>)>; 2],
    sequence: u64,
    dropped: usize,
}

impl Landing {
    pub(crate) fn new(zone: Tz) -> Self {
        let contract = Contract::embedded().unwrap();
        let builder = |stream| Arc::new(Decoder::new(&contract, stream).unwrap()).batch();
        Self {
            users: builder(Stream::UserEvents),
            transactions: builder(Stream::TransactionEvents),
            batches: [Vec::new(), Vec::new()],
            rejected: Vec::new(),
            facts: Facts::new(zone),
            seen: HashSet::new(),
            bad: [Vec::new(), Vec::new()],
            sequence: 0,
            dropped: 0,
        }
    }

    pub(crate) fn put(&mut self, event: &GeneratedEvent, shard: usize, at: DateTime<Utc>) {
        self.sequence += 1;
        let sequence = self.sequence.to_string();
        let name = format!("shardId-{shard:012}");
        let position = RecordPosition { shard: &name, sequence: &sequence, arrived_at: at.into(), hash_keys: None };
        let seen_before = match event.kind {
            EventKind::Bad(_) => false,
            EventKind::Good | EventKind::Duplicate => !self.seen.insert((shard, event.event_id.clone())),
        };
        let index = index(event.stream);
        let builder = if index == 0 { &mut self.users } else { &mut self.transactions };
        let counts = builder.push(&position, &event.bytes, &mut |_, _| seen_before);
        let full = builder.rows() >= BATCH_ROWS;
        match event.kind {
            EventKind::Bad(reason) => {
                assert_eq!((counts.received, counts.rejected), (1, 1), "{reason}");
                self.bad[index].push((reason, at));
            }
            _ if seen_before => {
                assert_eq!((counts.received, counts.duplicate), (1, 1));
                self.dropped += 1;
            }
            _ => {
                assert_eq!((counts.received, counts.stored), (1, 1), "{}", String::from_utf8_lossy(&event.bytes));
                let arrival = Arrival { at, shard: name, sequence: self.sequence };
                self.facts.store(event.stream, &event.bytes, arrival);
            }
        }
        if full {
            self.flush(event.stream);
        }
    }

    fn flush(&mut self, stream: Stream) {
        let index = index(stream);
        let builder = if index == 0 { &mut self.users } else { &mut self.transactions };
        let batch = builder.finish().unwrap();
        let paths = batch.rejected.column_by_name("field_path").unwrap().as_string::<i32>();
        for (row, (reason, at)) in self.bad[index].drain(..).enumerate() {
            let field_path = paths.is_valid(row).then(|| paths.value(row).to_owned());
            let arrival_day = at.with_timezone(&self.facts.zone).date_naive();
            self.facts.rejections.push(Rejection { stream, reason: reason.to_owned(), field_path, arrival_day });
        }
        self.batches[index].push(batch.events);
        self.rejected.push(batch.rejected);
    }

    pub(crate) async fn finish(mut self, name: &str, truth: Truth) -> World {
        Stream::ALL.into_iter().for_each(|stream| self.flush(stream));
        let contract = Contract::embedded().unwrap();
        let [users, transactions] = std::mem::take(&mut self.batches);
        let tables = vec![
            (Stream::UserEvents.table().to_owned(), table(&contract.stream(Stream::UserEvents).table_schema(), users)),
            (
                Stream::TransactionEvents.table().to_owned(),
                table(&contract.stream(Stream::TransactionEvents).table_schema(), transactions),
            ),
            (REJECTED_TABLE.to_owned(), table(&rejected_events_schema(), std::mem::take(&mut self.rejected))),
        ];
        let options = QueryOptions { target_partitions: 2, time_zone: self.facts.zone, ..QueryOptions::default() };
        let session = QuerySession::new(tables, options).await.unwrap();
        World { name: name.to_owned(), session, facts: self.facts, truth, dropped: self.dropped }
    }
}

/// A world of events made by hand, in a time zone. Each arrives when it occurs, or at `arrived_at` if it has that.
pub(crate) async fn small_world(name: &str, zone: Tz, events: &[Value]) -> World {
    let mut landing = Landing::new(zone);
    for event in events {
        let event_type = event["event_type"].as_str().unwrap();
        let stream = if event_type.starts_with("user_") { Stream::UserEvents } else { Stream::TransactionEvents };
        let mut event = event.clone();
        let shard = event["shard"].as_u64().unwrap_or(0) as usize;
        let arrived_at = event["arrived_at"].as_str().or(event["occurred_at"].as_str()).unwrap().parse().unwrap();
        let fields = event.as_object_mut().unwrap();
        fields.remove("shard");
        fields.remove("arrived_at");
        let id = format!("00000000-0000-4000-8000-{:012}", landing.sequence + 1);
        let event_id = fields.entry("event_id").or_insert(json!(id)).as_str().unwrap().to_owned();
        let bytes = serde_json::to_vec(&event).unwrap();
        let generated = GeneratedEvent { stream, partition_key: String::new(), event_id, bytes, kind: EventKind::Good };
        landing.put(&generated, shard, arrived_at);
    }
    landing.finish(name, Truth::default()).await
}

fn index(stream: Stream) -> usize {
    usize::from(stream == Stream::TransactionEvents)
}

fn table(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Arc<dyn TableProvider> {
    let middle = batches.len() / 2;
    let (first, second) = batches.split_at(middle);
    Arc::new(MemTable::try_new(Arc::clone(schema), vec![first.to_vec(), second.to_vec()]).unwrap())
}
