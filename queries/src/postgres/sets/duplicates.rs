//! `INTERSECT ALL` and `EXCEPT ALL` count equal rows.
//!
//! The engine keeps every row of the left side that occurs, or does not occur, on the right. Here the equal rows of
//! each side are numbered, and the numbers are compared too. <https://github.com/apache/datafusion/issues/12955>,
//! <https://github.com/apache/datafusion/issues/12956>

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::error::DataFusionError;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder};

const LEFT: &str = "__copy_on_the_left";
const RIGHT: &str = "__copy_on_the_right";

pub(in crate::postgres) fn count_duplicates(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let counted = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if is_all(&join) => count(join).map(Transformed::yes),
        node => Ok(Transformed::no(node)),
    })?;
    Ok(counted.data)
}

/// Recognises the planner's form of both. Without `ALL` the left side is made distinct first, and a distinct side needs
/// no numbers.
fn is_all(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && !matches!(*join.left, LogicalPlan::Distinct(_))
}

fn count(join: Join) -> Result<LogicalPlan, DataFusionError> {
    let columns: Vec<Expr> = join.left.schema().columns().into_iter().map(Expr::Column).collect();
    let (left_keys, right_keys) = join.on.iter().cloned().unzip();
    let left = numbered(&join.left, left_keys, LEFT)?;
    let right = numbered(&join.right, right_keys, RIGHT)?;
    let mut on = join.on.clone();
    on.push((Expr::Column(Column::from_name(LEFT)), Expr::Column(Column::from_name(RIGHT))));
    let join = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        join.filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    LogicalPlanBuilder::from(LogicalPlan::Join(join)).project(columns)?.build()
}

/// A side with a number for each of its equal rows, from 1.
fn numbered(side: &Arc<LogicalPlan>, keys: Vec<Expr>, name: &str) -> Result<LogicalPlan, DataFusionError> {
    let number = Expr::from(WindowFunction::new(row_number_udwf(), Vec::new())).partition_by(keys).build()?;
    let column = Column::from_name(number.schema_name().to_string());
    let mut columns: Vec<Expr> = side.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(Expr::Column(column).alias(name));
    LogicalPlanBuilder::from(side.as_ref().clone()).window(vec![number])?.project(columns)?.build()
}
