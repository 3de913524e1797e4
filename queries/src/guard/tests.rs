#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::json;

use super::*;
use crate::testing::{chain, csv, event, session};

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_that_does_more_than_read_is_refused_and_nothing_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out.csv");
    std::fs::write(folder.path().join("in.csv"), "a\n1\n").unwrap();
    let (target, source) = (target.display().to_string(), folder.path().join("in.csv").display().to_string());
    let user = event("user_created", "2026-01-01T00:00:00Z", json!({"user_id": "a"}));
    let session = session(&[user], &[]).await;
    let tables = session.tables();
    let statements = [
        format!("COPY user_events TO '{target}'"),
        format!("COPY (SELECT 1) TO '{target}' STORED AS CSV"),
        format!("EXPLAIN COPY (SELECT 1) TO '{target}' STORED AS CSV"),
        format!("EXPLAIN ANALYZE COPY (SELECT 1) TO '{target}' STORED AS CSV"),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{source}'"),
        "CREATE TABLE t AS SELECT 1".to_owned(),
        "CREATE VIEW t AS SELECT 1".to_owned(),
        "CREATE OR REPLACE VIEW users AS SELECT 1".to_owned(),
        "CREATE SCHEMA s".to_owned(),
        "CREATE DATABASE d".to_owned(),
        "CREATE FUNCTION f(BIGINT) RETURNS BIGINT RETURN $1 + 1".to_owned(),
        "DROP TABLE user_events".to_owned(),
        "DROP VIEW users".to_owned(),
        "ALTER TABLE user_events ADD COLUMN x INT".to_owned(),
        "TRUNCATE TABLE user_events".to_owned(),
        "INSERT INTO user_events SELECT * FROM user_events".to_owned(),
        "EXPLAIN INSERT INTO user_events SELECT * FROM user_events".to_owned(),
        "EXPLAIN ANALYZE INSERT INTO user_events SELECT * FROM user_events".to_owned(),
        "WITH t AS (SELECT 1) INSERT INTO user_events SELECT * FROM user_events".to_owned(),
        "UPDATE user_events SET user_id = 'b'".to_owned(),
        "DELETE FROM user_events".to_owned(),
        "SELECT * INTO t FROM users".to_owned(),
        "SET datafusion.execution.time_zone = 'UTC'".to_owned(),
        "RESET datafusion.execution.time_zone".to_owned(),
        "PREPARE p AS SELECT 1".to_owned(),
        "EXECUTE p".to_owned(),
        "DEALLOCATE p".to_owned(),
        "BEGIN".to_owned(),
        "COMMIT".to_owned(),
        "USE other".to_owned(),
        "ANALYZE TABLE user_events".to_owned(),
        "GRANT SELECT ON user_events TO public".to_owned(),
        "SELECT 1; SELECT 2".to_owned(),
        "SELECT 1; DROP TABLE user_events".to_owned(),
        String::new(),
        "-- only a comment".to_owned(),
    ];
    for sql in statements {
        let error = session.query(&sql).await.err().unwrap();
        let message = chain(&error);
        assert!(matches!(error, QueryError::Forbidden { .. } | QueryError::Syntax(_)), "{sql}: {message}");
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
    for function in ["read_csv", "read_parquet", "parquet_metadata", "list_files_cache", "metadata_cache"] {
        let sql = format!("SELECT * FROM {function}('{path}')");
        assert!(session.query(&sql).await.is_err(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_too_long_or_too_deep_is_refused_before_the_planner() {
    let session = session(&[], &[]).await;
    let long = format!("SELECT '{}'", "x".repeat(SQL_BYTES_MAX));
    assert!(matches!(session.query(&long).await.err(), Some(QueryError::TooLong { .. })));
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
async fn what_is_just_within_the_limits_runs_on_a_thread_with_little_stack() {
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
