//! `round` of a double to digits behind the point, by its decimal digits; and of a decimal, with one type throughout.
//!
//! As a double 0.285 is a little less; the engine rounds that down to 0.28, and so the average of 57 and 200 points.
//!
//! The type of a rounded decimal follows from the requested digits, if they are a constant. While the engine makes
//! types agree, the constant is inside a cast, and the type differs from that at run time: `greatest(round(1.5, 0),
//! 1.5)` is 1.5, and `round(1.5, 0) IN (2.0)` is false.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, FieldRef, Float64Type, Int32Type};
use datafusion::common::tree_node::Transformed;
use datafusion::error::DataFusionError;
use datafusion::functions::math;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::postgres::numbers::nearest_whole::constant_or_array;

/// Digits that distinguish two doubles.
const DIGITS: usize = 17;
const NAME: &str = "round";

/// The engine's function, except for doubles with digits behind the point.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::postgres) struct Round {
    function: Arc<ScalarUDF>,
    /// Whether the type follows from the requested digits.
    is_cut: bool,
}

impl Round {
    pub(in crate::postgres) fn new(engine: Option<Arc<ScalarUDF>>) -> Self {
        Self { function: engine.unwrap_or_else(math::round), is_cut: true }
    }
}

/// Settles the final type of a call: by a constant of the type that the function takes, or by a type that depends on no
/// constant.
pub(in crate::postgres) fn settle_type(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == NAME && args.len() == 2 => {
            let [value, places] = <[Expr; 2]>::try_from(args).unwrap_or_default();
            let places = match places {
                Expr::Literal(constant, metadata) => {
                    Expr::Literal(constant.cast_to(&DataType::Int32).unwrap_or(constant), metadata)
                }
                other => other,
            };
            let is_cut = matches!(places, Expr::Literal(..));
            let function = ScalarUDF::new_from_impl(Round { is_cut, ..Round::new(None) });
            Transformed::yes(function.call(vec![value, places]))
        }
        other => Transformed::no(other),
    }
}

impl ScalarUDFImpl for Round {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        self.function.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        self.function.return_type(types)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef, DataFusionError> {
        let constants = [arguments.scalar_arguments.first().copied().flatten(), None];
        if self.is_cut || arguments.scalar_arguments.len() != constants.len() {
            return self.function.return_field_from_args(arguments);
        }
        self.function.return_field_from_args(ReturnFieldArgs { scalar_arguments: &constants, ..arguments })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let [value, places] = arguments.args.as_slice() else { return self.function.invoke_with_args(arguments) };
        if value.data_type() != DataType::Float64 || places.data_type() != DataType::Int32 {
            return self.function.invoke_with_args(arguments);
        }
        let is_constant = matches!((value, places), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { arguments.number_rows };
        let (values, places) = (value.to_array(rows)?, places.to_array(rows)?);
        let pairs = values.as_primitive::<Float64Type>().iter().zip(places.as_primitive::<Int32Type>());
        let rounded = pairs.map(|(value, places)| Some(rounded(value?, places?)));
        constant_or_array(Arc::new(rounded.collect::<Float64Array>()), is_constant)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties, DataFusionError> {
        self.function.output_ordering(inputs)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }
}

/// Halves go away from zero.
fn rounded(value: f64, places: i32) -> f64 {
    let Ok(places) = usize::try_from(places) else {
        let unit = 10_f64.powi(places.saturating_neg());
        let whole = (value / unit).round() * unit;
        return if whole.is_finite() { whole } else { 0.0 };
    };
    let text = value.to_string();
    let Some((whole, fraction)) = text.split_once('.') else { return value };
    if fraction.len() <= places {
        return value;
    }
    let (kept, rest) = fraction.split_at(places);
    let digits = whole.trim_start_matches('-').len() + places;
    if digits > DIGITS + DIGITS || !rest.starts_with(['5', '6', '7', '8', '9']) {
        return format!("{whole}.{kept}").parse().unwrap_or(value);
    }
    let next = up(&format!("{}.{kept}", whole.trim_start_matches('-'))).parse().unwrap_or(value);
    if value < 0.0 { -next } else { next }
}

/// The next number with the same number of digits.
fn up(number: &str) -> String {
    let mut carry = true;
    let digits: String = number
        .chars()
        .rev()
        .map(|digit| match digit {
            '9' if carry => '0',
            digit if carry && digit.is_ascii_digit() => {
                carry = false;
                char::from_digit(digit.to_digit(10).unwrap_or_default() + 1, 10).unwrap_or(digit)
            }
            other => other,
        })
        .collect();
    let digits: String = digits.chars().rev().collect();
    if carry { format!("1{digits}") } else { digits }
}

#[cfg(test)]
#[allow(clippy::float_cmp)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_rounded_as_they_are_written() {
        let cases = [
            (0.285, 2, 0.29),
            (1.005, 2, 1.01),
            (-1.005, 2, -1.01),
            (2.5, 0, 3.0),
            (-2.5, 0, -3.0),
            (0.284, 2, 0.28),
            (9.995, 2, 10.0),
            (1234.5, -2, 1200.0),
            (1250.0, -2, 1300.0),
            (1.5e300, 2, 1.5e300),
            (1e-9, 2, 0.0),
            (7.0, 2, 7.0),
        ];
        for (value, places, expected) in cases {
            assert_eq!(rounded(value, places), expected, "round({value}, {places})");
        }
        assert!(rounded(f64::NAN, 2).is_nan());
    }
}
