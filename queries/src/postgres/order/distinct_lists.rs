//! `array_agg` and `string_agg`: distinct values in the order that is asked for.
//!
//! The engine turns an aggregate round when its input has the opposite order. It then sorts distinct values by the order
//! that was turned round: `array_agg(DISTINCT x ORDER BY x DESC)` over rows that are sorted by x gives 1, 2, 3.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF, Signature,
};
use datafusion::physical_expr::PhysicalSortExpr;

/// The engine's function; distinct values come in the order that the statement names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::postgres) struct DistinctList(pub(in crate::postgres) Arc<AggregateUDF>);

impl AggregateUDFImpl for DistinctList {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn aliases(&self) -> &[String] {
        self.0.aliases()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        self.0.return_type(types)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef, DataFusionError> {
        self.0.return_field(fields)
    }

    fn is_nullable(&self) -> bool {
        self.0.is_nullable()
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>, DataFusionError> {
        self.0.state_fields(arguments)
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>, DataFusionError> {
        if !(arguments.is_distinct && arguments.is_reversed) {
            return self.0.accumulator(arguments);
        }
        // It sorts by itself, whatever the order of its input.
        let asked = |sort: &PhysicalSortExpr| PhysicalSortExpr { expr: Arc::clone(&sort.expr), options: !sort.options };
        let order_bys: Vec<_> = arguments.order_bys.iter().map(asked).collect();
        self.0.accumulator(AccumulatorArgs { order_bys: &order_bys, is_reversed: false, ..arguments })
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs<'_>) -> bool {
        self.0.groups_accumulator_supported(arguments)
    }

    fn create_groups_accumulator(
        &self,
        arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>, DataFusionError> {
        self.0.create_groups_accumulator(arguments)
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        is_beneficial: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>, DataFusionError> {
        let ordered = self.0.as_ref().clone().with_beneficial_ordering(is_beneficial)?;
        Ok(ordered.map(|function| Arc::new(Self(Arc::new(function))) as Arc<dyn AggregateUDFImpl>))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.0.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.0.reverse_udf() {
            ReversedUDAF::Reversed(reversed) => {
                ReversedUDAF::Reversed(Arc::new(AggregateUDF::new_from_impl(Self(reversed))))
            }
            other => other,
        }
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.0.supports_null_handling_clause()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }
}
