//! `date_part` and `extract`: seconds with their fraction, and the parts of a difference of times.
//!
//! The engine drops fractions, also those of `epoch` of a difference, takes a year of an interval for 360 days, and
//! counts all months of an interval as its months. <https://github.com/apache/datafusion/issues/12140>

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int32Array, Int64Array};
use datafusion::arrow::datatypes::{
    DataType, DurationMicrosecondType, Field, FieldRef, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::common::exec_err;
use datafusion::common::tree_node::Transformed;
use datafusion::error::DataFusionError;
use datafusion::functions::datetime;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::postgres::numbers::casts::cast;
use crate::postgres::numbers::nearest_whole::constant_or_array;

const NAME: &str = "date_part";
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const NANOSECONDS: i64 = 1_000;
const MONTHS: i32 = 12;
/// A year of an interval in PostgreSQL: 365.25 days.
const YEAR_MICROS: i128 = 31_557_600_000_000;
const MONTH_DAYS: i128 = 30;

/// The engine's function, except for parts with a fraction and for differences.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::postgres) struct DatePart {
    function: Arc<ScalarUDF>,
}

impl DatePart {
    pub(in crate::postgres) fn new(engine: Option<Arc<ScalarUDF>>) -> Self {
        Self { function: engine.unwrap_or_else(datetime::date_part) }
    }
}

/// Replaces the engine's function: `extract` does not look it up in the session.
pub(in crate::postgres) fn rewrite(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == NAME => {
            Transformed::yes(ScalarUDF::new_from_impl(DatePart::new(None)).call(args))
        }
        other => Transformed::no(other),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Year,
    Month,
    Quarter,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Epoch,
}

impl Part {
    fn parse(name: &str) -> Option<Self> {
        Some(match name.trim_matches(['\'', '"']).to_lowercase().as_str() {
            "year" | "years" | "y" | "yr" => Self::Year,
            "month" | "months" | "mon" | "mons" => Self::Month,
            "quarter" | "qtr" => Self::Quarter,
            "day" | "days" | "d" => Self::Day,
            "hour" | "hours" | "h" | "hr" | "hrs" => Self::Hour,
            "minute" | "minutes" | "m" | "min" | "mins" => Self::Minute,
            "second" | "seconds" | "s" | "sec" | "secs" => Self::Second,
            "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" => Self::Millisecond,
            "microsecond" | "microseconds" | "us" | "usec" | "usecs" => Self::Microsecond,
            "epoch" => Self::Epoch,
            _ => return None,
        })
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Second => DataType::Decimal128(8, 6),
            Self::Millisecond => DataType::Decimal128(8, 3),
            Self::Microsecond => DataType::Int64,
            Self::Epoch => DataType::Decimal128(24, 6),
            _ => DataType::Int32,
        }
    }
}

/// The part that this module computes from values of a type; `None` where the engine is right.
fn part_of(name: Option<&str>, data_type: &DataType) -> Option<Part> {
    let part = Part::parse(name?)?;
    let is_fraction = matches!(part, Part::Second | Part::Millisecond | Part::Microsecond);
    match data_type {
        DataType::Duration(_) | DataType::Interval(_) => Some(part),
        DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_) if is_fraction => Some(part),
        _ => None,
    }
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        self.function.return_type(types)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef, DataFusionError> {
        let name = arguments.scalar_arguments.first().copied().flatten().and_then(|name| name.try_as_str().flatten());
        let part = arguments.arg_fields.get(1).and_then(|value| Some((part_of(name, value.data_type())?, value)));
        match part {
            Some((part, value)) => Ok(Arc::new(Field::new(self.name(), part.data_type(), value.is_nullable()))),
            None => self.function.return_field_from_args(arguments),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let [ColumnarValue::Scalar(name), value] = arguments.args.as_slice() else {
            return self.function.invoke_with_args(arguments);
        };
        let Some(part) = part_of(name.try_as_str().flatten(), &value.data_type()) else {
            let is_difference = matches!(value.data_type(), DataType::Duration(_) | DataType::Interval(_));
            if is_difference {
                return exec_err!(
                    "a difference of times has no {name}: use year, quarter, month, day, hour, minute, second, millisecond, \
                     microsecond or epoch"
                );
            }
            return self.function.invoke_with_args(arguments);
        };
        let is_constant = matches!(value, ColumnarValue::Scalar(_));
        let values = value.to_array(if is_constant { 1 } else { arguments.number_rows })?;
        constant_or_array(extract(part, &values)?, is_constant)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }
}

/// Months, days and microseconds.
type Difference = (i32, i64, i64);

fn extract(part: Part, values: &ArrayRef) -> Result<ArrayRef, DataFusionError> {
    let differences = differences(values)?;
    let numbers = differences.into_iter().map(|difference| difference.map(|value| number(part, value)));
    Ok(match part.data_type() {
        DataType::Int64 => {
            Arc::new(numbers.map(|number| number.map(whole::<i64>).transpose()).collect::<Result<Int64Array, _>>()?)
        }
        DataType::Decimal128(precision, scale) => {
            Arc::new(numbers.collect::<Decimal128Array>().with_precision_and_scale(precision, scale)?)
        }
        _ => Arc::new(numbers.map(|number| number.map(whole::<i32>).transpose()).collect::<Result<Int32Array, _>>()?),
    })
}

fn whole<T: TryFrom<i128>>(number: i128) -> Result<T, DataFusionError> {
    T::try_from(number).or_else(|_| exec_err!("a part of a time is too large: {number}"))
}

fn differences(values: &ArrayRef) -> Result<Vec<Option<Difference>>, DataFusionError> {
    Ok(match values.data_type() {
        DataType::Duration(_) => {
            let micros = cast(values, &DataType::Duration(TimeUnit::Microsecond))?;
            let parts = |micros: i64| (0, micros / DAY, micros % DAY);
            micros.as_primitive::<DurationMicrosecondType>().iter().map(|micros| micros.map(parts)).collect()
        }
        DataType::Interval(_) => {
            let intervals = cast(values, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
            intervals
                .iter()
                .map(|interval| interval.map(|it| (it.months, i64::from(it.days), it.nanoseconds / NANOSECONDS)))
                .collect()
        }
        DataType::Timestamp(_, zone) => {
            let times = cast(values, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
            // Every zone is whole minutes from UTC.
            let times = times.as_primitive::<TimestampMicrosecondType>().iter();
            times.map(|micros| micros.map(|micros| (0, 0, micros.rem_euclid(DAY)))).collect()
        }
        _ => {
            let times = cast(&cast(values, &DataType::Time64(TimeUnit::Microsecond))?, &DataType::Int64)?;
            times.as_primitive::<Int64Type>().iter().map(|micros| micros.map(|micros| (0, 0, micros))).collect()
        }
    })
}

/// The number in units of the last digit of the part's type.
fn number(part: Part, (months, days, micros): Difference) -> i128 {
    match part {
        Part::Year => i128::from(months / MONTHS),
        Part::Month => i128::from(months % MONTHS),
        Part::Quarter => i128::from(months % MONTHS / 3 + 1),
        Part::Day => i128::from(days),
        Part::Hour => i128::from(micros / HOUR),
        Part::Minute => i128::from(micros % HOUR / MINUTE),
        // Microseconds are the last digit of all three.
        Part::Second | Part::Millisecond | Part::Microsecond => i128::from(micros % MINUTE),
        Part::Epoch => {
            let whole_days = i128::from(months % MONTHS) * MONTH_DAYS + i128::from(days);
            i128::from(months / MONTHS) * YEAR_MICROS + whole_days * i128::from(DAY) + i128::from(micros)
        }
    }
}
