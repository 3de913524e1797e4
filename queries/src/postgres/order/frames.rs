//! Refuses window frames that go backwards: `RANGE BETWEEN INTERVAL '-1 day' PRECEDING …`.
//!
//! PostgreSQL refuses such a statement; the engine answers with wrong rows.
//! <https://github.com/apache/datafusion/issues/24902>
//!
//! Days and months of a frame over instants are refused if the session's zone is not UTC: the engine counts them in
//! UTC.

use chrono_tz::Tz;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, plan_err, scalar::ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, WindowFrameBound};
use datafusion::optimizer::AnalyzerRule;

#[derive(Debug)]
pub(in crate::postgres) struct FramesForward {
    pub(in crate::postgres) zone: Tz,
}

impl AnalyzerRule for FramesForward {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan, DataFusionError> {
        plan.apply_with_subqueries(|node| {
            let schema = merge_schema(&node.inputs());
            node.apply_expressions(|expr| {
                expr.apply(|part| {
                    if let Expr::WindowFunction(window) = part {
                        let frame = &window.params.window_frame;
                        check(&frame.start_bound)?;
                        check(&frame.end_bound)?;
                        if self.zone != Tz::UTC && is_over_instants(window, &schema) {
                            check_calendar(&frame.start_bound)?;
                            check_calendar(&frame.end_bound)?;
                        }
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

fn is_over_instants(window: &WindowFunction, schema: &DFSchema) -> bool {
    let first = window.params.order_by.first();
    let data_type = first.and_then(|sort| sort.expr.get_type(schema).ok());
    matches!(data_type, Some(DataType::Timestamp(_, Some(_))))
}

fn check_calendar(bound: &WindowFrameBound) -> Result<(), DataFusionError> {
    let (WindowFrameBound::Preceding(offset) | WindowFrameBound::Following(offset)) = bound else { return Ok(()) };
    match offset {
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months != 0 || interval.days != 0 => plan_err!(
            "days and months of a window's frame are not counted in the zone of the session: write hours, or \
             ORDER BY the time AT TIME ZONE '…'"
        ),
        _ => Ok(()),
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
            "the frame of a window cannot go back by a negative offset: write PRECEDING for earlier rows, FOLLOWING for later"
        );
    }
    Ok(())
}
