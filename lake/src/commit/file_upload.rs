//! A data file that is put part by part, as it is written: only the parts under way are held.
//!
//! The file is visible whole or not at all, and never replaces another: the store refuses a taken name if it can. A
//! failed upload is over. Another try begins a file of another name: any landed parts of this one are unreferenced and
//! not overwritten.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use object_store::{
    MultipartUpload, ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, path::Path,
};
use tokio::task::JoinSet;

use crate::{
    causes::causes, checkpoint::data_file::DataFile, error::LakeError, failpoint, place::durable_parts::CreateOnly,
};

/// Parts on their way at once: one is sent while the next is written.
const PARTS_AT_ONCE: usize = 2;
/// S3 takes smaller parts only at the end.
const LEAST_PART: usize = 5 << 20;

/// What is known of a file with its last part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEnd {
    /// Partition column and value.
    pub partition_values: Vec<(String, String)>,
    /// Rows, as in the footer.
    pub rows: u64,
    /// Delta per-file statistics as JSON text.
    pub statistics: String,
}

/// A data file under way. Dropping it gives the file up.
pub struct FileUpload {
    store: Arc<dyn ObjectStore>,
    location: Path,
    /// Below the table.
    path: String,
    size: u64,
    /// The newest part. The first waits for a second, because a file of one part is put in one call; the last may be
    /// small.
    newest: Option<Bytes>,
    parts: Option<Parts>,
}

/// A multipart upload that was begun.
struct Parts {
    upload: Option<Box<dyn MultipartUpload>>,
    sending: JoinSet<object_store::Result<()>>,
    path: String,
}

impl fmt::Debug for FileUpload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FileUpload").field("path", &self.path).field("size", &self.size).finish_non_exhaustive()
    }
}

