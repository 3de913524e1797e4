//! A lake in a folder whose machine loses power: what was acknowledged is there, what was on its way is not, and all works on.

use std::sync::Arc;

use bluelake_schemas::Contract;
use tokio::sync::Notify;

use super::*;
use crate::{fixture::lake_at, stores::lost};

/// Loses power at a put, once so many have passed. Of the put that was on its way an empty temporary file is left.
struct CutOff {
    folder: PathBuf,
    left: AtomicUsize,
    gone: Arc<Notify>,
}

impl CutOff {
    async fn pass(&self, location: &Path) -> object_store::Result<()> {
        if !take_one(&self.left) {
            // Paths of the store begin at the root of the file system.
            let path = PathBuf::from(format!("/{location}#1"));
            assert!(path.starts_with(&self.folder), "{path:?} is in the lake");
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, []).unwrap();
            self.gone.notify_one();
            // A log checkpoint is written by a thread that would wait for ever.
            if location.as_ref().contains("_delta_log/") && !location.as_ref().ends_with(".json") {
                return Err(lost());
            }
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[async_trait]
impl Concern for CutOff {
    async fn put(
        &self,
        store: &dyn object_store::ObjectStore,
        location: &Path,
        payload: object_store::PutPayload,
        options: object_store::PutOptions,
    ) -> object_store::Result<object_store::PutResult> {
        self.pass(location).await?;
        store.put_opts(location, payload, options).await
    }

    async fn begin(
        &self,
        store: &dyn object_store::ObjectStore,
        location: &Path,
        options: object_store::PutMultipartOptions,
    ) -> object_store::Result<Box<dyn object_store::MultipartUpload>> {
        self.pass(location).await?;
        store.put_multipart_opts(location, options).await
    }
}

/// A lake is made, ingested into, compacted and cleared away, with log checkpoints on the way.
async fn life(fixture: &Fixture, lake: &Lake) {
    lake.init(&fixture.contract).await.unwrap();
    let housekeeping =
        Housekeeping { every: 1, log_age: Some(Duration::ZERO), log_checkpoint_every: 2, ..Housekeeping::default() };
    let mut ingest = fixture.try_open(lake).await.unwrap().with_housekeeping(housekeeping);
    pin(&mut ingest, SHARD).await;
    for number in 0..3 {
        let first = number * 2 + 1;
        let start = if number == 0 { Position::TrimHorizon } else { after(first - 1) };
        let rows = batch(&ingest, SHARD, start, first..=first + 1, 1).await;
        ingest.commit(&rows).await.unwrap();
    }
    compact(lake).await;
    run(lake, &at_once()).await;
}

#[tokio::test]
async fn a_lake_cut_off_after_any_put_works_on() {
    let mut cuts = 0;
    for puts in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Fixture { lake: lake_at(folder.path()), folder, contract: Contract::embedded().unwrap() };
        let gone = Arc::new(Notify::new());
        let lake = fixture.over(|inner| {
            let (folder, left) = (fixture.folder.path().to_owned(), AtomicUsize::new(puts));
            with_concern(inner, CutOff { folder, left, gone: Arc::clone(&gone) })
        });
        let ended = tokio::select! {
            () = life(&fixture, &lake) => true,
            () = gone.notified() => false,
        };
        drop(lake);
        fixture.lake.init(&fixture.contract).await.unwrap();
        expect_sound(&fixture.lake).await;
        let mut ingest = fixture.open().await;
        let position =
            ingest.document().and_then(|document| document.shards.get(SHARD)).map(|state| state.position.clone());
        if position.is_none() {
            pin(&mut ingest, SHARD).await;
        }
        let rows = batch(&ingest, SHARD, position.unwrap_or(Position::TrimHorizon), 91..=92, 1).await;
        let outcome = ingest.commit(&rows).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{puts}: {outcome:?}");
        expect_sound(&fixture.lake).await;
        if ended {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 30, "only {cuts} puts");
}
