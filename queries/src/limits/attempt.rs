//! Lets a nested loop join try only once.
//!
//! DataFusion's `NestedLoopJoinExec` computes its left side a second time, to spill it, when any operator below ran out
//! of memory. A second computation panics if an exchange lies below ("partition not used yet"), and left, semi and anti
//! joins in several parts may then give wrong rows, as its source says. So the left side is wrapped: a lack of memory
//! is passed on as an error of our kind, to which the join does not react.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};
use futures::StreamExt as _;

use crate::error::once;
use crate::limits::pass_on::{Manner, PassOn};

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
            let children = vec![PassOn::<Once>::over(left), Arc::clone(right)];
            Ok(Transformed::yes(replace_children_if_necessary(node, children)?))
        })?;
        Ok(wrapped.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Passes errors on in a form after which no operator tries again.
#[derive(Debug)]
struct Once;

impl Manner for Once {
    const NAME: &'static str = "OnceExec";
    const KEEPS_ORDER: bool = true;

    fn rows(
        rows: Result<SendableRecordBatchStream, DataFusionError>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let batches = rows.map_err(once)?;
        let schema = batches.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches.map(|batch| batch.map_err(once)))))
    }
}
