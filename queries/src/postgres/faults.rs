//! The faults of the engine alone. Each test fails when an upgrade has mended its fault: our repair can then be
//! removed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::{Session, TableProvider};
use datafusion::config::ConfigOptions;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

use super::exact;

/// Rows of the plain engine, as `a,b|c,d`; or `error`.
async fn rows(context: &SessionContext, sql: &str) -> String {
    let collected = match context.sql(sql).await {
        Ok(frame) => frame.collect().await,
        Err(error) => Err(error),
    };
    let Ok(batches) = collected else { return "error".to_owned() };
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in &batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<_> = columns.iter().map(|column| column.value(row).to_string()).collect();
            rows.push(cells.join(","));
        }
    }
    rows.join("|")
}

/// A statement, the engine's answer, the right answer, and our repair.
const FAULTS: &[(&str, &str, &str, &str)] = &[
    (
        "SELECT 1 FROM (SELECT max(x) AS c0 FROM (VALUES (1)) t(x)) a WHERE 100000 < (SELECT count(*) FROM (VALUES (1), (2)) b)",
        "1",
        "no row",
        "pushdown.rs",
    ),
    (
        "SELECT k FROM (VALUES (1)) a(k) FULL JOIN (VALUES (4)) b(k) USING (k) ORDER BY k NULLS LAST",
        "1|",
        "1|4",
        "using.rs, https://github.com/apache/datafusion/issues/22881",
    ),
    (
        "SELECT k FROM (VALUES (1)) a(k) NATURAL RIGHT JOIN (VALUES (4)) b(k)",
        "",
        "4",
        "using.rs, https://github.com/apache/datafusion/issues/22881",
    ),
    (
        "SELECT * FROM (VALUES (2, 20)) z(k, x) LEFT JOIN (VALUES (1, 5)) a(k, y) USING (k)",
        "20,,",
        "2,20,",
        "using.rs, https://github.com/apache/datafusion/issues/22881",
    ),
    (
        "SELECT x FROM (VALUES (1), (1)) a(x) INTERSECT ALL SELECT y FROM (VALUES (1)) b(y)",
        "1|1",
        "1",
        "duplicates.rs, https://github.com/apache/datafusion/issues/12955",
    ),
    (
        "SELECT x FROM (VALUES (1), (1), (2)) a(x) EXCEPT ALL SELECT y FROM (VALUES (1), (2)) b(y)",
        "",
        "1",
        "duplicates.rs, https://github.com/apache/datafusion/issues/12956",
    ),
    (
        "SELECT g FROM (VALUES (1, 1), (2, 2)) o(id, g) \
         WHERE 3 NOT IN (SELECT id FROM (VALUES (1, 1), (NULL, 2)) i(id, g) WHERE i.g = o.g) ORDER BY 1",
        "1|2",
        "1",
        "membership.rs, https://github.com/apache/datafusion/issues/25347",
    ),
    (
        "SELECT id FROM (VALUES (1, 10), (2, 20), (4, 40)) o(id, z) \
         WHERE id NOT IN (SELECT i.id FROM (VALUES (1, 5), (NULL, 50)) i(id, z) WHERE i.z < o.z) ORDER BY 1",
        "",
        "2|4",
        "membership.rs, https://github.com/apache/datafusion/issues/25336",
    ),
    (
        "SELECT id FROM (VALUES (1), (2)) o(id) \
         WHERE id NOT IN (SELECT i.id FROM (VALUES (1), (NULL)) i(id) WHERE i.id = o.id) ORDER BY 1",
        "",
        "2",
        "membership.rs, https://github.com/apache/datafusion/issues/25480",
    ),
    (
        "SELECT x FROM (VALUES (1), (2)) o(x) WHERE nullif(x, x) NOT IN (SELECT id FROM (VALUES (1), (3)) i(id)) ORDER BY 1",
        "1|2",
        "",
        "membership.rs, https://github.com/apache/datafusion/issues/25474",
    ),
    (
        "SELECT x FROM (VALUES (2)) o(x) WHERE (x IN (SELECT y FROM (VALUES (1), (NULL)) i(y))) IS NULL",
        "",
        "2",
        "membership.rs, https://github.com/apache/datafusion/issues/25336",
    ),
    (
        "SELECT x FROM (VALUES (0), (1)) o(x) \
         WHERE x IN (SELECT count(*) FROM (VALUES (1)) i(y) WHERE i.y = o.x) ORDER BY 1",
        "1",
        "0|1",
        "membership.rs refuses it",
    ),
    (
        "SELECT lead(v, 2) IGNORE NULLS OVER (ORDER BY id) AS l FROM (VALUES (1, 10), (2, 20), (3, 30), (4, 40), (5, NULL), \
         (6, NULL), (7, 70), (8, 80), (9, NULL)) t(id, v) ORDER BY id LIMIT 3",
        "30|40|",
        "30|40|70",
        "shift.rs, https://github.com/apache/datafusion/issues/25471",
    ),
    (
        "SELECT 9223372036854775807 + 1",
        "-9223372036854775808",
        "an error",
        "arithmetic.rs, https://github.com/apache/datafusion/issues/17539",
    ),
    (
        "SELECT 10000000000 * 10000000000",
        "7766279631452241920",
        "an error",
        "arithmetic.rs, https://github.com/apache/datafusion/issues/17539",
    ),
    ("SELECT CAST(1.5 AS INT)", "1", "2", "arithmetic.rs"),
    (
        "SELECT sum(v) FROM (VALUES (9223372036854775807), (1)) t(v)",
        "-9223372036854775808",
        "an error",
        "sum.rs, https://github.com/apache/datafusion/issues/12140",
    ),
    ("SELECT avg(v) FROM (VALUES (9007199254740993)) t(v)", "9007199254740992.0", "9007199254740993", "average.rs"),
    (
        "SELECT median(v) FROM (VALUES (9007199254740993)) t(v)",
        "9007199254740992.0",
        "9007199254740993",
        "percentile.rs",
    ),
    ("SELECT round(0.285, 2)", "0.28", "0.29", "round.rs and parse_float_as_decimal"),
    ("SELECT 'abc' SIMILAR TO 'b'", "true", "false", "similar.rs, https://github.com/apache/datafusion/issues/22263"),
    (
        "SELECT count(*) FROM (VALUES (CAST(NULL AS INT))) t(i) WHERE i NOT IN (1) OR i NOT IN (2)",
        "1",
        "0",
        "in_lists.rs, https://github.com/apache/datafusion/issues/24246",
    ),
    ("SELECT regexp_like(s, '.*') FROM (VALUES (CAST(NULL AS VARCHAR))) t(s)", "false", "NULL", "in_lists.rs"),
    ("SELECT TIMESTAMP '2026-01-05' - TIMESTAMP '2026-01-01' > INTERVAL '1 day'", "false", "true", "intervals.rs"),
    (
        "SELECT count(*) FROM (VALUES (1)) d(x) WHERE EXISTS (SELECT 1 FROM (VALUES (1)) r(y) WHERE r.y = d.x OFFSET 100)",
        "1",
        "0",
        "membership.rs refuses it",
    ),
    ("SELECT to_char(DATE '2026-11-05', 'YYYY-MM')", "YYYY-MM", "2026-11", "to_char.rs"),
    ("SELECT date_part('second', TIMESTAMP '2026-01-01 00:00:01.5')", "1", "1.5", "parts.rs"),
    ("SELECT date_part('epoch', INTERVAL '1 year')", "31104000.0", "31557600", "parts.rs"),
    (
        "SELECT a FROM (SELECT column1 AS k, 10 AS a FROM (VALUES (1)) v) x RIGHT JOIN (VALUES (1), (2)) y(k) ON x.k = y.k \
         ORDER BY a DESC",
        "10|",
        "|10",
        "constants.rs",
    ),
    ("SELECT 5 AS b FROM (VALUES (1)) t(x) GROUP BY ROLLUP (5) ORDER BY 1", "|5", "5|", "constants.rs"),
    (
        "SELECT x FROM (VALUES (TIMESTAMP '2026-01-01 12:00:00'), (TIMESTAMP '2026-01-01 06:00:00')) t(x) \
         WHERE CAST(x AS DATE) = DATE '2026-01-01' ORDER BY x",
        "2026-01-01T12:00:00|2026-01-01T06:00:00",
        "06:00 first",
        "constants.rs",
    ),
    ("SELECT x FROM (VALUES (7), (6)) t(x) WHERE x / 2 = 3 ORDER BY x", "7|6", "6|7", "constants.rs"),
    (
        "SELECT k, max(n) FROM (SELECT k, y, count(*) AS n FROM (SELECT DISTINCT g.k, t.y FROM \
         (SELECT k FROM (VALUES (1)) v(k) GROUP BY k) g JOIN (VALUES (1, 10), (1, 5)) t(k, y) ON g.k = t.k) d \
         GROUP BY k, y) e GROUP BY k",
        "1,2",
        "1,1",
        "dependencies.rs",
    ),
    (
        "SELECT array_agg(DISTINCT x ORDER BY x DESC) FROM (SELECT x FROM (VALUES (1), (2)) v(x) ORDER BY x LIMIT 9) t",
        "[1, 2]",
        "[2, 1]",
        "distinct_lists.rs",
    ),
    (
        "SELECT count(*) FROM (VALUES (CAST(0.5 AS DECIMAL(2, 1)))) t(x) WHERE CAST(x AS DECIMAL(2, 0)) = 1",
        "0",
        "1",
        "narrow_cast.rs",
    ),
    ("SELECT count(*) FROM (VALUES (9999999999)) t(x) WHERE TRY_CAST(x AS INT) > 1", "1", "0", "narrow_cast.rs"),
    ("SELECT ceil(CAST(0.1 AS DECIMAL(1, 1)))", "error", "1", "ceiling.rs"),
    ("SELECT greatest(round(y, 0), y) FROM (SELECT CAST(1.5 AS DECIMAL(2, 1)) AS y) t", "error", "2", "round.rs"),
    ("SELECT DATE '2026-01-01' + INTERVAL '12 hours'", "2026-01-01", "2026-01-01 12:00:00", "local_times.rs"),
];

