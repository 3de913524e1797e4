//! Texts and times: their parts, their zones, their years.

use super::*;

#[tokio::test]
async fn times_and_their_parts_follow_postgresql() {
    let session = session(&[], &events()).await;
    let cases = [
        (
            "SELECT x ~ '\\\\' AS a, x !~ '\\\\' AS b, x ~* 'A\\\\' AS c, x !~* 'A\\\\B' AS d, x ~ '^%$' AS e FROM \
             (VALUES ('%'), ('a\\b'), (NULL)) t(x) ORDER BY x",
            "false,true,false,true,true|true,false,true,false,false|,,,,",
        ),
        ("SELECT regexp_like('%', '\\\\') AS a, regexp_like('a\\b', '\\\\') AS b", "false,true"),
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
        ("SELECT DATE '2026-11-05' = 20261105 AS a", "error: whole number"),
        (
            "SELECT count(*) FROM (VALUES (DATE '2026-11-05')) d(x) JOIN (VALUES (20762)) n(y) ON d.x = n.y",
            "error: whole number",
        ),
        ("SELECT CAST(20762 AS DATE) AS d", "error: whole number"),
        ("SELECT DATE '2026-11-05' IN (1, 2) AS a", "error: whole number"),
        (
            "SELECT DATE '1970-01-01' + 20762 AS d, DATE '2026-11-05' BETWEEN '2026-11-01' AND '2026-12-01' AS b",
            "2026-11-05,true",
        ),
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
async fn times_follow_the_zone_of_the_session() {
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
async fn case_and_union_with_instants_give_instants() {
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
async fn days_without_one_midnight_have_two_ends() {
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
