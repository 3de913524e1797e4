//! The operator that reads the rows of a shared query.

use std::fmt::{self, Formatter};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Statistics, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};

use super::Shared;

/// Gives the rows of a shared query, in the partitions and the order of its plan.
#[derive(Debug)]
pub(super) struct SharedExec {
    shared: Arc<Shared>,
    input: Arc<dyn ExecutionPlan>,
    /// Whether the plan of the query is visible below this reader. During planning it is not, so that no rule changes
    /// it.
    shows_input: bool,
    properties: Arc<PlanProperties>,
    statistics: Arc<Statistics>,
    metrics: ExecutionPlanMetricsSet,
}

impl SharedExec {
    pub(super) fn new(shared: Arc<Shared>, input: Arc<dyn ExecutionPlan>) -> Result<Self, DataFusionError> {
        let properties = PlanProperties::clone(input.properties())
            .with_emission_type(EmissionType::Final)
            .with_scheduling_type(SchedulingType::Cooperative);
        let statistics = StatisticsContext::new().compute(input.as_ref(), &StatisticsArgs::new())?;
        Ok(Self {
            shared,
            input,
            shows_input: false,
            properties: Arc::new(properties),
            statistics,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for SharedExec {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "SharedExec: {}", self.shared.name)?;
        if self.shows_input { Ok(()) } else { write!(formatter, ", computed elsewhere in this plan") }
    }
}

impl ExecutionPlan for SharedExec {
    fn name(&self) -> &'static str {
        "SharedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        if self.shows_input { vec![&self.input] } else { Vec::new() }
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion, DataFusionError>,
    ) -> Result<TreeNodeRecursion, DataFusionError> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        if children.iter().all(|child| Arc::ptr_eq(child, &self.input)) {
            return Ok(self);
        }
        internal_err!("the plan of the shared query {} was changed for one of its readers", self.shared.name)
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>, DataFusionError> {
        match args.partition() {
            None => Ok(Arc::clone(&self.statistics)),
            partition => {
                let args = StatisticsArgs::new().with_partition(partition);
                StatisticsContext::new().compute(self.input.as_ref(), &args)
            }
        }
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let kept = self.shared.rows.of(&self.shared.name, &self.input, &context);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = stream::once(async move {
            let partitions = kept.await.map_err(DataFusionError::Shared)?;
            match partitions.get(partition) {
                Some(kept) => kept.read(),
                None => internal_err!("there is no partition {partition} of a shared query"),
            }
        })
        .try_flatten()
        .map(move |batch| {
            if let Ok(batch) = &batch {
                metrics.output_rows().add(batch.num_rows());
            }
            batch
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

/// Physical optimizer rule, the last one: shows the plan of each shared query below one of its readers, for `EXPLAIN`.
#[derive(Debug)]
pub(crate) struct ShowShared;

impl PhysicalOptimizerRule for ShowShared {
    fn name(&self) -> &'static str {
        "ShowShared"
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let plan = plan.transform_down(|node| {
            let Some(reader) = node.downcast_ref::<SharedExec>() else { return Ok(Transformed::no(node)) };
            if reader.shared.is_shown.swap(true, Relaxed) {
                return Ok(Transformed::new(node, false, TreeNodeRecursion::Jump));
            }
            let shows = SharedExec {
                shared: Arc::clone(&reader.shared),
                input: Arc::clone(&reader.input),
                shows_input: true,
                properties: Arc::clone(&reader.properties),
                statistics: Arc::clone(&reader.statistics),
                metrics: reader.metrics.clone(),
            };
            Ok(Transformed::new(Arc::new(shows) as Arc<dyn ExecutionPlan>, true, TreeNodeRecursion::Jump))
        })?;
        Ok(plan.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}
