//! A table as queries read it: without the days that expired, and conditions on values that have to be computed stay outside of
//! the Parquet reader.
//!
//! Rows of an expired day that came late are in the table until the next expiry. They are not read: what is counted since a day
//! would change with them, and change back.
//!
//! The reader evaluates a pushed condition page by page and then reads the other columns of the remaining rows. For a
//! look-up by id that saves nearly all of the work. A condition such as a day computed from a time keeps most rows, so
//! it costs more than it saves (docs/performance.md has the figures), and the engine evaluates it on whole batches.

mod columns;
mod files;
mod pruning;
mod reader;
mod snapshot;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use chrono::NaiveDate;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{
        Constraints, Statistics,
        tree_node::{TreeNode as _, TreeNodeRecursion},
    },
    error::DataFusionError,
    execution::cache::cache_manager::FileMetadataCache,
    logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, TableProviderFilterPushDown, TableType, col, lit},
    physical_plan::ExecutionPlan,
    scalar::ScalarValue,
};
use deltalake::DeltaTable;

use snapshot::SnapshotScan;

/// The scan of a table as loaded, which `general` scans as well: the one of `snapshot`, if the table is plain enough for it.
pub(crate) fn scan_of(
    table: &DeltaTable,
    general: &Arc<dyn TableProvider>,
    footers: &Arc<FileMetadataCache>,
) -> Arc<dyn TableProvider> {
    match SnapshotScan::of(table, general, footers) {
        Some(scan) => Arc::new(scan),
        None => Arc::clone(general),
    }
}

/// A table whose computed conditions are left to the engine.
#[derive(Debug)]
pub(crate) struct PlainConditions {
    table: Arc<dyn TableProvider>,
    /// That a row is of no expired day: a partition column compared with a constant, which the table applies exactly.
    since: Option<Expr>,
}

impl PlainConditions {
    /// The same table; with a column by which it is partitioned and a day, from that day on.
    pub(crate) fn of(table: Arc<dyn TableProvider>, since: Option<(&str, NaiveDate)>) -> Arc<dyn TableProvider> {
        let since = since.map(|(column, day)| {
            let days = day.signed_duration_since(NaiveDate::default()).num_days();
            col(column).gt_eq(lit(ScalarValue::Date32(i32::try_from(days).ok())))
        });
        Arc::new(Self { table, since })
    }
}

/// Whether a condition computes a value from a column before it compares: a cast, a function, a sum.
fn is_computed(condition: &Expr) -> bool {
    let mut computed = false;
    // No error can occur here; it would only leave the condition where it is.
    let _ = condition.apply(|node| {
        computed |= match node {
            Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::ScalarFunction(_)
            | Expr::Case(_)
            | Expr::Negative(_)
            | Expr::ScalarSubquery(_) => !node.column_refs().is_empty(),
            Expr::BinaryExpr(BinaryExpr { op, .. }) => {
                (op.is_numerical_operators() || *op == Operator::StringConcat) && !node.column_refs().is_empty()
            }
            _ => false,
        };
        Ok(if computed { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    computed
}

#[async_trait]
impl TableProvider for PlainConditions {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn constraints(&self) -> Option<&Constraints> {
        self.table.constraints()
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
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
        match &self.since {
            None => self.table.scan(session, projection, filters, limit).await,
            Some(since) => {
                let filters: Vec<Expr> = filters.iter().chain([since]).cloned().collect();
                self.table.scan(session, projection, &filters, limit).await
            }
        }
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        let supported = self.table.supports_filters_pushdown(filters)?;
        let decided = filters.iter().zip(supported).map(|(filter, supported)| {
            if is_computed(filter) { TableProviderFilterPushDown::Unsupported } else { supported }
        });
        Ok(decided.collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        self.table.statistics()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod condition_tests {
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    use datafusion::{datasource::MemTable, logical_expr::cast, prelude::SessionContext};

    use super::*;

    #[test]
    fn a_condition_on_a_changed_column_is_computed() {
        let day = || cast(col("occurred_at"), DataType::Date32);
        for (condition, expected) in [
            (col("user_id").eq(lit("u")), false),
            (col("user_id").in_list(vec![lit("u"), lit("v")], false), false),
            (col("points").gt(cast(lit("3"), DataType::Int64)), false),
            (col("a").eq(lit(1)).and(col("b").is_not_null().or(col("c").lt(lit(2)))), false),
            (col("name").like(lit("a%")), false),
            (col("points").between(lit(1), lit(2)), false),
            (day().eq(lit(1)), true),
            (day().between(lit(1), lit(2)), true),
            (col("user_id").eq(lit("u")).and(day().gt(lit(1))), true),
            ((col("points") + lit(1)).gt(lit(2)), true),
            ((-col("points")).gt(lit(2)), true),
        ] {
            assert_eq!(is_computed(&condition), expected, "{condition}");
        }
    }

    #[tokio::test]
    async fn a_wrapped_table_answers_like_itself() {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Arc::new(Schema::new(vec![Field::new("occurred_at", time, false)]));
        let table = PlainConditions::of(Arc::new(MemTable::try_new(Arc::clone(&schema), vec![vec![]]).unwrap()), None);
        assert_eq!((table.schema(), table.table_type()), (schema, TableType::Base));
        let context = SessionContext::new();
        context.register_table("t", table).unwrap();
        let rows = context.sql("SELECT count(*) FROM t WHERE CAST(occurred_at AS DATE) > DATE '2026-01-01'").await;
        assert_eq!(rows.unwrap().count().await.unwrap(), 1);
    }
}
