//! Files that are not tables, such as exported reports: staged first, and named when all are complete.
//!
//! A reader sees a file under its name whole or not at all. In a folder a file is written and synced under a hidden
//! name beside its own, then renamed. In a bucket it is a multipart upload, which is invisible until it is completed.
//! Staged files that are not published are removed. A killed process may leave hidden `.…partial` files or incomplete
//! uploads, which are not read.

use std::{
    fs, io,
    io::Write as _,
    path::{Path as FilePath, PathBuf},
    time::Duration,
};

use aws_config::SdkConfig;
use aws_sdk_s3::presigning::PresigningConfig;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::{
    Attribute, Attributes, MultipartUpload, ObjectStore as _, ObjectStoreExt as _, PutMultipartOptions, PutPayload,
    aws::AmazonS3, path::Path,
};
use walkdir::WalkDir;

use crate::{
    causes::causes,
    error::LakeError,
    place::{
        bucket,
        location::{LakeLocation, Place},
        whole_file::{WholeFile, create_folders},
    },
};

/// Size of the parts of an upload. S3 takes at most 10,000 parts, and smaller ones only at the end.
const PART: usize = 16 << 20;
/// The longest validity of a link in S3.
pub const LINK_VALID_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A place for files: a folder, or a prefix of a bucket. Paths below it are separated by `/`.
#[derive(Clone, Debug)]
pub struct FileStore {
    place: FilePlace,
}

#[derive(Clone, Debug)]
enum FilePlace {
    Folder(PathBuf),
    Bucket { store: Box<AmazonS3>, client: aws_sdk_s3::Client, bucket: String, prefix: Path },
}

/// A complete file without its name yet.
#[derive(Debug)]
pub struct StagedFile {
    held: Held,
}

#[derive(Debug)]
enum Held {
    File { file: WholeFile, created: Vec<PathBuf> },
    Upload { upload: Box<dyn MultipartUpload>, at: String },
}

impl FileStore {
    /// Opens the place without looking into it. `aws` is needed for a bucket only.
    ///
    /// # Errors
    /// [`LakeError::Location`] when the place cannot be used, for example without a region.
    pub fn at(location: &LakeLocation, aws: Option<&SdkConfig>) -> Result<Self, LakeError> {
        let fault = |reason: String| LakeError::Location { url: location.to_string(), reason };
        let place = match location.place() {
            Place::Folder(folder) => FilePlace::Folder(folder.clone()),
            Place::Bucket { bucket, prefix } => {
                let aws = aws.ok_or_else(|| fault("a bucket needs AWS settings".to_owned()))?;
                FilePlace::Bucket {
                    store: Box::new(bucket::store(bucket, aws)?),
                    client: bucket::client(aws),
                    bucket: bucket.clone(),
                    prefix: Path::parse(prefix).map_err(|error| fault(error.to_string()))?,
                }
            }
        };
        Ok(Self { place })
    }

    /// A file in the notation of users: a path, or a URL.
    #[must_use]
    pub fn name(&self, path: &str) -> String {
        match &self.place {
            FilePlace::Folder(folder) => folder.join(path).display().to_string(),
            FilePlace::Bucket { bucket, prefix, .. } => format!("s3://{bucket}/{}", below(prefix, path)),
        }
    }

    /// A file's content, if the file exists.
    ///
    /// # Errors
    /// [`LakeError::File`] or [`LakeError::Store`] when it cannot be read.
    pub async fn read(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        match &self.place {
            FilePlace::Folder(folder) => {
                let target = folder.join(path);
                let read = blocking(move || fs::read(target)).await;
                match read {
                    Ok(content) => Ok(Some(content.into())),
                    Err(error) if is_missing(&error) => Ok(None),
                    Err(error) => Err(LakeError::File { operation: "read", path: self.name(path), source: error }),
                }
            }
            FilePlace::Bucket { store, prefix, .. } => {
                let fail = |error| LakeError::store("read", self.name(path))(error);
                match store.get(&below(prefix, path)).await {
                    Ok(found) => found.bytes().await.map(Some).map_err(fail),
                    // S3 answers so for a missing object that may be listed, and refuses the call otherwise.
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
                    Err(error) => Err(fail(error)),
                }
            }
        }
    }

