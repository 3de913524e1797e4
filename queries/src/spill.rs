//! Where intermediate results go that do not fit into memory: a directory of the session's own.

use std::path::Path;

use datafusion::execution::disk_manager::DiskManagerMode;
use tempfile::{Builder, TempDir};

use crate::QueryError;

const PREFIX: &str = "bluelake-spill-";

/// A directory that only this user can read, removed when it is dropped.
pub(crate) struct SpillDirectory(Option<TempDir>);

impl SpillDirectory {
    /// In `parent`, or in the system's place for temporary files. When that place cannot be written, queries run
    /// without spilling: they need memory for all that they hold.
    ///
    /// # Errors
    /// [`QueryError::SpillDirectory`] when a parent was named and cannot be used.
    pub(crate) fn new(parent: Option<&Path>) -> Result<Self, QueryError> {
        let mut builder = Builder::new();
        builder.prefix(PREFIX);
        match parent {
            None => Ok(Self(builder.tempdir().ok())),
            Some(path) => builder
                .tempdir_in(path)
                .map(|directory| Self(Some(directory)))
                .map_err(|source| QueryError::SpillDirectory { path: path.to_path_buf(), source }),
        }
    }

    /// For DataFusion, which makes files in it and removes each when its part of the query ends.
    pub(crate) fn mode(&self) -> DiskManagerMode {
        match &self.0 {
            Some(directory) => DiskManagerMode::Directories(vec![directory.path().to_path_buf()]),
            None => DiskManagerMode::Disabled,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::{options, spilling_to, tables};
    use crate::{QueryOptions, QuerySession};

    fn entries(path: &Path) -> usize {
        std::fs::read_dir(path)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                1 + if path.is_dir() { entries(&path) } else { 0 }
            })
            .sum()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_spilled_is_removed_with_the_query_and_the_directory_with_the_session() {
        let parent = tempfile::tempdir().unwrap();
        let options = QueryOptions { memory_limit_bytes: 64 << 20, ..spilling_to(parent.path()) };
        let session = QuerySession::new(tables(&[], &[]), options).await.unwrap();
        let empty = entries(parent.path());
        let sort = "SELECT value, value % 1000 AS k FROM generate_series(1, 10000000) ORDER BY k, value DESC";
        let mut stream = session.query(sort).await.unwrap();
        stream.next().await.unwrap().unwrap();
        let spilled = entries(parent.path());
        assert!(spilled > empty, "{spilled} entries while it runs, {empty} before: nothing was spilled");
        drop(stream);
        for _ in 0..200 {
            if entries(parent.path()) <= empty + 1 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        assert!(entries(parent.path()) <= empty + 1, "a cancelled query left {} entries", entries(parent.path()));
        drop(session);
        assert_eq!(entries(parent.path()), 0);
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_used_is_named() {
        let options = QueryOptions { spill_directory: Some("/no/such/place".into()), ..options() };
        let message = QuerySession::new(Vec::new(), options).await.err().unwrap().to_string();
        assert!(message.contains("/no/such/place"), "{message}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_spill_limit_holds() {
        let parent = tempfile::tempdir().unwrap();
        let options =
            QueryOptions { memory_limit_bytes: 16 << 20, spill_limit_bytes: 4 << 20, ..spilling_to(parent.path()) };
        let session = QuerySession::new(tables(&[], &[]), options).await.unwrap();
        let sort = "SELECT value, value % 1000 AS k FROM generate_series(1, 5000000) ORDER BY k, value DESC";
        let error = session.collect(sort).await.unwrap_err();
        assert!(matches!(error, QueryError::MemoryLimit { .. }), "{}", crate::testing::chain(&error));
        assert_eq!(session.collect("SELECT 1").await.unwrap().len(), 1);
    }
}
