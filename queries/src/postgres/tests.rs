#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use chrono_tz::Tz;
use serde_json::{Value, json};

use crate::session::options::QueryOptions;
use crate::session::query_session::QuerySession;
use crate::testing::{chain, csv, event, options, session, tables};

/// The rows of an answer, or `error: …`.
async fn answer(session: &QuerySession, sql: &str) -> String {
    match session.collect(sql).await {
        Ok(_) => csv(session, sql).await[1..].join("|"),
        Err(error) => format!("error: {}", chain(&error)),
    }
}

async fn assert_answers(session: &QuerySession, cases: &[(&str, &str)]) {
    let mut faults = Vec::new();
    for (sql, expected) in cases {
        let found = answer(session, sql).await;
        let is_right = match expected.strip_prefix("error: ") {
            Some(part) => found.starts_with("error: ") && found.contains(part),
            None => found == *expected,
        };
        if !is_right {
            faults.push(format!("{sql}\n  found    {found}\n  expected {expected}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn events() -> Vec<Value> {
    let gift = |day: u32, donor: &str, points: i64| {
        let fields = json!({"donor_id": donor, "donor_kind": "civilian", "recipient_id": "x", "recipient_kind": "charity", "points": points});
        event("donation", &format!("2026-11-0{day}T10:00:00Z"), fields)
    };
    let spent = |day: u32, redeemer: &str, points: i64| {
        let fields = json!({"redeemer_id": redeemer, "redeemer_kind": "civilian", "provider_id": "m", "provider_kind": "merchant",
            "purpose": "goods", "points": points});
        event("redemption", &format!("2026-11-0{day}T11:00:00Z"), fields)
    };
    let met = |hour: u32| {
        let fields = json!({"civilian_id": "civ-9", "officer_id": "o", "method": "qr", "points_civilian": 10, "points_officer": 5});
        event("interaction", &format!("2026-11-02T{hour}:00:00Z"), fields)
    };
    vec![
        gift(3, "civ-1", 10),
        gift(4, "civ-2", 20),
        gift(5, "civ-1", 3),
        spent(4, "civ-1", 5),
        spent(6, "civ-3", 7),
        met(11),
        met(12),
    ]
}

#[tokio::test]
async fn a_condition_that_is_always_unknown_takes_no_row() {
    let session = session(&[], &events()).await;
    let cases = [
        "SELECT count(*) FROM donations WHERE donor_id NOT IN ('civ-2', NULL)",
        "SELECT count(*) FROM transactions WHERE points BETWEEN 1 AND NULL",
        "SELECT count(*) FROM transactions WHERE donor_id = 'civ-1' AND zip_code <> NULL",
        "SELECT count(*) FROM donations d JOIN redemptions r ON d.donor_id = r.redeemer_id AND NULL",
        "SELECT count(*) FROM donations WHERE points > 5 AND nullif(1, 1) = 1",
        "SELECT count(*) FROM donations WHERE event_date NOT IN (DATE '2000-01-01', NULL)",
        "SELECT count(*) FROM transactions WHERE event_type NOT IN ('x', NULL)",
        // Lists on one value that are put together, and a text that is not there.
        "SELECT count(*) FROM (VALUES (CAST(NULL AS INT))) t(i) WHERE i NOT IN (1) OR i NOT IN (2)",
        "SELECT count(*) FROM (VALUES (CAST(NULL AS INT))) t(i) WHERE NOT (i IN (1) AND i IN (2) AND i IN (3))",
        "SELECT count(*) FROM (VALUES (CAST(NULL AS INT))) t(i) WHERE NOT (i IN (1, 2, 3, 4, 5) AND i NOT IN (1, 2, 3, 4, 5))",
        "SELECT count(*) FROM (VALUES (CAST(NULL AS VARCHAR))) t(s) WHERE NOT regexp_like(s, 'a')",
    ];
    for sql in cases {
        assert_eq!(answer(&session, sql).await, "0", "{sql}");
    }
    let lists =
        "SELECT i IN (1) AND i IN (2) AS a, i IN (1, 7) AND i IN (7, 8) AS b FROM (VALUES (7), (NULL)) t(i) ORDER BY i";
    assert_eq!(answer(&session, lists).await, "false,true|,");
}

#[tokio::test]
async fn a_condition_without_columns_takes_the_row_of_a_total_away() {
    let session = session(&[], &events()).await;
    let cases = [
        ("SELECT max(points) AS m FROM donations HAVING 100000 < (SELECT count(*) FROM donations)", ""),
        (
            "SELECT c0 FROM (SELECT max(points) AS c0 FROM donations) t WHERE 100000 < (SELECT count(*) FROM donations)",
            "",
        ),
        ("SELECT 1 AS x FROM (SELECT max(points) AS c0 FROM donations) a WHERE random() > 2", ""),
        ("SELECT count(*) AS n FROM donations HAVING false", ""),
        ("SELECT count(*) AS n FROM donations HAVING 1 = (SELECT 1)", "3"),
        (
            "SELECT max(n) AS n FROM (SELECT row_number() OVER (ORDER BY points) AS n FROM donations) t WHERE random() < 2",
            "3",
        ),
        (
            "SELECT a.n FROM (SELECT count(*) AS n FROM donations HAVING count(*) <> 10) a \
             JOIN donations b ON CAST(NULL AS DATE) = b.local_date",
            "",
        ),
        (
            "SELECT a.n FROM (SELECT count(*) AS n FROM donations HAVING count(*) <> 10) a \
             LEFT JOIN donations b ON CAST(NULL AS DATE) = b.local_date WHERE b.points > 0",
            "",
        ),
        (
            "SELECT n FROM (SELECT n FROM (SELECT count(*) AS n FROM donations) a WHERE n > 0) b WHERE now() < '2020-01-01'",
            "",
        ),
        (
            "SELECT max(n) AS n FROM (SELECT n FROM (SELECT points, row_number() OVER (ORDER BY points) AS n FROM donations) t \
             WHERE points > 0) u WHERE random() < 2",
            "3",
        ),
        (
            "SELECT points FROM (SELECT DISTINCT ON (donor_id) donor_id, points FROM donations ORDER BY donor_id, points DESC) t \
             WHERE points < 20",
            "10",
        ),
        (
            "SELECT array_agg(DISTINCT x ORDER BY x) AS a, string_agg(x, '|' ORDER BY x DESC) AS b FROM (VALUES ('a'), ('b')) t(x)",
            "error: a query for each",
        ),
        (
            "SELECT array_agg(DISTINCT x ORDER BY x) AS a FROM (VALUES ('b'), ('a'), ('b')) t(x)",
            "\"[\"\"a\"\",\"\"b\"\"]\"",
        ),
        (
            "SELECT a FROM (SELECT make_array(x) AS a FROM (VALUES ('b'), (NULL)) t(x)) u ORDER BY a NULLS FIRST",
            "error: leave them out",
        ),
        (
            "SELECT a FROM (SELECT make_array(x) AS a FROM (VALUES (NULL), ('b')) t(x)) u ORDER BY a",
            "\"[\"\"b\"\"]\"|[null]",
        ),
        (
            "SELECT count(DISTINCT x) AS a, count(DISTINCT y) AS b, count(x) AS c, max(x) AS d FROM \
          (SELECT CAST(NULL AS BIGINT) AS x, CAST(NULL AS DATE) AS y FROM donations) t",
            "0,0,0,",
        ),
        ("SELECT count(DISTINCT 5) AS a, count(DISTINCT NULL) AS b, count(*) AS c FROM donations", "1,0,3"),
        ("SELECT last_value(x ORDER BY a, a) AS v FROM (VALUES (1, 2), (1, 3)) t(x, a) GROUP BY x", "1"),
        (
            "SELECT DISTINCT ON (donor_id) donor_id, points FROM donations ORDER BY donor_id, donor_id, points",
            "civ-1,3|civ-2,20",
        ),
    ];
    assert_answers(&session, &cases).await;
}

#[tokio::test]
async fn a_coarser_form_of_a_sorted_value_is_sorted_with_what_stands_behind_it() {
    let gift = |hour: u32, points: i64| {
        event("donation", &format!("2026-11-03T{hour:02}:00:00Z"), json!({"donor_id": "a", "points": points}))
    };
    let gifts: Vec<Value> = (1..6).map(|hour| gift(hour, i64::from(hour))).collect();
    let session = session(&[], &gifts).await;
    let from =
        "FROM (SELECT occurred_at AS k, sum(count(*)) OVER (ORDER BY occurred_at) AS n FROM donations GROUP BY 1) t";
    let ordered = format!("SELECT CAST(k AS DATE) AS c0, n {from} ORDER BY c0, n DESC");
    let rows: Vec<String> = (1..6).rev().map(|n| format!("2026-11-03,{n}")).collect();
    assert_eq!(answer(&session, &ordered).await, rows.join("|"));
    let numbered = format!(
        "SELECT n FROM (SELECT n, row_number() OVER (ORDER BY CAST(k AS DATE), n DESC) AS place {from}) u WHERE place = 1"
    );
    assert_eq!(answer(&session, &numbered).await, "5");
}

#[tokio::test]
async fn what_is_constant_in_a_part_alone_stays_in_a_sort() {
    let moved = |points: i64| {
        let fields = json!({"from_officer_id": "a", "to_officer_id": "b", "points": points});
        event("transfer", &format!("2026-11-03T10:{points:02}:00Z"), fields)
    };
    let mut all = events();
    all.extend((1..20).map(moved));
    let session = session(&[], &all).await;
    let one = "(SELECT column1 AS k, 10 AS a FROM (VALUES (1)) v)";
    let two = "(SELECT column1 AS k, 20 AS b FROM (VALUES (1), (2)) v)";
    let few = "(SELECT column1 AS k, column2 AS a FROM (VALUES (1, 10), (1, 11)) v WHERE column2 = 10)";
    let cases = [
        (
            "SELECT entry AS c0, points AS c1 FROM points_ledger ORDER BY c0 DESC, c1 LIMIT 2".to_owned(),
            "transferred,-19|transferred,-18",
        ),
        (
            "SELECT entry, points FROM points_ledger ORDER BY entry DESC, points DESC LIMIT 2".to_owned(),
            "transferred,19|transferred,18",
        ),
        ("SELECT entry, points FROM points_ledger ORDER BY 1, 2 LIMIT 1".to_owned(), "donated,-20"),
        (format!("SELECT a FROM {one} x RIGHT JOIN {two} y ON x.k = y.k ORDER BY 1 DESC"), "\"\"|10"),
        (
            format!("SELECT a FROM {one} x RIGHT JOIN {two} y ON x.k < y.k AND y.k > 1 ORDER BY a NULLS FIRST"),
            "\"\"|10",
        ),
        (format!("SELECT b, a FROM {two} y LEFT JOIN {one} x ON x.k = y.k ORDER BY 2 DESC, 1"), "20,|20,10"),
        (format!("SELECT a FROM {few} x FULL JOIN {two} y ON x.k = y.k ORDER BY a DESC"), "\"\"|10"),
        (format!("SELECT DISTINCT a FROM {few} x FULL JOIN {two} y ON x.k = y.k ORDER BY a DESC"), "\"\"|10"),
        (
            format!(
                "SELECT a, row_number() OVER (ORDER BY a DESC) AS n FROM {one} x RIGHT JOIN {two} y ON x.k = y.k ORDER BY n"
            ),
            ",1|10,2",
        ),
        (format!("SELECT b, count(*) FROM {two} y GROUP BY CUBE (b) ORDER BY 1 DESC"), ",2|20,2"),
        ("SELECT 0.1 AS c, count(*) FROM donations GROUP BY ROLLUP (0.1) ORDER BY 1".to_owned(), "0.1,3|,3"),
        ("SELECT DISTINCT 5 AS c FROM donations GROUP BY CUBE (5) ORDER BY 1 DESC".to_owned(), "\"\"|5"),
        (
            format!("SELECT b, k, count(*) FROM {two} y WHERE k = 2 GROUP BY ROLLUP (b, k) ORDER BY 1 DESC, 2 DESC"),
            ",,1|20,,1|20,2,1",
        ),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(sql, expected)| (sql.as_str(), *expected)).collect();
    assert_answers(&session, &cases).await;
}

#[tokio::test]
async fn a_condition_on_columns_of_one_name_keeps_them_apart() {
    let session = session(&[], &events()).await;
    let text = "SELECT count(*) FROM transfers a RIGHT JOIN points_ledger b ON a.local_date = b.local_date WHERE \
                (CAST(a.points AS DECIMAL(18, 2)) BETWEEN CAST(b.points AS DECIMAL(18, 2)) AND CAST(a.points AS DECIMAL(18, 2))) \
                OR b.user_id LIKE 'civ%'";
    assert_eq!(answer(&session, text).await, "7");
}

#[tokio::test]
async fn a_name_in_order_by_is_the_result_of_that_name() {
    let session = session(&[], &[]).await;
    let x = "(VALUES (1), (1), (2), (2), (2), (3)) t(x)";
    let cases = [
        (format!("SELECT CAST(x AS VARCHAR) AS a, count(*) AS x FROM {x} GROUP BY 1 ORDER BY 2"), "3,1|1,2|2,3"),
        (format!("SELECT CAST(x AS VARCHAR) AS a, count(*) AS x FROM {x} GROUP BY 1 ORDER BY x DESC LIMIT 1"), "2,3"),
        (format!("SELECT CAST(x AS VARCHAR) AS a, -max(x) AS x FROM {x} GROUP BY 1 ORDER BY x, a"), "3,-3|2,-2|1,-1"),
        (
            format!(
                "WITH w AS (SELECT CAST(x AS VARCHAR) AS a, count(*) AS x FROM {x} GROUP BY 1 ORDER BY x LIMIT 1) SELECT * FROM w"
            ),
            "3,1",
        ),
        (format!("SELECT x AS a, -x AS x FROM {x} ORDER BY x LIMIT 1"), "3,-3"),
        (format!("SELECT x AS a, -x AS x FROM {x} ORDER BY x + 1"), "error: x is a column and a result"),
        (format!("SELECT x AS a, -x AS x FROM {x} ORDER BY x, a + 1"), "error: give the result another name"),
        (format!("SELECT x + 1 AS a FROM {x} ORDER BY a * 2 LIMIT 1"), "2"),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(sql, expected)| (sql.as_str(), *expected)).collect();
    assert_answers(&session, &cases).await;
}

#[tokio::test]
async fn the_common_column_of_an_outer_join_is_the_one_that_is_there() {
    let session = session(&[], &events()).await;
    let days = |table: &str| format!("(SELECT local_date, sum(points) AS p FROM {table} GROUP BY 1)");
    let full = format!(
        "SELECT local_date, d.p, r.p AS q FROM {} d FULL JOIN {} r USING (local_date) ORDER BY 1",
        days("donations"),
        days("redemptions")
    );
    let a = "(VALUES (1, 10), (2, 20)) AS a(k, x)";
    let b = "(VALUES (2, 200), (4, 400)) AS b(k, y)";
    let cases = [
        (full, "2026-11-03,10,|2026-11-04,20,5|2026-11-05,3,|2026-11-06,,7"),
        (
            "SELECT local_date FROM donations d RIGHT JOIN redemptions r USING (local_date) ORDER BY 1".to_owned(),
            "2026-11-04|2026-11-06",
        ),
        (format!("SELECT k FROM {a} FULL JOIN {b} USING (k) ORDER BY k"), "1|2|4"),
        (format!("SELECT k FROM {a} NATURAL FULL JOIN {b} ORDER BY k"), "1|2|4"),
        (format!("SELECT k, count(*) FROM {a} FULL JOIN {b} USING (k) GROUP BY k ORDER BY k"), "1,1|2,1|4,1"),
        (format!("SELECT x, y FROM {a} FULL JOIN {b} USING (k) WHERE k = 4"), ",400"),
        (format!("SELECT k, x FROM {a} JOIN {b} USING (k) WHERE k > 1"), "2,20"),
        (format!("SELECT k, x, y FROM {a} LEFT JOIN {b} USING (k) WHERE k < 2 AND k IN (SELECT 1 AS k)"), "1,10,"),
        (format!("SELECT count(*) AS n FROM {a} RIGHT JOIN {b} ON NULL"), "2"),
        (format!("SELECT k, x, y FROM {a} NATURAL RIGHT JOIN {b} ORDER BY k"), "2,20,200|4,,400"),
        (format!("SELECT y FROM {a} RIGHT JOIN {b} USING (k) WHERE a.k IS NULL"), "400"),
        (format!("SELECT x FROM {a} LEFT JOIN {b} USING (k) WHERE b.k IS NULL"), "10"),
        (format!("SELECT a.k, b.k FROM {a} FULL JOIN {b} USING (k) ORDER BY x, y"), "1,|2,2|,4"),
        (format!("SELECT k, b.k FROM {a} LEFT JOIN {b} USING (k) ORDER BY x"), "1,|2,2"),
        ("SELECT * FROM (VALUES (2, 20)) z(k, x) LEFT JOIN (VALUES (1, 5)) a(k, y) USING (k)".to_owned(), "20,2,"),
        (format!("SELECT k FROM {a} FULL JOIN {b} USING (k) WHERE a.k IS NULL"), "error: write ON a.k = b.k"),
        (
            "SELECT * FROM (VALUES (2, 20)) z(k, x) LEFT JOIN (VALUES (1, 5)) a(k, y) USING (k) WHERE a.k IS NULL"
                .to_owned(),
            "error: columns instead of *",
        ),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(sql, expected)| (sql.as_str(), *expected)).collect();
    assert_answers(&session, &cases).await;
}

#[tokio::test]
async fn intersect_all_and_except_all_count_equal_rows() {
    let session = session(&[], &events()).await;
    let cases = [
        ("SELECT civilian_id FROM interactions INTERSECT ALL SELECT 'civ-9'", "civ-9"),
        ("SELECT civilian_id FROM interactions EXCEPT ALL SELECT 'civ-9'", "civ-9"),
        ("SELECT donor_id FROM donations EXCEPT ALL SELECT redeemer_id FROM redemptions ORDER BY 1", "civ-1|civ-2"),
        ("SELECT donor_id FROM donations EXCEPT SELECT redeemer_id FROM redemptions ORDER BY 1", "civ-2"),
        ("SELECT civilian_id FROM interactions INTERSECT SELECT 'civ-9'", "civ-9"),
        ("VALUES (NULL), (NULL), (1) EXCEPT ALL VALUES (NULL)", "1|\"\""),
        ("VALUES (1, 'a'), (1, 'a'), (1, 'b') INTERSECT ALL VALUES (1, 'a'), (1, 'a'), (1, 'a')", "1,a|1,a"),
        (
            "SELECT count(*) FROM (SELECT donor_id FROM donations EXCEPT ALL SELECT donor_id FROM donations WHERE points = 3) t",
            "2",
        ),
    ];
    for (sql, expected) in cases {
        let mut found: Vec<String> = answer(&session, sql).await.split('|').map(str::to_owned).collect();
        found.sort();
        let mut expected: Vec<String> = expected.split('|').map(str::to_owned).collect();
        expected.sort();
        assert_eq!(found, expected, "{sql}");
    }
}

#[tokio::test]
async fn membership_in_a_query_with_nulls_is_unknown_where_postgresql_says_so() {
    let session = session(&[], &[]).await;
    let o = "(VALUES (1, 10), (2, 20), (NULL, 30), (4, 40)) o(id, z)";
    let i = "(VALUES (1, 5), (NULL, 50)) i(id, z)";
    let cases = [
        (format!("SELECT id FROM {o} WHERE id NOT IN (SELECT i.id FROM {i})"), ""),
        (format!("SELECT id FROM {o} WHERE id NOT IN (SELECT i.id FROM {i} WHERE i.id IS NOT NULL) ORDER BY 1"), "2|4"),
        (format!("SELECT z FROM {o} WHERE id NOT IN (SELECT i.id FROM {i} WHERE false) ORDER BY 1"), "10|20|30|40"),
        (format!("SELECT id FROM {o} WHERE id NOT IN (SELECT i.id FROM {i} WHERE i.z < o.z) ORDER BY 1"), "2|4"),
        (format!("SELECT id FROM {o} WHERE NOT (id IN (SELECT i.id FROM {i} WHERE i.z < o.z)) OR id = 4 ORDER BY 1"), "2|4"),
        (format!("SELECT z FROM {o} WHERE id NOT IN (SELECT i.id FROM {i} WHERE i.id = o.id) ORDER BY 1"), "20|30|40"),
        (
            "SELECT g FROM (VALUES (1, 1), (2, 2)) o(id, g) \
             WHERE 3 NOT IN (SELECT id FROM (VALUES (1, 1), (NULL, 2)) i(id, g) WHERE i.g = o.g)"
                .to_owned(),
            "1",
        ),
        (format!("SELECT z FROM {o} WHERE nullif(id, id) NOT IN (SELECT 7)"), ""),
        (format!("SELECT z FROM {o} WHERE (id IN (SELECT i.id FROM {i})) IS NULL ORDER BY 1"), "20|30|40"),
        (format!("SELECT z FROM {o} WHERE (id IN (SELECT i.id FROM {i})) IS TRUE ORDER BY 1"), "10"),
        (format!("SELECT z FROM {o} WHERE CASE WHEN id NOT IN (SELECT i.id FROM {i}) THEN true ELSE z > 30 END ORDER BY 1"), "40"),
        (format!("SELECT z FROM {o} WHERE id IN (SELECT i.id FROM {i}) OR z = 40 ORDER BY 1"), "10|40"),
        (format!("SELECT z FROM {o} WHERE id = ANY (SELECT i.id FROM {i}) ORDER BY 1"), "10"),
        (format!("SELECT z FROM {o} WHERE id <> ALL (SELECT i.id FROM {i}) ORDER BY 1"), ""),
        (format!("SELECT count(*) AS n FROM {o} WHERE 5 NOT IN (SELECT i.id FROM {i})"), "0"),
        (format!("SELECT count(*) AS n FROM {o} WHERE 5 NOT IN (SELECT i.id FROM {i} WHERE i.id > 0)"), "4"),
        (format!("SELECT count(*) AS n FROM {o} WHERE EXISTS (SELECT 1 FROM {i} WHERE i.id = o.id OFFSET 1)"), "error: skip"),
        (format!("SELECT count(*) AS n FROM {o} WHERE EXISTS (SELECT 1 FROM {i} WHERE i.id = o.id LIMIT 1)"), "1"),
        (format!("SELECT count(*) AS n FROM {o} WHERE EXISTS (SELECT count(*) FROM {i} WHERE i.id = o.id)"), "error: total"),
        (format!("SELECT count(*) AS n FROM {o} WHERE NOT EXISTS (SELECT 1 FROM {i} WHERE i.id = o.id)"), "3"),
        (
            "SELECT z, count(*) FROM (VALUES (1), (2)) t(z) GROUP BY z HAVING z NOT IN (SELECT 1 UNION ALL SELECT NULL)".to_owned(),
            "",
        ),
        (
            format!("SELECT z FROM {o} WHERE id IN (SELECT count(*) FROM {i} WHERE i.id = o.id)"),
            "error: cannot compute a total",
        ),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(sql, expected)| (sql.as_str(), *expected)).collect();
    assert_answers(&session, &cases).await;
}

#[tokio::test]
async fn lead_and_lag_look_over_gaps_of_nulls() {
    let session = session(&[], &[]).await;
    let rows =
        "(VALUES (1, 10), (2, 20), (3, 30), (4, 40), (5, NULL), (6, NULL), (7, 70), (8, 80), (9, NULL)) t(id, v)";
    let cases = [
        (
            format!("SELECT lead(v, 2) IGNORE NULLS OVER (ORDER BY id) AS l FROM {rows} ORDER BY id"),
            "30|40|70|80|80|80|\"\"|\"\"|\"\"",
        ),
        (
            format!("SELECT lag(v, -2, -1) IGNORE NULLS OVER (ORDER BY id) AS l FROM {rows} ORDER BY id"),
            "30|40|70|80|80|80|-1|-1|-1",
        ),
        (
            format!("SELECT lag(v) IGNORE NULLS OVER (ORDER BY id) AS l FROM {rows} ORDER BY id"),
            "\"\"|10|20|30|40|40|40|70|80",
        ),
        (
            format!("SELECT lead(v) IGNORE NULLS OVER (ORDER BY id DESC) AS l FROM {rows} ORDER BY id"),
            "\"\"|10|20|30|40|40|40|70|80",
        ),
        (format!("SELECT lead(v) OVER (ORDER BY id) AS l FROM {rows} ORDER BY id LIMIT 2"), "20|30"),
        (
            format!(
                "SELECT lead(v, 1) IGNORE NULLS OVER (ORDER BY id) AS l FROM {rows} WHERE id >= 4 ORDER BY id LIMIT 1"
            ),
            "70",
        ),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(sql, expected)| (sql.as_str(), *expected)).collect();
    assert_answers(&session, &cases).await;
}

#[tokio::test]
async fn numbers_that_are_too_large_are_errors() {
    let session = session(&[], &[]).await;
    let nines = "CAST('99999999999999999999999999999999999999' AS DECIMAL(38, 0))";
    let decimals = format!("SELECT sum(v) AS v FROM (VALUES ({nines}), ({nines})) t(v)");
    let sum = format!("SELECT {nines} + 1 AS v");
    let cases = [
        ("SELECT 9223372036854775807 + 1 AS v", "error: verflow"),
        ("SELECT -9223372036854775807 - 2 AS v", "error: verflow"),
        ("SELECT 10000000000 * 10000000000 AS v", "error: verflow"),
        ("SELECT v + 1 AS v FROM (VALUES (9223372036854775807)) t(v)", "error: verflow"),
        ("SELECT -v AS v FROM (VALUES (-9223372036854775807 - 1)) t(v)", "error: verflow"),
        ("SELECT CAST(2147483647 AS INT) + CAST(1 AS INT) AS v", "error: verflow"),
        (
            "SELECT sum(v) AS v FROM (VALUES (9223372036854775807), (1)) t(v)",
            "error: write sum(CAST(x AS DECIMAL(38, 0)))",
        ),
        ("SELECT sum(DISTINCT v) AS v FROM (VALUES (9223372036854775807), (1)) t(v)", "error: too large"),
        ("SELECT g, sum(v) AS v FROM (VALUES (1, 9223372036854775807), (1, 1)) t(g, v) GROUP BY g", "error: too large"),
        ("SELECT sum(v) OVER (ORDER BY v) AS v FROM (VALUES (9223372036854775807), (1)) t(v)", "error: too large"),
        (
            "SELECT sum(CAST(v AS DECIMAL(38, 0))) AS v FROM (VALUES (9223372036854775807), (1)) t(v)",
            "9223372036854775808",
        ),
        ("SELECT sum(v) AS v FROM (VALUES (9223372036854775807), (1), (-5)) t(v)", "9223372036854775803"),
        ("SELECT sum(v) / count(*) AS v FROM (VALUES (1), (2)) t(v)", "1.5000000000000000"),
        (
            "SELECT count(*) / sum(count(*)) OVER () AS v FROM (VALUES (1), (2)) t(v) GROUP BY v",
            "0.5000000000000000|0.5000000000000000",
        ),
        ("SELECT 7 / 2 AS v, coalesce(sum(v), 0) AS w FROM (VALUES (CAST(NULL AS BIGINT))) t(v)", "3,0"),
        (
            "SELECT sum(v) OVER (ORDER BY v ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM (VALUES (1), (2), (3)) t(v) ORDER BY v",
            "1|3|5",
        ),
        ("SELECT sum(v) AS v FROM (VALUES (CAST(NULL AS BIGINT))) t(v)", "\"\""),
        (decimals.as_str(), "error: too large"),
        (sum.as_str(), "error: "),
        ("SELECT CAST(3000000000 AS INT) AS v", "error: 3000000000"),
        (
            "SELECT count(*) OVER (ORDER BY x RANGE BETWEEN INTERVAL '-1 day' PRECEDING AND CURRENT ROW) AS n \
             FROM (VALUES (TIMESTAMP '2026-01-01'), (TIMESTAMP '2026-01-02')) t(x)",
            "error: cannot go back",
        ),
        ("SELECT 1.5 / 0 AS v", "error: ivide by zero"),
        ("SELECT CAST(1.5 AS DOUBLE) / 0 AS v", "error: ivide by zero"),
    ];
    assert_answers(&session, &cases).await;
}

#[tokio::test]
async fn decimals_are_rounded_as_they_are_written() {
    let session = session(&[], &[]).await;
    let cases = [
        ("SELECT 1.5::INT AS a, 2.5::INT AS b, -2.5::INT AS c, 0.4::BIGINT AS d", "2,3,-3,0"),
        ("SELECT CAST(2.5 AS DOUBLE)::INT AS a, CAST(3.5 AS DOUBLE)::INT AS b", "2,4"),
        ("SELECT round(1.005, 2) AS a, round(0.285, 2) AS b, round(2.5) AS c", "1.01,0.29,3"),
        ("SELECT round(avg(v), 2) AS a FROM (VALUES (0), (57), (0)) t(v)", "19.0"),
        ("SELECT round(avg(CAST(v AS DOUBLE)), 2) AS a FROM (VALUES (0.57), (0.0)) t(v)", "0.29"),
        ("SELECT CAST(CAST(1.005 AS DOUBLE) AS DECIMAL(10, 2)) AS a", "1.01"),
        ("SELECT 0.1 + 0.2 = 0.3 AS a", "true"),
        (
            "SELECT 10.0 / 4 AS a, 2.0 / 3 AS b, -2.0 / 3 AS c",
            "2.5000000000000000,0.6666666666666667,-0.6666666666666667",
        ),
        ("SELECT round(100.0 * 1 / 3, 1) AS a", "33.3"),
        ("SELECT coalesce(1.0 / 3, 0) AS a", "0.3333333333333333"),
        ("SELECT avg(v * 1.0) AS a FROM (VALUES (1), (2), (2)) t(v)", "1.6666666666666667"),
        ("SELECT avg(v) AS a FROM (VALUES (1), (2)) t(v)", "1.5"),
        ("SELECT avg(v) AS a FROM (VALUES (9007199254740993)) t(v)", "error: avg(CAST(x AS DECIMAL(38, 0)))"),
        (
            "SELECT avg(CAST(v AS DECIMAL(38, 0))) AS a FROM (VALUES (9007199254740993)) t(v)",
            "9007199254740993.0000000000000000",
        ),
        ("SELECT avg(DISTINCT v) AS a FROM (VALUES (1), (1), (4)) t(v)", "2.5"),
        (
            "SELECT avg(CAST(v AS DOUBLE)) OVER (ORDER BY n ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) AS a \
             FROM (VALUES (1, 10000000000000000), (2, 1), (3, 2)) t(n, v) ORDER BY n",
            "5000000000000000.0|1.5|2.0",
        ),
        (
            "SELECT greatest(round(y, 0), y) AS a, round(y, 0) IN (2.0, 9.9) AS b, round(y, 0) = 2.00 AS c, \
             coalesce(round(nullif(y, y), 0), 1.5) AS d, nullif(round(y, 0), 2.0) AS e, least(round(y, 1 - 1), 2.25) AS f, \
             CASE WHEN y > 1 THEN round(y, 0) ELSE 1.55 END AS g, round(-y, n) AS h, round(1250.5, -2) AS i \
             FROM (SELECT CAST(1.5 AS DECIMAL(2, 1)) AS y, 0 AS n) t",
            "2.0,true,true,1.5,,2.00,2.00,-2.0,1300",
        ),
        (
            "SELECT round(y, 0) AS a FROM (SELECT CAST(1.5 AS DECIMAL(2, 1)) AS y) t UNION ALL SELECT 1.25 ORDER BY 1",
            "1.25|2.00",
        ),
        (
            "SELECT ceil(0.1) AS a, floor(-0.1) AS b, ceil(-1.5) AS c, floor(1.5) AS d, ceil(99.01) AS e, ceil(2.0) AS f, \
             floor(-9.9) AS g, ceil(x) AS h FROM (SELECT -0.5 AS x) t",
            "1,-1,-1,1,100,2,-10,0",
        ),
        (
            "SELECT max(ceil(0.1)) AS a FROM donations t1 FULL JOIN donations t2 ON t1.points > 5 AND t2.points > 10000 \
             WHERE t2.channel = 'none' GROUP BY t1.zip_code",
            "",
        ),
        (
            "SELECT rank() OVER (ORDER BY v) / 2 AS a, row_number() OVER (ORDER BY v) - rank() OVER (ORDER BY v DESC) AS b \
             FROM (VALUES (1), (2), (3)) t(v) ORDER BY v",
            "0,-2|1,0|1,2",
        ),
        ("SELECT 1e3 AS a, 1.5e-2 AS b, 1e300 AS c", "1000.0,0.015,1e300"),
        (
            "SELECT z * -1 = z AS a, -z = z AS b, z / -2 = z AS c, ceil(z - 0.5) = z AS d, CAST('-0' AS DOUBLE) = z AS e, \
             nullif(z, z * -2.5) IS NULL AS f, round(z - 0.4) = z AS g, trunc(z - 0.4) = z AS h \
             FROM (VALUES (CAST(0 AS DOUBLE))) t(z)",
            "true,true,true,true,true,true,true,true",
        ),
        ("SELECT count(*) AS n FROM (VALUES (1), (2)) t(v) WHERE v > 1.5", "1"),
        ("SELECT CASE WHEN v > 1 THEN 1.5 ELSE 0 END AS a FROM (VALUES (1), (2)) t(v) ORDER BY v", "0.0|1.5"),
        (
            "SELECT power(2, 0.5) > 1.41 AS a, sqrt(2.25) AS b, floor(1.7) AS c, ceil(1.2) AS d, abs(-1.5) AS e",
            "true,1.5,1,2,1.5",
        ),
    ];
    assert_answers(&session, &cases).await;
}

#[tokio::test]
async fn medians_and_percentiles_are_exact() {
    let session = session(&[], &[]).await;
    let far = "(VALUES (9007199254740993), (9007199254740995)) t(v)";
    let gifts = "(VALUES (0), (0), (0), (0), (0), (0), (0), (1000000)) t(v)";
    let cases = [
        (format!("SELECT median(v) AS m FROM {far}"), "9007199254740994.0"),
        (format!("SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY v) AS m FROM {far}"), "9007199254740993.500000"),
        (format!("SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY v DESC) AS m FROM {far}"), "9007199254740994.500000"),
        ("SELECT median(v) AS m FROM (VALUES (9007199254740993)) t(v)".to_owned(), "9007199254740993.0"),
        ("SELECT median(v) AS m FROM (VALUES (1), (2)) t(v)".to_owned(), "1.5"),
        ("SELECT median(v) AS m FROM (VALUES (1.25), (1.26)) t(v)".to_owned(), "1.255"),
        ("SELECT median(DISTINCT v) AS m FROM (VALUES (1), (1), (2), (9)) t(v)".to_owned(), "2.0"),
        (format!("SELECT percentile_cont(0.9) WITHIN GROUP (ORDER BY v) AS m FROM {gifts}"), "300000.000000"),
        (format!("SELECT percentile_cont(0.9) WITHIN GROUP (ORDER BY CAST(v AS DOUBLE)) AS m FROM {gifts}"), "300000.0"),
        (
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY v) AS v FROM (VALUES (-1.7976931348623157e308), (1.7976931348623157e308)) t(v)"
                .to_owned(),
            "0.0",
        ),
        ("SELECT percentile_cont(1.5) WITHIN GROUP (ORDER BY v) AS v FROM (VALUES (1)) t(v)".to_owned(), "error: between 0 and 1"),
        ("SELECT median(v) AS m FROM (VALUES (CAST(NULL AS BIGINT))) t(v)".to_owned(), "\"\""),
        (
            "SELECT g, median(v) AS m FROM (VALUES ('a', 1), ('b', 5), ('a', 2)) t(g, v) GROUP BY g ORDER BY g".to_owned(),
            "a,1.5|b,5.0",
        ),
        (
            "SELECT median(v) OVER (ORDER BY v ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS m FROM (VALUES (1), (2), (4)) t(v) ORDER BY v"
                .to_owned(),
            "1.0|1.5|3.0",
        ),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(sql, expected)| (sql.as_str(), *expected)).collect();
    assert_answers(&session, &cases).await;
}

#[tokio::test]
async fn texts_and_parts_of_times_are_those_of_postgresql() {
    let session = session(&[], &events()).await;
    let cases = [
        (
            "SELECT 'abc' SIMILAR TO 'a%' AS a, 'abc' SIMILAR TO 'b' AS b, 'abc' NOT SIMILAR TO '(a|b)%' AS c",
            "true,false,false",
        ),
        ("SELECT count(*) AS n FROM donations WHERE donor_id SIMILAR TO 'civ-[1-2]'", "3"),
        ("SELECT 'a%' SIMILAR TO 'a!%' ESCAPE '!' AS a, NULL SIMILAR TO 'a' AS b", "true,"),
        ("SELECT to_char(TIMESTAMP '2026-11-05 15:04:09', 'YYYY-MM') AS a", "2026-11"),
        ("SELECT to_char(DATE '2026-11-05', 'FMDay DD.MM.YYYY') AS a", "Thursday 05.11.2026"),
        ("SELECT to_char(occurred_at, 'HH24:MI') AS a FROM donations ORDER BY 1 LIMIT 1", "10:00"),
        ("SELECT to_char(DATE '2026-11-05', '%d.%m.%Y') AS a", "05.11.2026"),
        ("SELECT to_char(DATE '2026-11-05', 'nothing') AS a", "error: double quotes"),
        (
            "SELECT extract(epoch FROM TIMESTAMP '2026-01-31 21:17:26.411' - TIMESTAMP '2026-01-01 00:00:00') AS a",
            "2668646.411000",
        ),
        ("SELECT extract(day FROM TIMESTAMP '2026-01-31 21:17:26.411' - TIMESTAMP '2026-01-01') AS a", "30"),
        ("SELECT extract(hour FROM TIMESTAMP '2026-01-31 21:17:26.411' - TIMESTAMP '2026-01-01') AS a", "21"),
        ("SELECT extract(epoch FROM INTERVAL '1 year 1.5 seconds') AS a", "31557601.500000"),
        ("SELECT extract(month FROM INTERVAL '14 months') AS a, extract(year FROM INTERVAL '14 months') AS b", "2,1"),
        ("SELECT extract(second FROM TIMESTAMP '2026-01-01 00:00:01.5') AS a", "1.500000"),
        ("SELECT extract(millisecond FROM TIMESTAMP '2026-01-01 00:00:01.5') AS a", "1500.000"),
        ("SELECT date_part('week', INTERVAL '14 days') AS a", "error: a difference of times has no"),
        ("SELECT extract(year FROM DATE '2026-11-05') AS a, extract(isodow FROM DATE '2026-11-05') AS b", "2026,4"),
        (
            "SELECT DATE '2026-01-01' + INTERVAL '12 hours' AS a, DATE '2026-01-01' + INTERVAL '1 day' AS b",
            "2026-01-01T12:00:00,2026-01-02",
        ),
        (
            "SELECT TIMESTAMP '2026-01-05' - TIMESTAMP '2026-01-01' > INTERVAL '1 day' AS a, INTERVAL '24 hours' = INTERVAL '1 day' AS b",
            "true,true",
        ),
        (
            "SELECT TIMESTAMP '2026-01-05' - TIMESTAMP '2026-01-01' BETWEEN INTERVAL '3 days' AND INTERVAL '1 week' AS a",
            "true",
        ),
        (
            "SELECT count(*) AS n FROM donations a JOIN donations b ON b.occurred_at - a.occurred_at > INTERVAL '1 day'",
            "1",
        ),
    ];
    assert_answers(&session, &cases).await;
}

#[tokio::test]
async fn dates_of_all_years_can_be_compared() {
    let session = session(&[], &events()[..1]).await;
    let cases = [
        ("SELECT count(*) AS n FROM donations WHERE occurred_at <= TIMESTAMPTZ '9999-12-31T23:59:59Z'", "1"),
        ("SELECT count(*) AS n FROM donations WHERE occurred_at BETWEEN '2026-11-01' AND '9999-12-31'", "1"),
        ("SELECT count(*) AS n FROM donations WHERE occurred_at >= TIMESTAMPTZ '0001-01-01T00:00:00Z'", "1"),
        ("SELECT to_timestamp(CAST(occurred_at AS VARCHAR)) AS t FROM donations", "2026-11-03T10:00:00Z"),
        ("SELECT to_timestamp('2026-11-03 10:00:00') AS t", "2026-11-03T10:00:00Z"),
        ("SELECT to_timestamp(1.5) AS t, to_timestamp(0) AS u", "1970-01-01T00:00:01.500Z,1970-01-01T00:00:00Z"),
        ("SELECT to_timestamp(1e300) AS t", "error: "),
        (
            "SELECT count(*) AS n FROM donations WHERE occurred_at < DATE '9999-12-31' AND local_date < DATE '9999-12-31'",
            "1",
        ),
        ("SELECT TIMESTAMP '9999-12-31 23:59:59' > TIMESTAMP '0001-01-01 00:00:00' AS a", "true"),
        ("SELECT date_trunc('month', DATE '9999-12-31') AS a", "9999-12-01T00:00:00"),
        ("SELECT count(*) AS n FROM donations WHERE occurred_at < 'tomorrow'", "error: tomorrow"),
    ];
    assert_answers(&session, &cases).await;
}

#[tokio::test]
async fn times_are_read_and_cut_in_the_zone_of_the_session() {
    // 23:30 of the 3rd in Chicago.
    let gift = event("donation", "2026-11-04T05:30:00Z", json!({"donor_id": "a", "points": 1}));
    let options = QueryOptions { time_zone: Tz::America__Chicago, ..options() };
    let session = QuerySession::new(tables(&[], &[gift]), options).await.unwrap();
    let cases = [
        ("SELECT count(*) AS n FROM donations WHERE occurred_at >= '2026-11-04'", "0"),
        ("SELECT count(*) AS n FROM donations WHERE occurred_at >= DATE '2026-11-04'", "0"),
        ("SELECT count(*) AS n FROM donations WHERE occurred_at < TIMESTAMP '2026-11-04 00:00:00'", "1"),
        ("SELECT count(*) AS n FROM donations WHERE '2026-11-03 23:30:00' = occurred_at", "1"),
        ("SELECT count(*) AS n FROM donations WHERE occurred_at IN ('2026-11-03 23:30:00')", "1"),
        ("SELECT count(*) AS n FROM donations WHERE occurred_at BETWEEN '2026-11-03' AND '2026-11-04'", "1"),
        ("SELECT count(*) AS n FROM donations WHERE occurred_at >= '2026-11-04T00:00:00Z'", "1"),
        ("SELECT count(*) AS n FROM donations WHERE occurred_at >= TIMESTAMPTZ '2026-11-04T00:00:00Z'", "1"),
        ("SELECT date_trunc('day', occurred_at) AS d FROM donations", "2026-11-03T00:00:00-06:00"),
        ("SELECT date_trunc('hour', occurred_at) AS d FROM donations", "2026-11-03T23:00:00-06:00"),
        ("SELECT extract(hour FROM occurred_at) AS h, extract(day FROM occurred_at) AS d FROM donations", "23,3"),
        ("SELECT to_char(occurred_at, 'YYYY-MM-DD HH24:MI TZ') AS d FROM donations", "2026-11-03 23:30 CST"),
        (
            "SELECT CAST(occurred_at AS DATE) AS d, occurred_at::DATE = local_date AS same FROM donations",
            "2026-11-03,true",
        ),
        ("SELECT CAST(occurred_at AS TIMESTAMP) AS t FROM donations", "2026-11-03T23:30:00"),
        ("SELECT occurred_at AT TIME ZONE 'America/New_York' AS t FROM donations", "2026-11-04T00:30:00"),
        ("SELECT date_trunc('day', occurred_at AT TIME ZONE 'UTC') AS t FROM donations", "2026-11-04T00:00:00"),
        ("SELECT TIMESTAMP '2026-11-04 00:00:00' AT TIME ZONE 'America/New_York' AS t", "2026-11-04T05:00:00Z"),
        ("SELECT occurred_at - DATE '2026-11-03' > INTERVAL '23 hours' AS a FROM donations", "true"),
        (
            "SELECT count(*) AS n FROM donations d JOIN calendar c ON d.occurred_at >= c.starts_at AND d.occurred_at < c.ends_at",
            "1",
        ),
        ("SELECT 1 AT TIME ZONE 'UTC' AS t", "error: AT TIME ZONE"),
        ("SELECT occurred_at AT TIME ZONE 'Chicago' AS t FROM donations", "error: there is no time zone"),
        (
            "SELECT count(*) OVER (ORDER BY occurred_at RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW) AS n FROM donations",
            "error: write hours",
        ),
        (
            "SELECT count(*) OVER (ORDER BY occurred_at RANGE BETWEEN INTERVAL '24 hours' PRECEDING AND CURRENT ROW) AS n FROM donations",
            "1",
        ),
        ("SELECT to_timestamp(0) = TIMESTAMPTZ '1970-01-01T00:00:00Z' AS a", "true"),
        (
            "SELECT TIMESTAMPTZ '2026-03-07T18:00:00Z' + INTERVAL '1 day' = TIMESTAMPTZ '2026-03-08T17:00:00Z' AS a",
            "true",
        ),
        (
            "SELECT TIMESTAMPTZ '2026-03-08T17:00:00Z' - INTERVAL '1 day' = TIMESTAMPTZ '2026-03-07T18:00:00Z' AS a",
            "true",
        ),
        (
            "SELECT TIMESTAMPTZ '2026-03-07T18:00:00Z' + INTERVAL '24 hours' = TIMESTAMPTZ '2026-03-08T18:00:00Z' AS a",
            "true",
        ),
    ];
    assert_answers(&session, &cases).await;
}

#[tokio::test]
async fn what_stands_beside_an_instant_in_case_and_union_is_one() {
    let gift = event("donation", "2026-11-04T05:30:00Z", json!({"donor_id": "a", "points": 1}));
    let options = QueryOptions { time_zone: Tz::America__Chicago, ..options() };
    let session = QuerySession::new(tables(&[], &[gift]), options).await.unwrap();
    let cases = [
        (
            "SELECT date_trunc('day', CASE WHEN points > 1 THEN TIMESTAMPTZ '2026-11-05T12:00:00Z' ELSE occurred_at END) AS d \
             FROM donations",
            "2026-11-03T00:00:00-06:00",
        ),
        (
            "SELECT CASE WHEN points = 1 THEN DATE '2026-11-05' ELSE occurred_at END AS t FROM donations",
            "2026-11-05T06:00:00Z",
        ),
        (
            "SELECT CASE WHEN points > 1 THEN occurred_at ELSE TIMESTAMP '2026-11-05 00:00:00' END AS t FROM donations",
            "2026-11-05T06:00:00Z",
        ),
        (
            "SELECT CASE occurred_at WHEN '2026-11-04' THEN 1 WHEN TIMESTAMP '2026-11-03 23:30:00' THEN 2 END AS n FROM donations",
            "2",
        ),
        (
            "SELECT CASE DATE '2026-11-03' WHEN occurred_at - INTERVAL '23 hours 30 minutes' THEN 1 ELSE 0 END AS n FROM donations",
            "1",
        ),
        (
            "SELECT coalesce(DATE '2026-11-05', occurred_at) AS a, greatest(occurred_at, '2026-11-05') AS b, \
             least(occurred_at, TIMESTAMP '2026-11-03 23:29:59') AS c, nullif(occurred_at, DATE '2026-11-03') AS d FROM donations",
            "2026-11-05T06:00:00Z,2026-11-05T06:00:00Z,2026-11-04T05:29:59Z,2026-11-04T05:30:00Z",
        ),
        ("SELECT coalesce(occurred_at, '2026-11-05 00:00:00') AS e FROM donations", "error: coalesce"),
        (
            "SELECT t FROM (SELECT occurred_at AS t FROM donations UNION ALL SELECT DATE '2026-11-05' \
             UNION ALL SELECT TIMESTAMP '2026-11-05 01:00:00') u ORDER BY t",
            "2026-11-04T05:30:00Z|2026-11-05T06:00:00Z|2026-11-05T07:00:00Z",
        ),
        (
            "SELECT DATE '2026-11-05' AS t, 1 AS n UNION SELECT occurred_at, points FROM donations ORDER BY t, n",
            "2026-11-04T05:30:00Z,1|2026-11-05T06:00:00Z,1",
        ),
        (
            "SELECT occurred_at AS t FROM donations INTERSECT SELECT TIMESTAMP '2026-11-03 23:30:00'",
            "2026-11-04T05:30:00Z",
        ),
    ];
    assert_answers(&session, &cases).await;
}

#[tokio::test]
async fn days_whose_midnight_is_skipped_or_doubled_have_a_begin_and_an_end() {
    let gift = |at: &str| event("donation", at, json!({"donor_id": "a", "points": 1}));
    let cases = [
        (
            Tz::America__Havana,
            ["2026-11-01T04:30:00Z", "2026-11-01T05:30:00Z"],
            "2026-11-01,2026-11-01T00:00:00-04:00,2026-11-02T00:00:00-05:00,25",
        ),
        (
            Tz::America__Santiago,
            ["2026-09-06T04:30:00Z", "2026-09-06T05:30:00Z"],
            "2026-09-06,2026-09-06T01:00:00-03:00,2026-09-07T00:00:00-03:00,23",
        ),
        (
            Tz::Asia__Beirut,
            ["2026-03-28T22:30:00Z", "2026-03-29T05:30:00Z"],
            "2026-03-29,2026-03-29T01:00:00+03:00,2026-03-30T00:00:00+03:00,23",
        ),
        (
            Tz::Africa__Cairo,
            ["2026-04-23T22:30:00Z", "2026-04-24T05:30:00Z"],
            "2026-04-24,2026-04-24T01:00:00+03:00,2026-04-25T00:00:00+03:00,23",
        ),
        (
            Tz::Atlantic__Azores,
            ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"],
            "2026-10-25,2026-10-25T00:00:00Z,2026-10-26T00:00:00-01:00,25",
        ),
    ];
    for (zone, times, expected) in cases {
        let options = QueryOptions { time_zone: zone, ..options() };
        let session = QuerySession::new(tables(&[], &times.map(gift)), options).await.unwrap();
        let calendar = "SELECT local_date, starts_at, ends_at, CAST(extract(epoch FROM ends_at - starts_at) / 3600 AS INT) AS hours \
                        FROM calendar";
        assert_eq!(answer(&session, calendar).await, expected, "{zone}");
        let trunc = "SELECT count(*) AS n FROM donations \
                     GROUP BY date_trunc('day', CAST(occurred_at AS TIMESTAMP WITH TIME ZONE))";
        assert_eq!(answer(&session, trunc).await, "2", "{zone}");
        let days = "SELECT count(*) AS n FROM donations d JOIN calendar c USING (local_date) \
                    WHERE d.occurred_at >= c.starts_at AND d.occurred_at < c.ends_at AND occurred_at >= c.local_date";
        assert_eq!(answer(&session, days).await, "2", "{zone}");
    }
}
