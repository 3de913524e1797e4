//! Hints of the targets that copies of the tables are delivered to: one object each under `_deliver/`, rewritten by its
//! target alone. They say which versions a target has, so that vacuum keeps what it has not read yet. The truth is in the
//! target; no guarantee of it rests on them.

use std::{collections::BTreeMap, sync::Arc};

use bluelake_schemas::Millis;
use futures::TryStreamExt as _;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, path::Path};
use serde::{Deserialize, Serialize};

use crate::{error::LakeError, layout::DELIVERIES, place::lake::Lake};

/// What a target says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryHint {
    /// Name of the target.
    pub target: String,
    /// Table → the version that the target needs the changes since.
    pub versions: BTreeMap<String, u64>,
    /// When that was, by the clock of who wrote it.
    pub at: Millis,
}

/// Reads and writes the hints of a lake. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DeliveryHints {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    described: String,
}

impl DeliveryHints {
    /// Those of a lake.
    #[must_use]
    pub fn of(lake: &Lake) -> Self {
        let folder = lake.table_path(DELIVERIES);
        Self { store: lake.root().clone(), described: lake.describe(&folder), folder }
    }

    /// Replaces the hint of a target.
    ///
    /// # Errors
    /// [`LakeError::Store`] when it cannot be written.
    pub async fn put(&self, hint: &DeliveryHint) -> Result<(), LakeError> {
        let path = self.folder.clone().join(format!("{}.json", hint.target));
        let described = format!("{}/{}", self.described, path.filename().unwrap_or_default());
        let bytes = serde_json::to_vec(hint)
            .map_err(|error| LakeError::Document { path: described.clone(), reason: error.to_string() })?;
        self.store.put(&path, bytes.into()).await.map_err(LakeError::store("write", described))?;
        Ok(())
    }

    /// Lists what a target refused, in the place of what the list of this name held. It answers where the list is.
    ///
    /// # Errors
    /// [`LakeError::Store`] when it cannot be written.
    pub async fn put_rejected(&self, target: &str, name: &str, lines: String) -> Result<String, LakeError> {
        let path = self.folder.clone().join(format!("{target}.rejected")).join(format!("{name}.ndjson"));
        let described = format!("{}/{target}.rejected/{name}.ndjson", self.described);
        self.store.put(&path, lines.into_bytes().into()).await.map_err(LakeError::store("write", &described))?;
        Ok(described)
    }

    /// Every hint that can be read.
    ///
    /// # Errors
    /// [`LakeError::Store`] when the folder or an object in it cannot be read: without a hint too much might be deleted.
    pub async fn list(&self) -> Result<Vec<DeliveryHint>, LakeError> {
        let listed: Vec<ObjectMeta> = self
            .store
            .list(Some(&self.folder))
            .try_collect()
            .await
            .map_err(LakeError::store("list", &self.described))?;
        let mut hints = Vec::new();
        for meta in listed.into_iter().filter(|meta| meta.location.extension() == Some("json")) {
            let failed = || LakeError::store("read", &meta.location);
            let bytes = match self.store.get(&meta.location).await {
                Ok(found) => found.bytes().await.map_err(failed())?,
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(error) => return Err(failed()(error)),
            };
            match serde_json::from_slice(&bytes) {
                Ok(hint) => hints.push(hint),
                Err(error) => {
                    let error = crate::causes(&error);
                    tracing::warn!(hint = %meta.location, error, "no hint of a delivery that this version knows");
                }
            }
        }
        Ok(hints)
    }

    /// The oldest version of a table that a target needs the changes since.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub(super) async fn slowest(&self, table: &str) -> Result<Option<u64>, LakeError> {
        let hints = self.list().await?;
        Ok(hints.iter().filter_map(|hint| hint.versions.get(table).copied()).min())
    }
}
