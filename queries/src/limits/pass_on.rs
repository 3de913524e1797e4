//! An operator that passes on the rows of its one input: the base of operators that change the properties or the errors
//! of the input.

use std::fmt::{self, Debug, Formatter};
use std::marker::PhantomData;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

/// The difference of such an operator.
pub(crate) trait Manner: Debug + Send + Sync + 'static {
    /// Its name in plans.
    const NAME: &'static str;
    /// Whether the engine may rely on the order of the rows.
    const KEEPS_ORDER: bool;

    /// The properties of the rows for the engine.
    fn properties(input: &Arc<dyn ExecutionPlan>) -> Arc<PlanProperties> {
        Arc::clone(input.properties())
    }

    /// The rows, as they are passed on.
    fn rows(
        rows: Result<SendableRecordBatchStream, DataFusionError>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        rows
    }
}

/// The operator.
#[derive(Debug)]
pub(crate) struct PassOn<M> {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    manner: PhantomData<M>,
}

impl<M: Manner> PassOn<M> {
    /// Stands upon an operator.
    pub(crate) fn over(input: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self { input: Arc::clone(input), properties: M::properties(input), manner: PhantomData })
    }
}

fn only<T>(inputs: &[T]) -> Result<&T, DataFusionError> {
    match inputs {
        [input] => Ok(input),
        _ => internal_err!("one child is read, not {}", inputs.len()),
    }
}

impl<M: Manner> DisplayAs for PassOn<M> {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(M::NAME)
    }
}

impl<M: Manner> ExecutionPlan for PassOn<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![M::KEEPS_ORDER]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>, DataFusionError> {
        only(inputs).map(Arc::clone)
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
        only(&children).map(Self::over)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        M::rows(self.input.execute(partition, context))
    }
}
