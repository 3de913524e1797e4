//! `ceil` and `floor` of decimals: whole numbers, with room for one digit more.
//!
//! The engine keeps the digits of its argument, so that `ceil(0.1)` has no room for its 1 and fails with an error, or
//! over no rows with a panic.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, Decimal128Array};
use datafusion::arrow::datatypes::{DataType, Decimal128Type};
use datafusion::common::exec_datafusion_err;
use datafusion::error::DataFusionError;
use datafusion::functions::math;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use crate::postgres::numbers::nearest_whole::{constant_or_array, whole_precision};

/// The engine's function, except for decimals.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::postgres) struct Ceiling {
    function: Arc<ScalarUDF>,
    is_up: bool,
}

impl Ceiling {
    pub(in crate::postgres) fn ceil(engine: Option<Arc<ScalarUDF>>) -> Self {
        Self { function: engine.unwrap_or_else(math::ceil), is_up: true }
    }

    pub(in crate::postgres) fn floor(engine: Option<Arc<ScalarUDF>>) -> Self {
        Self { function: engine.unwrap_or_else(math::floor), is_up: false }
    }

    /// The whole number at or beyond a value; `parts` are the units of one whole.
    fn whole(&self, value: i128, parts: i128) -> i128 {
        let below = value.div_euclid(parts);
        if self.is_up && value.rem_euclid(parts) != 0 { below + 1 } else { below }
    }
}

impl ScalarUDFImpl for Ceiling {
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
        match types {
            [DataType::Decimal128(precision, scale)] => {
                Ok(DataType::Decimal128(whole_precision(*precision, *scale), 0))
            }
            _ => self.function.return_type(types),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let [value] = arguments.args.as_slice() else { return self.function.invoke_with_args(arguments) };
        let DataType::Decimal128(precision, scale) = value.data_type() else {
            return self.function.invoke_with_args(arguments);
        };
        let is_constant = matches!(value, ColumnarValue::Scalar(_));
        let values = value.to_array(if is_constant { 1 } else { arguments.number_rows })?;
        let parts = 10_i128
            .checked_pow(u32::from(scale.unsigned_abs()))
            .ok_or_else(|| exec_datafusion_err!("the scale {scale} is too large"))?;
        let whole: Decimal128Array = values.as_primitive::<Decimal128Type>().unary(|value| self.whole(value, parts));
        let whole = whole.with_precision_and_scale(whole_precision(precision, scale), 0)?;
        constant_or_array(Arc::new(whole), is_constant)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties, DataFusionError> {
        self.function.output_ordering(inputs)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }
}
