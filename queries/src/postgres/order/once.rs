//! Drops the second occurrence of a value in an ORDER BY inside of an aggregate or of `DISTINCT ON`: it has no effect.
//!
//! The engine panics on it.

use std::collections::HashSet;

use datafusion::common::tree_node::Transformed;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Distinct, DistinctOn, Expr, LogicalPlan, SortExpr};

pub(in crate::postgres) fn once(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::AggregateFunction(mut aggregate) if aggregate.params.order_by.len() > 1 => {
            keep_first(&mut aggregate.params.order_by);
            Transformed::yes(Expr::AggregateFunction(aggregate))
        }
        other => Transformed::no(other),
    }
}

pub(in crate::postgres) fn distinct_once(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let once = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Distinct(Distinct::On(mut distinct)) => {
            if let Some(order) = &mut distinct.sort_expr {
                keep_first(order);
            }
            let mut seen = HashSet::new();
            distinct.on_expr.retain(|expr| seen.insert(expr.clone()));
            let DistinctOn { on_expr, select_expr, sort_expr, input, .. } = distinct;
            let distinct = DistinctOn::try_new(on_expr, select_expr, sort_expr, input)?;
            Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::On(distinct))))
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(once.data)
}

fn keep_first(order: &mut Vec<SortExpr>) {
    let mut seen = HashSet::new();
    order.retain(|sort| seen.insert(sort.expr.clone()));
}
