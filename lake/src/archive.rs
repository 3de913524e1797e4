//! An archive: objects of a bucket or files of a folder that hold records, such as Firehose leaves them. Only read.

use std::sync::Arc;

use aws_config::SdkConfig;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, local::LocalFileSystem, path::Path};

use crate::{
    bucket,
    error::LakeError,
    location::{LakeLocation, Place},
};

/// A folder of a Delta table that no archive has.
const DELTA_LOG: &str = "_delta_log";

/// A place with archived objects. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Archive {
    given: String,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    bucket: Option<String>,
}

/// One object of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedObject {
    /// Its URL, or its path.
    pub name: String,
    /// Tells its content from that of another object of the same name: the ETag in a bucket, size and time of a file.
    pub version: String,
    /// Bytes, as stored.
    pub size: u64,
    /// When it was written, milliseconds since the epoch.
    pub modified_at: i64,
    path: Path,
    e_tag: Option<String>,
}

impl ArchivedObject {
    /// One without content, for tests of what is decided by names, versions and times.
    #[doc(hidden)]
    #[must_use]
    pub fn new(name: &str, version: &str, modified_at: i64) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            size: 0,
            modified_at,
            path: Path::default(),
            e_tag: None,
        }
    }
}

impl Archive {
    /// Opens the place without looking into it. `aws` is needed for a bucket only.
    ///
    /// # Errors
    /// [`LakeError::Location`] when the place cannot be used, for example without a region.
    pub fn at(location: &LakeLocation, aws: Option<&SdkConfig>) -> Result<Self, LakeError> {
        let fault = |reason: String| LakeError::Location { url: location.to_string(), reason };
        let given = location.to_string();
        match location.place() {
            Place::Folder(folder) => Ok(Self {
                given,
                store: Arc::new(LocalFileSystem::new()),
                prefix: Path::from_absolute_path(folder).map_err(|error| fault(error.to_string()))?,
                bucket: None,
            }),
            Place::Bucket { bucket, prefix } => {
                let aws = aws.ok_or_else(|| fault("an S3 archive needs AWS settings".to_owned()))?;
                Ok(Self {
                    given,
                    store: Arc::new(bucket::store(bucket, aws)?),
                    prefix: Path::parse(prefix).map_err(|error| fault(error.to_string()))?,
                    bucket: Some(bucket.clone()),
                })
            }
        }
    }

    /// Its objects, by name: all below the folder, or the one that the place names. Empty ones and those whose name begins
    /// with `_` or `.`, such as `_SUCCESS`, hold no records and are left out.
    ///
    /// # Errors
    /// [`LakeError::Location`] when there are none, or when it is a lake; [`LakeError::Store`] when it cannot be listed.
    pub async fn objects(&self) -> Result<Vec<ArchivedObject>, LakeError> {
        let fault = |reason: &str| LakeError::Location { url: self.given.clone(), reason: reason.to_owned() };
        let listed = self.store.list(Some(&self.prefix)).try_collect().await;
        let mut listed: Vec<ObjectMeta> = listed.map_err(LakeError::store("list", &self.given))?;
        if listed.is_empty() {
            match self.store.head(&self.prefix).await {
                Ok(one) => listed.push(one),
                Err(object_store::Error::NotFound { .. }) => return Err(fault("nothing is there")),
                Err(error) => return Err(LakeError::store("look at", &self.given)(error)),
            }
        }
        if listed.iter().any(|meta| meta.location.parts().any(|part| part.as_ref() == DELTA_LOG)) {
            return Err(fault("it holds Delta tables, not archived records"));
        }
        let mut objects: Vec<_> = listed.into_iter().filter(holds_records).map(|meta| self.object(meta)).collect();
        if objects.is_empty() {
            return Err(fault("it holds no objects with records"));
        }
        objects.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(objects)
    }

    fn object(&self, meta: ObjectMeta) -> ArchivedObject {
        let modified_at = meta.last_modified.timestamp_millis();
        // The tag of a file holds its inode, which a copy would change.
        let e_tag = meta.e_tag.filter(|_| self.bucket.is_some());
        ArchivedObject {
            name: match &self.bucket {
                Some(bucket) => format!("s3://{bucket}/{}", meta.location),
                None => format!("/{}", meta.location),
            },
            version: match &e_tag {
                Some(tag) => tag.trim_matches('"').to_owned(),
                None => format!("{}-{modified_at}", meta.size),
            },
            size: meta.size,
            modified_at,
            path: meta.location,
            e_tag,
        }
    }

    /// The content of an object as it was listed.
    ///
    /// # Errors
    /// [`LakeError::Store`] when it cannot be read, or was written anew in the meantime.
    pub async fn read(
        &self,
        object: &ArchivedObject,
    ) -> Result<BoxStream<'static, Result<Bytes, LakeError>>, LakeError> {
        let options = GetOptions { if_match: object.e_tag.clone(), ..GetOptions::default() };
        let name = object.name.clone();
        let found = self.store.get_opts(&object.path, options).await.map_err(LakeError::store("read", &name))?;
        let whole = Remaining { parts: found.into_stream(), bytes: object.size };
        let parts = futures::stream::try_unfold(whole, Remaining::next);
        Ok(parts.map_err(move |error| LakeError::store("read", &name)(error)).boxed())
    }
}

/// A body that must be as long as its object was listed.
struct Remaining {
    parts: BoxStream<'static, object_store::Result<Bytes>>,
    bytes: u64,
}

impl Remaining {
    async fn next(mut self) -> object_store::Result<Option<(Bytes, Self)>> {
        let fault = |what: &str| object_store::Error::Generic { store: "archive", source: what.into() };
        match self.parts.try_next().await? {
            Some(part) => {
                let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
                self.bytes = self.bytes.checked_sub(length).ok_or_else(|| fault("it is longer than it was listed"))?;
                Ok(Some((part, self)))
            }
            None if self.bytes == 0 => Ok(None),
            None => Err(fault("its body ended before its length was reached")),
        }
    }
}

fn holds_records(meta: &ObjectMeta) -> bool {
    let name = meta.location.filename().unwrap_or_default();
    meta.size > 0 && !name.starts_with('_') && !name.starts_with('.')
}
