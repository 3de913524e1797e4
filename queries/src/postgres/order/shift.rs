//! `lead` and `lag` with `IGNORE NULLS`.
//!
//! Row by row, the engine loses rows behind a gap of NULLs; over a whole part of a window it is right. So these
//! functions are computed over the whole part. <https://github.com/apache/datafusion/issues/25471>

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::error::DataFusionError;
use datafusion::functions_window::lead_lag::{lag_udwf, lead_udwf};
use datafusion::logical_expr::function::{ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{Documentation, PartitionEvaluator, ReversedUDWF, Signature, WindowUDF, WindowUDFImpl};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::scalar::ScalarValue;

/// The engine's function, computed over whole parts when it ignores NULLs.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::postgres) struct Shift {
    function: Arc<WindowUDF>,
    is_lead: bool,
}

impl Shift {
    pub(in crate::postgres) fn lead() -> Self {
        Self { function: lead_udwf(), is_lead: true }
    }

    pub(in crate::postgres) fn lag() -> Self {
        Self { function: lag_udwf(), is_lead: false }
    }
}

impl WindowUDFImpl for Shift {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn expressions(&self, arguments: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        self.function.inner().expressions(arguments)
    }

    fn partition_evaluator(
        &self,
        arguments: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>, DataFusionError> {
        let ignores_nulls = arguments.ignore_nulls();
        let evaluator = self.function.inner().partition_evaluator(arguments)?;
        Ok(if ignores_nulls { Box::new(Whole { evaluator }) } else { evaluator })
    }

    fn field(&self, arguments: WindowUDFFieldArgs) -> Result<FieldRef, DataFusionError> {
        self.function.inner().field(arguments)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        self.function.inner().coerce_types(types)
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        let reversed = if self.is_lead { Self::lag() } else { Self::lead() };
        ReversedUDWF::Reversed(Arc::new(WindowUDF::new_from_impl(reversed)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.inner().documentation()
    }
}

#[derive(Debug)]
struct Whole {
    evaluator: Box<dyn PartitionEvaluator>,
}

impl PartitionEvaluator for Whole {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef, DataFusionError> {
        self.evaluator.evaluate_all(values, rows)
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue, DataFusionError> {
        self.evaluator.evaluate(values, range)
    }

    fn supports_bounded_execution(&self) -> bool {
        false
    }
}
