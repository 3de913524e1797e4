//! `date_trunc` of an instant, in its zone.
//!
//! The engine takes the two midnights of a day for two days. <https://github.com/apache/datafusion/issues/25084>

use std::cell::Cell;
use std::sync::Arc;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use datafusion::arrow::array::{AsArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{exec_datafusion_err, exec_err};
use datafusion::error::DataFusionError;
use datafusion::functions::datetime;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::postgres::numbers::casts::cast;
use crate::postgres::numbers::nearest_whole::constant_or_array;
use crate::postgres::times::zone::instant;

/// The engine's function, except for instants.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::postgres) struct DateTrunc {
    function: Arc<ScalarUDF>,
}

impl DateTrunc {
    pub(in crate::postgres) fn new(engine: Option<Arc<ScalarUDF>>) -> Self {
        Self { function: engine.unwrap_or_else(datetime::date_trunc) }
    }
}

/// The zone in which a time is cut, if its name is known; a local time is cut as it is.
fn zone_of(data_type: &DataType) -> Option<Tz> {
    match data_type {
        DataType::Timestamp(_, Some(zone)) => zone.parse().ok(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => Some(Tz::UTC),
        _ => None,
    }
}

impl ScalarUDFImpl for DateTrunc {
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
        match arguments.arg_fields {
            [_, time] => match time.data_type() {
                DataType::Timestamp(_, zone) if zone_of(time.data_type()).is_some() => {
                    let data_type = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                    Ok(Arc::new(Field::new(self.name(), data_type, time.is_nullable())))
                }
                _ => self.function.return_field_from_args(arguments),
            },
            _ => self.function.return_field_from_args(arguments),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let [ColumnarValue::Scalar(unit), time] = arguments.args.as_slice() else {
            return self.function.invoke_with_args(arguments);
        };
        let (Some(zone), Some(Some(unit))) = (zone_of(&time.data_type()), unit.try_as_str()) else {
            return self.function.invoke_with_args(arguments);
        };
        let unit = Unit::parse(unit)?;
        let is_constant = matches!(time, ColumnarValue::Scalar(_));
        let times = time.to_array(if is_constant { 1 } else { arguments.number_rows })?;
        let times = cast(&times, arguments.return_field.data_type())?;
        // Days come many times in a row, so the last result is kept.
        let last = Cell::new(None);
        let truncate = |micros: i64| match last.get() {
            Some((time, truncated)) if time == micros => Some(truncated),
            _ => {
                let time = DateTime::from_timestamp_micros(micros)?;
                let truncated = unit.truncate(zone, time)?.timestamp_micros();
                last.set(Some((micros, truncated)));
                Some(truncated)
            }
        };
        let truncated: TimestampMicrosecondArray =
            times.as_primitive::<TimestampMicrosecondType>().try_unary(|micros| {
                truncate(micros).ok_or_else(|| exec_datafusion_err!("a time is out of the range of times"))
            })?;
        let DataType::Timestamp(_, zone) = arguments.return_field.data_type() else {
            return exec_err!("date_trunc gives a time");
        };
        constant_or_array(Arc::new(truncated.with_timezone_opt(zone.clone())), is_constant)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }
}

#[derive(Clone, Copy)]
enum Unit {
    /// N microseconds, counted from the full hour.
    Micros(i64),
    Day,
    Week,
    Months(u32),
}

impl Unit {
    fn parse(name: &str) -> Result<Self, DataFusionError> {
        Ok(match name.to_lowercase().as_str() {
            "microsecond" => Self::Micros(1),
            "millisecond" => Self::Micros(1_000),
            "second" => Self::Micros(1_000_000),
            "minute" => Self::Micros(60_000_000),
            "hour" => Self::Micros(3_600_000_000),
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Months(1),
            "quarter" => Self::Months(3),
            "year" => Self::Months(12),
            _ => {
                return exec_err!(
                    "date_trunc cannot cut to {name:?}: use microsecond, millisecond, second, minute, hour, day, week, month, \
                     quarter or year"
                );
            }
        })
    }

    /// The instant at which the unit of the time began.
    fn truncate(self, zone: Tz, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let offset = zone.offset_from_utc_datetime(&time.naive_utc()).fix();
        let local = time.naive_utc().checked_add_offset(offset)?;
        let day = match self {
            Self::Micros(size) => {
                let micros = local.and_utc().timestamp_micros();
                let floor = DateTime::from_timestamp_micros(micros - micros.rem_euclid(size))?;
                return Some(floor.naive_utc().checked_sub_offset(offset)?.and_utc());
            }
            Self::Day => local.date(),
            Self::Week => {
                local.date().checked_sub_days(Days::new(u64::from(local.date().weekday().num_days_from_monday())))?
            }
            Self::Months(count) => NaiveDate::from_ymd_opt(local.year(), local.month0() / count * count + 1, 1)?,
        };
        instant(zone, day.and_time(NaiveTime::MIN))
    }
}
