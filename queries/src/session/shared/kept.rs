//! The rows of a shared query, kept for all readers.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::execution::spill_file::SpillFile;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::spill::SpillManager;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::future::{self, BoxFuture, FutureExt, Shared};
use futures::{StreamExt, stream};

/// The fraction of the memory limit for the rows of one shared query (one in N); more rows go to disk. Their readers
/// need the rest.
const KEPT_PER_LIMIT: usize = 16;

/// The partitions, once they are complete.
pub(super) type Filled = Shared<BoxFuture<'static, Result<Arc<Vec<Kept>>, Arc<DataFusionError>>>>;

/// Computes the rows at the first request. Dropping this and all readers stops the work.
#[derive(Debug, Default)]
pub(super) struct Rows(Mutex<Option<Filled>>);

impl Rows {
    /// The rows of a plan: the same for all calls.
    pub(super) fn of(&self, name: &str, plan: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Filled {
        let mut filled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (plan, context) = (Arc::clone(plan), Arc::clone(context));
        let name = name.to_owned();
        filled.get_or_insert_with(|| fill(name, plan, context).boxed().shared()).clone()
    }
}

async fn fill(
    name: String,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
) -> Result<Arc<Vec<Kept>>, Arc<DataFusionError>> {
    let partitions = plan.properties().partitioning.partition_count();
    let most = match context.memory_pool().memory_limit() {
        MemoryLimit::Finite(bytes) => bytes / KEPT_PER_LIMIT / partitions.max(1),
        _ => usize::MAX,
    };
    let mut tasks = Vec::with_capacity(partitions);
    for partition in 0..partitions {
        let rows = plan.execute(partition, Arc::clone(&context))?;
        let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), partition);
        let spill = SpillManager::new(context.runtime_env(), metrics, plan.schema());
        // Complete rows stay in memory, so other consumers cannot make them spill.
        let consumer = MemoryConsumer::new(format!("SharedExec[{name}, {partition}]"));
        let reservation = consumer.register(context.memory_pool());
        tasks.push(SpawnedTask::spawn(keep(rows, spill, reservation, most)));
    }
    let kept =
        future::try_join_all(tasks.into_iter().map(|task| async {
            task.join_unwind().await.map_err(|error| DataFusionError::External(Box::new(error)))?
        }));
    Ok(Arc::new(kept.await?))
}

/// All rows of one partition.
pub(super) struct Kept {
    spill: SpillManager,
    /// All rows, or none if they are in the file.
    batches: Vec<RecordBatch>,
    file: Option<Arc<dyn SpillFile>>,
    /// Of the batches.
    _reservation: Option<MemoryReservation>,
}

impl Kept {
    /// The rows, from the first.
    pub(super) fn read(&self) -> Result<SendableRecordBatchStream, DataFusionError> {
        if let Some(file) = &self.file {
            return self.spill.read_spill_as_stream(Arc::clone(file), None);
        }
        let batches = stream::iter(self.batches.clone()).map(Ok);
        let stream = RecordBatchStreamAdapter::new(Arc::clone(self.spill.schema()), batches);
        Ok(make_cooperative(Box::pin(stream)))
    }
}

/// Takes in the rows of one partition, a limited number of bytes into memory.
async fn keep(
    mut rows: SendableRecordBatchStream,
    spill: SpillManager,
    reservation: MemoryReservation,
    most: usize,
) -> Result<Kept, DataFusionError> {
    let (mut batches, mut file) = (Vec::new(), None);
    let mut reservation = Some(reservation);
    // Batches may be slices of the same buffers.
    let mut counter = RecordBatchMemoryCounter::new();
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        // A UNION gives batches whose columns have the descriptions of its first part, or none.
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(spill.schema()), batch.columns().to_vec(), &rows)?;
        let file = match &mut file {
            Some(file) => file,
            None => {
                let bytes = counter.count_batch(&batch);
                let fits = |held: &MemoryReservation| counter.memory_usage() <= most && held.try_grow(bytes).is_ok();
                if reservation.as_ref().is_some_and(fits) {
                    batches.push(batch);
                    continue;
                }
                let file = file.insert(spill.create_in_progress_file("rows of a query that is used several times")?);
                for kept in batches.drain(..) {
                    file.append_batch(&kept)?;
                }
                reservation = None;
                file
            }
        };
        file.append_batch(&batch)?;
    }
    let file = match &mut file {
        Some(file) => file.finish()?,
        None => None,
    };
    Ok(Kept { spill, batches, file, _reservation: reservation })
}
