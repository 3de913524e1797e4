//! Archived objects of a bucket.
//!
//! The SDK lists the bucket, because it gives keys as they are; the object store refuses a whole page of keys if one
//! has an empty segment or `..`. The SDK also reads objects with such keys.

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_s3::types::Object;
use bluelake_schemas::Millis;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{GetOptions, ObjectStore, path::Path};

use super::{ArchivedObject, DELTA_LOG, Listed, ObjectPlace, holds_records};
use crate::{error::LakeError, place::bucket};

/// A prefix of a bucket.
#[derive(Clone, Debug)]
pub(super) struct ArchiveBucket {
    store: Arc<dyn ObjectStore>,
    client: aws_sdk_s3::Client,
    bucket: String,
    prefix: Path,
}

impl ArchiveBucket {
    pub(super) fn new(bucket: &str, prefix: Path, aws: &SdkConfig) -> Result<Self, LakeError> {
        let store = Arc::new(bucket::store(bucket, aws)?);
        Ok(Self { store, client: bucket::client(aws), bucket: bucket.to_owned(), prefix })
    }

    /// All objects below the prefix, or the one whose key it is.
    pub(super) async fn list(&self) -> Result<Listed, LakeError> {
        let below = if self.prefix.is_root() { String::new() } else { format!("{}/", self.prefix) };
        let mut pages = self.client.list_objects_v2().bucket(&self.bucket).prefix(below).into_paginator().send();
        let mut listed = Listed { is_empty: true, ..Listed::default() };
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| bucket::failure(&self.bucket, "ListObjectsV2", error))?;
            for object in page.contents() {
                self.take(object, &mut listed);
            }
        }
        if listed.is_empty && !self.prefix.is_root() {
            self.take_one(&mut listed).await?;
        }
        Ok(listed)
    }

    /// Takes the object whose key is the prefix. It is listed like any other, so that its version has the same form; it
    /// is the first of the keys with this prefix.
    async fn take_one(&self, listed: &mut Listed) -> Result<(), LakeError> {
        let key = self.prefix.as_ref();
        let first = self.client.list_objects_v2().bucket(&self.bucket).prefix(key).max_keys(1).send().await;
        let first = first.map_err(|error| bucket::failure(&self.bucket, "ListObjectsV2", error))?;
        if let Some(object) = first.contents().first().filter(|object| object.key() == Some(key)) {
            self.take(object, listed);
        }
        Ok(())
    }

    fn take(&self, object: &Object, listed: &mut Listed) {
        let Some(key) = object.key() else { return };
        listed.is_empty = false;
        listed.is_lake |= key.split('/').any(|part| part == DELTA_LOG);
        let size = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
        let name = key.rsplit('/').next().unwrap_or_default();
        if size == 0 || !holds_records(name) {
            return;
        }
        let modified = object.last_modified().and_then(|time| time.to_millis().ok()).unwrap_or_default();
        let modified_at = Millis::new(modified);
        let e_tag = object.e_tag().map(ToOwned::to_owned);
        listed.listing.objects.push(self.object(key, e_tag, size, modified_at));
    }

    fn object(&self, key: &str, e_tag: Option<String>, size: u64, modified_at: Millis) -> ArchivedObject {
        let version = match &e_tag {
            Some(tag) => tag.trim_matches('"').to_owned(),
            None => format!("{size}-{}", modified_at.get()),
        };
        let at = ObjectPlace::Key { key: key.to_owned(), e_tag };
        ArchivedObject { name: self.name(key), version, size, modified_at, at }
    }

    fn name(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// The content of an object as it was listed.
    pub(super) async fn read(
        &self,
        key: &str,
        e_tag: Option<&str>,
        name: &str,
    ) -> Result<BoxStream<'static, Result<Bytes, LakeError>>, LakeError> {
        let name = name.to_owned();
        match Path::parse(key) {
            Ok(path) if path.as_ref() == key => {
                let options = GetOptions { if_match: e_tag.map(ToOwned::to_owned), ..GetOptions::default() };
                let found = self.store.get_opts(&path, options).await.map_err(LakeError::store("read", &name))?;
                Ok(found.into_stream().map_err(move |error| LakeError::store("read", &name)(error)).boxed())
            }
            _ => {
                let request =
                    self.client.get_object().bucket(&self.bucket).key(key).set_if_match(e_tag.map(ToOwned::to_owned));
                let answer = request.send().await.map_err(|error| bucket::failure(&self.bucket, "GetObject", error))?;
                let parts = futures::stream::try_unfold(answer.body, move |mut body| {
                    let path = name.clone();
                    async move {
                        let part = body.try_next().await.map_err(|error| {
                            let source = object_store::Error::Generic { store: "S3", source: Box::new(error) };
                            LakeError::Store { operation: "read", path, source }
                        })?;
                        Ok::<_, LakeError>(part.map(|part| (part, body)))
                    }
                });
                Ok(parts.boxed())
            }
        }
    }
}
