-- title: Hours of the week
-- question: On which days of the week and at which hours do civilians and officers meet?
-- audience: police departments
-- covers: period
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- column: weekday (number) 1 for Monday to 7 for Sunday, in the time zone of the session.
-- column: hour (number) Hour of the day, 0 to 23, in the time zone of the session; every hour of the week is listed, unless nobody met at all.
-- column: interactions (count) Meetings in the hour.
-- column: share (share) Part of all interactions.
-- figures: interactions sum
-- chart: heatmap x=hour y=weekday value=interactions

WITH met AS (
    SELECT
        CAST(date_part('isodow', CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE)) AS BIGINT) AS weekday,
        CAST(date_part('hour', CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE)) AS BIGINT) AS hour,
        count(*) AS interactions
    FROM interactions
    WHERE
        local_date BETWEEN $from AND $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
    GROUP BY 1, 2
),

grid AS (
    SELECT
        weekdays.weekday,
        hours.hour
    FROM (SELECT unnest(range(1, 8)) AS weekday) AS weekdays
    CROSS JOIN (SELECT unnest(range(0, 24)) AS hour) AS hours
)

SELECT
    grid.weekday,
    grid.hour,
    coalesce(met.interactions, 0) AS interactions,
    CAST(CAST(coalesce(met.interactions, 0) AS DECIMAL(34, 1)) / nullif(sum(met.interactions) OVER (), 0) AS DECIMAL(38, 4)) AS share
FROM grid
LEFT JOIN met ON grid.weekday = met.weekday AND grid.hour = met.hour
-- An empty period gives no rows instead of 168 zeros.
WHERE EXISTS (SELECT 1 FROM met)
ORDER BY 1, 2
