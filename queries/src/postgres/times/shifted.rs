//! Moves an instant by days or months on the calendar of a zone, so that the clock shows the same time.

use std::sync::Arc;

use chrono::{DateTime, Days, Months, TimeDelta, Utc};
use chrono_tz::Tz;
use datafusion::arrow::array::{AsArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{
    DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{exec_datafusion_err, exec_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::postgres::numbers::casts::cast;
use crate::postgres::numbers::nearest_whole::constant_or_array;
use crate::postgres::times::zone::{instant, local};

/// `shifted_by(instant, interval)`, in a zone.
pub(in crate::postgres) fn shifted_by(zone: Tz) -> ScalarUDF {
    ScalarUDF::new_from_impl(Shifted { zone, signature: Signature::new(TypeSignature::Any(2), Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Shifted {
    zone: Tz,
    signature: Signature,
}

impl ScalarUDFImpl for Shifted {
    fn name(&self) -> &'static str {
        "shifted_by"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        match types {
            [DataType::Timestamp(_, zone), _] => Ok(DataType::Timestamp(TimeUnit::Microsecond, zone.clone())),
            _ => exec_err!("shifted_by takes an instant and an interval"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let is_constant = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let [instants, intervals] = ColumnarValue::values_to_arrays(&arguments.args)?
            .try_into()
            .map_err(|_| exec_datafusion_err!("shifted_by takes an instant and an interval"))?;
        let to = arguments.return_field.data_type();
        let (instants, intervals) =
            (cast(&instants, to)?, cast(&intervals, &DataType::Interval(IntervalUnit::MonthDayNano))?);
        let pairs = instants
            .as_primitive::<TimestampMicrosecondType>()
            .iter()
            .zip(intervals.as_primitive::<IntervalMonthDayNanoType>());
        let shifted = pairs.map(|pair| {
            let (Some(micros), Some(interval)) = pair else { return Ok(None) };
            let shifted =
                DateTime::from_timestamp_micros(micros).and_then(|instant| shift(self.zone, instant, interval));
            let shifted = shifted.ok_or_else(|| exec_datafusion_err!("a time is out of the range of times"))?;
            Ok(Some(shifted.timestamp_micros()))
        });
        let shifted = shifted.collect::<Result<TimestampMicrosecondArray, DataFusionError>>()?;
        let DataType::Timestamp(_, zone) = to else { return exec_err!("shifted_by gives an instant") };
        constant_or_array(Arc::new(shifted.with_timezone_opt(zone.clone())), is_constant)
    }
}

/// Months first, then days, then the rest, as in PostgreSQL.
fn shift(zone: Tz, time: DateTime<Utc>, interval: IntervalMonthDayNano) -> Option<DateTime<Utc>> {
    let mut shifted = time;
    if interval.months != 0 || interval.days != 0 {
        let months = Months::new(interval.months.unsigned_abs());
        let days = Days::new(u64::from(interval.days.unsigned_abs()));
        let clock = local(zone, time);
        let clock =
            if interval.months < 0 { clock.checked_sub_months(months)? } else { clock.checked_add_months(months)? };
        let clock = if interval.days < 0 { clock.checked_sub_days(days)? } else { clock.checked_add_days(days)? };
        shifted = instant(zone, clock)?;
    }
    shifted.checked_add_signed(TimeDelta::nanoseconds(interval.nanoseconds))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_follow_the_zones_calendar() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
        let by = |months, days, hours: i64| IntervalMonthDayNano::new(months, days, hours * 3_600_000_000_000);
        let cases = [
            // 12:00 before and after the clocks go forward.
            ("2026-03-07T18:00:00Z", by(0, 1, 0), "2026-03-08T17:00:00Z"),
            ("2026-03-07T18:00:00Z", by(0, 0, 24), "2026-03-08T18:00:00Z"),
            ("2026-03-08T17:00:00Z", by(0, -1, 0), "2026-03-07T18:00:00Z"),
            ("2026-02-28T18:00:00Z", by(1, 0, 0), "2026-03-28T17:00:00Z"),
            ("2026-01-31T18:00:00Z", by(1, 0, 0), "2026-02-28T18:00:00Z"),
        ];
        for (from, interval, to) in cases {
            assert_eq!(shift(Tz::America__Chicago, at(from), interval).unwrap(), at(to), "{from} by {interval:?}");
        }
    }
}
