//! `percentile_cont` and `median`: exact for whole and decimal numbers, and without a cut fraction for doubles.
//!
//! The engine converts whole numbers to doubles, which are exact only up to 2^53, cuts the fraction between two values
//! to six digits, and overflows between two distant doubles. <https://github.com/apache/datafusion/issues/19322>

use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, ListArray, PrimitiveArray, RecordBatch};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, DecimalType, Field, FieldRef, Float64Type, Int64Type, Schema, i256,
};
use datafusion::common::{exec_datafusion_err, exec_err, plan_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, ColumnarValue, Signature, Volatility};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::scalar::ScalarValue;

use crate::postgres::numbers::arithmetic::rounded;
use crate::postgres::numbers::casts::cast;

/// Digits of a decimal number.
const PRECISION: u8 = 38;
/// Digits behind the point that a percentile gets in addition; a median needs one.
const CONT_SCALE: i8 = 6;
const MEDIAN_SCALE: i8 = 1;

/// One of the two functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::postgres) struct Percentile {
    name: &'static str,
    aliases: Vec<String>,
    /// The digits that the result has beyond those of the values.
    more: i8,
    signature: Signature,
}

impl Percentile {
    pub(in crate::postgres) fn cont() -> Self {
        let aliases = vec!["quantile_cont".to_owned()];
        Self {
            name: "percentile_cont",
            aliases,
            more: CONT_SCALE,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    pub(in crate::postgres) fn median() -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { name: "median", aliases: Vec::new(), more: MEDIAN_SCALE, signature }
    }

    fn is_median(&self) -> bool {
        self.name == "median"
    }

    fn fraction(&self, arguments: &AccumulatorArgs<'_>) -> Result<Fraction, DataFusionError> {
        if self.is_median() {
            return Ok(Fraction { part: 1, whole: 2 });
        }
        let Some(percentile) = arguments.exprs.get(1) else { return plan_err!("percentile_cont takes a percentile") };
        let fraction = Fraction::of(percentile)?;
        let is_descending = arguments.order_bys.first().is_some_and(|order| order.options.descending);
        Ok(if is_descending { Fraction { part: fraction.whole - fraction.part, ..fraction } } else { fraction })
    }
}

/// The type in which values of a type are kept.
fn kept(data_type: &DataType) -> Result<DataType, DataFusionError> {
    Ok(match data_type {
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Decimal128(..) => data_type.clone(),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Null => DataType::Float64,
        other => return plan_err!("a percentile or median is one of numbers, not of {other}"),
    })
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        match types {
            [value] if self.is_median() => Ok(vec![kept(value)?]),
            [value, percentile] if !self.is_median() => {
                let is_decimal = matches!(percentile, DataType::Decimal128(..));
                Ok(vec![kept(value)?, if is_decimal { percentile.clone() } else { DataType::Float64 }])
            }
            _ if self.is_median() => plan_err!("median takes one number"),
            _ => plan_err!("percentile_cont is written percentile_cont(0.9) WITHIN GROUP (ORDER BY x)"),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(match types.first() {
            Some(DataType::Int64) => DataType::Decimal128(20 + self.more.unsigned_abs(), self.more),
            Some(DataType::Decimal128(precision, scale)) => {
                let more = self.more.unsigned_abs().min(PRECISION.saturating_sub(*precision));
                let scale = scale.saturating_add(self.more).min(PRECISION.cast_signed());
                DataType::Decimal128(precision + more, scale)
            }
            _ => DataType::Float64,
        })
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>, DataFusionError> {
        let fraction = self.fraction(&arguments)?;
        let (is_distinct, result) = (arguments.is_distinct, arguments.return_field.data_type().clone());
        let Some(field) = arguments.expr_fields.first() else { return exec_err!("{} takes a number", self.name) };
        let data_type = field.data_type().clone();
        Ok(match data_type {
            DataType::Int64 => {
                Box::new(Values::<Int64Type> { values: Vec::new(), fraction, is_distinct, data_type, result })
            }
            DataType::Decimal128(..) => {
                Box::new(Values::<Decimal128Type> { values: Vec::new(), fraction, is_distinct, data_type, result })
            }
            _ => Box::new(Values::<Float64Type> { values: Vec::new(), fraction, is_distinct, data_type, result }),
        })
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>, DataFusionError> {
        let Some(field) = arguments.input_fields.first() else { return exec_err!("{} takes a number", self.name) };
        let item = Arc::new(Field::new_list_field(field.data_type().clone(), true));
        let name = format_state_name(arguments.name, self.name);
        Ok(vec![Arc::new(Field::new(name, DataType::List(item), true))])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn supports_within_group_clause(&self) -> bool {
        !self.is_median()
    }
}

/// A percentile as the fraction of its digits.
#[derive(Clone, Copy, Debug)]
struct Fraction {
    part: i128,
    whole: i128,
}

impl Fraction {
    fn of(percentile: &Arc<dyn PhysicalExpr>) -> Result<Self, DataFusionError> {
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let value = percentile.evaluate(&nothing).ok();
        let text = match value {
            Some(ColumnarValue::Scalar(ScalarValue::Float64(Some(value)))) => value.to_string(),
            Some(ColumnarValue::Scalar(ScalarValue::Decimal128(Some(value), precision, scale))) => {
                Decimal128Type::format_decimal(value, precision, scale)
            }
            _ => return plan_err!("the percentile of percentile_cont is one number for all rows, such as 0.9"),
        };
        let (whole, digits) = text.split_once('.').unwrap_or((&text, ""));
        let fraction = u32::try_from(digits.len()).ok().and_then(|count| {
            Some(Self { part: format!("{whole}{digits}").parse().ok()?, whole: 10_i128.checked_pow(count)? })
        });
        match fraction {
            Some(fraction) if (0..=fraction.whole).contains(&fraction.part) => Ok(fraction),
            _ => plan_err!("the percentile of percentile_cont lies between 0 and 1; {text} does not"),
        }
    }

    /// The index among `count` sorted values, and the fraction beyond it.
    fn place(self, count: usize) -> Option<(usize, i128)> {
        let place = self.part.checked_mul(i128::try_from(count.checked_sub(1)?).ok()?)?;
        Some((usize::try_from(place / self.whole).ok()?, place % self.whole))
    }
}

/// Numbers that can lie between two others.
trait Between: ArrowPrimitiveType {
    fn order(values: &mut [Self::Native]);
    fn between(
        low: Self::Native,
        high: Self::Native,
        part: (i128, i128),
        result: &DataType,
        from: &DataType,
    ) -> Result<ScalarValue, DataFusionError>;
}

fn exact_between(
    (low, high): (i128, i128),
    (part, whole): (i128, i128),
    scale: i8,
    result: &DataType,
) -> Result<ScalarValue, DataFusionError> {
    let DataType::Decimal128(precision, result_scale) = result else { return exec_err!("a percentile is no {result}") };
    let too_large = || exec_datafusion_err!("the percentile is too large for {result}: cast the values to DOUBLE");
    let value = || {
        let (low, high, whole) = (i256::from_i128(low), i256::from_i128(high), i256::from_i128(whole));
        let unit = i256::from_i128(10).checked_pow(u32::try_from(result_scale.checked_sub(scale)?).ok()?)?;
        let step = high.checked_sub(low)?.checked_mul(i256::from_i128(part))?;
        rounded(low.checked_mul(whole)?.checked_add(step)?.checked_mul(unit)?, whole)
    };
    let value = value().ok_or_else(too_large)?;
    Decimal128Type::validate_decimal_precision(value, *precision, *result_scale).map_err(|_| too_large())?;
    Ok(ScalarValue::Decimal128(Some(value), *precision, *result_scale))
}

impl Between for Int64Type {
    fn order(values: &mut [i64]) {
        values.sort_unstable();
    }

    fn between(
        low: i64,
        high: i64,
        part: (i128, i128),
        result: &DataType,
        _: &DataType,
    ) -> Result<ScalarValue, DataFusionError> {
        exact_between((low.into(), high.into()), part, 0, result)
    }
}

impl Between for Decimal128Type {
    fn order(values: &mut [i128]) {
        values.sort_unstable();
    }

    fn between(
        low: i128,
        high: i128,
        part: (i128, i128),
        result: &DataType,
        from: &DataType,
    ) -> Result<ScalarValue, DataFusionError> {
        let DataType::Decimal128(_, scale) = from else { return exec_err!("{from} is no decimal number") };
        exact_between((low, high), part, *scale, result)
    }
}

impl Between for Float64Type {
    fn order(values: &mut [f64]) {
        values.sort_unstable_by(f64::total_cmp);
    }

    #[expect(clippy::cast_precision_loss, reason = "a share has no more digits than a double")]
    fn between(
        low: f64,
        high: f64,
        (part, whole): (i128, i128),
        _: &DataType,
        _: &DataType,
    ) -> Result<ScalarValue, DataFusionError> {
        let share = part as f64 / whole as f64;
        let distance = high - low;
        let value = if distance.is_finite() { low + distance * share } else { low * (1.0 - share) + high * share };
        // Between two infinities of one sign lies only that infinity.
        Ok(ScalarValue::Float64(Some(if low == high || part == 0 { low } else { value })))
    }
}

/// All values of a group.
#[derive(Debug)]
struct Values<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    fraction: Fraction,
    is_distinct: bool,
    data_type: DataType,
    result: DataType,
}

impl<T: Between> Values<T> {
    fn take(&mut self, values: &ArrayRef) -> Result<(), DataFusionError> {
        let values = cast(values, &self.data_type)?;
        self.values.extend(values.as_primitive::<T>().iter().flatten());
        Ok(())
    }
}

impl<T: Between + std::fmt::Debug> Accumulator for Values<T>
where
    T::Native: PartialEq,
{
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        values.first().map_or(Ok(()), |values| self.take(values))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        let Some(values) = values.first() else { return Ok(()) };
        let values = cast(values, &self.data_type)?;
        // Frames move forward: leaving values are at the front.
        for value in values.as_primitive::<T>().iter().flatten() {
            if let Some(place) = self.values.iter().position(|known| *known == value) {
                self.values.remove(place);
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<(), DataFusionError> {
        let Some(lists) = states.first() else { return Ok(()) };
        for list in lists.as_list::<i32>().iter().flatten() {
            self.take(&list)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>, DataFusionError> {
        let values =
            PrimitiveArray::<T>::from_iter_values(self.values.iter().copied()).with_data_type(self.data_type.clone());
        let item = Arc::new(Field::new_list_field(self.data_type.clone(), true));
        let list = ListArray::new(item, OffsetBuffer::from_lengths([values.len()]), Arc::new(values), None);
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        let mut values = self.values.clone();
        T::order(&mut values);
        if self.is_distinct {
            values.dedup();
        }
        let Some((place, part)) = self.fraction.place(values.len()) else { return ScalarValue::try_from(&self.result) };
        let Some(low) = values.get(place).copied() else { return ScalarValue::try_from(&self.result) };
        let high = values.get(place + 1).copied().unwrap_or(low);
        T::between(low, high, (part, self.fraction.whole), &self.result, &self.data_type)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.values.capacity() * size_of::<T::Native>()
    }
}
