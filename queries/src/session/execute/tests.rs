#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::datatypes::Schema;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use super::*;
use crate::limits::memory::MemoryWatch;
use crate::testing::{chain, csv, options, spilling_to, tables};

async fn limited(options: QueryOptions) -> QuerySession {
    QuerySession::new(tables(&[], &[]), options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runaway_join_ends_at_its_limit() {
    let limit = Duration::from_millis(500);
    let session = limited(QueryOptions { time_limit: limit, ..options() }).await;
    let runaway = [
        "SELECT sum(a.value % 7 * b.value) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b",
        "SELECT count(*) FROM generate_series(1, 1000000) a JOIN generate_series(1, 1000000) b ON a.value < b.value",
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t",
    ];
    for sql in runaway {
        let started = Instant::now();
        let error = match session.query(sql).await {
            Err(error) => error,
            Ok(stream) => stream.collect().await.unwrap_err(),
        };
        assert!(matches!(error, QueryError::TimeLimit { .. }), "{sql}: {}", chain(&error));
        assert!(started.elapsed() < limit * 6, "{sql} took {:?}", started.elapsed());
    }
    assert_eq!(csv(&session, "SELECT 1 AS n").await[1], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_costs_no_query_time() {
    let session = limited(QueryOptions { time_limit: Duration::from_millis(500), ..options() }).await;
    let mut stream = session.query("SELECT value FROM generate_series(1, 100000)").await.unwrap();
    stream.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(stream.next().await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_beyond_its_memory_says_so() {
    let session = limited(QueryOptions { memory_limit_bytes: 1 << 20, ..options() }).await;
    let sql = "SELECT sum(a.value + b.value) FROM generate_series(1, 5000000) a, generate_series(1, 5000000) b";
    let error = session.collect(sql).await.unwrap_err();
    assert!(matches!(error, QueryError::MemoryLimit { limit_bytes: 1_048_576, .. }), "{}", chain(&error));
    assert!(chain(&error).contains("memory limit of 1 MiB"), "{}", chain(&error));
    assert_eq!(csv(&session, "SELECT 1 AS n").await[1], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_half_way_is_an_error() {
    let session = limited(options()).await;
    let error = session.collect("SELECT 1 / (value - 50000) FROM generate_series(1, 100000)").await.unwrap_err();
    assert!(matches!(error, QueryError::Execution(_)), "{}", chain(&error));
    assert!(chain(&error).to_lowercase().contains("divide by zero"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_result_ends_with_none() {
    let session = limited(options()).await;
    let mut stream = session.query("SELECT value FROM generate_series(1, 3)").await.unwrap();
    let mut rows = 0;
    while let Some(batch) = stream.next().await.unwrap() {
        rows += batch.num_rows();
    }
    assert_eq!(rows, 3);
    assert!(stream.next().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_stopped_for_memory_is_incomplete() {
    let (sender, memory) = MemoryWatch::by_hand(7);
    let endless = RecordBatchStreamAdapter::new(Arc::new(Schema::empty()), futures::stream::pending());
    let allowance = Allowance { memory, time_left: Duration::from_secs(300) };
    let mut stream = QueryStream::start(limited(options()).await, Box::pin(endless), Vec::new(), allowance);
    sender.send_replace(Some(1 << 20));
    // A reader that checked for the overrun just before only sees that the batches end.
    assert!(stream.batches.recv().await.is_none());
    let error = stream.finish().await.unwrap_err();
    assert!(matches!(error, QueryError::MemoryLimit { limit_bytes: 7, .. }), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_keeps_its_spill_folder() {
    let parent = tempfile::tempdir().unwrap();
    let session = limited(spilling_to(parent.path())).await;
    let stream = session.query("SELECT 1 AS n").await.unwrap();
    drop(session);
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
    assert_eq!(stream.collect().await.unwrap().len(), 1);
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
}

/// Without the guard the left side is computed again when memory is short, and an exchange below would panic.
#[tokio::test(flavor = "multi_thread")]
async fn a_join_without_memory_fails_without_panic() {
    let refused = "WITH s AS (SELECT value % 3 AS k, count(*) AS users FROM generate_series(1, 1000) GROUP BY 1) \
                   SELECT count(*) FROM s CROSS JOIN (SELECT unnest(range(0, 80001)) AS n) AS numbers \
                   CROSS JOIN (SELECT max(users) AS most FROM s) AS last WHERE s.users + numbers.n <= last.most";
    let loaded = "WITH s AS (SELECT value % 500000 AS k, count(*) AS users FROM generate_series(1, 1000000) GROUP BY 1) \
                  SELECT count(*) FROM s LEFT JOIN generate_series(1, 10000000) AS b ON s.k + b.value < s.users";
    for (sql, megabytes) in [(refused, 256), (loaded, 8)] {
        let session = limited(QueryOptions { memory_limit_bytes: megabytes << 20, ..options() }).await;
        let error = session.collect(sql).await.unwrap_err();
        assert!(matches!(error, QueryError::MemoryLimit { .. }), "{}", chain(&error));
        assert!(!chain(&error).contains("panicked"), "{}", chain(&error));
    }
}
