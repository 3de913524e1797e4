//! A running query: batches within a time limit, ending in a complete result or an error, never cut short silently.

use std::time::Duration;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::error::QueryError;
use crate::limits::memory::MemoryWatch;
use crate::session::options::QueryOptions;
use crate::session::prepared::Allowance;
use crate::session::query_session::QuerySession;
use crate::session::since::Since;

/// Batches computed ahead of the reader. Two keep both busy; more would only hold memory outside of the pool.
const BATCHES_AHEAD: usize = 2;

/// The result of one query, batch by batch. Dropping it stops the query.
pub struct QueryStream {
    schema: SchemaRef,
    tables: Vec<String>,
    batches: mpsc::Receiver<Result<RecordBatch, DataFusionError>>,
    /// Computes the batches, and returns whether it came to their end. It is taken when it has ended.
    task: Option<SpawnedTask<bool>>,
    /// Keeps the threads and the spill directory.
    session: QuerySession,
    memory: MemoryWatch,
    time_left: Duration,
    time_limit: Duration,
    memory_limit_bytes: usize,
}

impl QueryStream {
    pub(crate) fn start(
        session: QuerySession,
        mut stream: SendableRecordBatchStream,
        tables: Vec<String>,
        allowance: Allowance,
    ) -> Self {
        let Allowance { memory, time_left } = allowance;
        let QueryOptions { time_limit, memory_limit_bytes, .. } = *session.options();
        let schema = stream.schema();
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        // A slow reader learns of the overrun only at its next request; the work stops at once.
        let mut watch = memory.clone();
        let task = session.workers.spawn(async move {
            let work = async {
                while let Some(batch) = stream.next().await {
                    let last = batch.is_err();
                    if sender.send(batch).await.is_err() || last {
                        break;
                    }
                }
            };
            tokio::select! {
                () = work => true,
                _ = watch.overrun() => false,
            }
        });
        Self { schema, tables, batches, task: Some(task), session, memory, time_left, time_limit, memory_limit_bytes }
    }

    /// Columns of the result; every batch has them.
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    /// Names of the lake's tables that the query reads, also through views, sorted.
    pub fn tables(&self) -> &[String] {
        &self.tables
    }

    /// Which days the tables that it reads lack; `None` when none.
    #[must_use]
    pub fn since(&self) -> Option<Since> {
        Since::of(&self.session.origin().of_tables(&self.tables).0, self.session.options().time_zone)
    }

    /// The next batch, or `None` when the result is complete. An error is final.
    ///
    /// # Errors
    /// [`QueryError::TimeLimit`] when waiting for batches has used up the limit, [`QueryError::MemoryLimit`], or
    /// [`QueryError::Execution`].
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        let started = Instant::now();
        let received = tokio::select! {
            biased;
            overrun = self.memory.overrun() => {
                self.task = None;
                return Err(overrun);
            }
            received = tokio::time::timeout(self.time_left, self.batches.recv()) => received,
        };
        self.time_left = self.time_left.saturating_sub(started.elapsed());
        match received {
            Err(_) => {
                self.task = None;
                Err(QueryError::TimeLimit { limit: self.time_limit })
            }
            Ok(Some(Ok(batch))) => Ok(Some(batch)),
            Ok(Some(Err(error))) => Err(QueryError::execution(error, self.memory_limit_bytes)),
            Ok(None) => self.finish().await,
        }
    }

    /// All batches that are left.
    ///
    /// # Errors
    /// As [`QueryStream::next`].
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, QueryError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await? {
            batches.push(batch);
        }
        Ok(batches)
    }

    /// Distinguishes a complete result from one whose task died or was stopped.
    async fn finish(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        match self.task.take() {
            None => Ok(None),
            // The work may have been stopped after the reader's last check.
            Some(task) => {
                if task.join().await.map_err(QueryError::died)? {
                    Ok(None)
                } else {
                    Err(self.memory.overrun().await)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
