//! A scan that gives all of its rows, and declares it.
//!
//! A scan of a Delta table that needs no column of its files claims to apply a limit, but does not: `SELECT event_type
//! FROM transactions LIMIT 1` gave every row. The wrapped scan takes no limit, so the limit stays above it.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use datafusion::common::Statistics;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

#[derive(Debug)]
pub(super) struct AllRows {
    scan: Arc<dyn ExecutionPlan>,
}

/// Wraps a scan that claims to apply a limit and does not.
pub(super) fn all_rows(scan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let claims = scan.children().is_empty() && scan.supports_limit_pushdown() && scan.with_fetch(Some(1)).is_none();
    if claims { Arc::new(AllRows { scan }) } else { scan }
}

impl DisplayAs for AllRows {
    fn fmt_as(&self, format: DisplayFormatType, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.scan.fmt_as(format, formatter)
    }
}

impl ExecutionPlan for AllRows {
    fn name(&self) -> &'static str {
        "AllRows"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.scan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion, DataFusionError>,
    ) -> Result<TreeNodeRecursion, DataFusionError> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        self.scan.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.scan.metrics()
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>, DataFusionError> {
        let args = StatisticsArgs::new().with_partition(args.partition());
        StatisticsContext::new().compute(self.scan.as_ref(), &args)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}
