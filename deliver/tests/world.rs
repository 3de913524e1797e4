//! A lake in a temporary folder, its events, and the comparison of a target with it.

use std::sync::Arc;

use arrow::{array::RecordBatch, json::ReaderBuilder};
use bluelake_care::{CompactionOptions, ExpiryOptions};
use bluelake_deliver::{
    Address, Columns, DeliverError, Delivered, Delivery, DeliveryOptions, PostgresOptions, PostgresTarget, Surroundings,
};
use bluelake_lake::{
    AsOf, Batch, CommitOutcome, ControlTotals, DataFile, Lake, NewFile, Position, SequenceNumber, ShardAdvance,
    StreamTable, Writer,
};
use bluelake_queries::{QueryOptions, QuerySession};
use bluelake_schemas::{Contract, Micros, Stream};
use bluelake_transform::{Partitions, TableLayout, encode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::server::{Server, rows, value};

pub(crate) mod several;

const SHARD: &str = "shardId-0";
/// 2026-01-01T00:00:00Z in seconds.
const NEW_YEAR: i64 = 1_767_225_600;
pub(crate) const USERS: usize = 40;

/// A lake, and what is needed to add to it.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) lake: Lake,
    pub(crate) contract: Contract,
    tables: Vec<(Stream, StreamTable)>,
    sequence: u64,
    chance: u64,
}

