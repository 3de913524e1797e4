//! The stage of the fault tests: a Kinesis and a lake, each behind a proxy that can inject faults.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bluelake_fault_proxy::{Action, Proxy};
use serde_json::Value;

use crate::landing::lake_verify::assert_lake_verifies;
use crate::support::command::Machine;
use crate::support::oracle::{Workload, verify};
use crate::support::servers::{Kinesis, S3};
use crate::support::worker::{Metrics, STREAMS, Worker};

/// An ingest that ends at the tips.
pub(crate) const ONCE: [&str; 2] = ["ingest", "--once"];
/// A bucket of every stage that has one.
pub(crate) const BUCKET: &str = "faulty";
const SEED: u64 = 9_000;

/// How a Kinesis signals that a closed shard was read to its end. The embedded one gives no iterator with the last
/// records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndSignal {
    /// It answers once more, empty and not behind, before it gives no iterator.
    EmptyAnswerFirst,
    /// It answers so for ever.
    Never,
}

/// Makes a Kinesis behind a proxy end its closed shards in this way.
pub(crate) fn end_closed_shards_by(signal: EndSignal) -> Action {
    let ended: Mutex<HashSet<String>> = Mutex::default();
    Action::alter(move |call, answer| {
        let mut value = answer.value();
        let iterator = call.json()["ShardIterator"].as_str().unwrap_or_default().to_owned();
        let is_known = ended.lock().unwrap().contains(&iterator);
        if is_known {
            value["Records"] = Value::Array(Vec::new());
            value["MillisBehindLatest"] = 0.into();
        }
        let is_end = value["Records"].is_array() && value["NextShardIterator"].is_null();
        if is_end && (signal == EndSignal::Never || !is_known) {
            value["NextShardIterator"] = Value::from(iterator.clone());
            ended.lock().unwrap().insert(iterator);
        }
        answer.set_value(&value);
    })
}

/// A small disk of its own; unmounted when it is dropped.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// `None` when this process may not mount one.
    pub(crate) fn mount(folder: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir(&folder).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&folder);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// Fills it; gives the file to remove.
    pub(crate) fn fill(&self) -> PathBuf {
        use std::io::Write as _;
        let path = self.0.join("ballast");
        let mut ballast = std::fs::File::create(&path).unwrap();
        for size in [1 << 16, 1 << 12] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Servers, proxies, a machine, and the events put so far. Commands of the machine use the stage's lake.
pub(crate) struct Stage {
    /// Unmounted before the machine's folder is removed.
    pub(crate) disk: Option<Disk>,
    pub(crate) kinesis: Kinesis,
    /// The proxy before Kinesis.
    pub(crate) streams: Proxy,
    pub(crate) machine: Machine,
    pub(crate) lake: String,
    folder: PathBuf,
    /// The bucket, with the proxy before it.
    bucket: Option<(S3, Proxy)>,
    put: Vec<Workload>,
}

impl Stage {
    /// With an empty lake in a bucket, and these numbers of shards of both streams.
    pub(crate) async fn on_bucket(user_shards: i32, transaction_shards: i32) -> Self {
        let s3 = S3::start().await;
        let store = Proxy::start(&s3.endpoint).await.unwrap();
        let folder = s3.bucket(BUCKET).join("lake");
        let machine = Machine::new().with("AWS_ENDPOINT_URL_S3", &store.endpoint());
        let shards = (user_shards, transaction_shards);
        Self::with(shards, machine, format!("s3://{BUCKET}/lake"), folder, Some((s3, store))).await
    }

    /// With an empty lake in a folder, and these numbers of shards of both streams.
    pub(crate) async fn on_folder(user_shards: i32, transaction_shards: i32) -> Self {
        let machine = Machine::new();
        let folder = machine.path("bluelake-data");
        Self::with((user_shards, transaction_shards), machine, "./bluelake-data".to_owned(), folder, None).await
    }

    /// With an empty lake on a disk of this size, and one shard of each stream; `None` when no disk can be mounted.
    pub(crate) async fn on_disk(size: &str) -> Option<Self> {
        let machine = Machine::new();
        let disk = Disk::mount(machine.path("disk"), size)?;
        let folder = machine.path("disk/lake");
        let mut stage = Self::with((1, 1), machine, "./disk/lake".to_owned(), folder, None).await;
        stage.disk = Some(disk);
        Some(stage)
    }

    async fn with(
        shards: (i32, i32),
        machine: Machine,
        lake: String,
        folder: PathBuf,
        bucket: Option<(S3, Proxy)>,
    ) -> Self {
        let kinesis = Kinesis::with_streams(shards.0, shards.1).await;
        let streams = Proxy::start(&kinesis.endpoint).await.unwrap();
        let machine = machine.with("AWS_ENDPOINT_URL_KINESIS", &streams.endpoint()).with("BLUELAKE_LAKE", &lake);
        machine.succeed(&["lake", "init"]).await;
        Self { disk: None, kinesis, streams, machine, lake, folder, bucket, put: Vec::new() }
    }

    /// The proxy before the bucket.
    pub(crate) fn store(&self) -> &Proxy {
        &self.bucket.as_ref().expect("the lake is in a bucket").1
    }

    /// Where the lake's files are on this machine.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts `events` events, different ones each time.
    pub(crate) async fn put(&mut self, events: u64) {
        let seed = SEED + u64::try_from(self.put.len()).unwrap();
        let workload = Workload { events, seed, bad_rate: 0.03, duplicate_rate: 0.03, days: 2 };
        workload.put(&self.machine).await;
        self.put.push(workload);
    }

    /// How many events were put.
    pub(crate) fn events(&self) -> u64 {
        self.put.iter().map(|workload| workload.events).sum()
    }

    /// Starts a worker that runs until it is stopped, and commits often; waits until it reads.
    pub(crate) async fn worker(&self, more: &[&str]) -> Worker {
        let worker = Worker::start(&self.machine, &[&["--buffer-age", "1s"][..], more].concat()).await;
        worker.until_ready().await;
        let streams = if more.contains(&"--stream") { 1 } else { 2 };
        let answered = |metrics: &Metrics, stream: &str| metrics.sum("bluelake_answers_total", stream) > 0.0;
        let reads = |metrics: &Metrics| STREAMS.iter().filter(|(stream, _)| answered(metrics, stream)).count();
        worker.until("it reads", |metrics| reads(metrics) == streams).await;
        worker
    }

    /// As [`Stage::compare`], and verifies the lake.
    pub(crate) async fn verify(mut self) {
        self.compare().await;
        assert_lake_verifies(&self.machine, &self.lake).await;
    }

    /// Removes all faults, lets an ingest finish the rest, and compares the lake with all events that were put.
    pub(crate) async fn compare(&mut self) {
        self.streams.clear();
        if let Some((_, store)) = &self.bucket {
            store.clear();
        }
        // It is committed last, so that the newest document is the one in force.
        self.put(300).await;
        self.machine.succeed(&ONCE).await;
        verify(&self.put, &self.machine, &self.lake, &self.folder).await;
    }
}
