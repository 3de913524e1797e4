//! From a local time to an instant and back, also where clocks skip an hour or show it twice.
//!
//! The engine refuses such times or takes NULL for them. <https://github.com/apache/datafusion/issues/25084>,
//! <https://github.com/apache/arrow-rs/issues/11037>

use std::sync::Arc;

use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use datafusion::arrow::compute::kernels::cast_utils::string_to_datetime;
use datafusion::arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{exec_datafusion_err, exec_err, plan_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::postgres::numbers::casts::cast;
use crate::postgres::numbers::nearest_whole::constant_or_array;
use crate::postgres::times::local_day::Offsets;
use crate::text::time_zone::parse_time_zone;

/// The function that replaces `AT TIME ZONE`.
pub(in crate::postgres) const AT_TIME_ZONE: &str = "at_time_zone";
/// The zone in which the lake keeps its times.
const STORED: &str = "UTC";
/// Clocks were never put forward by more than a day.
const SKIPPED_HOURS_MAX: i64 = 25;

/// The instant of a local time. A skipped time is counted on from before the gap. For a time that is shown twice it is
/// the second, as in PostgreSQL, except for midnight: a day begins at the first.
pub(crate) fn instant(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    let found = zone.from_local_datetime(&local);
    let is_midnight = local.time() == NaiveTime::MIN;
    if let Some(instant) = if is_midnight { found.earliest() } else { found.latest() } {
        return Some(instant.to_utc());
    }
    let before = (1..=SKIPPED_HOURS_MAX).find_map(|hours| {
        let earlier = local.checked_sub_signed(TimeDelta::hours(hours))?;
        zone.from_local_datetime(&earlier).latest()
    })?;
    Some(local.checked_sub_offset(before.offset().fix())?.and_utc())
}

/// The local time of an instant.
pub(in crate::postgres) fn local(zone: Tz, instant: DateTime<Utc>) -> NaiveDateTime {
    instant.with_timezone(&zone).naive_local()
}

/// The instant of a text: by its offset, or in the zone without one.
pub(in crate::postgres) fn instant_of_text(zone: Tz, text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let read = |hours: i32| {
        let offset = FixedOffset::east_opt(hours * 3600)?;
        string_to_datetime(&offset, text).ok()
    };
    let (here, there) = (read(0)?, read(1)?);
    if here == there { Some(here.to_utc()) } else { instant(zone, here.naive_utc()) }
}

/// Dates, times without zone and texts as microseconds of their instants.
pub(in crate::postgres) fn instants(zone: Tz, array: &ArrayRef) -> Result<TimestampMicrosecondArray, DataFusionError> {
    let out_of_range = || exec_datafusion_err!("a time is out of the range of times");
    let instants: TimestampMicrosecondArray = match array.data_type() {
        DataType::Date32 => {
            let dates = array.as_primitive::<Date32Type>().iter();
            let instant = |days: i32| instant(zone, date(days)?.and_time(NaiveTime::MIN));
            dates
                .map(|days| days.map(|days| instant(days).ok_or_else(out_of_range)).transpose())
                .map(|instant| Ok(instant?.map(|instant| instant.timestamp_micros())))
                .collect::<Result<_, DataFusionError>>()?
        }
        DataType::Timestamp(_, None) => {
            let times = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let instant = |micros: i64| {
                let instant = instant(zone, DateTime::from_timestamp_micros(micros)?.naive_utc())?;
                Some(instant.timestamp_micros())
            };
            times
                .as_primitive::<TimestampMicrosecondType>()
                .try_unary(|micros| instant(micros).ok_or_else(out_of_range))?
        }
        data_type if data_type.is_string() || data_type.is_null() => {
            let texts = cast(array, &DataType::Utf8)?;
            let instant = |text: &str| {
                instant_of_text(zone, text).map(|instant| instant.timestamp_micros()).ok_or_else(|| {
                    exec_datafusion_err!(
                        "{text:?} is not a time: write it as 2026-11-01 13:30:00, with an offset if it has one"
                    )
                })
            };
            texts.as_string::<i32>().iter().map(|text| text.map(instant).transpose()).collect::<Result<_, _>>()?
        }
        other => return exec_err!("{other} is no time"),
    };
    Ok(instants)
}

pub(in crate::postgres) fn date(days: i32) -> Option<NaiveDate> {
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?;
    let count = Days::new(u64::from(days.unsigned_abs()));
    if days < 0 { epoch.checked_sub_days(count) } else { epoch.checked_add_days(count) }
}

pub(in crate::postgres) fn stored() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from(STORED)))
}

/// The task of a function of this module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Task {
    /// The instant of a date, of a time without zone or of a text.
    Instant(Tz),
    /// The instant at which a day begins.
    Day(Tz),
    /// The local time of an instant.
    Local(Tz),
    /// `AT TIME ZONE`: from local time to instant, or back.
    Zone,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Zoned {
    task: Task,
    signature: Signature,
}

fn function(task: Task) -> ScalarUDF {
    let arguments = if task == Task::Zone { 2 } else { 1 };
    ScalarUDF::new_from_impl(Zoned {
        task,
        signature: Signature::new(TypeSignature::Any(arguments), Volatility::Immutable),
    })
}

/// `instant_of(local)`, in a zone.
pub(in crate::postgres) fn instant_of(zone: Tz) -> ScalarUDF {
    function(Task::Instant(zone))
}

