//! Refuses orders that the engine would not keep.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, plan_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, SortExpr};

/// Refuses an aggregate with DISTINCT and ORDER BY beside one with another ORDER BY: the engine does not order the
/// first.
pub(in crate::postgres) fn two_orders(plan: &LogicalPlan) -> Result<(), DataFusionError> {
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

/// Refuses `NULLS FIRST` and `NULLS LAST` of lists if they are not the default: the engine applies them inside of the
/// lists too.
pub(in crate::postgres) fn nulls_of_lists(plan: &LogicalPlan) -> Result<(), DataFusionError> {
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
