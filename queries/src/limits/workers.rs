//! Threads of a session's own, so that a query that computes without a pause cannot hold up its caller.
//!
//! A timer runs only on a free thread. Some operators compute for seconds before they yield (for example a nested-loop
//! join over rows that do not match); on the caller's threads the time limit would be noticed only after that.

use std::io;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use datafusion::common::runtime::SpawnedTask;
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads beyond those of the plan, so that other queries get one while a query computes without a pause.
const SPARE_THREADS: usize = 2;
/// Plans are trees that are walked by recursion.
const STACK_BYTES: usize = 8 * 1024 * 1024;
/// A thread for blocking work ends after this time without work.
const KEPT_ALIVE: Duration = Duration::from_millis(500);
/// How often threads without an owner are checked.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A runtime whose owner does not wait for running work.
///
/// The remaining work of a stopped query gets time to end: deltalake reads a table's log on a thread that waits for
/// tasks of the runtime, and panics when the runtime drops them.
pub(crate) struct Workers {
    handle: Handle,
    runtime: Option<Runtime>,
    /// Living threads: the runtime's own and those of blocking work.
    threads: Arc<AtomicUsize>,
    /// The number of the runtime's own threads.
    own: usize,
}

impl Workers {
    pub(crate) fn new(partitions: usize) -> io::Result<Self> {
        let own = partitions.saturating_add(SPARE_THREADS);
        let threads = Arc::new(AtomicUsize::new(0));
        let (started, ended) = (Arc::clone(&threads), Arc::clone(&threads));
        let runtime = Builder::new_multi_thread()
            .worker_threads(own)
            .thread_stack_size(STACK_BYTES)
            .thread_name("bluelake-query")
            .thread_keep_alive(KEPT_ALIVE)
            .on_thread_start(move || {
                started.fetch_add(1, Ordering::Relaxed);
            })
            .on_thread_stop(move || {
                ended.fetch_sub(1, Ordering::Relaxed);
            })
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime), threads, own })
    }

    /// Runs a future on these threads; dropping the task stops it at its next pause.
    pub(crate) fn spawn<F>(&self, future: F) -> SpawnedTask<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let _here = self.handle.enter();
        SpawnedTask::spawn(future)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let (threads, own) = (Arc::clone(&self.threads), self.own);
        // Without a thread to wait on, the runtime lives on with the process.
        let runtime = ManuallyDrop::new(runtime);
        let _ = thread::Builder::new().name("bluelake-query-end".to_owned()).spawn(move || {
            while runtime.metrics().num_alive_tasks() > 0 || threads.load(Ordering::Relaxed) > own {
                thread::sleep(LOOK_AGAIN);
            }
            ManuallyDrop::into_inner(runtime).shutdown_background();
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    /// Blocking work that waits for tasks of the runtime in sequence, as in deltalake.
    fn read_in_steps(handle: &Handle, steps: u64) -> Result<u64, mpsc::RecvError> {
        for step in 0..steps {
            let (sender, receiver) = mpsc::channel();
            handle.spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                sender.send(step)
            });
            receiver.recv()?;
            thread::sleep(Duration::from_millis(20));
        }
        Ok(steps)
    }

    #[test]
    fn blocking_work_ends_without_anybody_waiting() {
        let workers = Workers::new(1).unwrap();
        let (sender, ended) = mpsc::channel();
        let handle = workers.handle.clone();
        let task = workers.spawn(async move {
            let inside = handle.clone();
            handle.spawn_blocking(move || sender.send(read_in_steps(&inside, 30)));
            std::future::pending::<()>().await;
        });
        thread::sleep(Duration::from_millis(50));
        let before = Instant::now();
        drop(task);
        drop(workers);
        assert!(before.elapsed() < Duration::from_millis(500), "{:?}", before.elapsed());
        assert_eq!(ended.recv().unwrap(), Ok(30));
    }

    #[test]
    fn threads_end_once_nothing_runs_on_them() {
        let workers = Workers::new(1).unwrap();
        let threads = Arc::clone(&workers.threads);
        workers.handle.spawn_blocking(|| {});
        drop(workers);
        let before = Instant::now();
        while threads.load(Ordering::Relaxed) > 0 {
            assert!(before.elapsed() < Duration::from_secs(30), "{} are left", threads.load(Ordering::Relaxed));
            thread::sleep(LOOK_AGAIN);
        }
    }
}
