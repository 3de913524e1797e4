//! Object stores of the tests: one over another, with a concern of its own; and one that loses answers, or forgets
//! put-if-absent, on demand.

pub(crate) mod audit;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use futures::{StreamExt as _, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};

/// The difference of a store from the one below it. Calls without an override are passed on.
#[async_trait]
pub(crate) trait Concern: Send + Sync + 'static {
    async fn put(
        &self,
        store: &dyn ObjectStore,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        store.put_opts(location, payload, options).await
    }

    async fn begin(
        &self,
        store: &dyn ObjectStore,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        store.put_multipart_opts(location, options).await
    }

    async fn get(&self, store: &dyn ObjectStore, location: &Path, options: GetOptions) -> Result<GetResult> {
        store.get_opts(location, options).await
    }

    /// What of a listing is told, and how.
    fn listed(&self, object: ObjectMeta) -> Option<ObjectMeta> {
        Some(object)
    }

    /// Waits, or fails, before an object is deleted.
    async fn before_delete(&self, location: Path) -> Result<Path> {
        Ok(location)
    }
}

/// A store with a concern over it.
struct Over<C> {
    inner: Arc<dyn ObjectStore>,
    concern: Arc<C>,
}

/// The store with the concern over it.
pub(crate) fn with_concern(inner: Arc<dyn ObjectStore>, concern: impl Concern) -> Arc<dyn ObjectStore> {
    Arc::new(Over { inner, concern: Arc::new(concern) })
}

impl<C> fmt::Display for Over<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Over({})", self.inner)
    }
}

impl<C> fmt::Debug for Over<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Over({:?})", self.inner)
    }
}

#[async_trait]
impl<C: Concern> ObjectStore for Over<C> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.concern.put(&self.inner, location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.concern.begin(&self.inner, location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.concern.get(&self.inner, location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let concern = Arc::clone(&self.concern);
        let locations = locations.then(move |location| {
            let concern = Arc::clone(&concern);
            async move { concern.before_delete(location?).await }
        });
        self.inner.delete_stream(locations.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let concern = Arc::clone(&self.concern);
        let listed = self.inner.list(prefix);
        let told = listed.filter_map(move |object| {
            let told = object.map(|object| concern.listed(object)).transpose();
            async move { told }
        });
        told.boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Takes one of what is left; `false` when nothing is.
pub(crate) fn take_one(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

/// What happens to a put whose path contains `pattern`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The put lands, its answer is an error.
    LoseAnswer,
    /// The put lands, its answer says that the object exists already.
    SayAlreadyExists,
    /// The put does not land, the answer is an error.
    Fail,
    /// A create overwrites.
    IgnoreCreate,
    /// The put does not land, and no answer comes.
    HangBefore,
    /// The put lands, its answer never comes.
    HangAfter,
}

/// Meets a fault at puts.
pub(crate) struct Faulty {
    pub(crate) pattern: &'static str,
    pub(crate) fault: Fault,
    /// Puts that still meet the fault.
    pub(crate) left: AtomicUsize,
}

/// What a caller sees whose answer was lost.
pub(crate) fn lost() -> Error {
    Error::Generic { store: "faulty", source: "the answer was lost".into() }
}

#[async_trait]
impl Concern for Faulty {
    async fn put(
        &self,
        store: &dyn ObjectStore,
        location: &Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        let hit = location.as_ref().contains(self.pattern) && take_one(&self.left);
        if !hit {
            return store.put_opts(location, payload, options).await;
        }
        match self.fault {
            Fault::Fail => Err(lost()),
            Fault::LoseAnswer => store.put_opts(location, payload, options).await.and_then(|_| Err(lost())),
            Fault::SayAlreadyExists => {
                store.put_opts(location, payload, options).await?;
                Err(Error::AlreadyExists { path: location.to_string(), source: "said the store".into() })
            }
            Fault::HangBefore => std::future::pending().await,
            Fault::HangAfter => {
                store.put_opts(location, payload, options).await?;
                std::future::pending().await
            }
            Fault::IgnoreCreate => {
                options.mode = PutMode::Overwrite;
                store.put_opts(location, payload, options).await
            }
        }
    }
}