/// `start_of_day(date)`, in a zone.
pub(in crate::postgres) fn start_of_day(zone: Tz) -> ScalarUDF {
    function(Task::Day(zone))
}

/// `local_time_of(instant)`, in a zone.
pub(in crate::postgres) fn local_time_of(zone: Tz) -> ScalarUDF {
    function(Task::Local(zone))
}

/// `at_time_zone(time, zone)`.
pub(in crate::postgres) fn at_time_zone() -> ScalarUDF {
    function(Task::Zone)
}

impl ScalarUDFImpl for Zoned {
    fn name(&self) -> &'static str {
        match self.task {
            Task::Instant(_) => "instant_of",
            Task::Day(_) => "start_of_day",
            Task::Local(_) => "local_time_of",
            Task::Zone => AT_TIME_ZONE,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        match (&self.task, types) {
            (Task::Day(_), [DataType::Date32 | DataType::Null]) => Ok(stored()),
            (Task::Day(_), _) => plan_err!("start_of_day takes a date: cast what is none to DATE"),
            (Task::Instant(_), _) => Ok(stored()),
            (Task::Local(_), _) | (Task::Zone, [DataType::Timestamp(_, Some(_)), _]) => {
                Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
            }
            (Task::Zone, [time, _])
                if time.is_string() || matches!(time, DataType::Date32 | DataType::Timestamp(..)) =>
            {
                Ok(stored())
            }
            (Task::Zone, _) => plan_err!("AT TIME ZONE takes a time and a zone: cast what is no time to TIMESTAMP"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let is_constant = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { arguments.number_rows };
        let times = match arguments.args.first() {
            Some(times) => times.to_array(rows)?,
            None => return exec_err!("{} takes a time", self.name()),
        };
        let zone = match (&self.task, arguments.args.get(1)) {
            (Task::Instant(zone) | Task::Day(zone) | Task::Local(zone), _) => *zone,
            (Task::Zone, Some(ColumnarValue::Scalar(zone))) => {
                let Some(Some(name)) = zone.try_as_str() else {
                    return exec_err!("AT TIME ZONE takes the name of a zone, such as 'America/Chicago'");
                };
                named(name)?
            }
            (Task::Zone, _) => return exec_err!("AT TIME ZONE takes one zone for all rows"),
        };
        let is_local = matches!(times.data_type(), DataType::Timestamp(_, Some(_)));
        let result: ArrayRef = if is_local {
            Arc::new(local_times(zone, &times)?)
        } else {
            Arc::new(instants(zone, &times)?.with_timezone(STORED))
        };
        constant_or_array(result, is_constant)
    }
}

fn named(name: &str) -> Result<Tz, DataFusionError> {
    parse_time_zone(name).map_err(|error| exec_datafusion_err!("{error}"))
}

fn local_times(zone: Tz, times: &ArrayRef) -> Result<TimestampMicrosecondArray, DataFusionError> {
    let times = cast(times, &stored())?;
    let offsets = Offsets::new(zone);
    let local =
        |micros: i64| offsets.local(micros).ok_or_else(|| exec_datafusion_err!("a time is out of the range of times"));
    let locals: TimestampMicrosecondArray = times.as_primitive::<TimestampMicrosecondType>().try_unary(local)?;
    Ok(locals.with_timezone_opt(None::<Arc<str>>))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn skipped_or_doubled_local_times_have_an_instant() {
        let cases = [
            // Midnight twice: the day begins at the first.
            (Tz::America__Havana, "2026-11-01 00:00:00", "2026-11-01T04:00:00Z"),
            (Tz::America__Havana, "2026-11-02 00:00:00", "2026-11-02T05:00:00Z"),
            // Another time twice: the second, as in PostgreSQL.
            (Tz::America__Havana, "2026-11-01 00:30:00", "2026-11-01T05:30:00Z"),
            (Tz::America__Chicago, "2026-11-01 01:30:00", "2026-11-01T07:30:00Z"),
            // Midnight skipped: the day begins when the gap ends.
            (Tz::America__Santiago, "2026-09-06 00:00:00", "2026-09-06T04:00:00Z"),
            (Tz::Asia__Beirut, "2026-03-29 00:00:00", "2026-03-28T22:00:00Z"),
            (Tz::Africa__Cairo, "2026-04-24 00:00:00", "2026-04-23T22:00:00Z"),
            (Tz::Atlantic__Azores, "2026-03-29 00:00:00", "2026-03-29T01:00:00Z"),
            (Tz::Atlantic__Azores, "2026-10-25 00:00:00", "2026-10-25T00:00:00Z"),
            (Tz::America__Chicago, "2026-03-08 02:30:00", "2026-03-08T08:30:00Z"),
            // A whole day that was skipped.
            (Tz::Pacific__Apia, "2011-12-30 00:00:00", "2011-12-30T10:00:00Z"),
            // With an offset the zone does not matter.
            (Tz::America__Havana, "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z"),
            (Tz::America__Havana, "2026-11-01 00:00:00+02:00", "2026-10-31T22:00:00Z"),
            (Tz::America__Havana, "9999-12-31", "9999-12-31T05:00:00Z"),
        ];
        for (zone, text, expected) in cases {
            let instant = instant_of_text(zone, text).unwrap();
            assert_eq!(instant.to_rfc3339_opts(chrono::SecondsFormat::Secs, true), expected, "{zone} {text}");
        }
        assert_eq!(instant_of_text(Tz::UTC, "yesterday"), None);
    }
}
