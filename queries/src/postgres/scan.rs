//! Keeps conditions and limits that a table claims to apply but does not.
//!
//! A Delta table claims to apply a condition on partition columns alone exactly, and one without columns too: `NULL`,
//! `nullif(1, 1) = 1`, `event_date < event_date`. The engine then drops the condition, and every row comes through.
//! Here only a comparison of a column with a constant is left to the table; any other condition stays in the plan.
//! <https://github.com/apache/datafusion/issues/23378>

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::{Constraints, Statistics};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::all_rows::all_rows;

/// The same table, with every condition and limit kept that it does not apply reliably.
pub(crate) fn exact(table: Arc<dyn TableProvider>) -> Arc<dyn TableProvider> {
    Arc::new(Exact { table })
}

#[derive(Debug)]
struct Exact {
    table: Arc<dyn TableProvider>,
}

#[async_trait]
impl TableProvider for Exact {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn constraints(&self) -> Option<&Constraints> {
        self.table.constraints()
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
    }

    fn get_table_definition(&self) -> Option<&str> {
        self.table.get_table_definition()
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.table.get_logical_plan()
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.table.get_column_default(column)
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        Ok(all_rows(self.table.scan(session, projection, filters, limit).await?))
    }

    async fn scan_with_args<'a>(
        &self,
        session: &dyn Session,
        args: ScanArgs<'a>,
    ) -> Result<ScanResult, DataFusionError> {
        let scan = self.table.scan_with_args(session, args).await?;
        Ok(ScanResult::new(all_rows(scan.into_inner())))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        let claims = self.table.supports_filters_pushdown(filters)?;
        Ok(filters.iter().zip(claims).map(|(filter, claim)| trusted(filter, claim)).collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        self.table.statistics()
    }
}

fn trusted(filter: &Expr, claim: TableProviderFilterPushDown) -> TableProviderFilterPushDown {
    if filter.column_refs().is_empty() {
        return TableProviderFilterPushDown::Unsupported;
    }
    let is_doubted = claim == TableProviderFilterPushDown::Exact && !is_plain(filter);
    if is_doubted { TableProviderFilterPushDown::Inexact } else { claim }
}

/// A column compared with constants other than NULL.
fn is_plain(filter: &Expr) -> bool {
    let is_column = |expr: &Expr| matches!(expr, Expr::Column(_));
    let is_constant = |expr: &Expr| matches!(expr, Expr::Literal(value, _) if !value.is_null());
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let compares = matches!(op, Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
            compares && is_column(left) && is_constant(right)
        }
        Expr::InList(InList { expr, list, negated: false }) => is_column(expr) && list.iter().all(is_constant),
        _ => false,
    }
}
