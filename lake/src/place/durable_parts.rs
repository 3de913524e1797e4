//! A file that comes in parts, in a folder: it is written under a hidden name, and gets its own when all of it is on
//! disk.
//!
//! object_store's own `LocalFileSystem` renames without a sync: after a power failure the name may exist without its
//! bytes. Data files of many parts come this way, and Delta's log checkpoints above 10 MiB.

use std::{
    fmt, fs, io,
    os::unix::fs::FileExt as _,
    path::{Path as FilePath, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures::FutureExt as _;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use crate::place::{
    durable::failure,
    whole_file::{create_folders_of, give_name, sync_folder_of, unlisted},
};

/// An option of a multipart upload: the object must not exist yet. Stores of object_store ignore it; a folder obeys it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CreateOnly;

/// The steps by which a file survives a power failure, in the order of the methods.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// The file's bytes are on disk when this returns.
    fn sync_file(&self, file: &fs::File) -> io::Result<()>;
    /// Gives the file its name; `create` refuses one that is taken.
    fn name(&self, hidden: &FilePath, target: &FilePath, create: bool) -> io::Result<()>;
    /// The names in the folder of a file are on disk when this returns.
    fn sync_folder_of(&self, target: &FilePath) -> io::Result<()>;
}

/// The disk itself.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn sync_file(&self, file: &fs::File) -> io::Result<()> {
        file.sync_all()
    }

    fn name(&self, hidden: &FilePath, target: &FilePath, create: bool) -> io::Result<()> {
        give_name(hidden, target, create)
    }

    fn sync_folder_of(&self, target: &FilePath) -> io::Result<()> {
        sync_folder_of(target)
    }
}

/// A file under way. If it is dropped before it is complete, it is removed.
#[derive(Debug)]
pub(crate) struct DurableUpload {
    file: Arc<Hidden>,
    target: PathBuf,
    create: bool,
    /// Where the next part goes.
    offset: u64,
    /// Completed or aborted.
    ended: bool,
}

/// The file under its hidden name.
#[derive(Debug)]
struct Hidden {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: fs::File,
    /// Bytes of the completely written parts.
    written: AtomicU64,
}

impl DurableUpload {
    /// Begins a file for `target`, and makes the folders that it needs. Blocks.
    pub(crate) fn begin(target: PathBuf, create: bool, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let path = unlisted(&target)?;
        create_folders_of(&target)?;
        let file = fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
        let file = Arc::new(Hidden { disk, path, file, written: AtomicU64::new(0) });
        Ok(Self { file, target, create, offset: 0, ended: false })
    }

    /// Removes the hidden file, if it exists.
    fn remove(&mut self) -> io::Result<()> {
        self.ended = true;
        match fs::remove_file(&self.file.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Hidden {
    fn write_at(&self, payload: &PutPayload, mut offset: u64) -> io::Result<()> {
        for part in payload {
            self.file.write_all_at(part, offset)?;
            offset += bytes_of(part.len())?;
        }
        self.written.fetch_add(bytes_of(payload.content_length())?, Ordering::SeqCst);
        Ok(())
    }

    /// Puts `size` bytes on disk, then their name, then the folder that holds it.
    fn publish(&self, target: &FilePath, size: u64, create: bool) -> io::Result<()> {
        let written = self.written.load(Ordering::SeqCst);
        if written != size {
            return Err(io::Error::other(format!("{written} of {size} bytes were written")));
        }
        self.disk.sync_file(&self.file)?;
        self.disk.name(&self.path, target, create)?;
        self.disk.sync_folder_of(target)
    }
}

fn bytes_of(length: usize) -> io::Result<u64> {
    u64::try_from(length).map_err(io::Error::other)
}

async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|source| Error::JoinError { source })?;
    done.map_err(|source| failure(&path, source))
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let offset = self.offset;
        let length = u64::try_from(data.content_length()).unwrap_or(u64::MAX);
        self.offset = self.offset.saturating_add(length);
        let file = Arc::clone(&self.file);
        blocking(self.target.clone(), move || file.write_at(&data, offset)).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if self.ended {
            return Err(failure(&self.target, io::Error::other("it was completed or aborted before")));
        }
        let (file, target) = (Arc::clone(&self.file), self.target.clone());
        let (size, create) = (self.offset, self.create);
        blocking(self.target.clone(), move || file.publish(&target, size, create)).await?;
        self.ended = true;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        self.remove().map_err(|source| failure(&self.target, source))
    }
}

