//! Lets a nested loop join be tried once.
//!
//! DataFusion's `NestedLoopJoinExec` computes its left side a second time, to spill it, when memory ran out, whoever below ran out of
//! it. A second time ends in a panic where an exchange lies below ("partition not used yet"), and of left, semi and anti joins in
//! several parts the rows may then be wrong, as its source says. So the left side is wrapped: that memory ran out is passed on as an
//! error of our kind, which the join does not take for a sign.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use datafusion::common::internal_err;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, replace_children_if_necessary,
};
use futures::StreamExt as _;

use crate::error::once;

/// Physical optimizer rule: wraps the left side of every nested loop join.
#[derive(Debug)]
pub(crate) struct OneAttempt;

impl PhysicalOptimizerRule for OneAttempt {
    fn name(&self) -> &'static str {
        "OneAttempt"
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let wrapped = plan.transform_up(|node| {
            let sides: Vec<_> = node.children().into_iter().map(Arc::clone).collect();
            let (true, [left, right]) = (node.is::<NestedLoopJoinExec>(), sides.as_slice()) else {
                return Ok(Transformed::no(node));
            };
            let left: Arc<dyn ExecutionPlan> = Arc::new(Once { input: Arc::clone(left) });
            let children = vec![left, Arc::clone(right)];
            Ok(Transformed::yes(replace_children_if_necessary(node, children)?))
        })?;
        Ok(wrapped.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Hands on what it reads, and errors as such that nobody tries again.
#[derive(Debug)]
struct Once {
    input: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for Once {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("OnceExec")
    }
}

impl ExecutionPlan for Once {
    fn name(&self) -> &'static str {
        "OnceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
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
        match children.as_slice() {
            [input] => Ok(Arc::new(Self { input: Arc::clone(input) })),
            _ => internal_err!("one child is read, not {}", children.len()),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let batches = self.input.execute(partition, context).map_err(once)?;
        let schema = batches.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches.map(|batch| batch.map_err(once)))))
    }
}
