//! `avg` of whole and decimal numbers: from the exact sum.
//!
//! The engine adds whole numbers as doubles, which are exact only up to 2^53, and cuts an average of decimals off four
//! digits behind those of its values. <https://github.com/apache/datafusion/issues/19322>

use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, DecimalType, Field, FieldRef, UInt64Type, i256};
use datafusion::common::{exec_datafusion_err, exec_err, not_impl_err, plan_err};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::postgres::numbers::arithmetic::{QUOTIENT_SCALE, rounded};
use crate::postgres::numbers::tally::{PRECISION, Tally, add, digits, is_taken, scale};
use crate::postgres::order::frame::{DoubleFrame, Total};

/// Every whole number up to this is a double.
const WHOLE_DOUBLES: u64 = 1 << 53;

/// The engine's function, with our own averages for whole and decimal numbers.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::postgres) struct Average {
    function: Arc<AggregateUDF>,
    signature: Signature,
}

impl Default for Average {
    fn default() -> Self {
        Self { function: avg_udaf(), signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// The scale of the values of a call, or none for the engine's own.
fn own(arguments: &AccumulatorArgs<'_>) -> Option<i8> {
    arguments.expr_fields.first().and_then(|field| scale(field.data_type()))
}

impl AggregateUDFImpl for Average {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        let [value] = types else { return plan_err!("avg takes one number") };
        Ok(vec![match value {
            DataType::UInt64 => DataType::Decimal128(20, 0),
            whole if whole.is_integer() => DataType::Int64,
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                DataType::Decimal128(*precision, *scale)
            }
            DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::Duration(_) => value.clone(),
            DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Null => DataType::Float64,
            other => return plan_err!("avg takes numbers, not {other}"),
        }])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        match types {
            [DataType::Int64] => Ok(DataType::Float64),
            [DataType::Decimal128(_, scale)] => Ok(DataType::Decimal128(PRECISION, QUOTIENT_SCALE.max(*scale))),
            types => self.function.return_type(types),
        }
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>, DataFusionError> {
        let Some(scale) = own(&arguments) else { return self.function.accumulator(arguments) };
        let result = arguments.return_field.data_type().clone();
        Ok(Box::new(ExactAverage { tally: Tally::new(arguments.is_distinct), scale, result }))
    }

    fn create_sliding_accumulator(
        &self,
        arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>, DataFusionError> {
        if !arguments.is_distinct
            && arguments.return_field.data_type() == &DataType::Float64
            && own(&arguments).is_none()
        {
            return Ok(Box::new(DoubleFrame::new(Total::Average)));
        }
        match own(&arguments) {
            None => self.function.create_sliding_accumulator(arguments),
            Some(_) if arguments.is_distinct => {
                not_impl_err!("avg(DISTINCT …) does not work over a window that moves, as in PostgreSQL")
            }
            Some(_) => self.accumulator(arguments),
        }
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>, DataFusionError> {
        let Some(scale) = arguments.input_fields.first().and_then(|field| scale(field.data_type())) else {
            return self.function.state_fields(arguments);
        };
        let number = DataType::Decimal128(PRECISION, scale);
        let field = |part: &str, data_type: DataType| {
            Arc::new(Field::new(format_state_name(arguments.name, part), data_type, true))
        };
        if arguments.is_distinct {
            let item = Arc::new(Field::new_list_field(number, true));
            return Ok(vec![field("distinct", DataType::List(item))]);
        }
        Ok(vec![field("sum", number), field("count", DataType::UInt64)])
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs<'_>) -> bool {
        match own(&arguments) {
            None => self.function.groups_accumulator_supported(arguments),
            Some(_) => !arguments.is_distinct,
        }
    }

    fn create_groups_accumulator(
        &self,
        arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>, DataFusionError> {
        let Some(scale) = own(&arguments) else { return self.function.create_groups_accumulator(arguments) };
        let result = arguments.return_field.data_type().clone();
        Ok(Box::new(ExactAverages { sums: Vec::new(), counts: Vec::new(), scale, result }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }
}

/// Averages from sums and counts; NULL for a count of zero.
fn averages(sums: &[(i128, u64)], scale: i8, result: &DataType) -> Result<ArrayRef, DataFusionError> {
    match result {
        DataType::Decimal128(precision, result_scale) => {
            let averages = sums.iter().map(|sum| decimal(*sum, scale, (*precision, *result_scale)));
            let averages = averages.collect::<Result<Decimal128Array, _>>()?;
            Ok(Arc::new(averages.with_precision_and_scale(*precision, *result_scale)?))
        }
        DataType::Float64 => {
            Ok(Arc::new(sums.iter().map(|sum| double(*sum)).collect::<Result<Float64Array, DataFusionError>>()?))
        }
        other => exec_err!("avg does not give {other}"),
    }
}

fn decimal((sum, count): (i128, u64), scale: i8, (precision, to): (u8, i8)) -> Result<Option<i128>, DataFusionError> {
    if count == 0 {
        return Ok(None);
    }
    let average = || {
        let unit = i256::from_i128(10).checked_pow(u32::try_from(to.checked_sub(scale)?).ok()?)?;
        rounded(i256::from_i128(sum).checked_mul(unit)?, i256::from_i128(i128::from(count)))
    };
    let average =
        average().filter(|average| Decimal128Type::validate_decimal_precision(*average, precision, to).is_ok());
    average.map(Some).ok_or_else(|| exec_datafusion_err!("the average is too large: write avg(CAST(x AS DOUBLE))"))
}

/// The whole part is exact, and so is the remainder before its division.
#[expect(clippy::cast_precision_loss, reason = "the whole part is a double, and the rest is rounded once")]
fn double((sum, count): (i128, u64)) -> Result<Option<f64>, DataFusionError> {
    if count == 0 {
        return Ok(None);
    }
    let count = i128::from(count);
    let (whole, rest) = (sum / count, sum % count);
    if whole.unsigned_abs() >= u128::from(WHOLE_DOUBLES) {
        return exec_err!("the average is too large for a DOUBLE to be exact: write avg(CAST(x AS DECIMAL(38, 0)))");
    }
    // One division of two doubles is exact to the last digit.
    let is_exact = sum.unsigned_abs() < u128::from(WHOLE_DOUBLES) && count.unsigned_abs() < u128::from(WHOLE_DOUBLES);
    Ok(Some(if is_exact { sum as f64 / count as f64 } else { whole as f64 + rest as f64 / count as f64 }))
}

fn first(values: &[ArrayRef]) -> Result<&ArrayRef, DataFusionError> {
    values.first().ok_or_else(|| exec_datafusion_err!("avg takes one number"))
}

/// The sums and counts of a state.
fn parts(states: &[ArrayRef]) -> Result<(&Decimal128Array, &UInt64Array), DataFusionError> {
    match states {
        [sums, counts] => Ok((sums.as_primitive::<Decimal128Type>(), counts.as_primitive::<UInt64Type>())),
        _ => exec_err!("avg keeps a sum and a count"),
    }
}

fn decimals(values: impl Iterator<Item = i128>, scale: i8) -> Result<Decimal128Array, DataFusionError> {
    let values = Decimal128Array::from_iter_values(values).with_precision_and_scale(PRECISION, scale)?;
    values
        .validate_decimal_precision(PRECISION)
        .map_err(|_| exec_datafusion_err!("the sum of an average is too large"))?;
    Ok(values)
}

#[derive(Debug)]
struct ExactAverage {
    tally: Tally,
    scale: i8,
    result: DataType,
}

impl Accumulator for ExactAverage {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        self.tally.take(first(values)?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        self.tally.give_back(first(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        !self.tally.is_distinct()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<(), DataFusionError> {
        if self.tally.is_distinct() {
            return self.tally.take_lists(first(states)?);
        }
        let (sums, counts) = parts(states)?;
        for (sum, count) in sums.iter().zip(counts) {
            self.tally.add(sum.unwrap_or_default(), count.unwrap_or_default())?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>, DataFusionError> {
        if let Some(list) = self.tally.distinct_state(self.scale)? {
            return Ok(vec![list]);
        }
        let sum = ScalarValue::try_from_array(&decimals(std::iter::once(self.tally.sum), self.scale)?, 0)?;
        Ok(vec![sum, ScalarValue::UInt64(Some(self.tally.count))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        ScalarValue::try_from_array(&averages(&[(self.tally.sum, self.tally.count)], self.scale, &self.result)?, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.tally.bytes_of_distinct()
    }
}

/// An average for each group.
struct ExactAverages {
    sums: Vec<i128>,
    counts: Vec<u64>,
    scale: i8,
    result: DataType,
}

impl ExactAverages {
    fn grow(&mut self, count: usize) {
        self.sums.resize(count, 0);
        self.counts.resize(count, 0);
    }

    fn put(&mut self, group: usize, sum: i128, count: u64) -> Result<(), DataFusionError> {
        if let (Some(known), Some(counted)) = (self.sums.get_mut(group), self.counts.get_mut(group)) {
            *known = add(*known, sum)?;
            *counted += count;
        }
        Ok(())
    }
}

impl GroupsAccumulator for ExactAverages {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<(), DataFusionError> {
        self.grow(count);
        let values = digits(first(values)?)?;
        for (row, (value, group)) in values.iter().zip(groups).enumerate() {
            if let (Some(value), true) = (value, is_taken(filter, row)) {
                self.put(*group, value, 1)?;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<(), DataFusionError> {
        self.grow(count);
        let (sums, counts) = parts(states)?;
        for ((sum, counted), group) in sums.iter().zip(counts).zip(groups) {
            self.put(*group, sum.unwrap_or_default(), counted.unwrap_or_default())?;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef, DataFusionError> {
        let sums = emit.take_needed(&mut self.sums).into_iter().zip(emit.take_needed(&mut self.counts));
        averages(&sums.collect::<Vec<_>>(), self.scale, &self.result)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>, DataFusionError> {
        let sums = decimals(emit.take_needed(&mut self.sums).into_iter(), self.scale)?;
        Ok(vec![Arc::new(sums), Arc::new(UInt64Array::from(emit.take_needed(&mut self.counts)))])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>, DataFusionError> {
        let values = digits(first(values)?)?;
        let taken: Vec<_> =
            values.iter().enumerate().map(|(row, value)| value.filter(|_| is_taken(filter, row))).collect();
        let sums = decimals(taken.iter().map(|value| value.unwrap_or_default()), self.scale)?;
        let counts = UInt64Array::from_iter_values(taken.iter().map(|value| u64::from(value.is_some())));
        Ok(vec![Arc::new(sums), Arc::new(counts)])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<u64>()
    }
}
