//! Refuses window frames that go backwards: `RANGE BETWEEN INTERVAL '-1 day' PRECEDING …`.
//!
//! PostgreSQL ends such a statement; the engine answers with rows that were not asked for.
//! <https://github.com/apache/datafusion/issues/24902>

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{plan_err, scalar::ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFrameBound};
use datafusion::optimizer::AnalyzerRule;

#[derive(Debug)]
pub(super) struct FramesForward;

impl AnalyzerRule for FramesForward {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan, DataFusionError> {
        plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|part| {
                    if let Expr::WindowFunction(window) = part {
                        let frame = &window.params.window_frame;
                        check(&frame.start_bound)?;
                        check(&frame.end_bound)?;
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        Ok(plan)
    }

    fn name(&self) -> &'static str {
        "frames_forward"
    }
}

fn check(bound: &WindowFrameBound) -> Result<(), DataFusionError> {
    let (WindowFrameBound::Preceding(offset) | WindowFrameBound::Following(offset)) = bound else { return Ok(()) };
    let is_negative = match offset {
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            interval.months < 0 || interval.days < 0 || interval.nanoseconds < 0
        }
        offset if offset.is_null() => false,
        offset if offset.data_type().is_numeric() => {
            ScalarValue::new_zero(&offset.data_type())?.partial_cmp(offset) == Some(std::cmp::Ordering::Greater)
        }
        _ => false,
    };
    if is_negative {
        return plan_err!(
            "the frame of a window cannot go back by {offset}: write PRECEDING for earlier rows, FOLLOWING for later"
        );
    }
    Ok(())
}
