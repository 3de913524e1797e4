#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::json;

use crate::error::QueryError;
use crate::session::query_session::QuerySession;
use crate::testing::{chain, csv, event, options, session};

#[tokio::test]
async fn tables_and_views_are_listed_and_described() {
    let session = session(&[], &[]).await;
    let names = [
        "calendar",
        "donations",
        "interactions",
        "points_ledger",
        "redemption_items",
        "redemptions",
        "rejected_events",
        "transactions",
        "transfers",
        "user_events",
        "users",
    ];
    assert_eq!(session.tables(), names);
    let shown = csv(&session, "SHOW TABLES").await;
    for name in names {
        assert!(shown.iter().any(|line| line.starts_with(&format!("bluelake,public,{name},"))), "{name} in {shown:?}");
    }
    let described = csv(&session, "DESCRIBE users").await;
    assert!(described.iter().any(|line| line.starts_with("deactivated_at,")), "{described:?}");
    assert!(csv(&session, "SHOW COLUMNS FROM donations").await.len() > 5);
    assert!(csv(&session, "EXPLAIN SELECT * FROM users").await.len() > 1);
    assert_eq!(csv(&session, "VALUES (1), (2)").await[1..], ["1", "2"]);
    assert_eq!(csv(&session, "WITH t AS (SELECT 1 AS n) SELECT n FROM t;").await[1..], ["1"]);
}

#[tokio::test]
async fn a_query_names_the_tables_that_it_read() {
    let session = session(&[], &[]).await;
    let sql = "SELECT * FROM donations WHERE donor_id IN (SELECT user_id FROM users)";
    assert_eq!(session.query(sql).await.unwrap().tables(), ["transactions", "user_events"]);
    assert!(session.query("SHOW TABLES").await.unwrap().tables().is_empty());
}

#[tokio::test]
async fn unknown_names_get_the_nearest_known_one() {
    let session = session(&[], &[]).await;
    let cases = [
        ("SELECT * FROM user", "there is no table \"user\"; did you mean users?"),
        ("SELECT * FROM zzz", "there is no table \"zzz\"; there are calendar, donations"),
        ("SELECT * FROM other.users", "there is no table \"users\""),
        ("SELECT zip_cod FROM users", "Did you mean 'users.zip_code'?"),
        ("SELECT medan(points) FROM donations", "Did you mean 'me"),
    ];
    for (sql, expected) in cases {
        let message = chain(&session.query(sql).await.err().unwrap());
        assert!(message.contains(expected), "{sql}: {message}");
    }
}

#[tokio::test]
async fn a_lake_without_tables_answers_what_needs_none() {
    let session = QuerySession::new(Vec::new(), options()).await.unwrap();
    assert_eq!(csv(&session, "SELECT 1 + 1 AS n").await, ["n", "2"]);
    let message = chain(&session.query("SELECT * FROM transactions").await.err().unwrap());
    assert_eq!(message, "there is no table \"transactions\"; there are none");
}

#[tokio::test]
async fn empty_tables_give_empty_results() {
    let session = session(&[], &[]).await;
    for table in session.tables() {
        assert_eq!(csv(&session, &format!("SELECT * FROM {table}")).await.len(), 1, "{table}");
    }
}

#[tokio::test]
async fn sums_of_points_are_exact() {
    let points = 9_007_199_254_740_993_i64;
    let gift = |at| event("donation", at, json!({"donor_id": "a", "points": points}));
    let session = session(&[], &[gift("2026-01-01T00:00:00Z"), gift("2026-01-01T00:00:01Z")]).await;
    assert_eq!(csv(&session, "SELECT sum(points) FROM donations").await[1], (2 * points).to_string());
}

#[tokio::test]
async fn an_unplannable_query_says_what_is_wrong() {
    let session = session(&[], &[]).await;
    // Without brackets the second comparison belongs to the right side of the first.
    let sql = "SELECT count(*) FROM donations AS a INNER JOIN donations AS b \
               ON a.donor_id IS NOT DISTINCT FROM b.donor_id AND a.points IS NOT DISTINCT FROM b.points";
    let message = chain(&session.collect(sql).await.unwrap_err());
    assert!(message.contains("Boolean") && !message.contains("type_coercion"), "{message}");
    let brackets = sql.replace("ON ", "ON (").replace(" AND ", ") AND ");
    assert_eq!(csv(&session, &brackets).await[1..], ["0"]);
}

#[tokio::test]
async fn a_placeholder_without_a_value_is_an_error() {
    let session = session(&[], &[]).await;
    let failed = match session.query("SELECT * FROM users WHERE user_id = $id").await {
        Err(error) => error,
        Ok(stream) => stream.collect().await.unwrap_err(),
    };
    assert!(chain(&failed).contains("$id"), "{}", chain(&failed));
    assert!(matches!(failed, QueryError::Plan(_) | QueryError::Execution(_)));
}
