//! `x IN (SELECT …)` and `x NOT IN (SELECT …)` with NULLs: unknown is neither true nor false.
//!
//! The engine answers `x IN (SELECT …)` correctly where unknown counts as false, and that form is left as it is.
//! Elsewhere it forgets NULLs of a correlated query, of a computed value, or of both. There `EXISTS`, which is never
//! unknown, replaces it: is there an equal row, is there a NULL, is there any row.
//! <https://github.com/apache/datafusion/issues/25347>, <https://github.com/apache/datafusion/issues/25336>,
//! <https://github.com/apache/datafusion/issues/25480>, <https://github.com/apache/datafusion/issues/25474>

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, plan_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, exists, lit, not, not_exists, when,
};
use datafusion::scalar::ScalarValue;

pub(in crate::postgres) fn keep_unknown(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let kept = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Filter(filter) = node else { return Ok(Transformed::no(node)) };
        let schema = Arc::clone(filter.input.schema());
        let conditions = split_conjunction_owned(filter.predicate)
            .into_iter()
            .map(|condition| condition_of(condition, &schema))
            .collect::<Result<Vec<_>, _>>()?;
        let predicate = conjunction(conditions.into_iter().flatten()).unwrap_or_else(|| lit(true));
        Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)))
    })?;
    Ok(kept.data)
}

/// A condition of a filter, as a conjunction.
fn condition_of(condition: Expr, schema: &DFSchema) -> Result<Vec<Expr>, DataFusionError> {
    match condition {
        Expr::InSubquery(member) if member.negated => Membership::of(member, schema)?.not_among(),
        Expr::Not(inner) => match *inner {
            Expr::InSubquery(member) if !member.negated => Membership::of(member, schema)?.not_among(),
            inner => Ok(vec![anywhere(not(inner), schema)?]),
        },
        other => Ok(vec![where_unknown_is_false(other, schema)?]),
    }
}

/// A condition in which unknown and false are the same; `AND` and `OR` keep that.
fn where_unknown_is_false(condition: Expr, schema: &DFSchema) -> Result<Expr, DataFusionError> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let left = where_unknown_is_false(*left, schema)?;
            let right = where_unknown_is_false(*right, schema)?;
            Ok(Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) }))
        }
        Expr::InSubquery(member) if !member.negated => {
            check(&member.subquery.subquery, false)?;
            Ok(Expr::InSubquery(member))
        }
        other => anywhere(other, schema),
    }
}

/// An expression in which unknown differs from false.
fn anywhere(expr: Expr, schema: &DFSchema) -> Result<Expr, DataFusionError> {
    let rewritten = expr.transform_up(|part| match part {
        Expr::InSubquery(member) => {
            let negated = member.negated;
            let value = Membership::of(member, schema)?.value()?;
            Ok(Transformed::yes(if negated { not(value) } else { value }))
        }
        Expr::Exists(exists) => {
            check(&exists.subquery.subquery, true)?;
            Ok(Transformed::no(Expr::Exists(exists)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

struct Membership {
    value: Expr,
    /// The value as the query sees it.
    outer: Expr,
    query: Arc<LogicalPlan>,
    member: Expr,
    value_may_be_null: bool,
    member_may_be_null: bool,
}

impl Membership {
    fn of(member: InSubquery, schema: &DFSchema) -> Result<Self, DataFusionError> {
        let query = member.subquery.subquery;
        check(&query, false)?;
        let (table, field) = query.schema().qualified_field(0);
        let column = Column::new(table.cloned(), field.name());
        let member_may_be_null = field.is_nullable();
        let value = *member.expr;
        Ok(Self {
            outer: outer(value.clone(), schema)?,
            value_may_be_null: may_be_null(&value, schema),
            value,
            member: Expr::Column(column),
            member_may_be_null,
            query,
        })
    }

    /// Rows of the query for which a condition holds. One is enough. A correlated query gets no limit, because the
    /// engine moves its correlation and cannot move it through a limit.
    fn rows(&self, condition: Option<Expr>) -> Result<Arc<LogicalPlan>, DataFusionError> {
        let mut rows = LogicalPlanBuilder::from(self.query.as_ref().clone());
        if let Some(condition) = condition {
            rows = rows.filter(condition)?;
        }
        let plan = rows.build()?;
        let is_free = plan.all_out_ref_exprs().is_empty();
        let plan = if is_free { LogicalPlanBuilder::from(plan).limit(0, Some(1))?.build()? } else { plan };
        Ok(Arc::new(plan))
    }

    fn equal(&self) -> Result<Arc<LogicalPlan>, DataFusionError> {
        self.rows(Some(self.member.clone().eq(self.outer.clone())))
    }

    fn null(&self) -> Result<Arc<LogicalPlan>, DataFusionError> {
        self.rows(Some(self.member.clone().is_null()))
    }

    fn not_among(self) -> Result<Vec<Expr>, DataFusionError> {
        let mut conditions = vec![not_exists(self.equal()?)];
        if self.member_may_be_null {
            conditions.push(not_exists(self.null()?));
        }
        if self.value_may_be_null {
            let is_known = self.value.clone().is_not_null();
            conditions.push(is_known.or(not_exists(self.rows(None)?)));
        }
        Ok(conditions)
    }

    fn value(self) -> Result<Expr, DataFusionError> {
        let unknown = || lit(ScalarValue::Boolean(None));
        let is_unknown = self.value.clone().is_null().and(exists(self.rows(None)?));
        when(exists(self.equal()?), lit(true))
            .when(exists(self.null()?), unknown())
            .when(is_unknown, unknown())
            .otherwise(lit(false))
    }
}

/// Only columns and constants are reliable about being never NULL.
fn may_be_null(value: &Expr, schema: &DFSchema) -> bool {
    match value {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Column(column) => schema.field_from_column(column).map_or(true, |field| field.is_nullable()),
        _ => true,
    }
}

/// An expression of the outer query, as seen by the inner one.
fn outer(expr: Expr, schema: &DFSchema) -> Result<Expr, DataFusionError> {
    let outer = expr.transform(|part| match part {
        Expr::Column(column) => {
            let field = Arc::clone(schema.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) => {
            plan_err!("the value of IN (SELECT …) cannot hold a query itself: compute it in a WITH query first")
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(outer.data)
}

/// Refuses queries that the engine answers wrongly: it moves the correlation out of the query, past operators on which
/// the rows depend.
fn check(query: &LogicalPlan, is_exists: bool) -> Result<(), DataFusionError> {
    if query.all_out_ref_exprs().is_empty() {
        return Ok(());
    }
    let (mut has_total, mut is_cut) = (false, false);
    query.apply(|node| {
        has_total |= matches!(node, LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty());
        is_cut |= match node {
            LogicalPlan::Limit(limit) => limit.skip.is_some() || !is_exists,
            LogicalPlan::Window(_) => !is_exists,
            _ => false,
        };
        Ok(TreeNodeRecursion::Continue)
    })?;
    if has_total {
        return plan_err!(
            "a query in IN or EXISTS that refers to the outer one cannot compute a total: compare with the query itself, \
             x = (SELECT max(…) …), or join a query that is grouped"
        );
    }
    if is_cut {
        return plan_err!(
            "a query in IN or EXISTS that refers to the outer one cannot number its rows, limit or skip them: number them in a \
             WITH query and join it"
        );
    }
    Ok(())
}
