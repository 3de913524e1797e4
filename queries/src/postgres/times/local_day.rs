//! The local day of an instant.
//!
//! The engine asks the zone for each row, which takes longer than reading the row. The offset of a zone is the same over nearly every
//! quarter of an hour, and rows come in the order of their time, so it is asked for once a quarter.

use std::cell::Cell;
use std::sync::Arc;

use chrono::{DateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use datafusion::arrow::array::{AsArray, Date32Array};
use datafusion::arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::{exec_datafusion_err, exec_err, plan_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::postgres::numbers::casts::cast;
use crate::postgres::numbers::nearest_whole::constant_or_array;
use crate::postgres::times::zone::stored;

const MICROS_A_SECOND: i64 = 1_000_000;
const MICROS_A_DAY: i64 = 86_400 * MICROS_A_SECOND;
/// No zone ever changed its clocks twice within this time (microseconds).
const QUARTER: i64 = 15 * 60 * MICROS_A_SECOND;
/// The range of times of chrono, in microseconds.
const FIRST: i64 = DateTime::<Utc>::MIN_UTC.timestamp_micros();
const LAST: i64 = DateTime::<Utc>::MAX_UTC.timestamp_micros();

/// The offsets of a zone, of which the last is remembered.
pub(in crate::postgres) struct Offsets {
    zone: Tz,
    known: Cell<Known>,
}

/// What local clocks are ahead of UTC from an instant to another, which is exclusive, in microseconds.
#[derive(Clone, Copy, Default)]
struct Known {
    from: i64,
    to: i64,
    ahead: i64,
}

impl Offsets {
    pub(in crate::postgres) fn new(zone: Tz) -> Self {
        Self { zone, known: Cell::default() }
    }

    /// The local time of an instant, both in microseconds since 1970; `None` out of the range of times.
    pub(in crate::postgres) fn local(&self, micros: i64) -> Option<i64> {
        let known = self.known.get();
        if known.from <= micros && micros < known.to {
            return micros.checked_add(known.ahead);
        }
        if self.zone == Tz::UTC {
            self.known.set(Known { from: FIRST, to: LAST, ahead: 0 });
            return (FIRST..LAST).contains(&micros).then_some(micros);
        }
        let from = micros.div_euclid(QUARTER).checked_mul(QUARTER)?;
        let to = from.checked_add(QUARTER)?;
        match (self.asked(from), self.asked(to - 1)) {
            (Some(ahead), Some(last)) if ahead == last => {
                self.known.set(Known { from, to, ahead });
                micros.checked_add(ahead)
            }
            _ => micros.checked_add(self.asked(micros)?),
        }
    }

    fn asked(&self, micros: i64) -> Option<i64> {
        let instant = DateTime::from_timestamp_micros(micros)?.naive_utc();
        Some(i64::from(self.zone.offset_from_utc_datetime(&instant).fix().local_minus_utc()) * MICROS_A_SECOND)
    }
}

/// `local_day_of(instant)`, in a zone.
pub(in crate::postgres) fn local_day_of(zone: Tz) -> ScalarUDF {
    ScalarUDF::new_from_impl(LocalDay { zone, signature: Signature::new(TypeSignature::Any(1), Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LocalDay {
    zone: Tz,
    signature: Signature,
}

impl ScalarUDFImpl for LocalDay {
    fn name(&self) -> &'static str {
        "local_day_of"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        match types {
            [DataType::Timestamp(_, Some(_))] => Ok(DataType::Date32),
            _ => plan_err!("local_day_of takes an instant"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let [instants] = arguments.args.as_slice() else { return exec_err!("local_day_of takes an instant") };
        let is_constant = matches!(instants, ColumnarValue::Scalar(_));
        let instants = cast(&instants.to_array(if is_constant { 1 } else { arguments.number_rows })?, &stored())?;
        let offsets = Offsets::new(self.zone);
        let day = |micros| i32::try_from(offsets.local(micros)?.div_euclid(MICROS_A_DAY)).ok();
        let days: Date32Array = instants.as_primitive::<TimestampMicrosecondType>().try_unary(|micros| {
            day(micros).ok_or_else(|| exec_datafusion_err!("a time is out of the range of times"))
        })?;
        constant_or_array(Arc::new(days), is_constant)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chrono_tz::TZ_VARIANTS;

    fn slow(zone: Tz, micros: i64) -> i64 {
        let local = DateTime::from_timestamp_micros(micros).unwrap().with_timezone(&zone).naive_local();
        local.and_utc().timestamp_micros()
    }

    #[test]
    fn a_remembered_offset_is_the_zones() {
        let mut random = 1_u64;
        for zone in TZ_VARIANTS {
            let offsets = Offsets::new(zone);
            for _ in 0..300 {
                // From 1875 to 2120, and some rows after one another.
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let second = i64::try_from(random >> 20).unwrap().rem_euclid(7_750_000_000) - 3_000_000_000;
                let first = second * MICROS_A_SECOND;
                for step in 0..3 {
                    let micros = first + step * 299_999_999;
                    assert_eq!(offsets.local(micros), Some(slow(zone, micros)), "{zone} {micros}");
                }
            }
        }
    }

    #[test]
    fn a_change_of_clocks_within_a_quarter_is_seen() {
        // Every five days are looked through for changes in all zones, and each second around a change is compared with the zone's own.
        for zone in TZ_VARIANTS {
            let offset = |second: i64| slow(zone, second * MICROS_A_SECOND) / MICROS_A_SECOND - second;
            let offsets = Offsets::new(zone);
            for day in (-6_000..6_000).map(|day| day * 5 * 86_400) {
                if offset(day) == offset(day + 5 * 86_400) {
                    continue;
                }
                let (mut before, mut after) = (day, day + 5 * 86_400);
                while after - before > 1 {
                    let middle = i64::midpoint(before, after);
                    if offset(middle) == offset(day) { before = middle } else { after = middle }
                }
                for micros in [
                    before * MICROS_A_SECOND,
                    after * MICROS_A_SECOND - 1,
                    after * MICROS_A_SECOND,
                    after * MICROS_A_SECOND + 1,
                    before * MICROS_A_SECOND - QUARTER,
                    after * MICROS_A_SECOND + QUARTER,
                ] {
                    assert_eq!(offsets.local(micros), Some(slow(zone, micros)), "{zone} {micros}");
                }
            }
        }
    }

    #[test]
    fn times_out_of_range_have_no_day() {
        for zone in [Tz::UTC, Tz::America__Chicago] {
            assert_eq!(Offsets::new(zone).local(i64::MAX), None);
            assert_eq!(Offsets::new(zone).local(i64::MIN), None);
            assert!(Offsets::new(zone).local(253_402_300_799_999_999).is_some());
        }
    }
}
