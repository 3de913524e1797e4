//! An archive: objects of a bucket or files of a folder with records, such as those of Firehose. It is only read.
//!
//! Keys and names are taken as they are, with any characters. An object that cannot be read because of its name or its
//! permissions is reported, and the others are read.

mod folder;
mod objects;

use std::path::PathBuf;

use aws_config::SdkConfig;
use bluelake_schemas::Millis;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::path::Path;

use self::objects::ArchiveBucket;
use crate::{
    error::LakeError,
    place::location::{LakeLocation, Place},
};

/// A folder of a Delta table, which archives do not have.
const DELTA_LOG: &str = "_delta_log";

/// A place with archived objects. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Archive {
    given: String,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Folder(PathBuf),
    Bucket(ArchiveBucket),
}

/// One object of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedObject {
    /// Its URL, or its path.
    pub name: String,
    /// Distinguishes its content from that of another object of the same name: the ETag in a bucket, size and time of a
    /// file.
    pub version: String,
    /// Bytes, as stored.
    pub size: u64,
    /// When it was written.
    pub modified_at: Millis,
    at: ObjectPlace,
}

/// How an object is requested.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ObjectPlace {
    File(PathBuf),
    Key { key: String, e_tag: Option<String> },
}

/// An object that exists and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableObject {
    /// Its URL, or its path, as far as it can be written.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What an archive holds.
#[derive(Clone, Debug, Default)]
pub struct ArchiveListing {
    /// By name.
    pub objects: Vec<ArchivedObject>,
    /// By name too.
    pub unreadable: Vec<UnreadableObject>,
}

impl ArchivedObject {
    /// An object without content, for tests of decisions by names, versions and times.
    #[doc(hidden)]
    #[must_use]
    pub fn new(name: &str, version: &str, modified_at: Millis) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            size: 0,
            modified_at,
            at: ObjectPlace::File(PathBuf::new()),
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
        let source = match location.place() {
            Place::Folder(folder) => Source::Folder(folder.clone()),
            Place::Bucket { bucket, prefix } => {
                let aws = aws.ok_or_else(|| fault("an S3 archive needs AWS settings".to_owned()))?;
                let prefix = Path::parse(prefix).map_err(|error| fault(error.to_string()))?;
                Source::Bucket(ArchiveBucket::new(bucket, prefix, aws)?)
            }
        };
        Ok(Self { given: location.to_string(), source })
    }

    /// Its objects: all below the folder, or the one that the place names. Empty objects and names that begin with `_`
    /// or `.`, such as `_SUCCESS`, hold no records and are left out.
    ///
    /// # Errors
    /// [`LakeError::Location`] when there are none, or when it is a lake; [`LakeError::Store`], [`LakeError::Bucket`] or
    /// [`LakeError::File`] when it cannot be listed.
    pub async fn list(&self) -> Result<ArchiveListing, LakeError> {
        let fault = |reason: &str| LakeError::Location { url: self.given.clone(), reason: reason.to_owned() };
        let listed = match &self.source {
            Source::Folder(folder) => folder::list(folder.clone()).await?,
            Source::Bucket(bucket) => bucket.list().await?,
        };
        let Listed { is_empty, is_lake, mut listing } = listed;
        if is_empty {
            return Err(fault("nothing is there"));
        }
        if is_lake {
            return Err(fault("it holds Delta tables, not archived records"));
        }
        if listing.objects.is_empty() && listing.unreadable.is_empty() {
            return Err(fault("it holds no objects with records"));
        }
        listing.objects.sort_by(|left, right| left.name.cmp(&right.name));
        listing.unreadable.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(listing)
    }

    /// The content of an object as it was listed.
    ///
    /// # Errors
    /// [`LakeError::Store`], [`LakeError::Bucket`] or [`LakeError::File`] when it cannot be read, or was written anew in the
    /// meantime.
    pub async fn read(
        &self,
        object: &ArchivedObject,
    ) -> Result<BoxStream<'static, Result<Bytes, LakeError>>, LakeError> {
        let parts = match (&self.source, &object.at) {
            (Source::Bucket(bucket), ObjectPlace::Key { key, e_tag }) => {
                bucket.read(key, e_tag.as_deref(), &object.name).await?
            }
            (_, ObjectPlace::File(path)) => folder::read(path.clone()).await?,
            (Source::Folder(_), ObjectPlace::Key { key, .. }) => folder::read(PathBuf::from(key)).await?,
        };
        let whole = Remaining { parts, bytes: object.size, name: object.name.clone() };
        Ok(futures::stream::try_unfold(whole, Remaining::next).boxed())
    }
}

/// The listing before it is judged as a whole.
#[derive(Default)]
struct Listed {
    is_empty: bool,
    is_lake: bool,
    listing: ArchiveListing,
}

/// A body that must have the listed length.
struct Remaining {
    parts: BoxStream<'static, Result<Bytes, LakeError>>,
    bytes: u64,
    name: String,
}

impl Remaining {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, LakeError> {
        match self.parts.try_next().await? {
            Some(part) => {
                let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
                self.bytes = self.bytes.checked_sub(length).ok_or_else(|| LakeError::File {
                    operation: "read",
                    path: self.name.clone(),
                    source: std::io::Error::other("it is longer than it was listed: it was written anew"),
                })?;
                Ok(Some((part, self)))
            }
            None if self.bytes == 0 => Ok(None),
            None => Err(LakeError::store("read", &self.name)(object_store::Error::Generic {
                store: "archive",
                source: "its body ended before its length was reached".into(),
            })),
        }
    }
}

/// Whether an object of this name may hold records.
fn holds_records(name: &str) -> bool {
    !name.starts_with('_') && !name.starts_with('.')
}
