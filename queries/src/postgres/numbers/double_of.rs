//! The cast of a decimal to a double: the double that is nearest to it.
//!
//! Arrow makes a double of the digits and divides it: beyond 2^53 that rounds twice, and `CAST(9007199254740993.00 AS DOUBLE)`
//! is …994 in place of …992.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, Decimal128Array, Float64Array};
use datafusion::arrow::datatypes::{DataType, Decimal128Type};
use datafusion::common::{exec_datafusion_err, exec_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::postgres::numbers::nearest_whole::constant_or_array;

/// A whole number up to this one is a double, as it is.
const EXACT_MAX: u128 = 1 << 53;
/// The powers of ten that are doubles, as they are. A quotient of two such numbers is rounded once.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// A decimal as the nearest double; halves go to the even one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::postgres) struct DoubleOfDecimal {
    signature: Signature,
}

impl Default for DoubleOfDecimal {
    fn default() -> Self {
        Self { signature: Signature::new(TypeSignature::Any(1), Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for DoubleOfDecimal {
    fn name(&self) -> &'static str {
        "double_of_decimal"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        match types {
            [DataType::Decimal128(..)] => Ok(DataType::Float64),
            _ => exec_err!("double_of_decimal takes a decimal"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let is_constant = matches!(arguments.args.as_slice(), [ColumnarValue::Scalar(_)]);
        let [values] = ColumnarValue::values_to_arrays(&arguments.args)?
            .try_into()
            .map_err(|_| exec_datafusion_err!("double_of_decimal takes one decimal"))?;
        let doubles = doubles(values.as_primitive::<Decimal128Type>())?;
        constant_or_array(Arc::new(doubles), is_constant)
    }
}

fn doubles(values: &Decimal128Array) -> Result<Float64Array, DataFusionError> {
    let scale = values.scale();
    values.iter().map(|value| value.map(|value| nearest(value, scale)).transpose()).collect()
}

/// The double nearest to `value` × 10^-`scale`.
fn nearest(value: i128, scale: i8) -> Result<f64, DataFusionError> {
    let power = usize::try_from(scale).ok().and_then(|scale| EXACT_POWERS.get(scale));
    if let (true, Some(power)) = (value.unsigned_abs() <= EXACT_MAX, power) {
        #[allow(clippy::cast_precision_loss, reason = "at most 2^53")]
        return Ok(value as f64 / power);
    }
    // Reading a number from text rounds once.
    let text = format!("{value}e{}", -i32::from(scale));
    text.parse().map_err(|_| exec_datafusion_err!("{text} is no double"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_rounded_once() {
        let cases = [
            (900_719_925_474_099_300, 2, 9_007_199_254_740_992.0),
            (900_719_925_474_099_500, 2, 9_007_199_254_740_996.0),
            (-900_719_925_474_099_300, 2, -9_007_199_254_740_992.0),
            (1005, 3, 1.005),
            (5, 0, 5.0),
            (0, 10, 0.0),
            (1, 38, 1e-38),
            (i128::MAX, 0, 170_141_183_460_469_231_731_687_303_715_884_105_727.0),
            (12, -3, 12_000.0),
        ];
        for (value, scale, expected) in cases {
            assert_eq!(nearest(value, scale).unwrap().to_bits(), f64::to_bits(expected), "{value} with {scale} digits");
        }
    }
}
