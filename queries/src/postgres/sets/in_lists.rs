//! Lists of values and unknown: `x IN (1) AND x IN (2)`, `regexp_like(x, …)`.
//!
//! The engine merges lists on the same value, and takes the result for false or true even if the value is NULL. So here
//! all lists but the first use a copy of the value, which the engine takes for another one. It also says that NULL does
//! not match a regular expression, although that is unknown. <https://github.com/apache/datafusion/issues/24246>

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::exec_datafusion_err;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Filter, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility, lit, when,
};
use datafusion::scalar::ScalarValue;

const MATCHES: &str = "regexp_like";

pub(in crate::postgres) fn keep_unknown(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let kept = plan.transform_up_with_subqueries(|node| match node {
        // Conditions of a filter may be merged: false and unknown are the same there.
        LogicalPlan::Filter(filter) => {
            let conditions = split_conjunction_owned(filter.predicate).into_iter().map(apart);
            let predicate = conjunction(conditions.collect::<Result<Vec<_>, _>>()?).unwrap_or_else(|| lit(true));
            Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)))
        }
        node => {
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                apart(expr).map(|expr| Transformed::yes(name.restore(expr)))
            })
        }
    })?;
    Ok(kept.data)
}

fn apart(expr: Expr) -> Result<Expr, DataFusionError> {
    let mut seen = HashSet::new();
    let apart = expr.transform_up(|part| match part {
        Expr::InList(InList { expr, list, negated }) => {
            if seen.insert(expr.clone()) {
                return Ok(Transformed::no(Expr::InList(InList { expr, list, negated })));
            }
            // A third list needs another copy than the second.
            let mut copy = expr;
            while !seen.insert(copy.clone()) {
                copy = Box::new(copy_of(*copy));
            }
            Ok(Transformed::yes(Expr::InList(InList { expr: copy, list, negated })))
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == MATCHES => {
            let is_null =
                args.iter().map(|argument| argument.clone().is_null()).reduce(Expr::or).unwrap_or_else(|| lit(false));
            let matches = Expr::ScalarFunction(ScalarFunction { func, args });
            let known = when(is_null, lit(ScalarValue::Boolean(None))).otherwise(matches)?;
            Ok(Transformed::yes(known))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(apart.data)
}

/// A value that the engine takes for another one.
pub(in crate::postgres) fn copy_of(value: Expr) -> Expr {
    ScalarUDF::new_from_impl(Copy::default()).call(vec![value])
}

/// A value as it is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Copy {
    signature: Signature,
}

impl Default for Copy {
    fn default() -> Self {
        Self { signature: Signature::new(TypeSignature::Any(1), Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Copy {
    fn name(&self) -> &'static str {
        "copy_of"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        types.first().cloned().ok_or_else(|| exec_datafusion_err!("copy_of takes a value"))
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef, DataFusionError> {
        let [field] = arguments.arg_fields else { return Err(exec_datafusion_err!("copy_of takes a value")) };
        Ok(Arc::new(Field::new(self.name(), field.data_type().clone(), field.is_nullable())))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        arguments.args.into_iter().next().ok_or_else(|| exec_datafusion_err!("copy_of takes a value"))
    }
}
