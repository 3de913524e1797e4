//! Arithmetic fails on overflow in place of a wrong number.
//!
//! The engine's `+`, `-` and `*` of whole numbers wrap around, `1.5::INT` cuts the fraction off, and a quotient of
//! decimals is cut off four digits behind those of its first number. Casts that narrow are in `narrow_cast.rs`.
//! <https://github.com/apache/datafusion/issues/17539>, <https://github.com/apache/datafusion/issues/3520>,
//! <https://github.com/apache/datafusion/issues/16406>

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use datafusion::arrow::compute::kernels::numeric::{add, div, mul, neg, sub};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, DecimalType, Field, FieldRef, Float64Type, i256};
use datafusion::arrow::error::ArrowError;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, exec_err};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{Cast, TryCast};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast, lit,
};
use datafusion::logical_expr_common::type_coercion::binary::BinaryTypeCoercer;
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr_common::datum::apply;

use crate::postgres::numbers::double_of::DoubleOfDecimal;
use crate::postgres::numbers::narrow_cast::{narrow_cast, narrows};
use crate::postgres::numbers::nearest_whole::{NearestWhole, TextOfDouble};
use crate::postgres::rewrite_expressions;

/// Digits of a decimal number.
const PRECISION: u8 = 38;
/// Digits behind the point of a quotient: the least of PostgreSQL.
pub(in crate::postgres) const QUOTIENT_SCALE: i8 = 16;

/// Replaces the engine's arithmetic. It runs before the engine's rule for types, which then sees the types of ours.
#[derive(Debug, Default)]
pub(in crate::postgres) struct ExactArithmetic;

impl AnalyzerRule for ExactArithmetic {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan, DataFusionError> {
        rewrite_expressions(plan, &|expr, schema| {
            let may_be_minus_zero = may_be_minus_zero(&expr, schema);
            let replaced = replace(expr, schema);
            Ok(if may_be_minus_zero { Transformed::yes(replaced.data + lit(0.0)) } else { replaced })
        })
    }

    fn name(&self) -> &'static str {
        "exact_arithmetic"
    }
}

/// The same again, after the engine's rule for types: some types are not known before, such as that of
/// `length(event_type)`.
#[derive(Debug, Default)]
pub(in crate::postgres) struct ExactArithmeticOfAllTypes;

impl AnalyzerRule for ExactArithmeticOfAllTypes {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan, DataFusionError> {
        rewrite_expressions(plan, &|expr, schema| {
            Ok(match expr {
                Expr::BinaryExpr(_) | Expr::Negative(_) => replace(expr, schema),
                Expr::Cast(Cast { expr: ref value, ref field })
                | Expr::TryCast(TryCast { expr: ref value, ref field })
                    if *field.data_type() == DataType::Float64 || is_narrow(value, field.data_type(), schema) =>
                {
                    replace(expr, schema)
                }
                other => Transformed::no(other),
            })
        })
    }

    fn name(&self) -> &'static str {
        "exact_arithmetic_of_all_types"
    }
}

/// Whether a computed double may be -0.0. The engine takes -0.0 for a smaller number than 0.0; PostgreSQL does not.
/// Adding 0.0 makes it 0.0.
fn may_be_minus_zero(expr: &Expr, schema: &DFSchema) -> bool {
    let is_double = |expr: &Expr| expr.get_type(schema).is_ok_and(|data_type| data_type == DataType::Float64);
    match expr {
        Expr::BinaryExpr(BinaryExpr { op: Operator::Multiply | Operator::Divide | Operator::Modulo, .. }) => {
            is_double(expr)
        }
        Expr::Negative(_) => is_double(expr),
        Expr::ScalarFunction(call) => matches!(call.name(), "ceil" | "round" | "trunc") && is_double(expr),
        Expr::Cast(Cast { expr: value, field }) | Expr::TryCast(TryCast { expr: value, field }) => {
            *field.data_type() == DataType::Float64
                && value.get_type(schema).is_ok_and(|data_type| data_type.is_string())
        }
        _ => false,
    }
}

fn replace(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if is_arithmetic(op) && (is_unsigned(&left, schema) || is_unsigned(&right, schema)) =>
        {
            let [left, right] = [*left, *right].map(|side| signed(side, schema));
            Transformed::yes(
                replace(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))), schema).data,
            )
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match operation(&left, op, &right, schema) {
            Some(operation) => Transformed::yes(operation.call(vec![*left, *right])),
            None => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
        },
        Expr::Negative(value) if is_whole(value.get_type(schema).ok().as_ref()) => {
            Transformed::yes(Operation::Negate.call(vec![*value]))
        }
        Expr::Cast(Cast { expr, field }) => replace_cast(expr, field, false, schema),
        Expr::TryCast(TryCast { expr, field }) => replace_cast(expr, field, true, schema),
        other => Transformed::no(other),
    }
}

