//! A value twice in an ORDER BY inside of an aggregate or of `DISTINCT ON`: the second time it changes nothing.
//!
//! The engine panics on it.

use std::collections::HashSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, plan_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Distinct, DistinctOn, Expr, ExprSchemable, LogicalPlan, SortExpr};

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

/// Refuses an aggregate with DISTINCT and ORDER BY beside one with another ORDER BY: the engine gives the first no order.
pub(in crate::postgres) fn refuse_two_orders(plan: &LogicalPlan) -> Result<(), DataFusionError> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            let mut orders: Vec<(&[SortExpr], bool)> = Vec::new();
            for expr in &aggregate.aggr_expr {
                let bare = if let Expr::Alias(alias) = expr { alias.expr.as_ref() } else { expr };
                if let Expr::AggregateFunction(found) = bare
                    && !found.params.order_by.is_empty()
                {
                    orders.push((&found.params.order_by, found.params.distinct));
                }
            }
            let is_doubted = |(order, is_distinct): &(&[SortExpr], bool)| {
                *is_distinct && orders.iter().any(|(other, _)| other != order)
            };
            if orders.iter().any(is_doubted) {
                return plan_err!(
                    "an aggregate with DISTINCT and ORDER BY cannot stand beside one with another ORDER BY: write array_sort of it, \
                     or a query for each"
                );
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Refuses `NULLS FIRST` and `NULLS LAST` of lists where they are not the default: the engine takes them for those inside of the lists too.
pub(in crate::postgres) fn refuse_nulls_of_lists(plan: &LogicalPlan) -> Result<(), DataFusionError> {
    plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        if let LogicalPlan::Sort(sort) = node {
            default_in_lists(&sort.expr, &schema)?;
        }
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                match part {
                    Expr::WindowFunction(window) => default_in_lists(&window.params.order_by, &schema)?,
                    Expr::AggregateFunction(aggregate) => default_in_lists(&aggregate.params.order_by, &schema)?,
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

fn default_in_lists(order: &[SortExpr], schema: &DFSchema) -> Result<(), DataFusionError> {
    let is_list = |sort: &SortExpr| matches!(sort.expr.get_type(schema), Ok(DataType::List(_)));
    if order.iter().any(|sort| sort.nulls_first == sort.asc && is_list(sort)) {
        return plan_err!("NULLS FIRST and NULLS LAST of a list would sort what is NULL in it as well: leave them out");
    }
    Ok(())
}

fn keep_first(order: &mut Vec<SortExpr>) {
    let mut seen = HashSet::new();
    order.retain(|sort| seen.insert(sort.expr.clone()));
}
