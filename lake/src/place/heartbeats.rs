//! Heartbeats of workers: one object each under `_workers/`, rewritten by its owner alone. They are hints about which
//! workers are alive and what they read; no guarantee rests on them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bluelake_schemas::Millis;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, path::Path};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{checkpoint::shard_id::ShardId, error::LakeError, layout::WORKERS, place::lake::Lake};

/// Heartbeats read at once.
const READS_AT_ONCE: usize = 16;

/// A worker's description of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The worker's id, unique among running workers.
    pub worker: String,
    /// The id of this run of the worker: it distinguishes two runs at once under one id.
    pub incarnation: Uuid,
    /// Rises with each beat.
    pub beat: u64,
    /// When the run began by the worker's clock. For people only.
    pub started_at: Millis,
    /// Version of Bluelake.
    pub version: String,
    /// Streams that it reads.
    pub streams: BTreeSet<String>,
    /// The most shards that it takes.
    pub max_shards: Option<usize>,
    /// Stream → shards that it reads or has not committed yet: other workers should not start on them.
    pub holds: BTreeMap<String, BTreeSet<ShardId>>,
}

/// A heartbeat as found in the lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundHeartbeat {
    /// What it says.
    pub heartbeat: Heartbeat,
    /// When it was written by the store's clock.
    pub written_at: Millis,
}

/// Reads and writes the heartbeats of a lake. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Heartbeats {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    described: String,
}

impl Heartbeats {
    /// Those of a lake.
    #[must_use]
    pub fn of(lake: &Lake) -> Self {
        let folder = lake.table_path(WORKERS);
        Self { store: lake.root().clone(), described: lake.describe(&folder), folder }
    }

    /// Whether an id can name a worker: 1 to 100 letters, digits, `.`, `_` and `-`, since it names an object.
    #[must_use]
    pub fn is_valid_id(id: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        (1..=100).contains(&id.len()) && !id.starts_with('.') && id.bytes().all(plain)
    }

    /// Replaces a worker's heartbeat.
    ///
    /// # Errors
    /// [`LakeError::Store`] when it cannot be written.
    pub async fn put(&self, heartbeat: &Heartbeat) -> Result<(), LakeError> {
        let path = self.path(&heartbeat.worker);
        let bytes = serde_json::to_vec(heartbeat)
            .map_err(|error| LakeError::Document { path: path.to_string(), reason: error.to_string() })?;
        self.store.put(&path, bytes.into()).await.map_err(LakeError::store("write", self.describe(&path)))?;
        Ok(())
    }

    /// Every readable heartbeat. Others (half written, of another version, just removed) are skipped.
    ///
    /// # Errors
    /// [`LakeError::Store`] when the folder cannot be listed.
    pub async fn list(&self) -> Result<Vec<FoundHeartbeat>, LakeError> {
        let listed: Vec<ObjectMeta> = self
            .store
            .list(Some(&self.folder))
            .try_collect()
            .await
            .map_err(LakeError::store("list", &self.described))?;
        let heartbeats = listed.into_iter().filter(|meta| meta.location.extension() == Some("json"));
        let read = heartbeats.map(|meta| self.read(meta));
        Ok(futures::stream::iter(read).buffer_unordered(READS_AT_ONCE).filter_map(std::future::ready).collect().await)
    }

    async fn read(&self, meta: ObjectMeta) -> Option<FoundHeartbeat> {
        let bytes = self.store.get(&meta.location).await.ok()?.bytes().await.ok()?;
        match serde_json::from_slice(&bytes) {
            Ok(heartbeat) => Some(FoundHeartbeat { heartbeat, written_at: meta.last_modified.into() }),
            Err(error) => {
                tracing::debug!(heartbeat = %meta.location, error = crate::causes(&error), "not a heartbeat that this version knows");
                None
            }
        }
    }

    /// Removes a worker's heartbeat.
    ///
    /// # Errors
    /// [`LakeError::Store`] when it cannot be removed; a missing one is no error.
    pub async fn remove(&self, worker: &str) -> Result<(), LakeError> {
        let path = self.path(worker);
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(LakeError::store("delete", self.describe(&path))(error)),
        }
    }

    fn path(&self, worker: &str) -> Path {
        self.folder.clone().join(format!("{worker}.json"))
    }

    fn describe(&self, path: &Path) -> String {
        format!("{}/{}", self.described, path.filename().unwrap_or_default())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::place::location::LakeLocation;

    fn heartbeat(worker: &str, beat: u64) -> Heartbeat {
        Heartbeat {
            worker: worker.to_owned(),
            incarnation: Uuid::nil(),
            beat,
            started_at: Millis::new(0),
            version: "0".to_owned(),
            streams: BTreeSet::from(["user-events".to_owned()]),
            max_shards: Some(3),
            holds: BTreeMap::from([("user-events".to_owned(), BTreeSet::from(["shard-0".into()]))]),
        }
    }

    #[tokio::test]
    async fn a_heartbeat_is_replaced_found_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::at(&folder.path().to_str().unwrap().parse::<LakeLocation>().unwrap(), None).unwrap();
        let heartbeats = Heartbeats::of(&lake);
        assert!(heartbeats.list().await.unwrap().is_empty(), "no folder yet");
        for beat in 1..=2 {
            heartbeats.put(&heartbeat("a", beat)).await.unwrap();
        }
        heartbeats.put(&heartbeat("b", 7)).await.unwrap();
        std::fs::write(folder.path().join(WORKERS).join("c.json"), b"{\"worker\":").unwrap();
        let mut found = heartbeats.list().await.unwrap();
        found.sort_by(|left, right| left.heartbeat.worker.cmp(&right.heartbeat.worker));
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].heartbeat, heartbeat("a", 2));
        assert!(found[0].written_at > Millis::new(1_700_000_000_000));
        heartbeats.remove("a").await.unwrap();
        heartbeats.remove("a").await.unwrap();
        assert_eq!(heartbeats.list().await.unwrap().len(), 1);
    }

    #[test]
    fn an_id_must_be_a_plain_name() {
        assert!(Heartbeats::is_valid_id("bluelake-0.eu-central-1"));
        for id in ["", "a/b", "..", "a b", "ä", &"x".repeat(101)] {
            assert!(!Heartbeats::is_valid_id(id), "{id}");
        }
    }
}
