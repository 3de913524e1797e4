//! Numbers: too large, rounded, in the middle.

use super::*;

#[tokio::test]
async fn numbers_that_are_too_large_are_errors() {
    let session = session(&[], &events()).await;
    let nines = "CAST('99999999999999999999999999999999999999' AS DECIMAL(38, 0))";
    let decimals = format!("SELECT sum(v) AS v FROM (VALUES ({nines}), ({nines})) t(v)");
    let sum = format!("SELECT {nines} + 1 AS v");
    let cases = [
        ("SELECT length(event_type) * 9223372036854775807 AS a FROM transactions", "error: verflow"),
        ("SELECT length(event_type) + 9223372036854775807 AS a FROM transactions", "error: verflow"),
        (
            "SELECT -(length(event_type) - 9223372036854775807) - 9223372036854775807 AS a FROM transactions WHERE event_type = 'donation' LIMIT 1",
            "-8",
        ),
        (
            "SELECT length(event_type) / 3 AS a, length(event_type) % 3 AS b FROM transactions WHERE event_type = 'donation' LIMIT 1",
            "2,2",
        ),
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
async fn a_decimal_becomes_the_nearest_double() {
    let session = session(&[], &[]).await;
    let cases = [
        (
            "SELECT CAST(CAST(9007199254740993 AS DECIMAL(18, 2)) AS DOUBLE) = CAST(9007199254740992 AS DOUBLE) AS a",
            "true",
        ),
        (
            "SELECT v + CAST(0 AS DOUBLE) = CAST(9007199254740992 AS DOUBLE) AS a, CAST(w AS DOUBLE) AS b FROM (VALUES (CAST(9007199254740993 AS DECIMAL(18, 2)), 0.1)) t(v, w)",
            "true,0.1",
        ),
    ];
    assert_answers(&session, &cases).await;
}

#[tokio::test]
async fn a_cast_that_narrows_is_not_left_out() {
    let session = session(&[], &events()).await;
    let halves = "FROM (SELECT CAST(points AS DECIMAL(20, 1)) / 20 AS x FROM donations) t";
    let [equal, listed, between, different, turned, shown] = [
        "count(*) FILTER (WHERE CAST(x AS DECIMAL(18, 0)) = 1) AS v",
        "count(*) FILTER (WHERE CAST(x AS DECIMAL(18, 0)) IN (1, 7)) AS v",
        "count(*) FILTER (WHERE CAST(x AS DECIMAL(18, 0)) BETWEEN 1 AND 1) AS v",
        "count(*) FILTER (WHERE CAST(x AS DECIMAL(18, 1)) <> 0.2) AS v",
        "count(*) FILTER (WHERE 1 <= CAST(x AS DECIMAL(18, 0))) AS v",
        "string_agg(CAST(CAST(x AS DECIMAL(18, 0)) AS VARCHAR), ' ' ORDER BY x) AS v",
    ]
    .map(|wanted| format!("SELECT {wanted} {halves}"));
    let filtered = format!("SELECT count(*) AS v {halves} WHERE CAST(x AS DECIMAL(18, 0)) = 1");
    // The gifts are 3, 10 and 20 points: 0.15, 0.5 and 1.
    let cases = [
        (equal.as_str(), "2"),
        (listed.as_str(), "2"),
        (between.as_str(), "2"),
        (different.as_str(), "2"),
        (turned.as_str(), "2"),
        (shown.as_str(), "0 1 1"),
        (filtered.as_str(), "2"),
        ("SELECT count(*) AS v FROM donations WHERE CAST(points * 1000000000 AS INT) <> 5", "error: "),
        ("SELECT count(*) AS v FROM donations WHERE CAST(points * 1000 AS DECIMAL(5, 2)) > 5", "error: too large"),
        ("SELECT count(*) AS v FROM donations WHERE CAST(points * 100 AS SMALLINT) IN (5, 7)", "0"),
        ("SELECT count(*) AS v FROM donations WHERE TRY_CAST(points * 200000000 AS INT) <> 5", "2"),
        ("SELECT count(*) AS v FROM donations WHERE TRY_CAST(points * 200000000 AS INT) NOT IN (5, 7)", "2"),
        ("SELECT count(*) AS v FROM donations WHERE TRY_CAST(points * 10 AS DECIMAL(4, 2)) > 5", "1"),
        ("SELECT count(*) AS v FROM donations WHERE CAST(points AS DECIMAL(20, 2)) = 20.00", "1"),
        ("SELECT CAST(points AS SMALLINT) AS v FROM donations GROUP BY CAST(points AS SMALLINT) ORDER BY 1", "3|10|20"),
    ];
    assert_answers(&session, &cases).await;
    let pushed = session.collect("EXPLAIN SELECT 1 FROM donations WHERE CAST(points AS DECIMAL(22, 2)) = 20.00").await;
    let plan = format!("{:?}", pushed.unwrap());
    assert!(plan.contains("points = Int64(20)"), "a cast that loses nothing is still left out: {plan}");
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
