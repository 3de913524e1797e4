//! The directory of a session for intermediate results that do not fit into memory.
//!
//! It is removed with the session. A killed process leaves its directory behind, so each new session removes
//! directories without an owner: an owner holds a lock on its directory, which the system releases when the process
//! ends for any reason.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use datafusion::execution::disk_manager::DiskManagerMode;
use tempfile::{Builder, TempDir};

use crate::error::QueryError;

/// Prefix of directories that their owners lock. Earlier versions used other names, and no locks.
const PREFIX: &str = "bluelake-spill-locked-";
/// Another session may take a new directory for an abandoned one in the moment before it is locked.
const ATTEMPTS: usize = 3;

/// A directory that only this user can read. It is removed when this is dropped.
pub(crate) struct SpillDirectory(Option<Owned>);

struct Owned {
    directory: TempDir,
    _lock: File,
}

impl SpillDirectory {
    /// Makes one in `parent`, or in the system's place for temporary files. When that place cannot be written, queries
    /// run without spilling: they need memory for everything that they hold.
    ///
    /// # Errors
    /// [`QueryError::SpillDirectory`] when a parent was named and cannot be used.
    pub(crate) fn new(parent: Option<&Path>) -> Result<Self, QueryError> {
        match parent {
            None => {
                let place = std::env::temp_dir();
                remove_abandoned(&place);
                Ok(Self(Owned::new(&place).ok()))
            }
            Some(path) => {
                remove_abandoned(path);
                Owned::new(path)
                    .map(|owned| Self(Some(owned)))
                    .map_err(|source| QueryError::SpillDirectory { path: path.to_path_buf(), source })
            }
        }
    }

    /// The setting for DataFusion, which makes files in the directory and removes each when its part of the query ends.
    pub(crate) fn mode(&self) -> DiskManagerMode {
        match &self.0 {
            Some(Owned { directory, .. }) => DiskManagerMode::Directories(vec![directory.path().to_path_buf()]),
            None => DiskManagerMode::Disabled,
        }
    }
}

impl Owned {
    fn new(parent: &Path) -> io::Result<Self> {
        let mut taken = None;
        for _ in 0..ATTEMPTS {
            let directory = Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            let lock = File::open(directory.path())?;
            match lock.try_lock() {
                // The previous owner of the lock has removed the directory.
                Ok(()) if directory.path().exists() => return Ok(Self { directory, _lock: lock }),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => taken = Some(error),
            }
        }
        Err(taken.unwrap_or_else(|| io::ErrorKind::WouldBlock.into()))
    }
}

/// Removes the directories of processes that are gone. A directory that cannot be read is another user's, or is removed
/// another time.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let Ok(lock) = File::open(entry.path()) else { continue };
        // The lock is held until everything is removed, so that an owner that is about to take it notices.
        if lock.try_lock().is_ok() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::session::options::QueryOptions;
    use crate::session::query_session::QuerySession;
    use crate::testing::{options, spilling_to, tables};

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
    async fn spilled_files_go_with_query_and_session() {
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

    #[test]
    fn only_leftovers_of_killed_processes_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let in_use = SpillDirectory::new(Some(parent.path())).unwrap();
        let left = parent.path().join("bluelake-spill-locked-left");
        std::fs::create_dir_all(left.join("datafusion-x")).unwrap();
        std::fs::write(left.join("datafusion-x/rows"), "of a member").unwrap();
        for other in ["bluelake-spill-other", "others"] {
            std::fs::create_dir(parent.path().join(other)).unwrap();
        }
        let next = SpillDirectory::new(Some(parent.path())).unwrap();
        assert!(!left.exists());
        let own = |spill: &SpillDirectory| spill.0.as_ref().unwrap().directory.path().to_path_buf();
        assert!(own(&in_use).exists() && own(&next).exists() && own(&in_use) != own(&next));
        assert!(parent.path().join("bluelake-spill-other").exists() && parent.path().join("others").exists());
        let gone = own(&in_use);
        drop(in_use);
        assert!(!gone.exists());
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
