//! Bounds on functions whose result can be much larger than their arguments.
//!
//! `repeat('x', 1000000000)` makes a gigabyte in one step, in which a query cannot be stopped, and the memory pool does
//! not count it. Each of these functions is wrapped: the size of its result is computed first from its arguments, and
//! the call is refused when a value or a batch of values would be too large. Results of other functions are about as
//! large as their arguments, and so bounded by these functions and the tables.

mod growth;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;

use crate::error::Exhausted;
use growth::Growth;

/// Bytes of one value. A join or a constant can put the same value into every one of the 8,192 rows of a batch.
const VALUE_BYTES_MAX: f64 = 65_536.0;
/// The fraction of the memory limit that the values of one call may take (one in N).
const BATCHES_PER_LIMIT: usize = 4;

/// The functions, with their growth.
const GROWING: [(&str, Growth); 14] = [
    ("repeat", Growth::Times),
    ("lpad", Growth::Padded),
    ("rpad", Growth::Padded),
    ("array_repeat", Growth::Entries),
    ("array_resize", Growth::Resized),
    ("range", Growth::Series),
    ("generate_series", Growth::Series),
    ("replace", Growth::Replaced),
    ("regexp_replace", Growth::Rewritten),
    ("array_to_string", Growth::Joined),
    ("concat", Growth::Together),
    ("concat_ws", Growth::Together),
    ("to_char", Growth::Formatted),
    ("levenshtein", Growth::Compared),
];

/// Wraps the session's functions of these names.
pub(crate) fn bound_functions(context: &SessionContext, memory_limit_bytes: usize) {
    for (name, growth) in GROWING {
        let known = context.state().scalar_functions().get(name).map(Arc::clone);
        if let Some(function) = known {
            let batch_bytes_max = memory_limit_bytes / BATCHES_PER_LIMIT;
            context.register_udf(ScalarUDF::new_from_impl(Bounded { function, growth, batch_bytes_max }));
        }
    }
}

/// A function that refuses too large results.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    function: Arc<ScalarUDF>,
    growth: Growth,
    batch_bytes_max: usize,
}

impl Bounded {
    #[expect(clippy::cast_precision_loss, reason = "bounds need no more precision")]
    fn check(&self, arguments: &ScalarFunctionArgs) -> Result<(), DataFusionError> {
        let has_rows = arguments.args.iter().any(|argument| matches!(argument, ColumnarValue::Array(_)));
        let rows = if has_rows { arguments.number_rows } else { 1 };
        // A constant is checked once: repeated for all rows, it could itself be too large.
        let array = |argument: &ColumnarValue| match argument {
            ColumnarValue::Array(array) => Ok(Arc::clone(array)),
            ColumnarValue::Scalar(constant) => constant.to_array(),
        };
        let arrays = arguments.args.iter().map(array).collect::<Result<Vec<_>, _>>()?;
        let values = self.growth.bytes(&arrays, rows)?;
        let (largest, sum) =
            values.fold((0.0, 0.0), |(largest, sum): (f64, f64), bytes| (largest.max(bytes), sum + bytes));
        // A constant goes into every row, so its limit is that of one value.
        let batch_max = self.batch_bytes_max as f64;
        let (value_max, batch_max) =
            self.growth.limits(VALUE_BYTES_MAX, if has_rows { batch_max } else { VALUE_BYTES_MAX });
        if largest <= value_max && sum <= batch_max {
            return Ok(());
        }
        Err(DataFusionError::from(Exhausted(format!(
            "{} would make a value of {largest:.0} bytes, {sum:.0} bytes in one batch; at most {value_max:.0} and \
             {batch_max:.0} are accepted{}",
            self.name(),
            self.growth.advice(),
        ))))
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        self.function.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        self.function.return_type(types)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef, DataFusionError> {
        self.function.return_field_from_args(arguments)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        self.check(&arguments)?;
        self.function.invoke_with_args(arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }
}

#[cfg(test)]
mod tests;
