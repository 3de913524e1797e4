//! `JOIN … USING` and `NATURAL JOIN`: the common column has the value of the present side.
//!
//! The engine takes the column of one side, which is NULL in the rows that only the other side has.
//! <https://github.com/apache/datafusion/issues/22881>

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinConstraint, JoinType};
use datafusion::error::DataFusionError;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder};

use crate::postgres::Names;

/// A common column of an outer join.
struct Key {
    left: Column,
    right: Column,
}

/// Merges the common columns of outer joins.
///
/// # Errors
/// [`DataFusionError::Plan`] where a statement uses both the common column and the one of a side: the plan has one name for both.
pub(in crate::postgres) fn merge_keys(plan: LogicalPlan, names: &Names) -> Result<LogicalPlan, DataFusionError> {
    let merged = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Join(join) = node else { return Ok(Transformed::no(node)) };
        let is_outer = matches!(join.join_type, JoinType::Left | JoinType::Right | JoinType::Full);
        if join.join_constraint != JoinConstraint::Using || !is_outer {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        }
        merge(join, names).map(Transformed::yes)
    })?;
    if !merged.transformed {
        return Ok(merged.data);
    }
    Ok(merged.data.transform_up_with_subqueries(|node| node.recompute_schema().map(Transformed::yes))?.data)
}

fn merge(join: Join, names: &Names) -> Result<LogicalPlan, DataFusionError> {
    let mut merged = Vec::new();
    for key in keys(&join) {
        let is_apart = uses_side(&key, join.join_type, names);
        if !is_apart {
            merged.push(key);
        } else if uses_both(&key, join.join_type, names) {
            return Err(ambiguous(&key, join.join_type));
        }
    }
    if merged.is_empty() {
        return Ok(LogicalPlan::Join(join));
    }
    let columns: Vec<Expr> = join.schema.columns().into_iter().map(|column| value(column, &merged, &join)).collect();
    LogicalPlanBuilder::from(LogicalPlan::Join(Join { join_constraint: JoinConstraint::On, ..join }))
        .project(columns)?
        .build()
}

fn keys(join: &Join) -> Vec<Key> {
    let column = |expr: &Expr| expr.get_as_join_column().cloned();
    join.on.iter().filter_map(|(left, right)| Some(Key { left: column(left)?, right: column(right)? })).collect()
}

/// Whether the statement names a column of a side that the join may leave empty.
fn uses_side(key: &Key, join_type: JoinType, names: &Names) -> bool {
    let is_named = |column: &Column| {
        column.relation.as_ref().is_some_and(|table| names.has_qualified(table.table(), &column.name))
    };
    match join_type {
        JoinType::Left => is_named(&key.right),
        JoinType::Right => is_named(&key.left),
        _ => is_named(&key.left) || is_named(&key.right),
    }
}

/// Whether it also uses the common column in a way that would read the empty side.
fn uses_both(key: &Key, join_type: JoinType, names: &Names) -> bool {
    match join_type {
        // The bare name is the left column already, and `*` shows the first in alphabetical order.
        JoinType::Left => names.has_wildcard && key.right < key.left,
        _ => names.has_wildcard || names.has_bare(&key.left.name),
    }
}

fn ambiguous(key: &Key, join_type: JoinType) -> DataFusionError {
    let (name, left, right) = (&key.left.name, &key.left, &key.right);
    DataFusionError::Plan(format!(
        "a {} JOIN … USING ({name}) cannot give {name} and the {name} of one side in the same statement: write ON {left} = {right}, \
         coalesce({left}, {right}) for what both have in common, and columns instead of *",
        join_type.to_string().to_uppercase(),
    ))
}

/// The value of a column of the join.
fn value(column: Column, merged: &[Key], join: &Join) -> Expr {
    let Some(key) = merged.iter().find(|key| key.left == column || key.right == column) else {
        return Expr::Column(column);
    };
    let (left, right) = (Expr::Column(key.left.clone()), Expr::Column(key.right.clone()));
    let value = match join.join_type {
        JoinType::Left => left,
        JoinType::Right => right,
        _ => coalesce(vec![left, right]),
    };
    value.alias_qualified(column.relation, column.name)
}
