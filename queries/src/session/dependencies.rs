//! Makes the engine forget which columns determine others.
//!
//! Of `SELECT k, count(*) … GROUP BY k` DataFusion knows that `k` is unique and determines every column. A join keeps that:
//! `k` still determines the columns of its side. Where the join is grouped or made distinct by `k` and a column of the
//! other side, DataFusion concludes that `k` determines that column too, and is unique again. Then it drops keys of
//! `GROUP BY` and `ORDER BY`, and a `DISTINCT`: of
//!
//! ```sql
//! SELECT k, max(n) FROM (
//!   SELECT k, y, count(*) AS n FROM (SELECT DISTINCT g.k, t.y FROM (SELECT k FROM t GROUP BY k) g JOIN t USING (k)) d GROUP BY k, y
//! ) e GROUP BY k
//! ```
//!
//! `n` is counted for each `k`, not for each `k` and `y`. The planner draws such conclusions before any rule runs: it adds
//! what a key determines to `GROUP BY`.
//!
//! So every relation of a statement gets an operator above it that has no such knowledge. Conditions, limits and the choice
//! of columns pass through it, and it is gone in the physical plan. A query that is grouped by a key and selects
//! what the key determines is then an error, as in PostgreSQL, which knows such keys of base tables only.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt::{self, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DFSchemaRef, FunctionalDependencies};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::TableFactor;

/// The same rows, of which nothing is known.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ForgetDependencies {
    input: LogicalPlan,
    schema: DFSchemaRef,
}

impl ForgetDependencies {
    fn new(input: LogicalPlan) -> Result<Self, DataFusionError> {
        let schema = DFSchema::clone(input.schema());
        let schema = Arc::new(schema.with_functional_dependencies(FunctionalDependencies::empty())?);
        Ok(Self { input, schema })
    }

    /// Puts it above a plan whose columns determine others.
    ///
    /// # Errors
    /// None that is known: the columns stay.
    pub(crate) fn over(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
        if plan.schema().functional_dependencies().is_empty() {
            return Ok(plan);
        }
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(Self::new(plan)?) }))
    }
}

impl PartialOrd for ForgetDependencies {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for ForgetDependencies {
    fn name(&self) -> &'static str {
        "ForgetDependencies"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn necessary_children_exprs(&self, columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![columns.to_vec()])
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn fmt_for_explain(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("ForgetDependencies")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self, DataFusionError> {
        let mut inputs = inputs.into_iter();
        match (inputs.next(), inputs.next()) {
            (Some(input), None) => Self::new(input),
            _ => Err(DataFusionError::Internal("ForgetDependencies has one input".to_owned())),
        }
    }
}

/// Puts [`ForgetDependencies`] above the relations of one statement.
#[derive(Debug, Default)]
struct ForgetfulRelations {
    /// Whether the relation that comes next is the one that was just handed back to the planner.
    is_ours: AtomicBool,
}

impl RelationPlanner for ForgetfulRelations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning, DataFusionError> {
        let is_lateral = matches!(relation, TableFactor::Derived { lateral: true, .. });
        if self.is_ours.swap(false, Relaxed) || is_lateral {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        self.is_ours.store(true, Relaxed);
        let plan = ForgetDependencies::over(context.plan(relation)?)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

/// The state of a context to plan one statement with.
///
/// # Errors
/// None that is known.
pub(crate) fn planning_state(context: &SessionContext) -> Result<SessionState, DataFusionError> {
    let mut state = context.state();
    state.register_relation_planner(Arc::new(ForgetfulRelations::default()))?;
    Ok(state)
}

/// Puts [`ForgetDependencies`] above the joins with a `LATERAL` query. Above the query itself it would keep DataFusion from
/// making an ordinary join of it.
///
/// # Errors
/// None that is known: the columns stay.
pub(crate) fn forget_of_lateral(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let forgotten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if is_lateral(&join.left) || is_lateral(&join.right) => {
            ForgetDependencies::over(LogicalPlan::Join(join)).map(Transformed::yes)
        }
        node => Ok(Transformed::no(node)),
    })?;
    if !forgotten.transformed {
        return Ok(forgotten.data);
    }
    // What is above them drew its conclusions already.
    let drawn_anew =
        forgotten.data.transform_up_with_subqueries(|node| node.recompute_schema().map(Transformed::yes))?;
    Ok(drawn_anew.data)
}

fn is_lateral(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Subquery(_) => true,
        LogicalPlan::SubqueryAlias(alias) => is_lateral(&alias.input),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
