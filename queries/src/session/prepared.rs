//! A query from its text to its first row, within the session's limits: planned first, and started on request.

use std::sync::Arc;
use std::time::Duration;

use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::scalar::ScalarValue;
use tokio::time::Instant;

use crate::error::QueryError;
use crate::error::is_exhausted;
use crate::limits::memory::MemoryWatch;
use crate::session::execute::QueryStream;
use crate::session::query_session::QuerySession;

/// What a statement becomes.
pub(crate) struct Plan {
    pub(crate) physical: Arc<dyn ExecutionPlan>,
    pub(crate) context: Arc<TaskContext>,
    /// Names of the lake's tables that it reads, also through views, sorted.
    pub(crate) tables: Vec<String>,
}

/// A query that is planned and not started.
pub(crate) struct PreparedQuery {
    plan: Plan,
    allowance: Allowance,
}

impl PreparedQuery {
    /// Names of the lake's tables that the query reads, also through views, sorted.
    pub(crate) fn tables(&self) -> &[String] {
        &self.plan.tables
    }
}

/// The rest of the limits of one query.
pub(crate) struct Allowance {
    pub(crate) memory: MemoryWatch,
    pub(crate) time_left: Duration,
}

impl Allowance {
    fn new(session: &QuerySession) -> Result<Self, QueryError> {
        let memory = MemoryWatch::start(session.options().memory_limit_bytes)?;
        Ok(Self { memory, time_left: session.options().time_limit })
    }

    /// Does a part of the query's work on the threads of the session.
    async fn spend<T: Send + 'static>(
        &mut self,
        session: &QuerySession,
        work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
    ) -> Result<T, QueryError> {
        let started = Instant::now();
        let task = session.workers.spawn(work);
        let done = tokio::select! {
            done = tokio::time::timeout(self.time_left, task) => done,
            overrun = self.memory.overrun() => return Err(overrun),
        };
        self.time_left = self.time_left.saturating_sub(started.elapsed());
        match done {
            Err(_) => Err(QueryError::TimeLimit { limit: session.options().time_limit }),
            Ok(Err(join)) => Err(QueryError::died(join)),
            Ok(Ok(done)) => done,
        }
    }
}

impl QuerySession {
    /// Plans one read-only statement with values for its named placeholders.
    ///
    /// # Errors
    /// Those of [`QuerySession::query_with`], except errors of execution.
    pub(crate) async fn prepare(
        &self,
        sql: &str,
        parameters: Vec<(String, ScalarValue)>,
    ) -> Result<PreparedQuery, QueryError> {
        let (session, sql) = (self.clone(), sql.to_owned());
        let mut allowance = Allowance::new(self)?;
        let plan = allowance.spend(self, async move { session.plan(&sql, parameters).await }).await?;
        Ok(PreparedQuery { plan, allowance })
    }

    /// Starts a query that was planned before.
    ///
    /// # Errors
    /// [`QueryError::Plan`] or [`QueryError::MemoryLimit`] when its operators cannot be set up.
    pub(crate) async fn start(&self, prepared: PreparedQuery) -> Result<QueryStream, QueryError> {
        let PreparedQuery { plan: Plan { physical, context, tables }, mut allowance } = prepared;
        let limit_bytes = self.options().memory_limit_bytes;
        // Operators begin tasks of their own on the threads where they are set up.
        let set_up = async move { execute_stream(physical, context).map_err(|error| unplanned(error, limit_bytes)) };
        let stream = allowance.spend(self, set_up).await?;
        Ok(QueryStream::start(self.clone(), stream, tables, allowance))
    }
}

/// Why a plan of operators cannot be made or started.
pub(crate) fn unplanned(error: DataFusionError, memory_limit_bytes: usize) -> QueryError {
    if is_exhausted(&error) { QueryError::execution(error, memory_limit_bytes) } else { QueryError::plan(error) }
}