impl Drop for DurableUpload {
    fn drop(&mut self) {
        if !self.ended {
            // No caller is left to report to; remaining files are invisible to readers.
            let _ = self.remove();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Mutex;

    use object_store::{ObjectStore as _, ObjectStoreExt as _, PutMultipartOptions, buffered::BufWriter, path::Path};
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::place::durable::DurableFileSystem;

    /// Records the calls of the disk, and fails at one step.
    #[derive(Debug, Default)]
    struct WatchedDisk {
        steps: Mutex<Vec<String>>,
        fails: Option<&'static str>,
    }

    impl WatchedDisk {
        fn step(&self, name: &str, call: String) -> io::Result<()> {
            self.steps.lock().unwrap().push(call);
            if self.fails == Some(name) { Err(io::Error::other("the disk failed")) } else { Ok(()) }
        }

        fn steps(&self) -> Vec<String> {
            self.steps.lock().unwrap().clone()
        }
    }

    impl Disk for WatchedDisk {
        fn sync_file(&self, file: &fs::File) -> io::Result<()> {
            self.step("sync", format!("sync {} bytes", file.metadata()?.len()))?;
            RealDisk.sync_file(file)
        }

        fn name(&self, hidden: &FilePath, target: &FilePath, create: bool) -> io::Result<()> {
            let taken = if target.exists() { " over another" } else { "" };
            self.step("name", format!("name {} bytes{taken}", hidden.metadata()?.len()))?;
            RealDisk.name(hidden, target, create)
        }

        fn sync_folder_of(&self, target: &FilePath) -> io::Result<()> {
            let names = target.parent().unwrap().read_dir()?.count();
            self.step("folder", format!("sync the folder of {names}"))?;
            RealDisk.sync_folder_of(target)
        }
    }

    fn watched(fails: Option<&'static str>) -> Arc<WatchedDisk> {
        Arc::new(WatchedDisk { fails, ..WatchedDisk::default() })
    }

    fn begin(folder: &FilePath, create: bool, disk: &Arc<WatchedDisk>) -> DurableUpload {
        let disk: Arc<dyn Disk> = disk.clone();
        DurableUpload::begin(folder.join("a/b.parquet"), create, disk).unwrap()
    }

    fn names(folder: &FilePath) -> Vec<String> {
        let entries = fs::read_dir(folder.join("a")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[tokio::test]
    async fn bytes_are_synced_before_they_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let disk = watched(None);
        let mut upload = begin(folder.path(), false, &disk);
        let parts = [vec![b'x'; 100_000], vec![b'y'; 100_000], vec![b'z'; 7]];
        let mut sent: Vec<_> = parts.iter().map(|part| upload.put_part(part.clone().into())).collect();
        sent.reverse();
        futures::future::try_join_all(sent).await.unwrap();
        assert!(!folder.path().join("a/b.parquet").exists());
        assert_eq!(disk.steps(), Vec::<String>::new());
        upload.complete().await.unwrap();
        assert_eq!(disk.steps(), ["sync 200007 bytes", "name 200007 bytes", "sync the folder of 1"]);
        assert_eq!(fs::read(folder.path().join("a/b.parquet")).unwrap(), parts.concat());
        assert_eq!(names(folder.path()), ["b.parquet"]);
        assert!(upload.complete().await.is_err(), "it is complete already");
        drop(upload);
        assert_eq!(names(folder.path()), ["b.parquet"]);
    }

    #[tokio::test]
    async fn a_step_that_fails_is_reported() {
        for (fails, steps, named) in [("sync", 1, false), ("name", 2, false), ("folder", 3, true)] {
            let folder = tempfile::tempdir().unwrap();
            let disk = watched(Some(fails));
            let mut upload = begin(folder.path(), true, &disk);
            upload.put_part("bytes".into()).await.unwrap();
            upload.complete().await.unwrap_err();
            assert_eq!(disk.steps().len(), steps, "{fails}");
            assert_eq!(folder.path().join("a/b.parquet").exists(), named, "{fails}");
            upload.abort().await.unwrap();
            let left: &[&str] = if named { &["b.parquet"] } else { &[] };
            assert_eq!(names(folder.path()), left, "{fails}");
        }
    }

    #[tokio::test]
    async fn an_unwritten_part_keeps_the_name_away() {
        let folder = tempfile::tempdir().unwrap();
        let disk = watched(None);
        let mut upload = begin(folder.path(), false, &disk);
        upload.put_part("one".into()).await.unwrap();
        drop(upload.put_part("two".into()));
        let error = upload.complete().await.unwrap_err().to_string();
        assert!(error.contains("3 of 6 bytes"), "{error}");
        assert_eq!(disk.steps(), Vec::<String>::new());
        drop(upload);
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_taken_name_is_refused_or_replaced() {
        for create in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let disk = watched(None);
            for text in ["one", "two"] {
                let mut upload = begin(folder.path(), create, &disk);
                upload.put_part(text.into()).await.unwrap();
                let completed = upload.complete().await;
                let taken = matches!(completed, Err(Error::AlreadyExists { .. }));
                assert_eq!((completed.is_err(), taken), (create && text == "two", create && text == "two"));
            }
            let kept = fs::read_to_string(folder.path().join("a/b.parquet")).unwrap();
            assert_eq!(kept, if create { "one" } else { "two" });
            assert_eq!(names(folder.path()), ["b.parquet"]);
        }
    }

    #[tokio::test]
    async fn what_a_writer_puts_in_parts_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let disk = watched(None);
        let store = Arc::new(DurableFileSystem::on(disk.clone()));
        let path = Path::from_absolute_path(folder.path().join("a/00000000000000000020.checkpoint.parquet")).unwrap();
        // As log checkpoints are written: in parts above 10 MiB.
        let mut writer = BufWriter::new(store.clone(), path.clone());
        for _ in 0..11 {
            writer.write_all(&vec![7; 1 << 20]).await.unwrap();
        }
        writer.shutdown().await.unwrap();
        let size = 11 << 20;
        let expected = [format!("sync {size} bytes"), format!("name {size} bytes"), "sync the folder of 1".to_owned()];
        assert_eq!(disk.steps(), expected);
        assert_eq!(store.head(&path).await.unwrap().size, size);
        let mut options = PutMultipartOptions::default();
        options.extensions.insert(CreateOnly);
        let mut second = store.put_multipart_opts(&path, options).await.unwrap();
        second.put_part("other".into()).await.unwrap();
        assert!(matches!(second.complete().await, Err(Error::AlreadyExists { .. })));
        drop(second);
        assert_eq!(names(folder.path()).len(), 1);
    }
}