fn replace_cast(expr: Box<Expr>, field: FieldRef, is_try: bool, schema: &DFSchema) -> Transformed<Expr> {
    let (expr, changed) = before_cast(expr, field.data_type(), schema);
    if is_narrow(&expr, field.data_type(), schema) {
        return Transformed::yes(narrow_cast(*expr, field.data_type(), is_try));
    }
    let cast = if is_try { Expr::TryCast(TryCast { expr, field }) } else { Expr::Cast(Cast { expr, field }) };
    if changed { Transformed::yes(cast) } else { Transformed::no(cast) }
}

/// Our replacement of the engine's arithmetic; `None` where the engine's is right.
fn operation(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Option<Operation> {
    let (left, right) = (left.get_type(schema).ok()?, right.get_type(schema).ok()?);
    let is_number = |data_type: &DataType| data_type.is_numeric() || data_type.is_null();
    if !is_number(&left) || !is_number(&right) {
        return None;
    }
    let result = BinaryTypeCoercer::new(&left, &op, &right).get_result_type().ok()?;
    let is_exact = result.is_integer() || matches!(result, DataType::Decimal128(..));
    match op {
        Operator::Plus if is_exact => Some(Operation::Add),
        Operator::Minus if is_exact => Some(Operation::Subtract),
        Operator::Multiply if is_exact => Some(Operation::Multiply),
        Operator::Divide if matches!(result, DataType::Decimal128(..) | DataType::Float64) => Some(Operation::Divide),
        _ => None,
    }
}

fn is_arithmetic(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo)
}

/// Ranks, row numbers and lengths are unsigned in the engine: `rank() / 2` would be a decimal, and a difference never
/// negative.
fn is_unsigned(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| data_type.is_unsigned_integer())
}

fn signed(expr: Expr, schema: &DFSchema) -> Expr {
    if is_unsigned(&expr, schema) { cast(expr, DataType::Int64) } else { expr }
}

fn is_whole(data_type: Option<&DataType>) -> bool {
    data_type.is_some_and(DataType::is_signed_integer)
}

/// A value cast to a whole number is rounded first, a double becomes the decimal that is written like it, and a decimal
/// the double that is nearest to it.
fn before_cast(expr: Box<Expr>, to: &DataType, schema: &DFSchema) -> (Box<Expr>, bool) {
    let Ok(from) = expr.get_type(schema) else { return (expr, false) };
    let is_fraction = matches!(from, DataType::Decimal128(_, 1..) | DataType::Float64 | DataType::Float32);
    if is_fraction && to.is_integer() && !NearestWhole::is_call(&expr) {
        return (Box::new(ScalarUDF::new_from_impl(NearestWhole::default()).call(vec![*expr])), true);
    }
    if from == DataType::Float64 && matches!(to, DataType::Decimal128(..)) {
        return (Box::new(ScalarUDF::new_from_impl(TextOfDouble::default()).call(vec![*expr])), true);
    }
    if matches!(from, DataType::Decimal128(..)) && *to == DataType::Float64 {
        return (Box::new(ScalarUDF::new_from_impl(DoubleOfDecimal::default()).call(vec![*expr])), true);
    }
    (expr, false)
}

fn is_narrow(expr: &Expr, to: &DataType, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|from| narrows(&from, to))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Negate,
}

impl Operation {
    fn call(self, arguments: Vec<Expr>) -> Expr {
        let signature = Signature::user_defined(Volatility::Immutable);
        ScalarUDF::new_from_impl(Exact { operation: self, signature }).call(arguments)
    }