#[tokio::test]
async fn the_engine_still_has_the_mended_faults() {
    let context = SessionContext::new();
    for (sql, wrong, right, mend) in FAULTS {
        assert_eq!(rows(&context, sql).await, *wrong, "{sql}: right is {right}; perhaps the mend can go: {mend}");
    }
}

#[tokio::test]
async fn the_engine_still_confuses_a_days_two_midnights() {
    let config = SessionConfig::new().set_str("datafusion.execution.time_zone", "America/Havana");
    let context = SessionContext::new_with_config(config);
    let sql = "SELECT count(DISTINCT date_trunc('day', CAST(t AS TIMESTAMP WITH TIME ZONE))) FROM \
               (VALUES ('2026-11-01T04:30:00Z'), ('2026-11-01T05:30:00Z')) v(t)";
    assert_ne!(
        rows(&context, sql).await,
        "1",
        "perhaps truncate.rs can go: https://github.com/apache/datafusion/issues/25084"
    );
    let sql = "SELECT CAST(TIMESTAMP '2026-11-01 00:00:00' AS TIMESTAMP WITH TIME ZONE)";
    assert_eq!(
        rows(&context, sql).await,
        "error",
        "perhaps zone.rs can go: https://github.com/apache/arrow-rs/issues/11037"
    );
}

