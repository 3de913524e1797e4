-- title: Lateness
-- question: How long after they happened do events arrive?
-- audience: platform engineers and finance
-- parameter: from (date, default first) First day of arrival that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day of arrival that counts, itself included.
-- parameter: by (period, default day) Length of a period: day, week (Monday to Sunday) or month.
-- column: period (date) First day of the period of arrival; the first and last periods may reach beyond the days that count.
-- column: event_type (text) Type of the event.
-- column: events (count) Events that arrived.
-- column: median_hours (hours) Half of them arrived no later than so long after they happened.
-- column: p99_hours (hours) 99 of 100 arrived no later.
-- column: longest_hours (hours) The latest.
-- column: over_hour (count) Events that arrived more than an hour late.
-- column: over_day (count) Events that arrived more than a day late.
-- column: other_day (count) Events that arrived on a later day than they happened on: they change numbers that were reported before.
-- chart: line x=period y=p99_hours series=event_type

WITH rows AS (
    SELECT event_type, occurred_at, arrived_at FROM user_events
    UNION ALL
    SELECT event_type, occurred_at, arrived_at FROM transactions
),

arrived AS (
    SELECT
        event_type,
        CAST(CAST(arrived_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS arrival_day,
        CAST(CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS event_day,
        greatest(to_unixtime(arrived_at) - to_unixtime(occurred_at), 0) AS seconds
    FROM rows
)

SELECT
    CAST(date_trunc($by, arrival_day) AS DATE) AS period,
    event_type,
    count(*) AS events,
    CAST(percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(seconds AS DOUBLE)) / 3600 AS DECIMAL(21, 2)) AS median_hours,
    CAST(percentile_cont(0.99) WITHIN GROUP (ORDER BY CAST(seconds AS DOUBLE)) / 3600 AS DECIMAL(21, 2)) AS p99_hours,
    CAST(max(seconds) / CAST(3600 AS DOUBLE) AS DECIMAL(21, 2)) AS longest_hours,
    count(*) FILTER (WHERE seconds > 3600) AS over_hour,
    count(*) FILTER (WHERE seconds > 86400) AS over_day,
    count(*) FILTER (WHERE arrival_day > event_day) AS other_day
FROM arrived
WHERE arrival_day BETWEEN $from AND $to
GROUP BY 1, 2
ORDER BY 1, 2