    fn operator(self) -> Operator {
        match self {
            Self::Add => Operator::Plus,
            Self::Subtract | Self::Negate => Operator::Minus,
            Self::Multiply => Operator::Multiply,
            Self::Divide => Operator::Divide,
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Exact {
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for Exact {
    fn name(&self) -> &'static str {
        match self.operation {
            Operation::Add => "exact_sum_of",
            Operation::Subtract => "exact_difference_of",
            Operation::Multiply => "exact_product_of",
            Operation::Divide => "exact_quotient_of",
            Operation::Negate => "exact_negative_of",
        }
    }

    fn schema_name(&self, arguments: &[Expr]) -> Result<String, DataFusionError> {
        Ok(match arguments {
            [left, right] => format!("{} {} {}", left.schema_name(), self.operation.operator(), right.schema_name()),
            [value, ..] => format!("(- {})", value.schema_name()),
            [] => self.name().to_owned(),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        match types {
            [left, right] => {
                let (left, right) =
                    BinaryTypeCoercer::new(left, &self.operation.operator(), right).get_input_types()?;
                Ok(vec![left, right])
            }
            types => Ok(types.to_vec()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        match types {
            [DataType::Decimal128(_, left), DataType::Decimal128(_, right)] if self.operation == Operation::Divide => {
                Ok(DataType::Decimal128(PRECISION, QUOTIENT_SCALE.max(*left).max(*right)))
            }
            [left, right] => BinaryTypeCoercer::new(left, &self.operation.operator(), right).get_result_type(),
            [value] => Ok(value.clone()),
            _ => exec_err!("{} takes one number or two", self.name()),
        }
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef, DataFusionError> {
        let types: Vec<DataType> = arguments.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let is_nullable = arguments.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, is_nullable)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let result = match (self.operation, arguments.args.as_slice()) {
            (Operation::Add, [left, right]) => apply(left, right, add)?,
            (Operation::Subtract, [left, right]) => apply(left, right, sub)?,
            (Operation::Multiply, [left, right]) => apply(left, right, mul)?,
            (Operation::Divide, [left, right]) => return quotient(left, right, arguments.return_field.data_type()),
            (Operation::Negate, [value]) => {
                let rows = arguments.number_rows;
                ColumnarValue::Array(neg(value.to_array(rows)?.as_ref())?)
            }
            _ => return exec_err!("{} takes one number or two", self.name()),
        };
        if let ColumnarValue::Array(array) = &result
            && let DataType::Decimal128(precision, _) = array.data_type()
        {
            array.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision)?;
        }
        if let ColumnarValue::Scalar(datafusion::scalar::ScalarValue::Decimal128(Some(value), precision, scale)) =
            &result
        {
            Decimal128Type::validate_decimal_precision(*value, *precision, *scale)?;
        }
        Ok(result)
    }
}

fn quotient(left: &ColumnarValue, right: &ColumnarValue, result: &DataType) -> Result<ColumnarValue, DataFusionError> {
    let quotients = match result {
        DataType::Decimal128(precision, scale) => apply(left, right, |left, right| {
            let (left, left_is_one) = left.get();
            let (right, right_is_one) = right.get();
            decimal_quotients((left, left_is_one), (right, right_is_one), (*precision, *scale))
        })?,
        DataType::Float64 => apply(left, right, |left, right| {
            // The engine gives infinity; PostgreSQL fails.
            let divisors = right.get().0.as_primitive::<Float64Type>();
            let dividends = left.get().0.as_primitive::<Float64Type>();
            let has_value = !(left.get().1 && dividends.is_null(0));
            if has_value && zero_divides(dividends, divisors, left.get().1, right.get().1) {
                return Err(ArrowError::DivideByZero);
            }
            div(left, right)
        })?,
        other => return exec_err!("a quotient cannot be {other}"),
    };
    Ok(quotients)
}

fn zero_divides(
    dividends: &datafusion::arrow::array::Float64Array,
    divisors: &datafusion::arrow::array::Float64Array,
    dividend_is_one: bool,
    divisor_is_one: bool,
) -> bool {
    let at = |array: &datafusion::arrow::array::Float64Array, is_one: bool, row: usize| {
        let row = if is_one { 0 } else { row };
        array.is_valid(row).then(|| array.value(row))
    };
    let rows = if dividend_is_one { divisors.len() } else { dividends.len() };
    (0..rows).any(|row| {
        at(divisors, divisor_is_one, row) == Some(0.0)
            && at(dividends, dividend_is_one, row).is_some_and(|value| !value.is_nan())
    })
}

/// Exact quotients, rounded to the scale, halves away from zero.
fn decimal_quotients(
    (left, left_is_one): (&dyn Array, bool),
    (right, right_is_one): (&dyn Array, bool),
    (precision, scale): (u8, i8),
) -> Result<ArrayRef, ArrowError> {
    let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
    let digits = i32::from(scale) + i32::from(right.scale()) - i32::from(left.scale());
    let factor = i256::from_i128(10).checked_pow(u32::try_from(digits).unwrap_or_default()).ok_or_else(overflow)?;
    let at = |array: &Decimal128Array, is_one: bool, row: usize| {
        let row = if is_one { 0 } else { row };
        array.is_valid(row).then(|| i256::from_i128(array.value(row)))
    };
    let rows = if left_is_one { right.len() } else { left.len() };
    let quotients = (0..rows).map(|row| {
        let (Some(left), Some(right)) = (at(left, left_is_one, row), at(right, right_is_one, row)) else {
            return Ok(None);
        };
        if right == i256::ZERO {
            return Err(ArrowError::DivideByZero);
        }
        let quotient = rounded(left.checked_mul(factor).ok_or_else(overflow)?, right).ok_or_else(overflow)?;
        Decimal128Type::validate_decimal_precision(quotient, precision, scale)?;
        Ok(Some(quotient))
    });
    let quotients = quotients.collect::<Result<Decimal128Array, ArrowError>>()?;
    Ok(Arc::new(quotients.with_precision_and_scale(precision, scale)?))
}

fn overflow() -> ArrowError {
    ArrowError::ArithmeticOverflow(
        "a quotient of decimal numbers has more than 38 digits: cast to DOUBLE first".to_owned(),
    )
}

/// `left / right`, halves away from zero.
pub(in crate::postgres) fn rounded(left: i256, right: i256) -> Option<i128> {
    let (whole, rest) = (left.checked_div(right)?, left.checked_rem(right)?);
    let is_half = rest.checked_abs()?.checked_mul(i256::from_i128(2))? >= right.checked_abs()?;
    let away = if (left < i256::ZERO) == (right < i256::ZERO) { i256::ONE } else { i256::MINUS_ONE };
    if is_half { whole.checked_add(away)?.to_i128() } else { whole.to_i128() }
}
