//! SQL text by an analyst, or by anybody.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bluelake_queries::{QueryOptions, QuerySession};
use bluelake_schemas::{Contract, Stream};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use tokio::runtime::Runtime;

struct Lake {
    runtime: Runtime,
    session: QuerySession,
}

static LAKE: LazyLock<Lake> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let contract = Contract::embedded().expect("the built-in contract is sound");
    let tables = Stream::ALL.map(|stream| {
        let table = MemTable::try_new(contract.stream(stream).table_schema(), vec![vec![]]).expect("an empty table");
        (stream.table().to_owned(), Arc::new(table) as Arc<dyn TableProvider>)
    });
    let options =
        QueryOptions { memory_limit_bytes: 16 << 20, time_limit: Duration::from_secs(2), ..QueryOptions::default() };
    let session = runtime.block_on(QuerySession::new(tables.to_vec(), options)).expect("a session");
    Lake { runtime, session }
});

/// Runs a statement. It ends in an answer or a refusal within its time, and leaves tables and views unchanged.
///
/// # Panics
/// When that does not hold.
pub fn sql(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lake = &*LAKE;
    let before = lake.session.tables();
    let began = std::time::Instant::now();
    // A refusal is an answer too.
    let _ = lake.runtime.block_on(lake.session.collect(text));
    assert!(began.elapsed() < Duration::from_secs(10), "the time limit did not hold");
    assert_eq!(before, lake.session.tables());
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "SELECT event_type, count(*) FROM transactions GROUP BY 1 ORDER BY 2 DESC",
        "WITH a AS (SELECT * FROM donations WHERE points > 10) SELECT donor_id, sum(points) OVER (PARTITION BY zip_code) FROM a",
        "SELECT date_trunc('week', local_date), median(points) FROM donations GROUP BY ALL LIMIT 3",
        "EXPLAIN SELECT * FROM users u JOIN interactions i ON u.user_id = i.civilian_id",
        "DESCRIBE transactions",
        "SHOW TABLES",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "SELECT * FROM '/etc/passwd'",
        "SET datafusion.execution.batch_size = 1; SELECT 1",
        "SELECT CASE WHEN zip_code LIKE '6%' THEN 'a' ELSE $1 END FROM interactions -- comment",
        "SELECT unnest(items) FROM redemptions /* c */ WHERE occurred_at >= '2026-01-01T00:00:00Z'::timestamptz",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
