//! The chain of checkpoint documents in the store: numbered objects, each put once and never changed.

use std::sync::Arc;

use bluelake_schemas::{Millis, Stream};
use futures::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, path::Path};

use crate::{
    checkpoint::document::{ArchiveRange, CheckpointDocument},
    error::LakeError,
    place::lake::Lake,
};

/// How many races for a number a put may lose before it gives up.
const MAX_LOST_RACES: usize = 50;

/// A document in a listing of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListedDocument {
    pub(crate) number: u64,
    /// By the store's clock.
    pub(crate) written_at: Millis,
}

/// How often a document that came altered is read: what the network did to it may not happen again.
const READS: usize = 3;

/// Reads and writes the documents of one stream.
#[derive(Clone, Debug)]
pub(crate) struct DocumentChain {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    described: String,
}

impl DocumentChain {
    pub(crate) fn new(lake: &Lake, stream: Stream) -> Self {
        let folder = lake.table_path(stream.table()).join("_checkpoints").join(stream.name());
        Self { store: lake.root().clone(), described: lake.describe(&folder), folder }
    }

    fn path(&self, number: u64) -> Path {
        self.folder.clone().join(format!("{number:020}.json"))
    }

    fn describe(&self, number: u64) -> String {
        format!("{}/{number:020}.json", self.described)
    }

    /// Reads and checks document `number`.
    pub(crate) async fn get(&self, number: u64) -> Result<CheckpointDocument, LakeError> {
        for _ in 1..READS {
            match self.read(number).await {
                Err(LakeError::Document { path, reason }) => {
                    tracing::warn!(path, reason, "a checkpoint document cannot be used as it came; reading it again");
                }
                settled => return settled,
            }
        }
        self.read(number).await
    }

    async fn read(&self, number: u64) -> Result<CheckpointDocument, LakeError> {
        let document = |reason: String| LakeError::Document { path: self.describe(number), reason };
        let bytes = match self.store.get(&self.path(number)).await {
            Ok(found) => found.bytes().await.map_err(LakeError::store("read", self.describe(number)))?,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(document(
                    "it is missing although the table refers to it; restore it from a backup of the bucket".to_owned(),
                ));
            }
            Err(error) => return Err(LakeError::store("read", self.describe(number))(error)),
        };
        CheckpointDocument::read(&bytes, number).map_err(|fault| document(fault.to_string()))
    }

    /// Seals the document and puts it under its number; false when that is taken.
    pub(crate) async fn put(&self, document: &mut CheckpointDocument) -> Result<bool, LakeError> {
        let number = document.head.number;
        let sealed = document.seal();
        let bytes =
            sealed.map_err(|error| LakeError::Document { path: self.describe(number), reason: error.to_string() })?;
        let create = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&self.path(number), bytes.into(), create).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(LakeError::store("write", self.describe(number))(error)),
        }
    }

    /// Refuses to run for numbers for ever.
    pub(crate) fn check_races(&self, lost: usize, number: u64) -> Result<(), LakeError> {
        if lost < MAX_LOST_RACES {
            return Ok(());
        }
        let reason = format!("{MAX_LOST_RACES} races for a number were lost");
        Err(LakeError::Document { path: self.describe(number), reason })
    }

    /// When the store says that document `number` was written.
    pub(crate) async fn written_at(&self, number: u64) -> Result<Millis, LakeError> {
        let meta =
            self.store.head(&self.path(number)).await.map_err(LakeError::store("look at", self.describe(number)))?;
        Ok(meta.last_modified.into())
    }

    /// Every document, committed or not, in no order.
    pub(crate) async fn list(&self) -> Result<Vec<ListedDocument>, LakeError> {
        self.store
            .list(Some(&self.folder))
            .try_filter_map(|meta| async move {
                let written_at = meta.last_modified.into();
                Ok(number_of(&meta.location).map(|number| ListedDocument { number, written_at }))
            })
            .try_collect()
            .await
            .map_err(LakeError::store("list", &self.described))
    }

    /// Deletes a document; one that is gone already is no error.
    pub(crate) async fn delete(&self, number: u64) -> Result<(), LakeError> {
        match self.store.delete(&self.path(number)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(LakeError::store("delete", self.describe(number))(error)),
        }
    }

    /// The parts of archived objects that `document` and those before it brought in, newest first.
    pub(crate) async fn archive_ranges(&self, document: &CheckpointDocument) -> Result<Vec<ArchiveRange>, LakeError> {
        let mut ranges = document.commit.archive_ranges.clone();
        let own =
            (document.links.last_archive == Some(document.head.number)).then_some(document.links.previous_archive);
        let mut next = own.unwrap_or(document.links.last_archive);
        while let Some(number) = next {
            let found = self.get(number).await?;
            ranges.extend(found.commit.archive_ranges);
            next = found.links.previous_archive;
        }
        Ok(ranges)
    }

    /// The document with the highest number, committed or not.
    pub(crate) async fn newest(&self) -> Result<Option<CheckpointDocument>, LakeError> {
        match self.highest(None).await? {
            Some(number) => self.get(number).await.map(Some),
            None => Ok(None),
        }
    }

    /// The highest number in use, looked for above `above`.
    pub(crate) async fn highest(&self, above: Option<u64>) -> Result<Option<u64>, LakeError> {
        let listed = match above {
            Some(number) => self.store.list_with_offset(Some(&self.folder), &self.path(number)),
            None => self.store.list(Some(&self.folder)),
        };
        listed
            .try_filter_map(|meta| async move { Ok(number_of(&meta.location)) })
            .try_fold(None, |highest, number| async move { Ok(highest.max(Some(number))) })
            .await
            .map_err(LakeError::store("list", &self.described))
    }
}

fn number_of(path: &Path) -> Option<u64> {
    path.filename()?.strip_suffix(".json")?.parse().ok()
}
