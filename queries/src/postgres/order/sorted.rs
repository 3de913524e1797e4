//! Keeps sorts that the engine leaves out.
//!
//! Rows that are sorted by a value are sorted by its day too. The engine then takes them for sorted by the day and all
//! further keys: `ORDER BY CAST(occurred_at AS DATE), n DESC` above a window came in another order. Here a coarser form
//! of a value is computed from a copy, whose order the engine does not know.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::postgres::sets::in_lists::copy_of;

pub(in crate::postgres) fn keep_sorts(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let kept = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Sort(mut sort) if sort.expr.len() > 1 => {
            hide_all(&mut sort.expr);
            Ok(Transformed::yes(LogicalPlan::Sort(sort)))
        }
        LogicalPlan::Projection(_) if may_be_sorted(&node)? => map(node, |expr| Ok(Transformed::yes(hidden(expr)))),
        LogicalPlan::Window(_) => map(node, |expr| {
            expr.transform_up(|part| match part {
                Expr::WindowFunction(mut window) if window.params.order_by.len() > 1 => {
                    hide_all(&mut window.params.order_by);
                    Ok(Transformed::yes(Expr::WindowFunction(window)))
                }
                other => Ok(Transformed::no(other)),
            })
        }),
        node => Ok(Transformed::no(node)),
    })?;
    Ok(kept.data)
}

fn map(
    node: LogicalPlan,
    mut change: impl FnMut(Expr) -> Result<Transformed<Expr>, DataFusionError>,
) -> Result<Transformed<LogicalPlan>, DataFusionError> {
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(change(expr)?.update_data(|expr| name.restore(expr)))
    })
}

/// Whether the rows come from a window, which sorts them.
fn may_be_sorted(node: &LogicalPlan) -> Result<bool, DataFusionError> {
    let mut is_sorted = false;
    node.apply(|node| {
        is_sorted |= matches!(node, LogicalPlan::Window(_));
        Ok(match node {
            LogicalPlan::Window(_) => TreeNodeRecursion::Stop,
            LogicalPlan::Aggregate(_) | LogicalPlan::TableScan(_) => TreeNodeRecursion::Jump,
            _ => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(is_sorted)
}

fn hide_all(order: &mut [Sort]) {
    for key in order {
        key.expr = hidden(key.expr.clone());
    }
}

fn hidden(expr: Expr) -> Expr {
    match expr {
        Expr::Alias(mut alias) => {
            alias.expr = Box::new(hidden(*alias.expr));
            Expr::Alias(alias)
        }
        Expr::Cast(_) | Expr::TryCast(_) | Expr::ScalarFunction(_) => copy_of(expr),
        other => other,
    }
}
