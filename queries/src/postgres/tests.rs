#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod numbers;
mod times;

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
async fn an_always_unknown_condition_takes_no_row() {
    let session = session(&[], &events()).await;
    let cases = [
        "SELECT count(*) FROM donations WHERE donor_id NOT IN ('civ-2', NULL)",
        "SELECT count(*) FROM transactions WHERE points BETWEEN 1 AND NULL",
        "SELECT count(*) FROM transactions WHERE donor_id = 'civ-1' AND zip_code <> NULL",
        "SELECT count(*) FROM donations d JOIN redemptions r ON d.donor_id = r.redeemer_id AND NULL",
        "SELECT count(*) FROM donations WHERE points > 5 AND nullif(1, 1) = 1",
        "SELECT count(*) FROM donations WHERE event_date NOT IN (DATE '2000-01-01', NULL)",
        "SELECT count(*) FROM transactions WHERE event_type NOT IN ('x', NULL)",
        // Merged lists on one value, and an absent text.
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
async fn a_condition_without_columns_drops_the_total() {
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
async fn a_coarser_sort_key_still_orders_the_rest() {
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
async fn a_constant_of_one_side_of_a_join_stays_a_sort_key() {
    let session = session(&[], &events()).await;
    // The engine turns a right join into a left one.
    for join in ["RIGHT", "LEFT", "FULL"] {
        let statement = format!(
            "SELECT 900 AS c0, b.k1 AS c1 FROM (SELECT event_id AS k0 FROM donations WHERE points > 0) a \
             {join} JOIN (SELECT event_id AS k0, DATE '1999-12-31' AS k1 FROM donations) b USING (k0) \
             UNION ALL SELECT points, DATE '2026-11-05' FROM donations ORDER BY c1, 1 LIMIT 1"
        );
        assert_eq!(answer(&session, &statement).await, "900,1999-12-31", "{join}");
    }
}

#[tokio::test]
async fn a_column_of_which_a_part_is_constant_stays_a_sort_key() {
    let met = |hour: u32, points: i64| {
        let fields = json!({"from_officer_id": "a", "to_officer_id": "b", "points": points});
        event("transfer", &format!("2026-11-03T{hour:02}:00:00Z"), fields)
    };
    let mut all = events();
    all.extend([met(9, 5), met(22, 5), met(1, 6), met(14, 5), met(6, 5)]);
    let hour = "date_part('hour', occurred_at)";
    for (zone, hours) in [(Tz::UTC, ["6", "9", "14", "22"]), (Tz::America__Chicago, ["0", "3", "8", "16"])] {
        let options = QueryOptions { time_zone: zone, ..options() };
        let session = QuerySession::new(tables(&[], &all), options).await.unwrap();
        for day in [
            "CAST(occurred_at AS DATE) = DATE '2026-11-03'",
            "local_date = DATE '2026-11-03'",
            "local_date BETWEEN DATE '2026-11-03' AND DATE '2026-11-03'",
            "local_date >= DATE '2026-11-03' AND local_date <= DATE '2026-11-03'",
        ] {
            let from = format!("FROM transfers WHERE {day} AND points = 5");
            let sorted = format!("SELECT {hour} {from} ORDER BY points, occurred_at");
            let first = format!("SELECT {hour} {from} ORDER BY occurred_at LIMIT 2");
            let numbered = format!(
                "SELECT h FROM (SELECT {hour} AS h, row_number() OVER (ORDER BY occurred_at) AS n {from}) t ORDER BY n"
            );
            let grouped =
                format!("SELECT {hour}, count(*) {from} GROUP BY occurred_at ORDER BY occurred_at DESC LIMIT 1");
            assert_eq!(answer(&session, &sorted).await, hours.join("|"), "{zone}: {sorted}");
            assert_eq!(answer(&session, &first).await, hours[..2].join("|"), "{zone}: {first}");
            assert_eq!(answer(&session, &numbered).await, hours.join("|"), "{zone}: {numbered}");
            assert_eq!(answer(&session, &grouped).await, format!("{},1", hours[3]), "{zone}: {grouped}");
        }
        let halves = "SELECT x FROM (VALUES (7), (6), (7), (6)) t(x) WHERE x / 2 = 3 ORDER BY x";
        assert_eq!(answer(&session, halves).await, "6|6|7|7");
    }
}

#[tokio::test]
async fn distinct_values_come_in_the_order_asked_for() {
    let session = QuerySession::new(tables(&[], &[]), options()).await.unwrap();
    let values = "(VALUES ('c'), ('a'), ('b'), ('a'), (NULL)) v(x)";
    for sorted in ["x", "x DESC", "x NULLS FIRST", "x DESC NULLS LAST"] {
        let from = format!("FROM (SELECT x FROM {values} ORDER BY {sorted} LIMIT 9) t");
        for (order, listed, joined) in [
            ("x", "a-b-c-?", "a-b-c"),
            ("x DESC", "?-c-b-a", "c-b-a"),
            ("x NULLS FIRST", "?-a-b-c", "a-b-c"),
            ("x DESC NULLS LAST", "c-b-a-?", "c-b-a"),
        ] {
            let list = format!("SELECT array_to_string(array_agg(DISTINCT x ORDER BY {order}), '-', '?') {from}");
            assert_eq!(answer(&session, &list).await, listed, "{list}");
            let text = format!("SELECT string_agg(DISTINCT x, '-' ORDER BY {order}) {from}");
            assert_eq!(answer(&session, &text).await, joined, "{text}");
            let all = format!("SELECT array_to_string(array_agg(x ORDER BY {order}), '-', '?') {from}");
            assert_eq!(answer(&session, &all).await, listed.replace('a', "a-a"), "{all}");
        }
    }
}

#[tokio::test]
async fn a_partly_constant_column_stays_a_sort_key() {
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
        (
            "SELECT max(k) OVER (PARTITION BY 'p' ORDER BY k DESC RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS m \
             FROM (VALUES (100), (NULL), (0), (10)) v(k) ORDER BY m LIMIT 3"
                .to_owned(),
            "100|100|100",
        ),
        (
            "SELECT sum(k) OVER (ORDER BY k NULLS FIRST) AS m FROM (VALUES (100), (NULL), (0), (10)) v(k) ORDER BY m".to_owned(),
            "0|10|110|\"\"",
        ),
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
async fn equal_column_names_keep_conditions_apart() {
    let session = session(&[], &events()).await;
    let text = "SELECT count(*) FROM transfers a RIGHT JOIN points_ledger b ON a.local_date = b.local_date WHERE \
                (CAST(a.points AS DECIMAL(18, 2)) BETWEEN CAST(b.points AS DECIMAL(18, 2)) AND CAST(a.points AS DECIMAL(18, 2))) \
                OR b.user_id LIKE 'civ%'";
    assert_eq!(answer(&session, text).await, "7");
}

#[tokio::test]
async fn order_by_names_the_results_column() {
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
async fn an_outer_joins_common_column_is_present() {
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
async fn membership_with_nulls_is_unknown_as_in_postgresql() {
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
