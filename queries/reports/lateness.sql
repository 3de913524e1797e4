-- title: Lateness
-- question: How long after they happened do events arrive?
-- audience: platform engineers and finance
-- parameter: from (date, default first) First day of arrival that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day of arrival that counts, itself included.
-- parameter: by (period, default day) Length of a period: day, week (Monday to Sunday) or month.
-- column: period (date) First day of the period of arrival; the first and last periods may reach beyond the days that count.
-- column: event_type (text) Type of the event.
-- column: events (count) Events that arrived.
-- column: median_hours (hours) Half of them arrived no later than so long after they happened. An event whose time is ahead of its arrival counts as 0.
-- column: p99_hours (hours) 99 of 100 arrived no later.
-- column: longest_hours (hours) The latest.
-- column: over_hour (count) Events that arrived more than an hour late.
-- column: over_day (count) Events that arrived more than a day late.
-- column: other_day (count) Events that arrived on a later day than they happened on: they change numbers that were reported before.
-- chart: line x=period y=p99_hours series=event_type

-- Microseconds as they are stored: whole seconds would hide what is just over an hour or a day.
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
        greatest(CAST(arrived_at AS BIGINT) - CAST(occurred_at AS BIGINT), 0) AS micros
    FROM rows
)

SELECT
    CAST(date_trunc($by, arrival_day) AS DATE) AS period,
    event_type,
    count(*) AS events,
    CAST(CAST(percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(micros AS DOUBLE)) AS DECIMAL(21, 2)) / 3600000000 AS DECIMAL(21, 2)) AS median_hours,
    CAST(CAST(percentile_cont(0.99) WITHIN GROUP (ORDER BY CAST(micros AS DOUBLE)) AS DECIMAL(21, 2)) / 3600000000 AS DECIMAL(21, 2)) AS p99_hours,
    CAST(CAST(max(micros) AS DECIMAL(19, 0)) / 3600000000 AS DECIMAL(21, 2)) AS longest_hours,
    count(*) FILTER (WHERE micros > 3600000000) AS over_hour,
    count(*) FILTER (WHERE micros > 86400000000) AS over_day,
    count(*) FILTER (WHERE arrival_day > event_day) AS other_day
FROM arrived
WHERE arrival_day BETWEEN $from AND $to
GROUP BY 1, 2
ORDER BY 1, 2
