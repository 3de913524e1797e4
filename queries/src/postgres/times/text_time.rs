//! `to_timestamp` of a text or of seconds, to the microsecond and for all years.
//!
//! The engine announces another type than it returns for texts, so that they fail, and takes the nearest time of its
//! own range for seconds beyond it. <https://github.com/apache/datafusion/issues/24632>

use std::sync::Arc;

use chrono::DateTime;
use chrono_tz::Tz;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, TimeUnit};
use datafusion::common::exec_datafusion_err;
use datafusion::error::DataFusionError;
use datafusion::functions::datetime;
use datafusion::logical_expr::{ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use crate::postgres::numbers::casts::cast;
use crate::postgres::numbers::nearest_whole::{TextOfDouble, constant_or_array};
use crate::postgres::times::zone::instants;

/// Seconds to the microsecond.
const SECONDS: DataType = DataType::Decimal128(38, 6);

/// The engine's function with a format, ours without.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::postgres) struct ToTimestamp {
    function: Arc<ScalarUDF>,
    zone: Tz,
}

impl ToTimestamp {
    pub(in crate::postgres) fn new(engine: Option<Arc<ScalarUDF>>, zone: Tz) -> Self {
        Self { function: engine.unwrap_or_else(|| datetime::to_timestamp(&Default::default())), zone }
    }
}

impl ScalarUDFImpl for ToTimestamp {
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
        if types.len() == 1 {
            return Ok(DataType::Timestamp(TimeUnit::Microsecond, Some(self.zone.name().into())));
        }
        self.function.return_type(types)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let [value] = arguments.args.as_slice() else { return self.function.invoke_with_args(arguments) };
        let is_constant = matches!(value, ColumnarValue::Scalar(_));
        let values = value.to_array(if is_constant { 1 } else { arguments.number_rows })?;
        let times: ArrayRef = match values.data_type() {
            data_type if data_type.is_numeric() => Arc::new(of_seconds(&values)?.with_timezone(self.zone.name())),
            DataType::Timestamp(_, Some(_)) => cast(&values, arguments.return_field.data_type())?,
            _ => Arc::new(instants(self.zone, &values)?.with_timezone(self.zone.name())),
        };
        constant_or_array(times, is_constant)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }
}

fn of_seconds(seconds: &ArrayRef) -> Result<TimestampMicrosecondArray, DataFusionError> {
    let seconds = if seconds.data_type().is_floating() {
        cast(&TextOfDouble::of(&cast(seconds, &DataType::Float64)?), &SECONDS)?
    } else {
        cast(seconds, &SECONDS)?
    };
    let micros = |micros: i128| {
        let micros = i64::try_from(micros).ok().filter(|micros| DateTime::from_timestamp_micros(*micros).is_some());
        micros.ok_or_else(|| exec_datafusion_err!("to_timestamp: the seconds are out of the range of times"))
    };
    seconds.as_primitive::<Decimal128Type>().try_unary(micros)
}