pub(crate) fn lake_at(folder: &std::path::Path) -> Lake {
    Lake::at(&folder.to_str().unwrap().parse().unwrap(), None).unwrap()
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (lake, contract) = (lake_at(folder.path()), Contract::embedded().unwrap());
        lake.init(&contract).await.unwrap();
        let mut world = Self { folder, lake, contract, tables: Vec::new(), sequence: 0, chance: 7 };
        for stream in Stream::ALL {
            let mut table = opened(&world.lake, &world.contract, stream).await;
            let pin = batch(&table, advance(None, Position::TrimHorizon, 0));
            table.commit(&pin).await.unwrap();
            world.tables.push((stream, table));
        }
        world
    }

    /// Opens the tables anew with another contract.
    pub(crate) async fn grow(&mut self, contract: Contract) {
        for (stream, table) in &mut self.tables {
            *table = opened(&self.lake, &contract, *stream).await;
        }
        self.contract = contract;
    }

    fn below(&mut self, bound: usize) -> usize {
        // A linear congruence: the same events in each run.
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.chance >> 33).unwrap() % bound
    }

    /// Commits these events, with their lineage, as one version.
    pub(crate) async fn add(&mut self, stream: Stream, mut events: Vec<Value>) {
        let before = self.sequence;
        for event in &mut events {
            self.sequence += 1;
            let own = json!({
                "event_id": Uuid::from_u128(self.sequence.into()).to_string(),
                "schema_version": 1,
                "stream_shard": SHARD,
                "stream_sequence": self.sequence.to_string(),
                "stream_sub_sequence": 0,
                "arrived_at": time(500 * 24 * 3600 + i64::try_from(self.sequence).unwrap()),
                "event_date": event["occurred_at"].as_str().unwrap()[..10],
            });
            let event = event.as_object_mut().unwrap();
            for (key, value) in own.as_object().unwrap() {
                event.entry(key.clone()).or_insert(value.clone());
            }
        }
        let schema = self.contract.stream(stream).table_schema();
        let rows = decoded(&schema, &events);
        let table = &mut self.tables.iter_mut().find(|(found, _)| *found == stream).unwrap().1;
        let from = table.document().unwrap().shards.values().next().unwrap().position.clone();
        let to = Position::After(SequenceNumber::parse(&self.sequence.to_string()).unwrap());
        let mut batch = batch(table, advance(Some(from), to, u64::try_from(events.len()).unwrap()));
        for (number, rows) in Partitions::plan(vec![rows], TableLayout::EVENTS, 100_000).unwrap().enumerate() {
            batch.files.push(upload(table, batch.id, number, &rows.unwrap()).await);
        }
        let outcome = table.commit(&batch).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
        assert!(self.sequence > before);
    }

    /// Commits some events of users, some of them late.
    pub(crate) async fn add_users(&mut self, count: usize) {
        let mut events = Vec::new();
        for _ in 0..count {
            let user = self.below(USERS);
            let kind = ["user_created", "user_updated", "user_updated", "user_deactivated"][self.below(4)];
            let role = ["civilian", "merchant"][self.below(2)];
            let mut event = json!({
                "event_type": kind,
                "occurred_at": time(i64::try_from(self.below(20 * 24 * 3600)).unwrap()),
                "user_id": format!("user-{user}"),
                "user_kind": role,
            });
            for (field, values) in [
                ("zip_code", ["10001", "94105"]),
                ("display_name", ["Ada \u{1F600}", "Zoë \"Z\" \\"]),
                ("email", ["a@example.org", "b@example.org"]),
                ("status", ["active", "suspended"]),
                ("referred_by", ["user-1", "user-2"]),
            ] {
                if self.below(3) == 0 {
                    event[field] = values[self.below(2)].into();
                }
            }
            events.push(event);
        }
        self.add(Stream::UserEvents, events).await;
    }

    /// Commits some transactions, some of them late.
    pub(crate) async fn add_transactions(&mut self, count: usize) {
        let mut events = Vec::new();
        for _ in 0..count {
            let at = time(i64::try_from(self.below(10 * 24 * 3600)).unwrap());
            let (user, points) = (format!("user-{}", self.below(USERS)), self.below(1_000));
            let event = match self.below(4) {
                0 => json!({"event_type": "interaction", "civilian_id": user, "officer_id": "user-1", "method": "qr",
                    "points_civilian": points, "points_officer": 1, "zip_code": "10001", "distance_ft": 0.1}),
                1 => {
                    json!({"event_type": "donation", "donor_id": user, "donor_kind": "civilian", "recipient_id": "c-1",
                    "recipient_kind": "charity", "points": points, "extras": "{\"a\": 1e999999}"})
                }
                2 => json!({"event_type": "redemption", "redeemer_id": user, "redeemer_kind": "civilian",
                    "provider_id": "m-1", "provider_kind": "merchant", "purpose": "goods", "points": points,
                    "items": [{"sku": "s\u{1}\"", "name": "Bread \u{1F35E}", "quantity": 2, "points": points}]}),
                _ => {
                    json!({"event_type": "transfer", "from_officer_id": user, "to_officer_id": "user-2", "points": points})
                }
            };
            let mut event = event;
            event["occurred_at"] = at.into();
            events.push(event);
        }
        self.add(Stream::TransactionEvents, events).await;
    }

    pub(crate) async fn compact(&self, table: &str) {
        let options = CompactionOptions {
            partition: None,
            full: true,
            dry_run: false,
            target: None,
            memory: 128 << 20,
            rate: None,
            worker: "compact".to_owned(),
        };
        let done = bluelake_care::compact(&self.lake, table, &self.contract, &options, &|_| ()).await.unwrap();
        assert!(!done.merges.is_empty(), "nothing was merged");
    }

    pub(crate) async fn expire(&self, before: &str) {
        let options = ExpiryOptions {
            before: before.parse().unwrap(),
            accept_changed_balances: true,
            dry_run: false,
            files_per_commit: 3,
            worker: "expire".to_owned(),
        };
        bluelake_care::expire(&self.lake, "transactions", &options, &|_| ()).await.unwrap();
    }

    pub(crate) async fn version(&self, table: &str) -> u64 {
        self.lake.table(table).await.unwrap().version().unwrap()
    }

    /// The rows of a query of the lake, as texts; times as microseconds.
    pub(crate) async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let reading = self.lake.read(&AsOf::Newest).await.unwrap();
        let session = QuerySession::over(reading, QueryOptions::default()).await.unwrap();
        let mut rows = Vec::new();
        for batch in session.collect(sql).await.unwrap() {
            rows.extend(
                (0..batch.num_rows())
                    .map(|row| batch.columns().iter().map(|column| text(column.as_ref(), row)).collect::<Vec<_>>()),
            );
        }
        rows
    }

    pub(crate) fn delivery(&self, target: PostgresTarget) -> Delivery<PostgresTarget> {
        self.delivery_of(target, Columns::All)
    }

    pub(crate) fn delivery_of(&self, target: PostgresTarget, columns: Columns) -> Delivery<PostgresTarget> {
        Delivery::new(self.lake.clone(), self.contract.clone(), target, options(columns))
    }

    /// Fails unless the target holds what the lake does now, by delivery's own proof and without it.
    pub(crate) async fn expect_equal(&self, server: &Server, schema: &str) {
        for verdict in self.delivery(target(server, schema)).verify().await.unwrap() {
            assert!(verdict.is_equal(), "{verdict:?}");
            assert_eq!(verdict.version, Some(self.version(&verdict.table).await), "{}", verdict.table);
        }
        let client = server.client().await;
        let columns = "event_id, event_type, event_date, points, points_civilian, zip_code, extras, stream_sequence";
        let lake = self.query(&format!("SELECT {columns} FROM transactions ORDER BY event_id")).await;
        let ask = format!("SELECT {columns} FROM {schema}.transactions ORDER BY event_id::text");
        assert_rows(&lake, &rows(&client, &ask).await, "transactions");
        let columns = "event_id, event_type, user_id, email, display_name, status";
        let lake = self.query(&format!("SELECT {columns} FROM user_events ORDER BY event_id")).await;
        let ask = format!("SELECT {columns} FROM {schema}.user_events ORDER BY event_id::text");
        assert_rows(&lake, &rows(&client, &ask).await, "user_events");
        let views = ["interactions", "donations", "redemptions", "redemption_items", "transfers"];
        self.expect_equal_views(&client, schema, &views).await;
    }

    /// Fails unless the users and the numbers of rows of these views are those of the lake.
    pub(crate) async fn expect_equal_views(&self, client: &Client, schema: &str, views: &[&str]) {
        let micros = |column: &str| format!("(extract(epoch from {column}) * 1000000)::bigint");
        let texts = "user_id, user_kind, zip_code, display_name, email, phone, badge_number, organization_name, referred_by, status";
        let times = ["created_at", "updated_at", "deactivated_at"];
        let lake = self.query(&format!("SELECT {texts}, {} FROM users ORDER BY user_id", times.join(", "))).await;
        let times = times.map(micros).join(", ");
        let ask = format!("SELECT {texts}, {times} FROM {schema}.users ORDER BY user_id COLLATE \"C\"");
        assert_rows(&lake, &rows(client, &ask).await, "users");
        for view in views {
            let lake = &self.query(&format!("SELECT count(*) FROM {view}")).await[0][0];
            let held = value(client, &format!("SELECT count(*) FROM {schema}.{view}")).await;
            assert_eq!(lake.as_deref(), Some(held.as_str()), "{view}");
        }
    }
}