#[tokio::test]
async fn the_engine_still_drops_a_coarser_sort() {
    let field = Field::new("k", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false);
    let schema: SchemaRef = Arc::new(Schema::new(vec![field]));
    let times = Arc::new(TimestampMicrosecondArray::from(vec![3_600_000_000, 7_200_000_000]).with_timezone("UTC"));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![times]).unwrap();
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    context.register_table("v", Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap())).unwrap();
    let sql = "SELECT CAST(k AS DATE) AS c0, n FROM (SELECT k, sum(count(*)) OVER (ORDER BY k) AS n FROM v GROUP BY 1) t \
               ORDER BY c0, n DESC";
    assert_eq!(rows(&context, sql).await, "1970-01-01,1|1970-01-01,2", "perhaps sorted.rs can go");
}

/// The first files have no value of one column, so that only the other column makes the filter.
#[tokio::test]
async fn the_engine_still_loses_max_to_mins_filter() {
    let folder = tempfile::tempdir().unwrap();
    let schema: SchemaRef =
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Int64, true)]));
    let mut files = [[Some(1_i64), None]; 64];
    files[63] = [Some(8), Some(70_i64)];
    for (number, [a, b]) in files.into_iter().enumerate() {
        let columns: Vec<Arc<dyn arrow::array::Array>> =
            vec![Arc::new(Int64Array::from(vec![a])), Arc::new(Int64Array::from(vec![b]))];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let file = std::fs::File::create(folder.path().join(format!("{number:02}.parquet"))).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, Arc::clone(&schema), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
    let answer = async |is_on: bool| {
        let mut config = SessionConfig::new().with_target_partitions(2);
        config.options_mut().optimizer.enable_aggregate_dynamic_filter_pushdown = is_on;
        let context = SessionContext::new_with_config(config);
        let folder = folder.path().to_str().unwrap();
        context.register_parquet("t", folder, ParquetReadOptions::default()).await.unwrap();
        rows(&context, "SELECT min(a), max(b + 0) FROM t").await
    };
    assert_eq!(answer(false).await, "1,70");
    let issue = "https://github.com/apache/datafusion/issues/24816";
    assert_ne!(answer(true).await, "1,70", "perhaps the setting can go: {issue}");
    assert!(ConfigOptions::default().optimizer.enable_aggregate_dynamic_filter_pushdown);
}

