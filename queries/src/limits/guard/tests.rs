#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::json;

use super::*;
use crate::error::QueryError;
use crate::testing::{chain, csv, event, session};

/// Statements that do more than read; `{target}` would be written and `{source}` read.
const FORBIDDEN: &[&str] = &[
    "COPY user_events TO '{target}'",
    "COPY (SELECT 1) TO '{target}' STORED AS CSV",
    "EXPLAIN COPY (SELECT 1) TO '{target}' STORED AS CSV",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{target}' STORED AS CSV",
    "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{source}'",
    "CREATE TABLE t AS SELECT 1",
    "CREATE VIEW t AS SELECT 1",
    "CREATE OR REPLACE VIEW users AS SELECT 1",
    "CREATE SCHEMA s",
    "CREATE DATABASE d",
    "CREATE FUNCTION f(BIGINT) RETURNS BIGINT RETURN $1 + 1",
    "DROP TABLE user_events",
    "DROP VIEW users",
    "ALTER TABLE user_events ADD COLUMN x INT",
    "TRUNCATE TABLE user_events",
    "INSERT INTO user_events SELECT * FROM user_events",
    "EXPLAIN INSERT INTO user_events SELECT * FROM user_events",
    "EXPLAIN ANALYZE INSERT INTO user_events SELECT * FROM user_events",
    "WITH t AS (SELECT 1) INSERT INTO user_events SELECT * FROM user_events",
    "UPDATE user_events SET user_id = 'b'",
    "DELETE FROM user_events",
    "SELECT * INTO t FROM users",
    "SET datafusion.execution.time_zone = 'UTC'",
    "RESET datafusion.execution.time_zone",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "EXPLAIN EXECUTE p",
    "BEGIN",
    "START TRANSACTION",
    "SAVEPOINT s",
    "ROLLBACK",
    "COMMIT",
    "MERGE INTO user_events t USING users u ON t.user_id = u.user_id WHEN MATCHED THEN DELETE",
    "EXPLAIN ANALYZE DELETE FROM user_events",
    "WITH t AS (DELETE FROM user_events RETURNING *) SELECT * FROM t",
    "SELECT * FROM (INSERT INTO user_events SELECT * FROM user_events) t",
    "DROP SCHEMA public CASCADE",
    "ALTER VIEW users AS SELECT 1",
    "ALTER SESSION SET x = 1",
    "CREATE INDEX i ON user_events (user_id)",
    "CREATE MATERIALIZED VIEW v AS SELECT 1",
    "CREATE UNBOUNDED EXTERNAL TABLE t (a INT) STORED AS CSV LOCATION '/tmp/x'",
    "SET TIME ZONE 'Europe/Berlin'",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SET ROLE admin",
    "DISCARD ALL",
    "DECLARE c CURSOR FOR SELECT 1",
    "FETCH ALL FROM c",
    "CALL p()",
    "ATTACH DATABASE 'x.db' AS x",
    "LOAD x",
    "INSTALL x",
    "LOCK TABLES user_events WRITE",
    "LISTEN c",
    "KILL 1",
    "PRAGMA x",
    "VACUUM",
    "UNLOAD (SELECT 1) TO '{target}'",
    "SELECT 1 INTO OUTFILE '{target}'",
    "EXPORT DATA OPTIONS(uri='{target}') AS SELECT 1",
    "LOAD DATA INPATH '{source}' INTO TABLE user_events",
    // Dressed up.
    "/* SELECT */ CoPy /**/ (SELECT 1)\tTO\n'{target}'",
    "--\nDROP--\nTABLE user_events",
    "/* /* */ */ DELETE FROM user_events",
    "(DELETE FROM user_events)",
    "\u{feff}DROP TABLE user_events",
    "DROP\u{a0}TABLE user_events",
    "\u{ff24}ROP TABLE user_events",
    "SELECT 1;;DELETE FROM user_events",
    "SELECT 1 --\n; DELETE FROM user_events",
    "SELECT 1\0; DELETE FROM user_events",
    "USE other",
    "ANALYZE TABLE user_events",
    "GRANT SELECT ON user_events TO public",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE user_events",
    "",
    "-- only a comment",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_writing_statement_is_refused_without_effect() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out.csv");
    std::fs::write(folder.path().join("in.csv"), "a\n1\n").unwrap();
    let (target, source) = (target.display().to_string(), folder.path().join("in.csv").display().to_string());
    let user = event("user_created", "2026-01-01T00:00:00Z", json!({"user_id": "a"}));
    let session = session(&[user], &[]).await;
    let tables = session.tables();
    for template in FORBIDDEN {
        let sql = template.replace("{target}", &target).replace("{source}", &source);
        let error = session.query(&sql).await.err().unwrap();
        let message = chain(&error);
        assert!(
            matches!(error, QueryError::Refused(Refusal::Forbidden { .. } | Refusal::Syntax(_))),
            "{sql}: {message}"
        );
        assert!(!std::fs::exists(&target).unwrap(), "{sql} wrote a file");
    }
    assert_eq!(session.tables(), tables);
    assert_eq!(csv(&session, "SELECT user_id FROM user_events").await[1..], ["a"]);
    assert_eq!(session.options().time_zone.name(), "UTC");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_addresses_are_not_tables() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secrets.csv");
    std::fs::write(&file, "a\n1\n").unwrap();
    let session = session(&[], &[]).await;
    let path = file.display();
    let texts = [
        format!("SELECT * FROM '{path}'"),
        format!("SELECT * FROM \"{path}\""),
        format!("SELECT * FROM \"file://{path}\""),
        "SELECT * FROM 's3://bucket/key.parquet'".to_owned(),
        "SELECT * FROM \"https://example.org/x.json\"".to_owned(),
        "SELECT * FROM secrets.csv".to_owned(),
    ];
    for sql in texts {
        let message = chain(&session.query(&sql).await.err().unwrap());
        assert!(
            message.contains("is not a table: files and URLs cannot be queried, only calendar, donations"),
            "{sql}: {message}"
        );
    }
    let functions = [
        "read_csv",
        "read_parquet",
        "read_json",
        "read_text",
        "read_blob",
        "glob",
        "parquet_metadata",
        "list_files_cache",
        "metadata_cache",
        "statistics_cache",
        "pg_read_file",
        "load_file",
        "delta_scan",
        "iceberg_scan",
        "s3",
        "url",
        "file",
    ];
    for function in functions {
        for sql in [format!("SELECT * FROM {function}('{path}')"), format!("SELECT {function}('{path}')")] {
            assert!(session.query(&sql).await.is_err(), "{sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_around_is_allowed() {
    let session = session(&[], &[]).await;
    for sql in [
        "SHOW TABLES",
        "SHOW COLUMNS FROM users",
        "SHOW ALL",
        "SHOW datafusion.execution.batch_size",
        "SHOW FUNCTIONS",
        "DESCRIBE users",
        "EXPLAIN SELECT * FROM users",
        "EXPLAIN ANALYZE SELECT count(*) FROM users",
        "EXPLAIN FORMAT TREE SELECT 1",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.columns WHERE table_name = 'users'",
        "VALUES (1)",
        "SELECT * FROM generate_series(1, 3)",
        "/* a comment */ SELECT 1 -- and one more",
        "SELECT 'DROP TABLE users; --'",
    ] {
        let answered = session.collect(sql).await;
        assert!(answered.is_ok(), "{sql}: {}", answered.err().map(|error| chain(&error)).unwrap_or_default());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_long_or_deep_texts_are_never_planned() {
    let session = session(&[], &[]).await;
    let long = format!("SELECT '{}'", "x".repeat(SQL_BYTES_MAX));
    assert!(matches!(session.query(&long).await.err(), Some(QueryError::Refused(Refusal::TooLong { .. }))));
    let chains = [
        format!("SELECT {}", vec!["1"; 12_000].join(" OR ")),
        format!("SELECT {}", vec!["1"; 20_000].join("+")),
        format!("SELECT {}1", "- ".repeat(20_000)),
        format!("SELECT 1 WHERE {} true", "NOT ".repeat(15_000)),
        format!("SELECT {}", vec!["f(1, 2)"; 6_000].join("+")),
        format!("SELECT 1{}", "::INT".repeat(10_000)),
        format!("SELECT a{}", "[1]".repeat(10_000)),
        "SELECT 1, 2".to_owned() + &" UNION SELECT 1, 2".repeat(3_000),
        format!("SELECT 1 FROM (VALUES (1)) t {}", "JOIN users u USING (x) ".repeat(2_000)),
        format!("SELECT 1 FROM users a{}", ", users b".repeat(5_000)),
        format!("SELECT {}", "CASE WHEN a THEN 1 ELSE ".repeat(2_000)),
        format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
    ];
    for sql in chains {
        assert!(sql.len() <= SQL_BYTES_MAX, "{}", &sql[..40]);
        assert!(session.query(&sql).await.is_err(), "{}", &sql[..40]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_statements_fit_a_small_stack() {
    let session = session(&[], &[]).await;
    let terms: Vec<_> = (0..CHAIN_MAX / 2).map(|term| format!("zip_code = '{term}'")).collect();
    let within = [
        format!("SELECT user_id FROM users WHERE {}", terms.join(" OR ")),
        format!("SELECT {}", vec!["length(zip_code)"; CHAIN_MAX / 2].join(" + ")) + " FROM users",
        "SELECT 1 AS n".to_owned() + &" UNION ALL SELECT 1".repeat(COMBINED_MAX),
    ];
    for sql in within {
        csv(&session, &sql).await;
    }
    let values: Vec<_> = (0..10_000).map(|value| format!("'{value}'")).collect();
    let list = format!("SELECT user_id FROM user_events WHERE user_id IN ({})", &values[..7_000].join(","));
    csv(&session, &list).await;
}
