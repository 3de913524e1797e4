//! Makes the engine forget wrong constants.
//!
//! DataFusion drops a constant from a sort, and a sort of sorted rows. In five cases it is wrong about constants or
//! order:
//! - a column of the optional side of an outer join: it may be NULL;
//! - a column of `CUBE`, `ROLLUP` or `GROUPING SETS`: it is NULL in the rows for all of its values;
//! - a column of `UNION ALL` that is constant in each part: `ORDER BY entry, points LIMIT 3` then keeps one bound of `points` for all parts,
//!   and drops rows of a part that comes before others;
//! - a `max`, `min`, `sum` or `count` over a growing window: the NULL of the first rows comes first, wherever the sort
//!   puts NULL;
//! - a column of which a filter holds a cast or a quotient constant: with `CAST(occurred_at AS DATE) = DATE '2026-11-01'`
//!   the engine takes midnight for the one value of `occurred_at`, with `points / 2 = 3` it takes 6 for the one value of
//!   `points` (<https://github.com/apache/datafusion/issues/25523>).
//!
//! So an operator without known properties is put on these inputs, and on the output of unions, totals, windows and such
//! filters.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{JoinSide, JoinType};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::equivalence::EquivalenceProperties;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, NegativeExpr, TryCastExpr};
use datafusion::physical_expr::window::{PlainAggregateWindowExpr, SlidingAggregateWindowExpr};
use datafusion::physical_expr::{AcrossPartitions, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, PlanProperties, replace_children_if_necessary};

use crate::limits::pass_on::{Manner, PassOn};

/// Physical optimizer rule, after the one that chooses the sides of joins, before those that use constants.
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
        let forgotten =
            plan.transform_up(|node| {
                let doubted = doubted_inputs(&node);
                let is_doubted = is_doubted(&node);
                if doubted.is_empty() && !is_doubted {
                    return Ok(Transformed::no(node));
                }
                let inputs = node.children().into_iter().enumerate();
                let inputs = inputs.map(|(side, input)| {
                    if doubted.contains(&side) { PassOn::<Forgetful>::over(input) } else { Arc::clone(input) }
                });
                let inputs = inputs.collect();
                let node = replace_children_if_necessary(node, inputs)?;
                Ok(Transformed::yes(if is_doubted { PassOn::<Forgetful>::over(&node) } else { node }))
            })?;
        Ok(forgotten.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether the engine may be wrong about constants or order of the output.
fn is_doubted(node: &Arc<dyn ExecutionPlan>) -> bool {
    (node.is::<UnionExec>() && differs_in_parts(node)) || has_totals(node) || sums_up(node) || calculates(node)
}

/// The inputs whose constants are not constant in the output.
fn doubted_inputs(node: &Arc<dyn ExecutionPlan>) -> Vec<usize> {
    if has_totals(node) {
        return vec![0];
    }
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

/// Whether it is a filter that calculates: the engine solves what it compares for the columns, as if no digit were lost.
fn calculates(node: &Arc<dyn ExecutionPlan>) -> bool {
    let is_calculation = |expr: &Arc<dyn PhysicalExpr>| {
        let is_arithmetic = expr.downcast_ref::<BinaryExpr>().is_some_and(|pair| pair.op().is_numerical_operators());
        Ok(is_arithmetic || expr.is::<CastExpr>() || expr.is::<TryCastExpr>() || expr.is::<NegativeExpr>())
    };
    // Looking itself cannot fail.
    node.downcast_ref::<FilterExec>().is_some_and(|filter| filter.predicate().exists(is_calculation).unwrap_or(true))
}

/// Whether it is `CUBE`, `ROLLUP` or `GROUPING SETS`.
fn has_totals(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.downcast_ref::<AggregateExec>().is_some_and(|aggregate| !aggregate.group_expr().is_single())
}

/// Whether it is a window with sums, minima or maxima, which the engine takes for sorted.
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
    // A value that is not known may be another one in each part.
    constants.iter().any(|constant| !matches!(constant.across_partitions, AcrossPartitions::Uniform(Some(_))))
}

/// An operator whose output has no known properties.
#[derive(Debug)]
struct Forgetful;

impl Manner for Forgetful {
    const NAME: &'static str = "ForgetConstantsExec";
    const KEEPS_ORDER: bool = false;

    fn properties(input: &Arc<dyn ExecutionPlan>) -> Arc<PlanProperties> {
        let known = PlanProperties::clone(input.properties());
        Arc::new(known.with_eq_properties(EquivalenceProperties::new(input.schema())))
    }
}
