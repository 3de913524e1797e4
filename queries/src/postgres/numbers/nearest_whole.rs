//! The cast of a number with a fraction: to the nearest whole number, or to the decimal that is written like it.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float64Type, i256};
use datafusion::common::{exec_datafusion_err, exec_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::postgres::numbers::arithmetic::rounded;
use crate::postgres::numbers::casts::cast;

const NAME: &str = "nearest_whole";

/// Decimals round halves away from zero, and doubles to the even number, as in PostgreSQL.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::postgres) struct NearestWhole {
    signature: Signature,
}

impl Default for NearestWhole {
    fn default() -> Self {
        Self { signature: Signature::new(TypeSignature::Any(1), Volatility::Immutable) }
    }
}

impl NearestWhole {
    pub(in crate::postgres) fn is_call(expr: &Expr) -> bool {
        matches!(expr, Expr::ScalarFunction(ScalarFunction { func, .. }) if func.name() == NAME)
    }
}

impl ScalarUDFImpl for NearestWhole {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        match types {
            [DataType::Decimal128(precision, scale)] => {
                Ok(DataType::Decimal128(whole_precision(*precision, *scale), 0))
            }
            [DataType::Float64 | DataType::Float32] => Ok(DataType::Float64),
            _ => exec_err!("{NAME} takes a number with a fraction"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let is_constant = matches!(arguments.args.as_slice(), [ColumnarValue::Scalar(_)]);
        let [values] = ColumnarValue::values_to_arrays(&arguments.args)?
            .try_into()
            .map_err(|_| exec_datafusion_err!("{NAME} takes one number"))?;
        let whole: Arc<dyn Array> = match values.data_type() {
            DataType::Decimal128(precision, scale) => {
                let divisor = i256::from_i128(10)
                    .checked_pow(u32::from(scale.unsigned_abs()))
                    .ok_or_else(|| exec_datafusion_err!("the scale {scale} is too large"))?;
                let nearest = |value: i128| {
                    rounded(i256::from_i128(value), divisor).ok_or_else(|| exec_datafusion_err!("{value} is too large"))
                };
                let whole: Decimal128Array = values.as_primitive::<Decimal128Type>().try_unary(nearest)?;
                Arc::new(whole.with_precision_and_scale(whole_precision(*precision, *scale), 0)?)
            }
            _ => {
                let values = cast(&values, &DataType::Float64)?;
                let whole: Float64Array = values.as_primitive::<Float64Type>().unary(f64::round_ties_even);
                Arc::new(whole)
            }
        };
        constant_or_array(whole, is_constant)
    }
}

/// One digit more in front of the point: 9.5 becomes 10.
pub(in crate::postgres) fn whole_precision(precision: u8, scale: i8) -> u8 {
    precision.saturating_sub(scale.unsigned_abs()).saturating_add(1).min(38)
}

/// A double as the shortest text that reads back as the same: 1.005, not the binary fraction below it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::postgres) struct TextOfDouble {
    signature: Signature,
}

impl Default for TextOfDouble {
    fn default() -> Self {
        Self { signature: Signature::exact(vec![DataType::Float64], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for TextOfDouble {
    fn name(&self) -> &'static str {
        "text_of_double"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let is_constant = matches!(arguments.args.as_slice(), [ColumnarValue::Scalar(_)]);
        let [values] = ColumnarValue::values_to_arrays(&arguments.args)?
            .try_into()
            .map_err(|_| exec_datafusion_err!("text_of_double takes one number"))?;
        constant_or_array(Self::of(&values), is_constant)
    }
}

impl TextOfDouble {
    /// Of doubles.
    pub(in crate::postgres) fn of(values: &ArrayRef) -> ArrayRef {
        // Far below the last digit of any decimal.
        let text = |value: f64| if value.abs() < 1e-40 { "0".to_owned() } else { value.to_string() };
        let texts = values.as_primitive::<Float64Type>().iter().map(|value| value.map(text));
        Arc::new(texts.collect::<StringArray>())
    }
}

/// A result of one row is a constant if all arguments are.
pub(in crate::postgres) fn constant_or_array(
    array: Arc<dyn Array>,
    is_constant: bool,
) -> Result<ColumnarValue, DataFusionError> {
    if is_constant {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
    }
    Ok(ColumnarValue::Array(array))
}
