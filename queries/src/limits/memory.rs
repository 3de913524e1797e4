//! The second bound on a query's memory: the real memory of the process.
//!
//! DataFusion's pool counts the memory of sorts, groupings and joins. It does not count everything: the rows that a
//! window function waits for, arrays in the making, buffers of readers. So the process itself is watched while a query
//! runs. The query is stopped when the process has grown by more than twice the limit and [`ALLOWANCE_BYTES`] since the
//! query began. A query within its limit takes far less.
//!
//! This works on Linux only; elsewhere the pool is the only bound. The process is measured as a whole: of queries that
//! run side by side, each that sees the growth is stopped.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use datafusion::error::DataFusionError;
use tokio::sync::watch;

use crate::error::{EngineError, QueryError};

/// The normal memory of a query beside the pool: pages being decoded, batches in flight, its plan.
const ALLOWANCE_BYTES: usize = 256 << 20;
const LIMITS_GROWN: usize = 2;
const INTERVAL: Duration = Duration::from_millis(20);

/// Reports when the process has grown too much. Dropping the last copy ends the watch.
#[derive(Clone)]
pub(crate) struct MemoryWatch {
    limit_bytes: usize,
    grown: watch::Receiver<Option<usize>>,
    /// Only the copies hold it; the thread checks whether it is still there.
    _alive: Arc<()>,
}

impl MemoryWatch {
    /// Begins to watch on a thread of its own: the threads of queries may all be busy.
    ///
    /// # Errors
    /// [`QueryError::Session`] when the thread cannot be started.
    pub(crate) fn start(limit_bytes: usize) -> Result<Self, QueryError> {
        let (sender, grown) = watch::channel(None);
        let alive = Arc::new(());
        if let Some(before) = resident_bytes() {
            let most = limit_bytes.saturating_mul(LIMITS_GROWN).saturating_add(ALLOWANCE_BYTES);
            let watched = Arc::downgrade(&alive);
            thread::Builder::new()
                .name("bluelake-memory".to_owned())
                .stack_size(64 * 1024)
                .spawn(move || watch_growth(&watched, before, most, &sender))
                .map_err(|error| QueryError::session(error.into()))?;
        }
        Ok(Self { limit_bytes, grown, _alive: alive })
    }

    /// A watch whose growth the test reports.
    #[cfg(test)]
    pub(crate) fn by_hand(limit_bytes: usize) -> (watch::Sender<Option<usize>>, Self) {
        let (sender, grown) = watch::channel(None);
        (sender, Self { limit_bytes, grown, _alive: Arc::default() })
    }

    /// Waits until the process has grown too much, for ever if it does not.
    pub(crate) async fn overrun(&mut self) -> QueryError {
        match self.grown.wait_for(Option::is_some).await.ok().and_then(|grown| *grown) {
            Some(grown) => QueryError::MemoryLimit {
                limit_bytes: self.limit_bytes,
                source: EngineError::new(DataFusionError::ResourcesExhausted(format!(
                    "the process grew by {} MiB while it ran, and the engine does not count all of that",
                    grown >> 20
                ))),
            },
            None => std::future::pending().await,
        }
    }
}

fn watch_growth(watched: &Weak<()>, before: usize, most: usize, sender: &watch::Sender<Option<usize>>) {
    while watched.strong_count() > 0 {
        let grown = resident_bytes().map_or(0, |now| now.saturating_sub(before));
        if grown > most {
            sender.send_replace(Some(grown));
            return;
        }
        thread::sleep(INTERVAL);
    }
}

/// Memory of the process that is not a file's, in bytes; `None` where the system does not report it.
fn resident_bytes() -> Option<usize> {
    process_bytes("RssAnon:")
}

/// The memory of this process under a key of `/proc/self/status`, such as `VmData:`, in bytes; `None` where the system
/// does not report it.
pub fn process_bytes(key: &str) -> Option<usize> {
    parse_bytes(&std::fs::read_to_string("/proc/self/status").ok()?, key)
}

fn parse_bytes(status: &str, key: &str) -> Option<usize> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_read_from_the_system() {
        assert_eq!(parse_bytes("VmRSS:\t  9 kB\nRssAnon:\t    2048 kB\nRssFile: 1 kB\n", "RssAnon:"), Some(2 << 20));
        for status in ["", "RssAnon:\t many kB", "RssAnon: 12", "RssAnon: 99999999999999999999 kB"] {
            assert_eq!(parse_bytes(status, "RssAnon:"), None, "{status:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_reports_resident_memory() {
        assert!(resident_bytes().unwrap() > 1 << 20);
    }

    #[tokio::test]
    async fn without_growth_the_watch_ends_silently() {
        let mut watch = MemoryWatch::start(1 << 30).unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(60), watch.overrun()).await.is_err());
        drop(watch);
    }
}
