//! Compares differences of times and intervals by length: a day is 24 hours and a month 30 days, as in PostgreSQL.
//!
//! The engine compares months first, then days, then the rest, so that a difference of two times, which has no days, is
//! always less than one day.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Decimal128Array};
use datafusion::arrow::datatypes::{
    DataType, DurationNanosecondType, Field, FieldRef, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    TimeUnit,
};
use datafusion::common::{DFSchema, exec_datafusion_err, exec_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};

use crate::postgres::numbers::casts::cast;
use crate::postgres::numbers::nearest_whole::constant_or_array;

const DAY_NANOS: i128 = 86_400_000_000_000;
const MONTH_DAYS: i128 = 30;
/// Room for 2^31 months in nanoseconds.
const LENGTH: DataType = DataType::Decimal128(38, 0);

/// Whether two values are compared as lengths of time: one of them is an interval, the other an interval or a
/// difference.
pub(in crate::postgres) fn are_lengths(left: &Expr, right: &Expr, schema: &DFSchema) -> bool {
    let kind = |expr: &Expr| expr.get_type(schema).ok();
    let is_length = |data_type: &DataType| matches!(data_type, DataType::Interval(_) | DataType::Duration(_));
    let (Some(left), Some(right)) = (kind(left), kind(right)) else { return false };
    let is_interval = |data_type: &DataType| matches!(data_type, DataType::Interval(_));
    is_length(&left) && is_length(&right) && (is_interval(&left) || is_interval(&right))
}

/// A length of time as a number.
pub(in crate::postgres) fn length_of(expr: Expr) -> Expr {
    ScalarUDF::new_from_impl(Length::default()).call(vec![expr])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Length {
    signature: Signature,
}

impl Default for Length {
    fn default() -> Self {
        Self { signature: Signature::new(TypeSignature::Any(1), Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Length {
    fn name(&self) -> &'static str {
        "length_of_time"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(LENGTH)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef, DataFusionError> {
        let is_nullable = arguments.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), LENGTH, is_nullable)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let is_constant = matches!(arguments.args.as_slice(), [ColumnarValue::Scalar(_)]);
        let [values] = ColumnarValue::values_to_arrays(&arguments.args)?
            .try_into()
            .map_err(|_| exec_datafusion_err!("length_of_time takes one value"))?;
        constant_or_array(lengths(&values)?, is_constant)
    }
}

fn lengths(values: &ArrayRef) -> Result<ArrayRef, DataFusionError> {
    let lengths: Decimal128Array = match values.data_type() {
        DataType::Duration(_) => {
            let nanos = cast(values, &DataType::Duration(TimeUnit::Nanosecond))?;
            nanos.as_primitive::<DurationNanosecondType>().iter().map(|nanos| nanos.map(i128::from)).collect()
        }
        DataType::Interval(_) => {
            let intervals = cast(values, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            intervals.as_primitive::<IntervalMonthDayNanoType>().iter().map(|interval| interval.map(length)).collect()
        }
        other => return exec_err!("{other} is no length of time"),
    };
    Ok(Arc::new(lengths.with_data_type(LENGTH)))
}

fn length(interval: IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * MONTH_DAYS + i128::from(interval.days);
    days * DAY_NANOS + i128::from(interval.nanoseconds)
}