    /// Writes a file completely, except for its name.
    ///
    /// # Errors
    /// [`LakeError::File`] or [`LakeError::Store`]; no files are left behind.
    pub async fn stage(&self, path: &str, content: Bytes, media_type: &'static str) -> Result<StagedFile, LakeError> {
        let held = match &self.place {
            FilePlace::Folder(folder) => {
                let target = folder.join(path);
                let written = blocking(move || lay_aside(&target, &content)).await;
                written.map_err(|source| LakeError::File { operation: "write", path: self.name(path), source })?
            }
            FilePlace::Bucket { store, prefix, .. } => {
                let at = self.name(path);
                let attributes = Attributes::from_iter([(Attribute::ContentType, media_type)]);
                let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
                let started = store.put_multipart_opts(&below(prefix, path), options).await;
                let mut upload = started.map_err(LakeError::store("write", &at))?;
                if let Err(error) = send(upload.as_mut(), content).await {
                    abort(upload, &at).await;
                    return Err(LakeError::store("write", &at)(error));
                }
                Held::Upload { upload, at }
            }
        };
        Ok(StagedFile { held })
    }

    /// Gives a file its name; an existing file of that name is replaced.
    ///
    /// # Errors
    /// [`LakeError::File`] or [`LakeError::Store`]; a store may have done it nevertheless.
    pub async fn publish(&self, staged: StagedFile) -> Result<(), LakeError> {
        match staged.held {
            Held::File { file, .. } => {
                let name = file.target().display().to_string();
                blocking(move || file.publish()).await.map_err(|source| LakeError::File {
                    operation: "write",
                    path: name,
                    source,
                })
            }
            Held::Upload { mut upload, at } => {
                upload.complete().await.map(|_| ()).map_err(LakeError::store("write", &at))
            }
        }
    }

    /// Removes a file that is not to be published. Best effort.
    pub async fn discard(&self, staged: StagedFile) {
        match staged.held {
            Held::File { file, created } => {
                let removed = blocking(move || {
                    drop(file);
                    created.iter().rev().try_for_each(fs::remove_dir)
                });
                // Another file may be in a folder that was made for this one.
                let _ = removed.await;
            }
            Held::Upload { upload, at } => abort(upload, &at).await,
        }
    }

    /// Deletes a file; a missing one counts as deleted.
    ///
    /// # Errors
    /// [`LakeError::File`] or [`LakeError::Store`] when it cannot be deleted.
    pub async fn remove(&self, path: &str) -> Result<(), LakeError> {
        match &self.place {
            FilePlace::Folder(folder) => {
                let target = folder.join(path);
                match blocking(move || fs::remove_file(target)).await {
                    Err(error) if !is_missing(&error) => {
                        Err(LakeError::File { operation: "delete", path: self.name(path), source: error })
                    }
                    _ => Ok(()),
                }
            }
            FilePlace::Bucket { store, prefix, .. } => match store.delete(&below(prefix, path)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(LakeError::store("delete", self.name(path))(error)),
            },
        }
    }

    /// The files below a folder of the place, by their paths in it; none when it is not there.
    ///
    /// # Errors
    /// [`LakeError::File`] or [`LakeError::Store`] when they cannot be listed.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        match &self.place {
            FilePlace::Folder(root) => {
                let (root, start) = (root.clone(), root.join(folder));
                let listed = blocking(move || named_below(&root, &start)).await;
                listed.map_err(|source| LakeError::File { operation: "list", path: self.name(folder), source })
            }
            FilePlace::Bucket { store, prefix, .. } => {
                let listed = store.list(Some(&below(prefix, folder))).try_collect::<Vec<_>>().await;
                let listed = listed.map_err(LakeError::store("list", self.name(folder)))?;
                let path = |at: &Path| {
                    Some(at.prefix_match(prefix)?.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"))
                };
                Ok(listed.iter().filter_map(|object| path(&object.location)).collect())
            }
        }
    }

    /// A link by which anybody can get a file of a bucket for the time `valid`, at most [`LINK_VALID_MAX`]; `None` for
    /// a folder. It expires sooner if its signing credentials do.
    ///
    /// # Errors
    /// [`LakeError::Bucket`] when it cannot be signed.
    pub async fn link(&self, path: &str, valid: Duration) -> Result<Option<String>, LakeError> {
        let FilePlace::Bucket { client, bucket, prefix, .. } = &self.place else { return Ok(None) };
        let fault =
            |reason: String| LakeError::Bucket { bucket: bucket.clone(), operation: "presigning GetObject", reason };
        let config = PresigningConfig::expires_in(valid).map_err(|error| fault(causes(&error)))?;
        let request = client.get_object().bucket(bucket).key(below(prefix, path).to_string());
        let signed = request.presigned(config).await.map_err(|error| fault(causes(&error)))?;
        Ok(Some(signed.uri().to_owned()))
    }
}

