//! A local object store whose puts are on disk, file and directory, before they are acknowledged.
//!
//! Everything but puts is left to object_store's own `LocalFileSystem`. A put is a [`WholeFile`], so that a commit
//! never refers to bytes that a power failure can lose; puts in parts are treated alike (`durable_parts`).

use std::{
    fmt, io,
    io::Write as _,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, local::LocalFileSystem, path::Path,
};

use crate::place::{
    durable_parts::{CreateOnly, Disk, DurableUpload, RealDisk},
    whole_file::{WholeFile, create_folders_of},
};

/// `LocalFileSystem` over the whole file system with durable puts.
#[derive(Debug)]
pub(crate) struct DurableFileSystem {
    inner: Arc<LocalFileSystem>,
    /// The disk of puts in parts.
    disk: Arc<dyn Disk>,
}

impl DurableFileSystem {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(RealDisk))
    }

    /// Over this disk.
    pub(crate) fn on(disk: Arc<dyn Disk>) -> Self {
        Self { inner: Arc::new(LocalFileSystem::new()), disk }
    }
}

impl fmt::Display for DurableFileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DurableFileSystem({})", self.inner)
    }
}

pub(crate) fn failure(path: &FilePath, source: io::Error) -> Error {
    let path = path.display().to_string();
    match source.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: source.into() },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, source: source.into() },
        _ => Error::Generic { store: "file system", source: source.into() },
    }
}

fn put(target: &FilePath, payload: &PutPayload, create: bool) -> io::Result<()> {
    create_folders_of(target)?;
    let mut file = WholeFile::create_unlisted(target)?;
    for part in payload {
        file.write_all(part)?;
    }
    if create { file.publish_new() } else { file.publish() }
}

#[async_trait]
impl ObjectStore for DurableFileSystem {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return self.inner.put_opts(location, payload, options).await,
        };
        let target: PathBuf = self.inner.path_to_filesystem(location)?;
        let written = target.clone();
        tokio::task::spawn_blocking(move || put(&written, &payload, create))
            .await
            .map_err(|source| Error::JoinError { source })?
            .map_err(|source| failure(&target, source))?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if !options.attributes.is_empty() {
            // A folder keeps no attributes; the error is its own.
            return self.inner.put_multipart_opts(location, options).await;
        }
        let create = options.extensions.get::<CreateOnly>().is_some();
        let target: PathBuf = self.inner.path_to_filesystem(location)?;
        let (at, disk) = (target.clone(), Arc::clone(&self.disk));
        let begun = tokio::task::spawn_blocking(move || DurableUpload::begin(target, create, disk)).await;
        let upload = begun.map_err(|source| Error::JoinError { source })?.map_err(|source| failure(&at, source))?;
        Ok(Box::new(upload))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;
    use futures::TryStreamExt as _;
    use object_store::ObjectStoreExt as _;

    #[tokio::test]
    async fn one_creator_wins_without_visible_temporary_files() {
        let folder = tempfile::tempdir().unwrap();
        let store = DurableFileSystem::new();
        let path = Path::from_absolute_path(folder.path().join("a/b/c.json")).unwrap();
        let create = || PutOptions::from(PutMode::Create);
        store.put_opts(&path, "one".into(), create()).await.unwrap();
        let second = store.put_opts(&path, "two".into(), create()).await;
        assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
        let kept = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(kept.as_ref(), b"one");
        store.put(&path, "three".into()).await.unwrap();
        let root = Path::from_absolute_path(folder.path()).unwrap();
        let names: Vec<_> = store.list(Some(&root)).try_collect().await.unwrap();
        assert_eq!(names.len(), 1);
        let left: Vec<_> = fs::read_dir(folder.path().join("a/b")).unwrap().collect();
        assert_eq!(left.len(), 1, "the temporary file is gone");
    }
}
