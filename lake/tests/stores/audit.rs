//! The rows of the log are those of the document in force, at every version that a test writes. Looked at by the store that
//! takes the versions, from the bytes of log and documents alone; nothing of the program is asked.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path as FilePath, PathBuf},
    sync::{Arc, LazyLock, Weak},
};

use async_trait::async_trait;
use bluelake_lake::Position;
use object_store::{ObjectStore, ObjectStoreExt as _, PutOptions, PutPayload, PutResult, Result, path::Path};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::{
    fixture::{Fixture, STREAM, batch, pin},
    stores::Concern,
};

/// The audits of the lakes that are open: all handles of one folder share one.
static AUDITS: LazyLock<std::sync::Mutex<HashMap<PathBuf, Weak<Audit>>>> = LazyLock::new(Default::default);

/// What is known of the tables of one lake.
#[derive(Default)]
pub(crate) struct Audit {
    tables: Mutex<BTreeMap<String, Table>>,
}

/// A table as its log says, up to the version before `next`.
#[derive(Default)]
struct Table {
    next: u64,
    /// Path → stream (only in `rejected_events`) and rows.
    files: HashMap<String, (String, i64)>,
    /// Stream → rows by the document in force.
    expected: BTreeMap<String, i64>,
    /// Version → stream → rows that another program added, as long as nobody undid it.
    foreign: BTreeMap<u64, BTreeMap<String, i64>>,
    /// Stream → rows that tasks took out of `rejected_events`.
    left: BTreeMap<String, i64>,
    /// Versions that were compared.
    compared: u64,
    /// A version was put again, or a file came without a count: nothing can be said any more.
    is_beyond: bool,
}

/// The audit of the lake in a folder.
pub(crate) fn audit_of(folder: &FilePath) -> Arc<Audit> {
    let mut audits = AUDITS.lock().unwrap();
    if let Some(audit) = audits.get(folder).and_then(Weak::upgrade) {
        return audit;
    }
    let audit = Arc::new(Audit::default());
    audits.insert(folder.to_owned(), Arc::downgrade(&audit));
    audit
}

#[async_trait]
impl Concern for Arc<Audit> {
    async fn put(
        &self,
        store: &dyn ObjectStore,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let Some((root, table, version)) = version_of(location) else {
            return store.put_opts(location, payload, options).await;
        };
        let place = Place { store, root, table };
        // One version after the other.
        let mut tables = self.tables.lock().await;
        let put = store.put_opts(location, payload, options).await?;
        tables.entry(table.to_owned()).or_default().follow(place, version).await;
        Ok(put)
    }
}

/// Where a table is.
#[derive(Clone, Copy)]
struct Place<'a> {
    store: &'a dyn ObjectStore,
    /// The lake, with a slash at the end, or nothing.
    root: &'a str,
    table: &'a str,
}

impl Place<'_> {
    async fn bytes(&self, path: &str) -> Option<bytes::Bytes> {
        let path = Path::from(format!("{}{path}", self.root));
        self.store.get(&path).await.ok()?.bytes().await.ok()
    }

    async fn json(&self, path: &str) -> Option<Value> {
        serde_json::from_slice(&self.bytes(path).await?).ok()
    }
}

/// The lake, table and version of an entry of a log.
fn version_of(location: &Path) -> Option<(&str, &str, u64)> {
    let (folder, name) = location.as_ref().split_once("/_delta_log/")?;
    let (root, table) = folder.split_at(folder.rfind('/').map_or(0, |at| at + 1));
    Some((root, table, name.strip_suffix(".json")?.parse().ok()?))
}

impl Audit {
    /// How many versions of a table were compared with their documents.
    pub(crate) async fn compared(&self, table: &str) -> u64 {
        self.tables.lock().await.get(table).map_or(0, |table| table.compared)
    }
}

impl Table {
    /// Reads what was written since, up to a version.
    async fn follow(&mut self, place: Place<'_>, to: u64) {
        self.is_beyond |= to < self.next;
        while !self.is_beyond && self.next <= to {
            let Some(entry) = place.bytes(&format!("{}/_delta_log/{:020}.json", place.table, self.next)).await else {
                return;
            };
            let actions: Vec<Value> =
                entry.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
            self.take(place, &actions).await;
            self.next += 1;
        }
    }

    async fn take(&mut self, place: Place<'_>, actions: &[Value]) {
        let before = self.rows();
        for action in actions {
            self.change(place.table, action);
        }
        let mut ours = false;
        for transaction in actions.iter().filter_map(|action| action.get("txn")) {
            let (id, number) = (transaction["appId"].as_str().unwrap(), transaction["version"].as_u64().unwrap());
            if let Some(object) = id.strip_prefix("bluelake/") {
                ours = true;
                self.put_in_force(place, object, number).await;
            }
        }
        let changed = difference(&self.rows(), &before);
        if ours {
            self.compare(place.table);
        } else if !changed.is_empty() {
            self.foreign.insert(self.next, changed);
        }
    }