/// The path letter for letter, as in a folder. Its construction excludes what a path of a store cannot contain.
fn below(prefix: &Path, path: &str) -> Path {
    let joined = format!("{prefix}/{path}");
    Path::parse(&joined).unwrap_or_else(|_| Path::from(joined))
}

/// The files below a folder that have their names, by their paths from the root.
fn named_below(root: &FilePath, start: &FilePath) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(start).follow_links(true) {
        let entry = match entry {
            // Somebody took it away meanwhile, or nobody put anything there.
            Err(error) if error.io_error().is_some_and(is_missing) => continue,
            entry => entry?,
        };
        let has_name = !entry.file_name().to_string_lossy().starts_with('.');
        if !entry.file_type().is_dir()
            && has_name
            && let Ok(path) = entry.path().strip_prefix(root)
        {
            found.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Writes and syncs the content under a hidden name, and makes the folders that it needs.
fn lay_aside(target: &FilePath, content: &[u8]) -> io::Result<Held> {
    let folder = target.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut created: Vec<_> = folder.ancestors().filter(|folder| !folder.exists()).map(FilePath::to_owned).collect();
    created.reverse();
    let written = create_folders(folder).and_then(|()| {
        let mut file = WholeFile::create(target)?;
        file.write_all(content)?;
        file.sync()?;
        Ok(file)
    });
    match written {
        Ok(file) => Ok(Held::File { file, created }),
        Err(error) => {
            let _ = created.iter().rev().try_for_each(fs::remove_dir);
            Err(error)
        }
    }
}

async fn send(upload: &mut dyn MultipartUpload, mut content: Bytes) -> object_store::Result<()> {
    while !content.is_empty() {
        let part = content.split_to(content.len().min(PART));
        upload.put_part(PutPayload::from_bytes(part)).await?;
    }
    Ok(())
}

async fn abort(mut upload: Box<dyn MultipartUpload>, at: &str) {
    if let Err(error) = upload.abort().await {
        tracing::warn!(
            object = at,
            error = causes(&error),
            "an upload that was given up is left for the bucket's own rules"
        );
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn store(folder: &FilePath) -> FileStore {
        FileStore::at(&folder.display().to_string().parse().unwrap(), None).unwrap()
    }

    fn names(folder: &FilePath) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[tokio::test]
    async fn a_file_is_visible_only_once_published() {
        let folder = tempfile::tempdir().unwrap();
        let files = store(folder.path());
        let staged = files.stage("a/b.csv", "one".into(), "text/csv").await.unwrap();
        assert_eq!(files.read("a/b.csv").await.unwrap(), None);
        files.publish(staged).await.unwrap();
        assert_eq!(files.read("a/b.csv").await.unwrap().unwrap().as_ref(), b"one");
        let second = files.stage("a/b.csv", "two".into(), "text/csv").await.unwrap();
        assert_eq!(files.read("a/b.csv").await.unwrap().unwrap().as_ref(), b"one");
        files.publish(second).await.unwrap();
        assert_eq!(files.read("a/b.csv").await.unwrap().unwrap().as_ref(), b"two");
        assert_eq!(names(&folder.path().join("a")), ["b.csv"]);
        files.remove("a/b.csv").await.unwrap();
        files.remove("a/b.csv").await.unwrap();
        assert_eq!(files.read("a/b.csv").await.unwrap(), None);
    }

    #[tokio::test]
    async fn files_that_have_their_names_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let files = store(folder.path());
        for path in ["a/b/c.csv", "a/d.csv", "e/f.csv"] {
            let staged = files.stage(path, "one".into(), "text/csv").await.unwrap();
            files.publish(staged).await.unwrap();
        }
        let _unnamed = files.stage("a/g.csv", "two".into(), "text/csv").await.unwrap();
        let mut found = files.list("a").await.unwrap();
        found.sort();
        assert_eq!(found, ["a/b/c.csv", "a/d.csv"]);
        assert!(files.list("none").await.unwrap().is_empty(), "a folder that is not there has no files");
    }

    #[tokio::test]
    async fn discarding_removes_files_and_folders() {
        let folder = tempfile::tempdir().unwrap();
        let files = store(folder.path());
        let staged = files.stage("a/b/c.csv", "one".into(), "text/csv").await.unwrap();
        files.discard(staged).await;
        assert!(names(folder.path()).is_empty());
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let files = store(&folder.path().join("file"));
        let message = files.stage("a/b.csv", "one".into(), "text/csv").await.unwrap_err().to_string();
        assert!(message.contains("cannot write") && message.contains("file/a/b.csv"), "{message}");
        assert_eq!(files.link("a/b.csv", LINK_VALID_MAX).await.unwrap(), None);
    }
}
