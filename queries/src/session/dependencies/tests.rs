#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use crate::testing::{csv, session};

/// Rows (1, 10), (1, 5), (2, 7), (2, 3) of `k` and `y`, with `k` as a group that is joined to them.
const JOINED: &str = "(SELECT g.k, t.y FROM (SELECT k FROM (VALUES (1), (1), (2)) v(k) GROUP BY k) g \
                      JOIN (VALUES (1, 10), (1, 5), (2, 7), (2, 3)) t(k, y) ON g.k = t.k)";

#[tokio::test]
async fn a_key_of_one_side_of_a_join_is_no_key_of_what_is_grouped_above() {
    let session = session(&[], &[]).await;
    for (sql, expected) in [
        (
            "SELECT k, max(n) FROM (SELECT k, y, count(*) AS n FROM (SELECT DISTINCT k, y FROM JOINED j) d GROUP BY 1, 2) e \
             GROUP BY k ORDER BY k",
            "1,1|2,1",
        ),
        ("SELECT k, y FROM (SELECT DISTINCT k, y FROM JOINED j) d ORDER BY k, y", "1,5|1,10|2,3|2,7"),
        ("SELECT DISTINCT k, y FROM JOINED j ORDER BY k, y DESC", "1,10|1,5|2,7|2,3"),
        ("SELECT count(*) FROM (SELECT DISTINCT k FROM (SELECT DISTINCT k, y FROM JOINED j) d) e", "2"),
        ("SELECT k, count(*) FROM (SELECT DISTINCT k, y FROM JOINED j) d GROUP BY k ORDER BY k", "1,2|2,2"),
        ("WITH d AS (SELECT DISTINCT k, y FROM JOINED j) SELECT k, sum(y) FROM d GROUP BY k ORDER BY k", "1,15|2,10"),
        (
            "WITH g AS (SELECT k, count(*) AS n FROM JOINED j GROUP BY k), d AS (SELECT g.k, y, n FROM g JOIN JOINED j ON g.k = j.k GROUP BY 1, 2, 3) \
             SELECT k, count(*) FROM d GROUP BY k ORDER BY k",
            "1,2|2,2",
        ),
        (
            "SELECT v.k, count(e.k) FROM (VALUES (1), (2)) v(k) \
             LEFT JOIN (SELECT k, y FROM JOINED j GROUP BY k, y) e ON v.k = e.k GROUP BY v.k ORDER BY 1",
            "1,2|2,2",
        ),
        (
            "SELECT v.k FROM (VALUES (1), (2)) v(k) LEFT JOIN (SELECT DISTINCT k, y FROM JOINED j) e ON v.k = e.k ORDER BY 1",
            "1|1|2|2",
        ),
        (
            "SELECT DISTINCT k FROM (SELECT k, unnest(all_y) AS y FROM (SELECT k, array_agg(y) AS all_y FROM JOINED j GROUP BY k) l) u ORDER BY k",
            "1|2",
        ),
        (
            "SELECT k, row_number() OVER (ORDER BY k, y) AS n, y FROM (SELECT DISTINCT k, y FROM JOINED j) d ORDER BY n",
            "1,1,5|1,2,10|2,3,3|2,4,7",
        ),
    ] {
        let sql = sql.replace("JOINED", JOINED);
        assert_eq!(csv(&session, &sql).await[1..].join("|"), expected, "{sql}");
    }
}

#[tokio::test]
async fn conditions_and_the_choice_of_columns_pass_through() {
    let session = session(&[], &[]).await;
    let sql = "EXPLAIN FORMAT INDENT SELECT u.user_id, d.n FROM users u \
               JOIN (SELECT donor_id, count(*) AS n, sum(points) AS s FROM donations GROUP BY donor_id) d \
               ON u.user_id = d.donor_id WHERE d.donor_id = 'a' LIMIT 3";
    let plan = csv(&session, sql).await.join("\n");
    assert!(plan.contains("ForgetDependencies"), "{plan}");
    let (logical, physical) = plan.split_once("physical_plan").unwrap();
    assert!(!physical.contains("ForgetDependencies"), "{plan}");
    assert!(!logical.contains("sum("), "a column that nobody needs is not computed: {plan}");
    let (above, below) = logical.split_once("ForgetDependencies").unwrap();
    for condition in ["transactions.donor_id = ", "user_events.user_id = "] {
        assert!(below.contains(condition) && !above.contains(condition), "it reaches the files: {plan}");
    }
}
