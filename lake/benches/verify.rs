//! How long `verify` takes over a long chain of documents, in a store that takes 20 ms for each call.
//!
//!     cargo bench --workspace --bench verify

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::{fmt, fs, path::Path as FilePath, sync::Arc, time::Duration};

use async_trait::async_trait;
use bluelake_lake::{
    Batch, CheckpointDocument, ControlTotals, Lake, Position, SequenceNumber, ShardAdvance, VerifyOptions, Writer,
    advance, verify,
};
use bluelake_schemas::{Contract, Stream};
use futures::{StreamExt as _, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, path::Path,
};
use uuid::Uuid;

const STREAM: Stream = Stream::TransactionEvents;
const DOCUMENTS: u64 = 20_000;
const SHARDS: u32 = 16;
const CALL: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let location = folder.path().to_str().unwrap().parse().unwrap();
    let lake = Lake::at(&location, None).unwrap();
    lake.init(&Contract::embedded().unwrap()).await.unwrap();
    let bytes = chain(&folder.path().join(STREAM.table()));
    let slow = lake.with_store(|inner| Arc::new(Slow(inner)));
    let report = verify(&slow, &VerifyOptions::default()).await.unwrap();
    assert!(report.holds, "{:#?}", report.streams);
    let documents: u64 = report.streams.iter().map(|stream| stream.documents).sum();
    assert_eq!(documents, DOCUMENTS);
    println!(
        "{documents} documents of {} bytes, {} ms a call: {:.1} s",
        bytes / DOCUMENTS,
        CALL.as_millis(),
        report.seconds
    );
}

/// Writes a chain of commits without rows, and the version that names its newest document; gives its bytes.
fn chain(table: &FilePath) -> u64 {
    let documents = table.join("_checkpoints").join(STREAM.name());
    fs::create_dir_all(&documents).unwrap();
    let writer = Writer {
        worker: "bench".to_owned(),
        stream_arn: "arn".to_owned(),
        stream_created_at: None,
        contract_version: 1,
    };
    let (mut current, mut bytes): (Option<CheckpointDocument>, u64) = (None, 0);
    for number in 1..=DOCUMENTS {
        let mut next = advance(current.as_ref(), number, &batch(number), &writer).unwrap();
        let sealed = next.seal().unwrap();
        bytes += u64::try_from(sealed.len()).unwrap();
        fs::write(documents.join(format!("{number:020}.json")), sealed).unwrap();
        current = Some(next);
    }
    let txn = format!("{{\"txn\":{{\"appId\":\"bluelake/{STREAM}\",\"version\":{DOCUMENTS}}}}}");
    fs::write(table.join(format!("_delta_log/{:020}.json", 1)), txn).unwrap();
    bytes
}

/// Moves one shard; the first batch pins them all.
fn batch(number: u64) -> Batch {
    let sequence = |number: u64| SequenceNumber::parse(&format!("49590338271490256608559692538{number:027}")).unwrap();
    let step = |shard: u32, from, to| ShardAdvance {
        shard: format!("shardId-{shard:012}").into(),
        starting_sequence: sequence(0),
        parents: Vec::new(),
        from_exclusive: from,
        to_inclusive: to,
        ended: false,
        arrived_at: None,
        drained_at: None,
        pinned_at: None,
        counts: ControlTotals::default(),
        gap: None,
    };
    let shards = if number == 1 {
        (0..SHARDS).map(|shard| step(shard, None, Position::TrimHorizon)).collect()
    } else {
        let from = if number == 2 { Position::TrimHorizon } else { Position::After(sequence(number - 1)) };
        vec![step(0, Some(from), Position::After(sequence(number)))]
    };
    Batch {
        id: Uuid::now_v7(),
        base: number - 1,
        erasure_epoch: 0,
        shards,
        retire: Vec::new(),
        supplement: None,
        files: Vec::new(),
        rejected_files: Vec::new(),
    }
}

/// A store that takes its time.
#[derive(Debug)]
struct Slow(Arc<dyn ObjectStore>);

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slow({})", self.0)
    }
}

#[async_trait]
impl ObjectStore for Slow {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        tokio::time::sleep(CALL).await;
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        tokio::time::sleep(CALL).await;
        self.0.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    /// A call for each 1,000 objects.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let pages = self.0.list(prefix).chunks(1_000);
        let slow = pages.then(|page| async move {
            tokio::time::sleep(CALL).await;
            futures::stream::iter(page)
        });
        slow.flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        tokio::time::sleep(CALL).await;
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}
