//! `to_char` with PostgreSQL's templates; a format with `%` is the engine's.
//!
//! The engine takes a template for literal text: `to_char(x, 'YYYY-MM')` was `YYYY-MM`.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset, NaiveTime, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::datatypes::{DataType, Date32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{exec_datafusion_err, exec_err};
use datafusion::error::DataFusionError;
use datafusion::functions::datetime;
use datafusion::logical_expr::{ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use crate::postgres::numbers::casts::cast;
use crate::postgres::numbers::nearest_whole::constant_or_array;
use crate::postgres::times::template::{Moment, Template};
use crate::postgres::times::zone::date;

/// The engine's function for its own formats, ours for PostgreSQL's.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::postgres) struct ToChar {
    function: Arc<ScalarUDF>,
}

impl ToChar {
    pub(in crate::postgres) fn new(engine: Option<Arc<ScalarUDF>>) -> Self {
        Self { function: engine.unwrap_or_else(datetime::to_char) }
    }
}

impl ScalarUDFImpl for ToChar {
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

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let [value, format] = arguments.args.as_slice() else { return self.function.invoke_with_args(arguments) };
        if matches!(value.data_type(), DataType::Duration(_)) {
            return self.function.invoke_with_args(arguments);
        }
        let is_constant = matches!((value, format), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        match format {
            ColumnarValue::Scalar(format) => match format.try_as_str() {
                Some(Some(format)) if !format.contains('%') => {
                    let template = Template::parse(format)?;
                    let rows = if is_constant { 1 } else { arguments.number_rows };
                    constant_or_array(write(&template, &value.to_array(rows)?)?, is_constant)
                }
                _ => self.function.invoke_with_args(arguments),
            },
            ColumnarValue::Array(formats) => {
                let texts = cast(formats, &DataType::Utf8)?;
                if texts.as_string::<i32>().iter().flatten().all(|format| format.contains('%')) {
                    return self.function.invoke_with_args(arguments);
                }
                exec_err!("to_char takes one template for all rows: use CASE WHEN … THEN to_char(x, 'YYYY') …")
            }
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }
}

fn write(template: &Template, values: &ArrayRef) -> Result<ArrayRef, DataFusionError> {
    let moments = moments(values)?;
    let texts = moments.iter().map(|moment| moment.as_ref().map(|moment| template.write(moment)).transpose());
    Ok(Arc::new(texts.collect::<Result<StringArray, _>>()?))
}

/// The values as times with what is known of their zone.
fn moments(values: &ArrayRef) -> Result<Vec<Option<Moment>>, DataFusionError> {
    let out_of_range = || exec_datafusion_err!("a time is out of the range of times");
    let local = |micros: i64| DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc());
    match values.data_type() {
        DataType::Date32 => {
            let moment = |days: i32| Some(Moment { time: date(days)?.and_time(NaiveTime::MIN), zone: None });
            let days = values.as_primitive::<Date32Type>().iter();
            days.map(|days| days.map(|days| moment(days).ok_or_else(out_of_range)).transpose()).collect()
        }
        DataType::Timestamp(_, zone) => {
            let zone = zone.clone();
            let times = cast(values, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
            let named: Option<Tz> = zone.as_ref().and_then(|zone| zone.parse().ok());
            let moment = |micros: i64| {
                let time = local(micros)?;
                let Some(zone) = named else {
                    let zone = zone.as_ref().map(|_| ("UTC".to_owned(), 0));
                    return Some(Moment { time, zone });
                };
                let offset: FixedOffset = zone.offset_from_utc_datetime(&time).fix();
                let abbreviation = zone.from_utc_datetime(&time).format("%Z").to_string();
                let local = time.checked_add_offset(offset)?;
                Some(Moment { time: local, zone: Some((abbreviation, offset.local_minus_utc())) })
            };
            let micros = times.as_primitive::<TimestampMicrosecondType>().iter();
            micros.map(|micros| micros.map(|micros| moment(micros).ok_or_else(out_of_range)).transpose()).collect()
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            let times = cast(&cast(values, &DataType::Time64(TimeUnit::Microsecond))?, &DataType::Int64)?;
            let moment = |micros: i64| Some(Moment { time: local(micros)?, zone: None });
            let micros = times.as_primitive::<Int64Type>().iter();
            micros.map(|micros| micros.map(|micros| moment(micros).ok_or_else(out_of_range)).transpose()).collect()
        }
        DataType::Date64 => moments(&cast(values, &DataType::Timestamp(TimeUnit::Millisecond, None))?),
        other => exec_err!("to_char writes dates and times, not {other}"),
    }
}