async fn opened(lake: &Lake, contract: &Contract, stream: Stream) -> StreamTable {
    let writer = Writer {
        worker: "test".to_owned(),
        stream_arn: "arn:test".to_owned(),
        stream_created_at: None,
        contract_version: contract.version(),
    };
    StreamTable::open(lake, contract, stream, writer).await.unwrap()
}

pub(crate) fn assert_rows(lake: &[Vec<Option<String>>], held: &[Vec<Option<String>>], what: &str) {
    assert_eq!(lake.len(), held.len(), "{what}");
    for (lake, held) in lake.iter().zip(held) {
        assert_eq!(lake, held, "{what}");
    }
}

fn text(values: &dyn arrow::array::Array, row: usize) -> Option<String> {
    use arrow::{array::AsArray as _, datatypes::DataType, datatypes::TimestampMicrosecondType, util::display};
    if values.is_null(row) {
        return None;
    }
    if let DataType::Timestamp(..) = values.data_type() {
        return Some(values.as_primitive::<TimestampMicrosecondType>().value(row).to_string());
    }
    Some(display::array_value_to_string(values, row).unwrap())
}

/// Seconds after New Year.
pub(crate) fn time(seconds: i64) -> String {
    let time = chrono::DateTime::from_timestamp(NEW_YEAR + seconds, 123_456_000).unwrap();
    time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

pub(crate) fn decoded(schema: &arrow::datatypes::SchemaRef, events: &[Value]) -> RecordBatch {
    let mut decoder = ReaderBuilder::new(Arc::clone(schema)).with_batch_size(events.len()).build_decoder().unwrap();
    decoder.serialize(events).unwrap();
    decoder.flush().unwrap().unwrap()
}

async fn upload(table: &StreamTable, id: Uuid, number: usize, rows: &bluelake_transform::PartitionRows) -> DataFile {
    let file = encode(rows, TableLayout::EVENTS).unwrap();
    let new = NewFile {
        path: file.path(id, number),
        partition_values: file.partition_values,
        bytes: file.bytes,
        rows: file.rows,
        statistics: file.statistics,
    };
    table.event_uploader().upload(new).await.unwrap()
}

fn advance(from: Option<Position>, to: Position, stored: u64) -> ShardAdvance {
    ShardAdvance {
        shard: SHARD.into(),
        starting_sequence: SequenceNumber::parse("1").unwrap(),
        parents: Vec::new(),
        from_exclusive: from,
        to_inclusive: to,
        ended: false,
        arrived_at: Some(Micros::new(NEW_YEAR * 1_000_000)),
        drained_at: None,
        pinned_at: None,
        counts: ControlTotals { received: stored, stored, ..ControlTotals::default() },
        gap: None,
    }
}

fn batch(table: &StreamTable, advance: ShardAdvance) -> Batch {
    Batch {
        id: Uuid::now_v7(),
        base: table.document().map_or(0, |document| document.head.number),
        erasure_epoch: 0,
        shards: vec![advance],
        retire: Vec::new(),
        supplement: None,
        files: Vec::new(),
        rejected_files: Vec::new(),
    }
}

pub(crate) fn options(columns: Columns) -> DeliveryOptions {
    DeliveryOptions {
        tables: vec!["user_events".to_owned(), "transactions".to_owned()],
        columns,
        once: true,
        interval: std::time::Duration::from_millis(20),
        patience: std::time::Duration::from_secs(60),
    }
}

pub(crate) fn target(server: &Server, schema: &str) -> PostgresTarget {
    target_at(&server.address(), schema)
}

pub(crate) fn target_at(address: &str, schema: &str) -> PostgresTarget {
    let address = Address::parse(address, &Surroundings::default()).unwrap();
    let name = "warehouse".to_owned();
    PostgresTarget::new(PostgresOptions { name, address, schema: schema.to_owned(), read_role: None })
}

/// Delivers once.
pub(crate) async fn deliver(world: &World, server: &Server) -> Delivered {
    try_deliver(world, target(server, "lake")).await.unwrap()
}

pub(crate) async fn try_deliver(world: &World, target: PostgresTarget) -> Result<Delivered, DeliverError> {
    world.delivery(target).run(&CancellationToken::new()).await
}

/// Rows that a run delivered and took away, of a table.
pub(crate) fn moved(delivered: &Delivered, table: &str) -> (u64, u64) {
    let found = delivered.tables.iter().find(|found| found.table == table).unwrap();
    (found.rows, found.removed)
}

/// Changes something in the database.
pub(crate) async fn run(client: &Client, statement: &str) {
    client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
}
