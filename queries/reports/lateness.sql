-- title: Lateness
-- question: How long after they happened do events arrive?
-- audience: platform engineers and finance
-- parameter: from (date, default first) First day of arrival that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day of arrival that counts, itself included.
-- parameter: by (period, default day) Length of a period: day, week (Monday to Sunday), month, quarter or year.
-- column: period (date) First day of the period of arrival; the first and last periods may reach beyond the days that count.
-- column: event_type (text) Type of the event.
-- column: events (count) Events that arrived.
-- column: median_hours (hours) Half of them arrived no later than so long after they happened. An event whose time is ahead of its arrival counts as 0.
-- column: p99_hours (hours) 99 of 100 arrived no later.
-- column: longest_hours (hours) The latest.
-- column: over_hour (count) Events that arrived more than an hour late.
-- column: over_day (count) Events that arrived more than a day late.
-- column: other_day (count) Events that arrived on a later day than they happened on: they change numbers that were reported before.
-- figures: events sum, over_hour sum, over_day sum
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
),

waits AS (
    SELECT
        CAST(date_trunc($by, arrival_day) AS DATE) AS period,
        event_type,
        micros,
        count(*) AS events,
        count(*) FILTER (WHERE arrival_day > event_day) AS other_day
    FROM arrived
    WHERE arrival_day BETWEEN $from AND $to
    GROUP BY 1, 2, 3
),

counted AS (
    SELECT
        period,
        event_type,
        CAST(sum(events) AS BIGINT) AS events,
        max(micros) AS longest,
        CAST(coalesce(sum(events) FILTER (WHERE micros > 3600000000), 0) AS BIGINT) AS over_hour,
        CAST(coalesce(sum(events) FILTER (WHERE micros > 86400000000), 0) AS BIGINT) AS over_day,
        CAST(sum(other_day) AS BIGINT) AS other_day
    FROM waits
    GROUP BY 1, 2
),

-- A percentile is PostgreSQL's percentile_cont, in whole numbers: sorted values have places from 0, each as long as 100 parts; the
-- percentile covers the 100 parts behind (places - 1) * percent, so it is a value, or lies between two in proportion.
placed AS (
    SELECT
        *,
        sum(events) OVER (PARTITION BY period, event_type ORDER BY micros ROWS UNBOUNDED PRECEDING) AS up_to
    FROM waits
),

percentiles AS (
    SELECT
        placed.period,
        placed.event_type,
        sum(
            CAST(placed.micros AS DECIMAL(19, 0))
            * greatest(least(placed.up_to * 100, (counted.events - 1) * 50 + 100) - greatest((placed.up_to - placed.events) * 100, (counted.events - 1) * 50), 0)
        ) AS p50,
        sum(
            CAST(placed.micros AS DECIMAL(19, 0))
            * greatest(least(placed.up_to * 100, (counted.events - 1) * 99 + 100) - greatest((placed.up_to - placed.events) * 100, (counted.events - 1) * 99), 0)
        ) AS p99
    FROM placed
    INNER JOIN counted ON placed.period = counted.period AND placed.event_type = counted.event_type
    GROUP BY 1, 2
)

SELECT
    counted.period,
    counted.event_type,
    counted.events,
    CAST(CAST(percentiles.p50 AS DECIMAL(34, 1)) / 360000000000 AS DECIMAL(21, 2)) AS median_hours,
    CAST(CAST(percentiles.p99 AS DECIMAL(34, 1)) / 360000000000 AS DECIMAL(21, 2)) AS p99_hours,
    CAST(CAST(counted.longest AS DECIMAL(19, 0)) / 3600000000 AS DECIMAL(21, 2)) AS longest_hours,
    counted.over_hour,
    counted.over_day,
    counted.other_day
FROM counted
INNER JOIN percentiles ON counted.period = percentiles.period AND counted.event_type = percentiles.event_type
ORDER BY 1, 2
