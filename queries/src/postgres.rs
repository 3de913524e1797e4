//! Makes the engine answer as PostgreSQL does, or refuse.
//!
//! DataFusion follows PostgreSQL, but not everywhere, and some of its plans lose rows or values. The repairs are here:
//! changes of the statement before planning ([`statement`]), changes of its plan ([`rewrite`]), rules that run before
//! the engine's own ([`analyzer_rules`]), and functions that replace the engine's ([`register`]). Each names the fault
//! that it repairs. The tests in `postgres/faults.rs` show the faults of the engine alone. They fail when an upgrade
//! has mended one, so that its repair can be removed.

mod all_rows;
#[cfg(test)]
mod faults;
mod numbers;
mod order;
mod pushdown;
mod scan;
mod sets;
mod similar;
mod spelling;
mod statement;
pub(crate) mod times;

use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_aggregate::string_agg::string_agg_udaf;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{AggregateUDF, Expr, LogicalPlan, ScalarUDF, WindowUDF};
use datafusion::optimizer::analyzer::Analyzer;
use datafusion::optimizer::{AnalyzerRule, OptimizerRule};
use datafusion::prelude::{SessionConfig, SessionContext};

pub(crate) use scan::exact;
pub(crate) use statement::{Names, prepare};

/// Settings that avoid known wrong answers of the engine.
pub(crate) fn configure(config: &mut SessionConfig) {
    let options = config.options_mut();
    // Filters made while a query runs are off. The filter of min and max leaves out files that another aggregate needs;
    // that of a join leaves out matching rows where two columns have one name; that of ORDER BY … LIMIT reads rows
    // twice. <https://github.com/apache/datafusion/issues/24816>, <https://github.com/apache/datafusion/issues/25262>,
    // <https://github.com/apache/datafusion/issues/24352>
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    // LIMIT above a window with IGNORE NULLS cuts off rows that the window still needs.
    // <https://github.com/apache/datafusion/issues/25471>
    options.optimizer.enable_window_limits = false;
    // 1.005 is a number with three digits, not the double below it.
    options.sql_parser.parse_float_as_decimal = true;
}

/// The engine's rules for types, with ours around them.
pub(crate) fn analyzer_rules(zone: Tz) -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> =
        vec![Arc::new(times::local_times::LocalTimes::new(zone)), Arc::new(numbers::arithmetic::ExactArithmetic)];
    rules.extend(Analyzer::new().rules);
    rules.push(Arc::new(numbers::arithmetic::ExactArithmeticOfAllTypes));
    rules.push(Arc::new(order::frames::FramesForward { zone }));
    rules
}

/// The engine's rules for plans; rules that would change an answer are guarded.
pub(crate) fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    pushdown::rules()
}

/// Replaces functions of the engine by ours.
pub(crate) fn register(context: &SessionContext, zone: Tz) {
    let state = context.state();
    let engine = |name: &str| state.scalar_functions().get(name).map(Arc::clone);
    context.register_udf(times::zone::at_time_zone());
    context.register_udf(times::zone::start_of_day(zone));
    context.register_udf(ScalarUDF::new_from_impl(numbers::round::Round::new(engine("round"))));
    context.register_udf(ScalarUDF::new_from_impl(numbers::ceiling::Ceiling::ceil(engine("ceil"))));
    context.register_udf(ScalarUDF::new_from_impl(numbers::ceiling::Ceiling::floor(engine("floor"))));
    context.register_udf(ScalarUDF::new_from_impl(times::parts::DatePart::new(engine("date_part"))));
    context.register_udf(ScalarUDF::new_from_impl(times::truncate::DateTrunc::new(engine("date_trunc"))));
    context.register_udf(ScalarUDF::new_from_impl(times::to_char::ToChar::new(engine("to_char"))));
    context.register_udf(ScalarUDF::new_from_impl(times::text_time::ToTimestamp::new(engine("to_timestamp"), zone)));
    context.register_udaf(AggregateUDF::new_from_impl(numbers::sum::Sum::default()));
    context.register_udaf(AggregateUDF::new_from_impl(numbers::average::Average::default()));
    context.register_udaf(AggregateUDF::new_from_impl(numbers::percentile::Percentile::cont()));
    context.register_udaf(AggregateUDF::new_from_impl(numbers::percentile::Percentile::median()));
    for function in [array_agg_udaf(), string_agg_udaf()] {
        context.register_udaf(AggregateUDF::new_from_impl(order::distinct_lists::DistinctList(function)));
    }
    context.register_udwf(WindowUDF::new_from_impl(order::shift::Shift::lead()));
    context.register_udwf(WindowUDF::new_from_impl(order::shift::Shift::lag()));
}

/// Repairs a plan of the planner. `names` are those that its statement uses.
///
/// # Errors
/// [`DataFusionError::Plan`] with the reason and another way to write it, for a statement without a correct answer.
pub(crate) fn rewrite(plan: LogicalPlan, names: &Names) -> Result<LogicalPlan, DataFusionError> {
    let plan = sets::using::merge_keys(plan, names)?;
    let plan = sets::duplicates::count_duplicates(plan)?;
    let plan = sets::membership::keep_unknown(plan)?;
    let plan = sets::in_lists::keep_unknown(plan)?;
    order::refused::two_orders(&plan)?;
    order::refused::nulls_of_lists(&plan)?;
    let plan = order::once::distinct_once(plan)?;
    let plan = order::sorted::keep_sorts(plan)?;
    rewrite_expressions(plan, &|expr, _| {
        similar::rewrite(expr)
            .transform_data(|expr| Ok(similar::keep_backslashes(expr)))?
            .transform_data(|expr| Ok(order::once::once(expr)))?
            .transform_data(|expr| Ok(times::parts::rewrite(expr)))?
            .transform_data(|expr| Ok(numbers::round::settle_type(expr)))
    })
}

/// Changes an expression whose columns have this schema.
type ChangeOfExpression<'a> = dyn Fn(Expr, &DFSchema) -> Result<Transformed<Expr>, DataFusionError> + 'a;

/// Changes the expressions of a plan and of the queries in them, innermost first; names of columns stay.
fn rewrite_expressions(plan: LogicalPlan, change: &ChangeOfExpression) -> Result<LogicalPlan, DataFusionError> {
    let changed = plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let changed = expr.transform_up(|expr| change(expr, &schema))?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })?;
        node.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(changed.data)
}

#[cfg(test)]
mod tests;
