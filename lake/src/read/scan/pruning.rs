//! Which files of a table may hold rows that a query asks for, by the values of their partitions and by the bounds in the log.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, BooleanArray, StructArray, TimestampMicrosecondArray},
    compute::cast,
    datatypes::{DataType, TimeUnit, TimestampMicrosecondType},
};
use datafusion::{
    catalog::Session,
    common::{Column, DataFusionError, ToDFSchema as _, pruning::PruningStatistics},
    logical_expr::{Expr, utils::conjunction},
    physical_optimizer::pruning::PruningPredicateBuilder,
    scalar::ScalarValue,
};

use super::{columns::Columns, files::SnapshotFiles};

/// Delta's writers may cut the bounds of times to milliseconds.
const CUT_OFF: i64 = 999;

impl SnapshotFiles {
    /// For each file whether it is read: not when its partition does not meet the conditions on partitions, which holds
    /// for all of its rows, nor when its bounds say that none of them meets the others.
    ///
    /// # Errors
    /// Those of a condition on partitions; others only leave more files.
    pub(super) fn kept(
        &self,
        session: &dyn Session,
        columns: &Columns,
        conditions: &[Expr],
    ) -> Result<Vec<bool>, DataFusionError> {
        let mut kept = vec![true; self.files.len()];
        let (of_partition, others): (Vec<_>, Vec<_>) =
            conditions.iter().cloned().partition(|condition| columns.is_of_partition(condition));
        let schema = Arc::clone(columns.partition()).to_dfschema()?;
        for condition in of_partition {
            let condition = session.create_physical_expr(condition, &schema)?;
            let met = condition.evaluate(&self.partitions)?.into_array(self.files.len())?;
            let met = cast(&met, &DataType::Boolean)?;
            kept.iter_mut().zip(met.as_boolean()).for_each(|(kept, met)| *kept &= met == Some(true));
        }
        if let Some(within) = conjunction(others).and_then(|others| self.within_bounds(session, columns, others)) {
            kept.iter_mut().zip(within).for_each(|(kept, within)| *kept &= within);
        }
        Ok(kept)
    }

    /// `None` when nothing is known.
    fn within_bounds(&self, session: &dyn Session, columns: &Columns, condition: Expr) -> Option<Vec<bool>> {
        let scanned = columns.scanned().table_schema();
        let condition = session.create_physical_expr(condition, &Arc::clone(scanned).to_dfschema().ok()?).ok()?;
        let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(scanned));
        builder.build(condition)?.prune(self).ok()
    }

    fn bound(&self, bounds: Option<&StructArray>, column: &Column) -> Option<ArrayRef> {
        if let Some(values) = self.partitions.column_by_name(&column.name) {
            return Some(Arc::clone(values));
        }
        let values = bounds?.column_by_name(&column.name)?;
        is_ordered(values.data_type()).then(|| Arc::clone(values))
    }
}

/// Whether bounds of the type say something of all of its values. Those of floating numbers leave out NaN, those of bytes
/// are no bytes in the log.
fn is_ordered(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Utf8
            | DataType::Date32
            | DataType::Timestamp(TimeUnit::Microsecond, _)
    )
}

impl PruningStatistics for SnapshotFiles {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(self.bounds.least.as_ref(), column)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        let greatest = self.bound(self.bounds.greatest.as_ref(), column)?;
        let Some(times) = greatest.as_primitive_opt::<TimestampMicrosecondType>() else { return Some(greatest) };
        let times: TimestampMicrosecondArray = times.unary(|time| time.saturating_add(CUT_OFF));
        cast(&times, greatest.data_type()).ok()
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let nulls = self.bounds.nulls.as_ref()?.column_by_name(&column.name)?;
        cast(nulls, &DataType::UInt64).ok()
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        cast(&self.rows, &DataType::UInt64).ok()
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
