//! `sum` of whole and decimal numbers: exact, or an error.
//!
//! The engine's sum wraps around. <https://github.com/apache/datafusion/issues/12140>,
//! <https://github.com/apache/datafusion/issues/25267> The sum of whole numbers is a decimal number without a fraction,
//! as in PostgreSQL, so that `sum(points) / count(*)` has one; it fails beyond BIGINT. Sums of doubles over a moving
//! frame are added up anew for each row (module `frame`).

use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Decimal128Array};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, DecimalType, Field, FieldRef};
use datafusion::common::{exec_datafusion_err, not_impl_err};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};
use datafusion::scalar::ScalarValue;

use crate::postgres::numbers::tally::{PRECISION, Tally, add, digits, is_taken, overflow, scale};
use crate::postgres::order::frame::{DoubleFrame, Total};

/// Digits of whole numbers.
const BIGINT: u8 = 19;
const UNSIGNED: u8 = 20;

/// The engine's function, with our own sums for whole and decimal numbers.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::postgres) struct Sum {
    function: Arc<AggregateUDF>,
}

impl Default for Sum {
    fn default() -> Self {
        Self { function: sum_udaf() }
    }
}

/// The types of the values and of the result.
#[derive(Clone, Debug)]
struct Target {
    values: DataType,
    result: DataType,
}

impl Target {
    fn of(arguments: &AccumulatorArgs<'_>) -> Option<Self> {
        let values = arguments.expr_fields.first()?.data_type().clone();
        scale(&values)?;
        Some(Self { values, result: arguments.return_field.data_type().clone() })
    }

    fn scale(&self) -> i8 {
        scale(&self.values).unwrap_or_default()
    }

    fn fits(&self, sum: i128) -> bool {
        match (&self.values, &self.result) {
            (DataType::Int64, _) => i64::try_from(sum).is_ok(),
            (DataType::UInt64, _) => u64::try_from(sum).is_ok(),
            (_, DataType::Decimal128(precision, scale)) => {
                Decimal128Type::validate_decimal_precision(sum, *precision, *scale).is_ok()
            }
            _ => false,
        }
    }

    /// Sums as values of the type of the result.
    fn results(&self, sums: Vec<Option<i128>>) -> Result<ArrayRef, DataFusionError> {
        if sums.iter().flatten().any(|sum| !self.fits(*sum)) {
            let advice = if self.values.is_integer() { ": write sum(CAST(x AS DECIMAL(38, 0)))" } else { "" };
            return Err(exec_datafusion_err!("the sum is too large for {}{advice}", kind(&self.values)));
        }
        Ok(Arc::new(sums.into_iter().collect::<Decimal128Array>().with_data_type(self.result.clone())))
    }

    /// Intermediate sums, which may still become smaller.
    fn states(&self, sums: Vec<Option<i128>>) -> Result<ArrayRef, DataFusionError> {
        let states = sums.into_iter().collect::<Decimal128Array>().with_precision_and_scale(PRECISION, self.scale())?;
        states.validate_decimal_precision(PRECISION).map_err(|_| overflow())?;
        Ok(Arc::new(states))
    }
}

fn kind(data_type: &DataType) -> String {
    if data_type.is_integer() { "BIGINT".to_owned() } else { data_type.to_string() }
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        match types {
            [DataType::Int64] => Ok(DataType::Decimal128(BIGINT, 0)),
            [DataType::UInt64] => Ok(DataType::Decimal128(UNSIGNED, 0)),
            types => self.function.return_type(types),
        }
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>, DataFusionError> {
        let Some(target) = Target::of(&arguments) else { return self.function.accumulator(arguments) };
        Ok(Box::new(ExactSum { tally: Tally::new(arguments.is_distinct), target }))
    }

    fn create_sliding_accumulator(
        &self,
        arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>, DataFusionError> {
        if arguments.is_distinct {
            return not_impl_err!("sum(DISTINCT …) does not work over a window that moves, as in PostgreSQL");
        }
        if arguments.return_field.data_type() == &DataType::Float64 {
            return Ok(Box::new(DoubleFrame::new(Total::Sum)));
        }
        match Target::of(&arguments) {
            None => self.function.create_sliding_accumulator(arguments),
            Some(_) => self.accumulator(arguments),
        }
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>, DataFusionError> {
        let Some(scale) = arguments.input_fields.first().and_then(|field| scale(field.data_type())) else {
            return self.function.state_fields(arguments);
        };
        let number = DataType::Decimal128(PRECISION, scale);
        let (part, data_type) = if arguments.is_distinct {
            ("distinct", DataType::List(Arc::new(Field::new_list_field(number, true))))
        } else {
            ("sum", number)
        };
        Ok(vec![Arc::new(Field::new(format_state_name(arguments.name, part), data_type, true))])
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs<'_>) -> bool {
        !arguments.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>, DataFusionError> {
        let Some(target) = Target::of(&arguments) else { return self.function.create_groups_accumulator(arguments) };
        Ok(Box::new(ExactSums { sums: Vec::new(), has_value: Vec::new(), target }))
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

fn first(values: &[ArrayRef]) -> Result<&ArrayRef, DataFusionError> {
    values.first().ok_or_else(|| exec_datafusion_err!("sum takes one number"))
}

#[derive(Debug)]
struct ExactSum {
    tally: Tally,
    target: Target,
}

impl ExactSum {
    /// NULL without any value.
    fn value(&self) -> Option<i128> {
        (self.tally.count > 0).then_some(self.tally.sum)
    }
}

impl Accumulator for ExactSum {
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
        if self.tally.is_distinct() { self.tally.take_lists(first(states)?) } else { self.update_batch(states) }
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>, DataFusionError> {
        if let Some(list) = self.tally.distinct_state(self.target.scale())? {
            return Ok(vec![list]);
        }
        Ok(vec![ScalarValue::try_from_array(&self.target.states(vec![self.value()])?, 0)?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        ScalarValue::try_from_array(&self.target.results(vec![self.value()])?, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.tally.bytes_of_distinct()
    }
}

/// A sum for each group.
struct ExactSums {
    sums: Vec<i128>,
    has_value: Vec<bool>,
    target: Target,
}

impl ExactSums {
    fn take(&mut self, emit: EmitTo) -> Vec<Option<i128>> {
        let sums = emit.take_needed(&mut self.sums);
        let has_value = emit.take_needed(&mut self.has_value);
        sums.into_iter().zip(has_value).map(|(sum, has_value)| has_value.then_some(sum)).collect()
    }
}

impl GroupsAccumulator for ExactSums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<(), DataFusionError> {
        self.sums.resize(count, 0);
        self.has_value.resize(count, false);
        let values = digits(first(values)?)?;
        for (row, (value, group)) in values.iter().zip(groups).enumerate() {
            let (Some(value), true) = (value, is_taken(filter, row)) else { continue };
            if let (Some(sum), Some(has_value)) = (self.sums.get_mut(*group), self.has_value.get_mut(*group)) {
                *sum = add(*sum, value)?;
                *has_value = true;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], count: usize) -> Result<(), DataFusionError> {
        self.update_batch(values, groups, None, count)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef, DataFusionError> {
        let sums = self.take(emit);
        self.target.results(sums)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>, DataFusionError> {
        let sums = self.take(emit);
        Ok(vec![self.target.states(sums)?])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>, DataFusionError> {
        let values = digits(first(values)?)?;
        let taken = values.iter().enumerate().map(|(row, value)| value.filter(|_| is_taken(filter, row)));
        Ok(vec![self.target.states(taken.collect())?])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.has_value.capacity()
    }
}
