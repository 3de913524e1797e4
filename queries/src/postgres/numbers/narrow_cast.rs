//! The cast to a type of numbers that cannot hold every value of the other.
//!
//! The engine compares a cast with a constant by leaving the cast out: `CAST(x AS DECIMAL(18, 0)) = 1` becomes `x = 1`. Then
//! 0.5, which rounds to 1, is not found, a value that does not fit is no error, and `TRY_CAST(x AS INT) <> 1` takes the rows
//! in which it is NULL. The engine leaves a function as it is, so such a cast becomes one.
//! <https://github.com/apache/datafusion/issues/23095>, <https://github.com/apache/datafusion/issues/24702>

use std::sync::Arc;

use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::exec_datafusion_err;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

use crate::postgres::numbers::nearest_whole::constant_or_array;

/// A cast of numbers as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NarrowCast {
    to: DataType,
    /// A value that does not fit is NULL, and not an error.
    is_try: bool,
    signature: Signature,
}

/// A cast of `value` to a type that holds fewer numbers than its own.
pub(in crate::postgres) fn narrow_cast(value: Expr, to: &DataType, is_try: bool) -> Expr {
    let signature = Signature::new(TypeSignature::Any(1), Volatility::Immutable);
    ScalarUDF::new_from_impl(NarrowCast { to: to.clone(), is_try, signature }).call(vec![value])
}

/// Whether a whole or decimal number of one type may not be one of the other, or not without rounding.
pub(in crate::postgres) fn narrows(from: &DataType, to: &DataType) -> bool {
    use DataType::Decimal128;
    let in_front = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
    match (from, to) {
        (Decimal128(precision, scale), Decimal128(to_precision, to_scale)) => {
            to_scale < scale || in_front(*to_precision, *to_scale) < in_front(*precision, *scale)
        }
        (whole, Decimal128(precision, scale)) if whole.is_integer() => {
            *scale < 0 || in_front(*precision, *scale) < all_digits(whole)
        }
        (Decimal128(precision, scale), whole) if whole.is_integer() => {
            // All digits of a type are not the same as all numbers of so many digits: 999 is no byte.
            *scale > 0 || whole.is_unsigned_integer() || all_digits(whole) <= in_front(*precision, *scale)
        }
        (from, to) if from.is_integer() && to.is_integer() => {
            let is_wider = to.primitive_width() > from.primitive_width();
            from != to && (!is_wider || (from.is_signed_integer() && to.is_unsigned_integer()))
        }
        _ => false,
    }
}

/// Digits of the greatest number of a type of whole numbers.
fn all_digits(whole: &DataType) -> i16 {
    match whole {
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::Int64 => 19,
        _ => 20,
    }
}

impl ScalarUDFImpl for NarrowCast {
    fn name(&self) -> &'static str {
        if self.is_try { "narrow_try_cast" } else { "narrow_cast" }
    }

    fn schema_name(&self, arguments: &[Expr]) -> Result<String, DataFusionError> {
        // As the engine's cast has it.
        Ok(arguments.first().map_or_else(|| self.name().to_owned(), |value| value.schema_name().to_string()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.to.clone())
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef, DataFusionError> {
        let is_nullable = self.is_try || arguments.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.to.clone(), is_nullable)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let is_constant = matches!(arguments.args.as_slice(), [ColumnarValue::Scalar(_)]);
        let [values] = ColumnarValue::values_to_arrays(&arguments.args)?
            .try_into()
            .map_err(|_| exec_datafusion_err!("{} takes one number", self.name()))?;
        let options = CastOptions { safe: self.is_try, ..CastOptions::default() };
        constant_or_array(cast_with_options(&values, &self.to, &options)?, is_constant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_narrows_when_a_value_does_not_fit() {
        use DataType::{Decimal128 as Decimal, Float64, Int16, Int32, Int64, UInt32, UInt64, Utf8};
        for (from, to, expected) in [
            (Int64, Int32, true),
            (Int32, Int64, false),
            (Int64, Int64, false),
            (Int32, UInt64, true),
            (UInt32, Int32, true),
            (UInt32, Int64, false),
            (UInt64, Int64, true),
            (Int64, Decimal(20, 0), false),
            (Int64, Decimal(22, 2), false),
            (Int64, Decimal(18, 2), true),
            (Int16, Decimal(5, 0), false),
            (Int64, Decimal(19, 0), false),
            (UInt64, Decimal(19, 0), true),
            (Decimal(18, 0), Int64, false),
            (Decimal(19, 0), Int64, true),
            (Decimal(5, 0), UInt32, true),
            (Decimal(20, 2), Int64, true),
            (Decimal(20, 2), Decimal(20, 1), true),
            (Decimal(20, 2), Decimal(20, 3), true),
            (Decimal(20, 2), Decimal(21, 3), false),
            (Decimal(20, 2), Decimal(38, 2), false),
            (Decimal(20, 2), Float64, false),
            (Utf8, Int32, false),
        ] {
            assert_eq!(narrows(&from, &to), expected, "{from} to {to}");
        }
    }
}
