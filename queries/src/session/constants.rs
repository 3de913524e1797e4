//! Lets the engine forget what is constant where that is not so.
//!
//! DataFusion leaves a constant out of a sort, and a sort of what is sorted. Four times it takes for constant or sorted what is not:
//! - a column of the side of an outer join that may be missing: there it is NULL;
//! - a column of `CUBE`, `ROLLUP` or `GROUPING SETS`: it is NULL in the rows that stand for all of its values;
//! - a column of `UNION ALL` that is constant in each part: `ORDER BY entry, points LIMIT 3` then keeps one bound of `points` for all parts,
//!   and drops rows of a part that comes before others;
//! - a `max`, `min`, `sum` or `count` over a window that grows: the NULL of the first rows stands first, wherever the sort wants it.
//!
//! So these inputs are wrapped in an operator that hands the rows on, and of which nothing is known.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinSide, JoinType, Statistics, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::equivalence::EquivalenceProperties;
use datafusion::physical_expr::window::{PlainAggregateWindowExpr, SlidingAggregateWindowExpr};
use datafusion::physical_expr::{AcrossPartitions, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, replace_children_if_necessary,
};

/// Physical optimizer rule, before those that look at what is constant.
#[derive(Debug)]
pub(crate) struct ForgetConstants;

impl PhysicalOptimizerRule for ForgetConstants {
    fn name(&self) -> &'static str {
        "ForgetConstants"
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let forgotten = plan.transform_up(|node| {
            if node.is::<UnionExec>() && differs_in_parts(&node) {
                return Ok(Transformed::yes(forget(&node)));
            }
            if has_totals(&node) {
                // Of what it reads, and of the constants that it groups by itself.
                let input = node.children().into_iter().map(forget).collect();
                return Ok(Transformed::yes(forget(&replace_children_if_necessary(node, input)?)));
            }
            if sums_up(&node) {
                return Ok(Transformed::yes(forget(&node)));
            }
            let doubted = doubted_inputs(&node);
            if doubted.is_empty() {
                return Ok(Transformed::no(node));
            }
            let inputs = node.children().into_iter().enumerate();
            let inputs =
                inputs.map(|(side, input)| if doubted.contains(&side) { forget(input) } else { Arc::clone(input) });
            let inputs = inputs.collect();
            Ok(Transformed::yes(replace_children_if_necessary(node, inputs)?))
        })?;
        Ok(forgotten.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The inputs whose constants are none in what comes out.
fn doubted_inputs(node: &Arc<dyn ExecutionPlan>) -> Vec<usize> {
    let hash = node.downcast_ref::<HashJoinExec>().map(|join| *join.join_type());
    let merge = || node.downcast_ref::<SortMergeJoinExec>().map(SortMergeJoinExec::join_type);
    let nested = || node.downcast_ref::<NestedLoopJoinExec>().map(|join| *join.join_type());
    let Some(join) = hash.or_else(merge).or_else(nested) else { return Vec::new() };
    let missing = match join {
        JoinType::Left => vec![JoinSide::Right],
        JoinType::Right => vec![JoinSide::Left],
        JoinType::Full => vec![JoinSide::Left, JoinSide::Right],
        _ => Vec::new(),
    };
    missing.into_iter().map(|side| if side == JoinSide::Left { 0 } else { 1 }).collect()
}

/// Whether it is `CUBE`, `ROLLUP` or `GROUPING SETS`.
fn has_totals(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.downcast_ref::<AggregateExec>().is_some_and(|aggregate| !aggregate.group_expr().is_single())
}

/// Whether it is a window with sums, least or greatest values, which the engine takes for sorted.
fn sums_up(node: &Arc<dyn ExecutionPlan>) -> bool {
    let windows = node.downcast_ref::<BoundedWindowAggExec>().map(BoundedWindowAggExec::window_expr);
    let windows = windows.or_else(|| node.downcast_ref::<WindowAggExec>().map(WindowAggExec::window_expr));
    windows.is_some_and(|windows| {
        windows.iter().any(|window| {
            let window = window.as_any();
            window.is::<PlainAggregateWindowExpr>() || window.is::<SlidingAggregateWindowExpr>()
        })
    })
}

fn differs_in_parts(union: &Arc<dyn ExecutionPlan>) -> bool {
    let constants = union.properties().eq_properties.constants();
    constants.iter().any(|constant| constant.across_partitions == AcrossPartitions::Heterogeneous)
}

fn forget(input: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    Arc::new(Forgetful::new(Arc::clone(input)))
}

/// Hands on what it reads.
#[derive(Debug)]
struct Forgetful {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl Forgetful {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let known = PlanProperties::clone(input.properties());
        let properties = known.with_eq_properties(EquivalenceProperties::new(input.schema()));
        Self { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for Forgetful {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("ForgetConstantsExec")
    }
}

impl ExecutionPlan for Forgetful {
    fn name(&self) -> &'static str {
        "ForgetConstantsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
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
        match inputs {
            [input] => Ok(Arc::clone(input)),
            _ => internal_err!("one child is read, not {}", inputs.len()),
        }
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
            [input] => Ok(forget(input)),
            _ => internal_err!("one child is read, not {}", children.len()),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        self.input.execute(partition, context)
    }
}
