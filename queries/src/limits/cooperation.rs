//! Makes joins yield, so that a runaway one can be stopped.
//!
//! DataFusion lets a plan yield where it reads and where it exchanges batches. A join can compute for minutes on one
//! batch: a cross join of two million rows did so for 40 seconds on every thread, and no timer ran. A wrapped join
//! yields after every few output batches.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;

/// Physical optimizer rule: wraps every operator that can output more rows than it reads.
#[derive(Debug)]
pub(crate) struct CooperativeJoins;

impl PhysicalOptimizerRule for CooperativeJoins {
    fn name(&self) -> &'static str {
        "CooperativeJoins"
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let wrapped = plan.transform_up(|node| {
            let multiplies = node.children().len() > 1 || node.name() == "UnnestExec";
            Ok(if multiplies {
                Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>)
            } else {
                Transformed::no(node)
            })
        })?;
        Ok(wrapped.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}
