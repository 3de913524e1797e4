//! Totals of doubles over a moving frame, each added up anew: a double taken out of a sum leaves its rounding behind.

use std::collections::VecDeque;
use std::mem::size_of;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::not_impl_err;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Accumulator;
use datafusion::scalar::ScalarValue;

use crate::postgres::numbers::casts::cast;

#[derive(Clone, Copy, Debug)]
pub(in crate::postgres) enum Total {
    Sum,
    Average,
}

#[derive(Debug)]
pub(in crate::postgres) struct DoubleFrame {
    values: VecDeque<f64>,
    total: Total,
}

impl DoubleFrame {
    pub(in crate::postgres) fn new(total: Total) -> Self {
        Self { values: VecDeque::new(), total }
    }
}

/// The values that are there.
fn doubles(values: &[ArrayRef]) -> Result<Vec<f64>, DataFusionError> {
    let Some(values) = values.first() else { return Ok(Vec::new()) };
    Ok(cast(values, &DataType::Float64)?.as_primitive::<Float64Type>().iter().flatten().collect())
}

impl Accumulator for DoubleFrame {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        self.values.extend(doubles(values)?);
        Ok(())
    }

    /// Frames move forward: leaving values are at the front.
    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        let leaving = doubles(values)?.len().min(self.values.len());
        self.values.drain(..leaving);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<(), DataFusionError> {
        not_impl_err!("a frame is not computed in parts")
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>, DataFusionError> {
        not_impl_err!("a frame is not computed in parts")
    }

    #[expect(clippy::cast_precision_loss, reason = "a frame has fewer rows than a double has whole numbers")]
    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        if self.values.is_empty() {
            return Ok(ScalarValue::Float64(None));
        }
        let sum: f64 = self.values.iter().sum();
        Ok(ScalarValue::Float64(Some(match self.total {
            Total::Sum => sum,
            Total::Average => sum / self.values.len() as f64,
        })))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.values.capacity() * size_of::<f64>()
    }
}
