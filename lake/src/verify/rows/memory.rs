//! Where results of partitions are remembered: `_verify/` beside the tables, one object for each set of files that was found
//! right. Put if absent and never changed; what no longer fits the files is passed over.

use std::{collections::BTreeSet, sync::Arc};

use futures::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, path::Path};

use super::sealed::{SealedPartition, Terms};
use crate::{
    error::LakeError,
    layout::VERIFIED,
    place::lake::Lake,
    verify::{VerifyOptions, files::ActiveFile},
};

/// The remembered results of one table.
pub(crate) struct Memory {
    pub(crate) table: &'static str,
    /// Everything is read, whatever is remembered.
    pub(super) is_full: bool,
    /// What is read is remembered.
    pub(super) is_kept: bool,
    store: Arc<dyn ObjectStore>,
    folder: Path,
    described: String,
    terms: Terms,
    /// What there is, by path.
    pub(crate) listed: BTreeSet<Path>,
}

impl Memory {
    pub(crate) async fn of(lake: &Lake, table: &'static str, options: &VerifyOptions) -> Result<Self, LakeError> {
        let folder = lake.table_path(VERIFIED).join(table);
        let described = lake.describe(&folder);
        let listed = lake.root().list(Some(&folder)).map_ok(|object| object.location).try_collect().await;
        let listed = listed.map_err(LakeError::store("list", &described))?;
        let terms = Terms { contract: options.contract_version, window: options.window.as_secs(), deep: options.deep };
        let (is_full, is_kept) = (options.full, options.remember);
        Ok(Self { table, is_full, is_kept, store: lake.root().clone(), folder, described, terms, listed })
    }

    /// Where the result of these files, all of one partition, is or would be: last as it is asked for, before that as it is
    /// when more was read.
    pub(crate) fn places(&self, files: &[&ActiveFile]) -> Vec<(Path, String)> {
        let deep: &[bool] = if self.terms.deep { &[true] } else { &[true, false] };
        deep.iter().filter_map(|deep| self.place(files, *deep)).collect()
    }

    /// Where the result of these files, all of one partition, would be.
    pub(crate) fn place(&self, files: &[&ActiveFile], deep: bool) -> Option<(Path, String)> {
        let first = files.first()?;
        let key = Terms { deep, ..self.terms }.key(files.iter().copied());
        let path = first.folder().split('/').fold(self.folder.clone(), |path, part| path.join(part));
        Some((path.join(format!("{key}.sealed")), key))
    }

    /// What is remembered of these files; `Err` says that it is damaged.
    pub(super) async fn recall(
        &self,
        files: &[&ActiveFile],
    ) -> Result<Option<Result<SealedPartition, String>>, LakeError> {
        for (path, key) in self.places(files).into_iter().filter(|(path, _)| self.listed.contains(path)) {
            let name = path.filename().unwrap_or_default();
            let bytes = match self.store.get(&path).await {
                Ok(found) => found.bytes().await.map_err(LakeError::store("read", self.describe(&path)))?,
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(error) => return Err(LakeError::store("read", self.describe(&path))(error)),
            };
            let sealed = SealedPartition::read(&bytes, &key);
            return Ok(Some(sealed.map_err(|_| format!("{}/{name}", self.described))));
        }
        Ok(None)
    }

    /// Remembers the result of these files; false when that was remembered before.
    pub(super) async fn remember(
        &self,
        files: &[&ActiveFile],
        sealed: &mut SealedPartition,
    ) -> Result<bool, LakeError> {
        let Some((path, key)) = self.places(files).pop() else { return Ok(false) };
        let bytes = sealed.seal(&key).map_err(|error| LakeError::File {
            operation: "write",
            path: self.describe(&path),
            source: error.into(),
        })?;
        match self.store.put_opts(&path, bytes.into(), PutOptions::from(PutMode::Create)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(LakeError::store("write", self.describe(&path))(error)),
        }
    }

    /// Whether something is remembered of these files.
    pub(super) fn knows(&self, files: &[&ActiveFile]) -> bool {
        self.places(files).iter().any(|(path, _)| self.listed.contains(path))
    }

    /// Forgets what is remembered of these files; false, as nothing is then.
    pub(super) async fn forget(&self, files: &[&ActiveFile]) -> Result<bool, LakeError> {
        for (path, _) in self.places(files).into_iter().filter(|(path, _)| self.listed.contains(path)) {
            self.delete(&path).await?;
        }
        Ok(false)
    }

    /// Deletes an object; one that is gone already is no error.
    pub(crate) async fn delete(&self, path: &Path) -> Result<(), LakeError> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(LakeError::store("delete", self.describe(path))(error)),
        }
    }

    pub(crate) fn describe(&self, path: &Path) -> String {
        let below = path.as_ref().strip_prefix(self.folder.as_ref()).unwrap_or_default();
        format!("{}{below}", self.described)
    }
}