    /// Adds and removes files.
    fn change(&mut self, name: &str, action: &Value) {
        if let Some(add) = action.get("add") {
            let statistics = add["stats"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
            let Some(rows) = statistics.and_then(|statistics| statistics["numRecords"].as_i64()) else {
                self.is_beyond = true;
                return;
            };
            let stream = add["partitionValues"]["stream"].as_str().unwrap_or(name).to_owned();
            self.files.insert(add["path"].as_str().unwrap().to_owned(), (stream, rows));
        }
        if let Some(path) = action.get("remove").and_then(|remove| remove["path"].as_str()) {
            self.files.remove(path);
        }
    }

    /// A document or record is in force from this version on.
    async fn put_in_force(&mut self, place: Place<'_>, object: &str, number: u64) {
        let name = place.table;
        if object != "maintenance" {
            // A document of a stream lies beside the table of its events.
            let (table, key) = match object {
                "user-events" => ("user_events", "user_events"),
                _ => ("transactions", "transactions"),
            };
            let path = format!("{table}/_checkpoints/{object}/{number:020}.json");
            let Some(document) = place.json(&path).await else {
                self.is_beyond = true;
                return;
            };
            if name == "rejected_events" {
                self.expected.insert(object.to_owned(), sum(&document, "rejected"));
            } else {
                let count = |field: &str| document[field].as_i64().unwrap_or(0);
                let repaired = document["repaired"]["stored"].as_i64().unwrap_or(0);
                let rows = sum(&document, "stored") + repaired - count("erased") - count("expired");
                self.expected.insert(key.to_owned(), rows);
            }
            return;
        }
        let Some(record) = place.json(&format!("{name}/_maintenance/{number:020}.json")).await else {
            self.is_beyond = true;
            return;
        };
        let kind = &record["kind"];
        if let Some(version) = kind["undo"]["version"].as_u64()
            && kind["undo"]["record"].is_null()
        {
            self.foreign.remove(&version);
        } else if name == "rejected_events" {
            for (stream, change) in record["rows"].as_object().into_iter().flatten() {
                let rows = change["before"].as_i64().unwrap() - change["after"].as_i64().unwrap();
                *self.left.entry(stream.clone()).or_default() += rows;
            }
        }
    }

    /// Rows by stream, or all under the table's name.
    fn rows(&self) -> BTreeMap<String, i64> {
        let mut rows = BTreeMap::new();
        for (stream, count) in self.files.values() {
            *rows.entry(stream.clone()).or_default() += count;
        }
        rows
    }

    fn compare(&mut self, name: &str) {
        if self.is_beyond {
            return;
        }
        let rows = self.rows();
        for (stream, expected) in &self.expected {
            let foreign: i64 = self.foreign.values().filter_map(|rows| rows.get(stream)).sum();
            let expected = expected + foreign - self.left.get(stream).unwrap_or(&0);
            let found = rows.get(stream).copied().unwrap_or_default();
            assert_eq!(
                found, expected,
                "rows of {stream} in version {} of {name}, and those of its document",
                self.next
            );
        }
        self.compared += 1;
    }
}

fn difference(after: &BTreeMap<String, i64>, before: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let mut changed = after.clone();
    for (stream, rows) in before {
        *changed.entry(stream.clone()).or_default() -= rows;
    }
    changed.retain(|_, rows| *rows != 0);
    changed
}

/// A count over all shards, retired ones and supplements.
fn sum(document: &Value, outcome: &str) -> i64 {
    let shards = document["shards"].as_object().into_iter().flatten().map(|(_, shard)| &shard["totals"]);
    let all = shards.chain([&document["retired"], &document["supplemented"]]);
    all.map(|totals| totals[outcome].as_i64().unwrap_or(0)).sum()
}

async fn committed() -> Fixture {
    let fixture = Fixture::in_memory().await;
    let mut table = fixture.open().await;
    pin(&mut table, "shardId-0").await;
    let rows = batch(&table, "shardId-0", Position::TrimHorizon, 1..=3, 2).await;
    table.commit(&rows).await.unwrap();
    fixture
}

#[tokio::test]
async fn every_version_of_a_test_is_compared() {
    let fixture = committed().await;
    let audit = audit_of(fixture.folder.path());
    assert_eq!(audit.compared(STREAM.table()).await, 2);
    assert_eq!(audit.compared("rejected_events").await, 1);
}

#[tokio::test]
#[should_panic(expected = "and those of its document")]
async fn a_version_with_more_rows_is_caught() {
    let fixture = committed().await;
    let add = r#"{"add":{"path":"a.parquet","partitionValues":{},"stats":"{\"numRecords\":1}"}}"#;
    let entry = format!("{{\"txn\":{{\"appId\":\"bluelake/{STREAM}\",\"version\":2}}}}\n{add}\n");
    let table = fixture.lake.table(STREAM.table()).await.unwrap();
    let path = Path::from("_delta_log/00000000000000000003.json");
    table.object_store().put(&path, entry.into()).await.unwrap();
}