impl FileUpload {
    /// A file of this path below the table. It sends nothing yet.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, path: String) -> Result<Self, LakeError> {
        let location = Path::parse(&path)
            .map_err(|error| LakeError::DataFile { path: path.clone(), reason: error.to_string() })?;
        Ok(Self { store, location, path, size: 0, newest: None, parts: None })
    }

    /// Takes the next part and waits for a free upload. All parts but the last have at least 5 MiB.
    ///
    /// # Errors
    /// [`LakeError::Store`] when a part could not be put, [`LakeError::DataFile`] for a part that is too small. The upload is
    /// given up.
    pub async fn part(mut self, part: Bytes) -> Result<Self, LakeError> {
        if part.is_empty() {
            return Ok(self);
        }
        match self.send_newest(part).await {
            Ok(()) => Ok(self),
            Err(error) => {
                self.abort().await;
                Err(error)
            }
        }
    }

    /// Sends the previous newest part.
    async fn send_newest(&mut self, part: Bytes) -> Result<(), LakeError> {
        self.size += u64::try_from(part.len()).unwrap_or(u64::MAX);
        let Some(before) = self.newest.replace(part) else { return failpoint::pass("before_upload").await };
        if before.len() < LEAST_PART {
            let reason = format!("a part of {} bytes is too small, but for the last", before.len());
            return Err(LakeError::DataFile { path: self.path.clone(), reason });
        }
        self.send(before).await
    }

    async fn send(&mut self, part: Bytes) -> Result<(), LakeError> {
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => {
                let mut options = PutMultipartOptions::default();
                options.extensions.insert(CreateOnly);
                let begun = self.store.put_multipart_opts(&self.location, options).await;
                let upload = begun.map_err(LakeError::store("write", &self.path))?;
                none.insert(Parts { upload: Some(upload), sending: JoinSet::new(), path: self.path.clone() })
            }
        };
        parts.put(part).await.map_err(LakeError::store("write", &self.path))
    }

    /// Puts the rest, and gives the file its name.
    ///
    /// # Errors
    /// [`LakeError::Store`] when it failed, also when the name is taken; [`LakeError::DataFile`] when the store has another
    /// size than was written.
    pub async fn finish(mut self, end: FileEnd) -> Result<DataFile, LakeError> {
        if let Err(error) = self.complete().await {
            self.abort().await;
            return Err(error);
        }
        failpoint::pass("after_upload").await?;
        let meta = self.store.head(&self.location).await.map_err(LakeError::store("look at", &self.path))?;
        if meta.size != self.size {
            let reason = format!("it has {} bytes in the store, {} were written", meta.size, self.size);
            return Err(LakeError::DataFile { path: self.path, reason });
        }
        Ok(DataFile {
            path: self.path,
            partition_values: end.partition_values.into_iter().collect(),
            size: self.size,
            modified_at: meta.last_modified.into(),
            rows: end.rows,
            statistics: end.statistics,
        })
    }

    async fn complete(&mut self) -> Result<(), LakeError> {
        let last = self.newest.take().unwrap_or_default();
        if self.parts.is_none() {
            return self.put_whole(last).await;
        }
        self.send(last).await?;
        let path = self.path.clone();
        let store = LakeError::store("write", path);
        let Some(parts) = &mut self.parts else { return Ok(()) };
        if let Err(error) = parts.all_sent().await {
            return Err(store(error));
        }
        self.refuse_taken().await?;
        let Some(parts) = &mut self.parts else { return Ok(()) };
        parts.complete().await.map_err(store)
    }

    /// A file of one part.
    async fn put_whole(&mut self, whole: Bytes) -> Result<(), LakeError> {
        let create = PutOptions::from(PutMode::Create);
        let put = self.store.put_opts(&self.location, PutPayload::from_bytes(whole.clone()), create).await;
        match put {
            // After a lost answer the store's own client tries again, and meets its own file.
            Err(object_store::Error::AlreadyExists { .. }) if self.is_there(&whole).await? => Ok(()),
            put => put.map(|_| ()).map_err(LakeError::store("write", &self.path)),
        }
    }

    async fn is_there(&mut self, whole: &Bytes) -> Result<bool, LakeError> {
        let found = self.store.get(&self.location).await.map_err(LakeError::store("read", &self.path))?;
        Ok(found.bytes().await.map_err(LakeError::store("read", &self.path))? == *whole)
    }

    // It is mutable, so that the upload is not shared while it waits and may move to another thread.
    /// S3 lets a multipart upload overwrite an existing object. Names hold the id of their writer, so an existing
    /// object of this name is older, and is seen here.
    async fn refuse_taken(&mut self) -> Result<(), LakeError> {
        match self.store.head(&self.location).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            Ok(_) => {
                let source = "a file of this name is there".into();
                let taken = object_store::Error::AlreadyExists { path: self.path.clone(), source };
                Err(LakeError::store("write", &self.path)(taken))
            }
            Err(error) => Err(LakeError::store("look at", &self.path)(error)),
        }
    }

    /// Gives the file up and removes its sent parts. Best effort.
    pub async fn abort(mut self) {
        if let Some(parts) = &mut self.parts {
            parts.abort().await;
        }
    }
}

impl Parts {
    /// Begins to send a part once fewer than the limit are under way.
    async fn put(&mut self, part: Bytes) -> object_store::Result<()> {
        while self.sending.len() >= PARTS_AT_ONCE {
            self.one_sent().await?;
        }
        if let Some(upload) = &mut self.upload {
            self.sending.spawn(upload.put_part(PutPayload::from_bytes(part)));
        }
        Ok(())
    }

    async fn one_sent(&mut self) -> object_store::Result<()> {
        match self.sending.join_next().await {
            Some(Ok(sent)) => sent,
            Some(Err(source)) => Err(object_store::Error::JoinError { source }),
            None => Ok(()),
        }
    }

    async fn all_sent(&mut self) -> object_store::Result<()> {
        while !self.sending.is_empty() {
            self.one_sent().await?;
        }
        Ok(())
    }

    async fn complete(&mut self) -> object_store::Result<()> {
        if let Some(upload) = &mut self.upload {
            upload.complete().await?;
        }
        self.upload = None;
        Ok(())
    }

    async fn abort(&mut self) {
        // A part that lands after the abort would stay.
        self.sending.shutdown().await;
        if let Some(upload) = self.upload.take() {
            abort(upload, &self.path).await;
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let path = std::mem::take(&mut self.path);
            let mut sending = std::mem::take(&mut self.sending);
            runtime.spawn(async move {
                sending.shutdown().await;
                abort(upload, &path).await;
            });
        }
    }
}

async fn abort(mut upload: Box<dyn MultipartUpload>, path: &str) {
    if let Err(error) = upload.abort().await {
        let error = causes(&error);
        tracing::warn!(file = path, error, "an upload that was given up is left for the bucket's own rules");
    }
}
