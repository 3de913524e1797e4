//! Threads of a session's own, so that a query that computes without pause cannot hold up its caller.
//!
//! A timer runs only on a thread that is free. Some operators compute for seconds before they give way (a nested-loop
//! join over rows that do not match, for one); on the caller's threads the time limit would be noticed only after that.

use std::io;

use datafusion::common::runtime::SpawnedTask;
use tokio::runtime::{Builder, Handle, Runtime};

/// More than the plan uses, so that other queries get a thread while one computes without pause.
const SPARE_THREADS: usize = 2;
/// Plans are trees and walked by recursion.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// A runtime that ends with its last owner, without waiting for what still computes.
pub(crate) struct Workers {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Workers {
    pub(crate) fn new(partitions: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(partitions.saturating_add(SPARE_THREADS))
            .thread_stack_size(STACK_BYTES)
            .thread_name("bluelake-query")
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
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
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
