//! A chain in the store: numbered objects, each put once and never changed. The checkpoint documents of a stream form a
//! chain, and the maintenance records of a table.

use std::{marker::PhantomData, sync::Arc};

use bluelake_schemas::{Millis, Stream};
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, path::Path};

use uuid::Uuid;

use crate::{
    checkpoint::{
        document::{ArchiveRange, CheckpointDocument},
        numbered::{self, Numbered},
        settlement::{Trace, trace_back},
    },
    error::LakeError,
    place::lake::Lake,
};

/// The most races for a number that a put may lose.
const MAX_LOST_RACES: usize = 50;

/// An object of a chain in a listing of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) number: u64,
    /// By the store's clock.
    pub(crate) written_at: Millis,
}

/// How often an altered object is read: the network may not alter it again.
const READS: usize = 3;

/// Reads and writes the objects of one chain.
#[derive(Clone, Debug)]
pub(crate) struct Chain<T> {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    described: String,
    kind: PhantomData<T>,
}

/// Objects that are read at once when a chain is read back.
const READ_AHEAD: usize = 64;

/// A chain that is read back from an object. Earlier objects are read ahead, because their numbers can be guessed.
pub(crate) struct ReadingBack<T> {
    chain: Chain<T>,
    /// In descending order of numbers, including objects that were never committed.
    ahead: BoxStream<'static, (u64, Result<T, LakeError>)>,
    /// The last object of `ahead` that was read and not requested.
    next: Option<(u64, Result<T, LakeError>)>,
}

impl<T: Numbered + Send + Sync + 'static> ReadingBack<T> {
    /// As [`Chain::get`]. Call it with falling numbers.
    pub(crate) async fn get(&mut self, number: u64) -> Result<T, LakeError> {
        loop {
            let next = match self.next.take() {
                None => self.ahead.next().await,
                next => next,
            };
            match next {
                Some((found, object)) if found == number => return object,
                Some((found, _)) if found > number => {}
                behind => {
                    self.next = behind;
                    return self.chain.get(number).await;
                }
            }
        }
    }
}

/// The checkpoint documents of one stream.
pub(crate) type DocumentChain = Chain<CheckpointDocument>;

impl DocumentChain {
    pub(crate) fn new(lake: &Lake, stream: Stream) -> Self {
        Self::at(lake, lake.table_path(stream.table()).join("_checkpoints").join(stream.name()))
    }

    /// The parts of archived objects that `document` and earlier ones brought in, newest first.
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
}

impl<T: Numbered> Chain<T> {
    pub(crate) fn at(lake: &Lake, folder: Path) -> Self {
        Self { store: lake.root().clone(), described: lake.describe(&folder), folder, kind: PhantomData }
    }

    /// Reads the chain back from before object `number`.
    pub(crate) async fn before(&self, number: u64) -> Result<ReadingBack<T>, LakeError>
    where
        T: Send + Sync + 'static,
    {
        let mut numbers: Vec<u64> = self.list().await?.into_iter().map(|listed| listed.number).collect();
        numbers.retain(|listed| *listed < number);
        numbers.sort_unstable_by(|left, right| right.cmp(left));
        let chain = self.clone();
        let ahead = futures::stream::iter(numbers)
            .map(move |number| {
                let chain = chain.clone();
                async move { (number, chain.get(number).await) }
            })
            .buffered(READ_AHEAD)
            .boxed();
        Ok(ReadingBack { chain: self.clone(), ahead, next: None })
    }

    fn path(&self, number: u64) -> Path {
        self.folder.clone().join(format!("{number:020}.json"))
    }

    fn describe(&self, number: u64) -> String {
        format!("{}/{number:020}.json", self.described)
    }

    /// Reads and checks object `number`.
    pub(crate) async fn get(&self, number: u64) -> Result<T, LakeError> {
        for _ in 1..READS {
            match self.read(number).await {
                Err(error @ (LakeError::Document { .. } | LakeError::Record { .. })) => {
                    tracing::warn!(%error, "it cannot be used as it came; reading it again");
                }
                settled => return settled,
            }
        }
        self.read(number).await
    }

    async fn read(&self, number: u64) -> Result<T, LakeError> {
        let bytes = match self.store.get(&self.path(number)).await {
            Ok(found) => found.bytes().await.map_err(LakeError::store("read", self.describe(number)))?,
            Err(object_store::Error::NotFound { .. }) => {
                let reason = "it is missing although the table refers to it; restore it from a backup of the bucket";
                return Err(self.fault(number, reason));
            }
            Err(error) => return Err(LakeError::store("read", self.describe(number))(error)),
        };
        numbered::read(&bytes, number).map_err(|fault| self.fault(number, fault))
    }

    fn fault(&self, number: u64, reason: impl ToString) -> LakeError {
        T::fault(self.describe(number), reason.to_string())
    }

    /// Seals the object and puts it under its number; false when that is taken.
    pub(crate) async fn put(&self, object: &mut T) -> Result<bool, LakeError> {
        let number = object.number();
        let bytes = numbered::seal(object).map_err(|error| self.fault(number, error))?;
        let create = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&self.path(number), bytes.into(), create).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(LakeError::store("write", self.describe(number))(error)),
        }
    }

    /// The number of the object that commits the batch or task of this id: `newest`, or one before it, back to number
    /// `base`.
    pub(crate) async fn find(&self, newest: Option<&T>, base: u64, id: Uuid) -> Result<Option<u64>, LakeError> {
        let Some(mut object) = newest.cloned() else { return Ok(None) };
        loop {
            match trace_back(&object, base, id) {
                Trace::Found => return Ok(Some(object.number())),
                Trace::Absent => return Ok(None),
                Trace::Before(number) => object = self.get(number).await?,
            }
        }
    }

    /// Gives up after too many lost races.
    pub(crate) fn check_races(&self, lost: usize, number: u64) -> Result<(), LakeError> {
        if lost < MAX_LOST_RACES {
            return Ok(());
        }
        Err(self.fault(number, format!("{MAX_LOST_RACES} races for a number were lost")))
    }

    /// When the store says that object `number` was written.
    pub(crate) async fn written_at(&self, number: u64) -> Result<Millis, LakeError> {
        let meta =
            self.store.head(&self.path(number)).await.map_err(LakeError::store("look at", self.describe(number)))?;
        Ok(meta.last_modified.into())
    }

    /// Whether object `number` is in the store, whatever it holds.
    pub(crate) async fn is_there(&self, number: u64) -> Result<bool, LakeError> {
        match self.written_at(number).await {
            Ok(_) => Ok(true),
            Err(LakeError::Store { source: object_store::Error::NotFound { .. }, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Every object, committed or not, in no order.
    pub(crate) async fn list(&self) -> Result<Vec<Listed>, LakeError> {
        self.store
            .list(Some(&self.folder))
            .try_filter_map(|meta| async move {
                let written_at = meta.last_modified.into();
                Ok(number_of(&meta.location).map(|number| Listed { number, written_at }))
            })
            .try_collect()
            .await
            .map_err(LakeError::store("list", &self.described))
    }

    /// Deletes an object; a missing one is no error.
    pub(crate) async fn delete(&self, number: u64) -> Result<(), LakeError> {
        match self.store.delete(&self.path(number)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(LakeError::store("delete", self.describe(number))(error)),
        }
    }

    /// The object with the highest number, committed or not.
    pub(crate) async fn newest(&self) -> Result<Option<T>, LakeError> {
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
