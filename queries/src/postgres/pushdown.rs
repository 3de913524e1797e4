//! Keeps conditions above operators whose result they would change.
//!
//! The engine pushes a condition without columns below an aggregate without groups. The aggregate then gives a row for
//! no rows, so the row that the condition should remove stays. Below a window such a condition changes the numbers if
//! it differs from row to row.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::GroupingSet;
use datafusion::logical_expr::{Aggregate, Expr, Filter, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule};

/// The engine's rule that is guarded.
const RULE: &str = "push_down_filter";

/// The engine's rules, with this one guarded.
pub(super) fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let guard = |rule: Arc<dyn OptimizerRule + Send + Sync>| -> Arc<dyn OptimizerRule + Send + Sync> {
        if rule.name() == RULE { Arc::new(PushDownFilter { rule }) } else { rule }
    };
    Optimizer::new().rules.into_iter().map(guard).collect()
}

#[derive(Debug)]
struct PushDownFilter {
    rule: Arc<dyn OptimizerRule + Send + Sync>,
}

impl OptimizerRule for PushDownFilter {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        match &plan {
            LogicalPlan::Filter(filter) if stays(filter) => Ok(Transformed::no(plan)),
            _ => self.rule.rewrite(plan, config),
        }
    }
}

/// The engine's rule merges adjacent filters.
fn stays(filter: &Filter) -> bool {
    let mut is_volatile = filter.predicate.is_volatile();
    let mut input = filter.input.as_ref();
    while let LogicalPlan::Filter(below) = input {
        is_volatile |= below.predicate.is_volatile();
        input = below.input.as_ref();
    }
    match input {
        LogicalPlan::Aggregate(aggregate) => has_total(aggregate),
        LogicalPlan::Window(_) => is_volatile,
        _ => false,
    }
}

/// Whether an aggregate gives one row for all rows, even for no rows.
fn has_total(aggregate: &Aggregate) -> bool {
    match aggregate.group_expr.as_slice() {
        [] => true,
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.iter().any(Vec::is_empty),
        [Expr::GroupingSet(GroupingSet::Rollup(_) | GroupingSet::Cube(_))] => true,
        _ => false,
    }
}