/// A table that claims to apply every condition without columns, and does not, like a Delta table.
#[derive(Debug)]
struct Claiming(MemTable);

#[async_trait::async_trait]
impl TableProvider for Claiming {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        self.0.scan(session, projection, &[], limit).await
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        let claim = |filter: &&Expr| {
            let is_constant = filter.column_refs().is_empty();
            if is_constant { TableProviderFilterPushDown::Exact } else { TableProviderFilterPushDown::Inexact }
        };
        Ok(filters.iter().map(claim).collect())
    }
}

#[tokio::test]
async fn claiming_tables_never_get_unknown_conditions() {
    let table = || {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
        let column = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
        Arc::new(Claiming(MemTable::try_new(schema, vec![vec![batch]]).unwrap()))
    };
    let conditions = [
        "v > 0 AND NULL",
        "v BETWEEN 1 AND NULL",
        "v NOT IN (7, NULL)",
        "v > 0 AND nullif(1, 1) = 1",
        "v > 0 AND v <> NULL",
    ];
    let (ours, engine) = (SessionContext::new(), SessionContext::new());
    ours.register_table("t", exact(table())).unwrap();
    engine.register_table("t", table()).unwrap();
    let mut wrong = 0;
    for condition in conditions {
        let sql = format!("SELECT count(*) FROM t WHERE {condition}");
        assert_eq!(rows(&ours, &sql).await, "0", "{condition}");
        wrong += usize::from(rows(&engine, &sql).await != "0");
    }
    assert!(wrong > 0, "perhaps scan.rs can go: https://github.com/apache/datafusion/issues/23378");
    let counted = ours.sql("SELECT count(*) FROM t WHERE v > 1").await.unwrap().collect().await.unwrap();
    assert_eq!(counted.first().map(|batch| batch.column(0).as_primitive::<Int64Type>().value(0)), Some(2));
}
