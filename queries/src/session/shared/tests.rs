#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::QueryError;
use crate::session::options::QueryOptions;
use crate::session::query_session::QuerySession;
use crate::testing::{chain, csv, session, spilling_to, tables};

/// The number of readers of shared queries in the plan of a statement.
async fn readers(session: &QuerySession, sql: &str) -> usize {
    let plan = csv(session, &format!("EXPLAIN FORMAT INDENT {sql}")).await.join("\n");
    assert!(plan.contains("physical_plan"), "{sql}: {plan}");
    plan.matches("SharedExec: ").count()
}

async fn narrow(parent: &Path) -> QuerySession {
    let options = QueryOptions { memory_limit_bytes: 64 << 20, ..spilling_to(parent) };
    QuerySession::new(tables(&[], &[]), options).await.unwrap()
}

/// Files below a directory.
fn files(path: &Path) -> usize {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

async fn until(what: &str, reached: impl Fn() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_used_twice_is_computed_once() {
    let session = session(&[], &[]).await;
    let sql = "WITH r AS (SELECT max(value) AS x FROM generate_series(1, 17)) \
               SELECT a.x + b.x AS n FROM r AS a CROSS JOIN r AS b";
    assert_eq!(csv(&session, sql).await, ["n", "34"]);
    let explained = csv(&session, &format!("EXPLAIN ANALYZE {sql}")).await.join("\n");
    assert_eq!(explained.matches("SharedExec: r").count(), 2, "{explained}");
    assert_eq!(explained.matches("computed elsewhere").count(), 1, "{explained}");
    let source = explained.lines().find(|line| line.contains("LazyMemoryExec")).unwrap();
    assert!(source.contains("output_rows=17,"), "computed twice, or never: {source}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_costly_repeated_work_is_shared() {
    let session = session(&[], &[]).await;
    for (sql, expected) in [
        ("WITH r AS (SELECT count(*) AS n FROM users) SELECT * FROM r", 0),
        ("WITH r AS (SELECT user_id FROM user_events) SELECT * FROM r UNION ALL SELECT * FROM r", 0),
        ("SELECT a.user_id FROM users AS a INNER JOIN users AS b ON a.user_id = b.referred_by", 0),
        ("SELECT user_id FROM users AS a UNION ALL SELECT user_id FROM users AS a", 0),
        ("WITH r AS (SELECT DISTINCT random() AS n FROM user_events) SELECT * FROM r UNION ALL SELECT * FROM r", 0),
        ("WITH r AS (SELECT DISTINCT user_id FROM user_events) SELECT * FROM r UNION ALL SELECT * FROM r", 2),
        ("WITH r AS (SELECT user_id FROM user_events LIMIT 5) SELECT * FROM r UNION ALL SELECT * FROM r", 2),
        (
            "WITH r AS (SELECT user_id, row_number() OVER (ORDER BY user_id) FROM user_events) \
             SELECT * FROM r UNION ALL SELECT * FROM r UNION ALL SELECT * FROM r",
            3,
        ),
        // A part that only a shared query uses has one reader.
        (
            "WITH r AS (SELECT DISTINCT user_id FROM user_events), \
             s AS (SELECT user_id, count(*) AS n FROM r GROUP BY 1) SELECT a.n, b.n FROM s AS a CROSS JOIN s AS b",
            2,
        ),
        // A part that is used there and elsewhere is shared too.
        (
            "WITH r AS (SELECT DISTINCT user_id FROM user_events), \
             s AS (SELECT user_id, count(*) AS n FROM r GROUP BY 1) \
             SELECT a.n, b.n FROM s AS a CROSS JOIN s AS b CROSS JOIN r",
            4,
        ),
    ] {
        assert_eq!(readers(&session, sql).await, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_the_same_is_not_shared() {
    let session = session(&[], &[]).await;
    for sql in [
        "SELECT n FROM (SELECT count(*) AS n FROM generate_series(1, 10)) AS s \
         UNION ALL SELECT n FROM (SELECT count(*) AS n FROM generate_series(1, 100)) AS s ORDER BY 1",
        "SELECT n FROM (WITH r AS (SELECT count(*) AS n FROM range(10)) SELECT n FROM r) \
         UNION ALL SELECT n FROM (WITH r AS (SELECT count(*) AS n FROM range(100)) SELECT n FROM r) ORDER BY 1",
    ] {
        assert_eq!(csv(&session, sql).await, ["n", "10", "100"], "{sql}");
    }
    let lateral = "SELECT g.value AS v, l.n FROM generate_series(1, 2) AS g, \
                   LATERAL (SELECT count(*) AS n FROM transactions AS t WHERE t.points = g.value) AS l";
    let sql = format!("{lateral} UNION ALL {lateral} ORDER BY 1");
    assert_eq!(csv(&session, &sql).await, ["v,n", "1,0", "1,0", "2,0", "2,0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_shared_rows_do_not_interfere() {
    let session = session(&[], &[]).await;
    let with = "WITH r AS (SELECT value % 5 AS k, count(*) AS n FROM generate_series(1, 100) GROUP BY 1)";
    for (sql, expected) in [
        ("SELECT n FROM r WHERE k = 3 UNION ALL SELECT sum(n) FROM r ORDER BY 1", vec!["n", "20", "100"]),
        ("SELECT n FROM r WHERE random() < -1 UNION ALL SELECT sum(n) FROM r", vec!["n", "100"]),
        (
            "SELECT k AS n FROM (SELECT * FROM r ORDER BY k LIMIT 1) UNION ALL SELECT max(k) FROM r ORDER BY 1",
            vec!["n", "0", "4"],
        ),
        (
            "SELECT k + n AS n FROM r WHERE k = (SELECT min(k) FROM r) UNION ALL SELECT k + n FROM r WHERE k = 1 ORDER BY 1",
            vec!["n", "20", "21"],
        ),
        ("SELECT count(*) AS n FROM r AS a INNER JOIN r AS b ON a.k = b.k + 1", vec!["n", "4"]),
        ("SELECT k AS n FROM r EXCEPT SELECT k FROM r WHERE k > 0", vec!["n", "0"]),
    ] {
        let sql = format!("{with} {sql}");
        assert!(readers(&session, &sql).await >= 2, "{sql}");
        assert_eq!(csv(&session, &sql).await, expected, "{sql}");
    }
    let nobody = format!("{with} SELECT count(*) AS n FROM r WHERE false UNION ALL SELECT count(*) FROM r ORDER BY 1");
    assert_eq!(csv(&session, &nobody).await, ["n", "0", "5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_every_shape_are_shared() {
    let session = session(&[], &[]).await;
    let mixed = "WITH u AS (SELECT 1 AS n UNION SELECT 2.5), v AS (SELECT n, count(*) AS c FROM u GROUP BY 1) \
                 SELECT a.n AS n FROM v AS a INNER JOIN v AS b ON a.n = b.n ORDER BY 1";
    let recursive = "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 4), \
                     s AS (SELECT sum(n) AS total FROM t) SELECT a.total + b.total AS n FROM s AS a CROSS JOIN s AS b";
    let no_columns = "WITH r AS (SELECT FROM generate_series(1, 10) LIMIT 3) \
                      SELECT count(*) AS n FROM r AS a CROSS JOIN r AS b";
    for (sql, expected) in
        [(mixed, vec!["n", "1.0", "2.5"]), (recursive, vec!["n", "20"]), (no_columns, vec!["n", "9"])]
    {
        assert_eq!(readers(&session, sql).await, 2, "{sql}");
        assert_eq!(csv(&session, sql).await, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_chain_of_shared_queries_is_planned() {
    let session = session(&[], &[]).await;
    let mut sql = "WITH c0 AS (SELECT value AS k, count(*) AS n FROM generate_series(1, 3) GROUP BY 1)".to_owned();
    for link in 1..90 {
        sql += &format!(", c{link} AS (SELECT k, count(*) AS n FROM c{} GROUP BY 1)", link - 1);
    }
    sql += " SELECT count(*) AS n FROM c0";
    for link in 1..90 {
        sql += &format!(" UNION ALL SELECT count(*) FROM c{link}");
    }
    let counted = csv(&session, &sql).await;
    assert_eq!(counted.len(), 91);
    assert!(counted[1..].iter().all(|n| n == "3"), "{counted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_shared_rows_survive_on_disk() {
    let parent = tempfile::tempdir().unwrap();
    let session = narrow(parent.path()).await;
    let sql = "WITH r AS (SELECT value, count(*) AS n FROM generate_series(1, 600000) GROUP BY 1) \
               SELECT (SELECT 1) AS one, count(*) AS rows, sum(a.value) AS a, sum(b.value) AS b, sum(a.n) AS n \
               FROM r AS a INNER JOIN r AS b ON a.value = b.value";
    assert_eq!(readers(&session, sql).await, 2);
    let sum = 600_000_u64 * 600_001 / 2;
    assert_eq!(csv(&session, sql).await[1], format!("1,600000,{sum},{sum},600000"));
    assert_eq!(files(parent.path()), 0, "what was spilled is removed with the query");

    let two = "WITH r AS (SELECT value, count(*) AS n FROM generate_series(1, 2000000) GROUP BY 1) \
               SELECT value FROM r UNION ALL SELECT n FROM r";
    let mut stream = session.query(two).await.unwrap();
    stream.next().await.unwrap().unwrap();
    assert!(files(parent.path()) > 0, "2,000,000 rows are kept in memory");
    drop(stream);
    until("the files are removed", || files(parent.path()) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_shared_part_is_reported() {
    let session = session(&[], &[]).await;
    let sql = "WITH r AS (SELECT value % 3 AS k, max(1 / (value - 5)) AS n FROM generate_series(1, 10) GROUP BY 1) \
               SELECT a.n FROM r AS a INNER JOIN r AS b ON a.k = b.k";
    assert_eq!(readers(&session, sql).await, 2);
    let error = session.collect(sql).await.unwrap_err();
    assert!(matches!(error, QueryError::Execution { .. }), "{}", chain(&error));
    assert!(chain(&error).contains("ivide by zero"), "{}", chain(&error));
    let parent = tempfile::tempdir().unwrap();
    let options =
        QueryOptions { memory_limit_bytes: 64 << 20, spill_limit_bytes: 1 << 20, ..spilling_to(parent.path()) };
    let session = QuerySession::new(tables(&[], &[]), options).await.unwrap();
    let sql = "WITH r AS (SELECT DISTINCT value FROM generate_series(1, 600000)) \
               SELECT count(*) FROM r AS a INNER JOIN r AS b ON a.value = b.value";
    let error = session.collect(sql).await.unwrap_err();
    assert!(matches!(error, QueryError::MemoryLimit { .. }), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runaway_part_stops_at_the_time_limit() {
    let parent = tempfile::tempdir().unwrap();
    let options = QueryOptions { time_limit: Duration::from_millis(700), ..spilling_to(parent.path()) };
    let session = QuerySession::new(tables(&[], &[]), options).await.unwrap();
    let sql = "WITH r AS (SELECT DISTINCT value FROM generate_series(1, 1000000000000)) \
               SELECT a.value FROM r AS a INNER JOIN r AS b ON a.value = b.value";
    assert_eq!(readers(&session, sql).await, 2);
    assert!(matches!(session.collect(sql).await.unwrap_err(), QueryError::TimeLimit { .. }));
    let pool = &session.context.runtime_env().memory_pool;
    until("the work ends and gives back what it holds", || pool.reserved() == 0 && files(parent.path()) == 0).await;
}
