//! An object store that loses answers, or forgets put-if-absent, on demand.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};

/// What happens to a put whose path contains `pattern`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The put lands, its answer is an error.
    LoseAnswer,
    /// The put lands, its answer says that the object was there already.
    SayAlreadyExists,
    /// Nothing lands, the answer is an error.
    Fail,
    /// A create overwrites.
    IgnoreCreate,
    /// Nothing lands and no answer comes.
    HangBefore,
    /// The put lands, its answer never comes.
    HangAfter,
}

#[derive(Debug)]
pub(crate) struct FaultyStore {
    pub(crate) inner: Arc<dyn ObjectStore>,
    pub(crate) pattern: &'static str,
    pub(crate) fault: Fault,
    /// Puts left that meet the fault.
    pub(crate) left: Arc<AtomicUsize>,
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

fn lost() -> Error {
    Error::Generic { store: "faulty", source: "the answer was lost".into() }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        let hit = location.as_ref().contains(self.pattern)
            && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if !hit {
            return self.inner.put_opts(location, payload, options).await;
        }
        match self.fault {
            Fault::Fail => Err(lost()),
            Fault::LoseAnswer => self.inner.put_opts(location, payload, options).await.and_then(|_| Err(lost())),
            Fault::SayAlreadyExists => {
                self.inner.put_opts(location, payload, options).await?;
                Err(Error::AlreadyExists { path: location.to_string(), source: "said the store".into() })
            }
            Fault::HangBefore => std::future::pending().await,
            Fault::HangAfter => {
                self.inner.put_opts(location, payload, options).await?;
                std::future::pending().await
            }
            Fault::IgnoreCreate => {
                options.mode = PutMode::Overwrite;
                self.inner.put_opts(location, payload, options).await
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
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

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
