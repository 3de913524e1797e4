-- grain: One row for each day from the lake's first event to its last, in the time zone of the session, also for days without events.
-- column: local_date (date) The day.
-- column: week (date) Monday of its week.
-- column: month (date) First day of its month.
-- column: quarter (date) First day of its quarter.
-- column: year (number) Its year.
-- column: weekday (number) 1 for Monday to 7 for Sunday.
-- column: starts_at (timestamp) The instant at which the day begins.
-- column: ends_at (timestamp) The instant at which the next day begins; 23 or 25 hours later when clocks change.

WITH bounds AS (
    SELECT
        min(first_at) AS first_at,
        max(last_at) AS last_at
    FROM (
        SELECT min(occurred_at) AS first_at, max(occurred_at) AS last_at FROM transactions
        UNION ALL
        SELECT min(occurred_at) AS first_at, max(occurred_at) AS last_at FROM user_events
    )
),

days AS (
    SELECT
        CAST(
            unnest(
                generate_series(
                    CAST(CAST(CAST(first_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS TIMESTAMP),
                    CAST(CAST(CAST(last_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS TIMESTAMP),
                    INTERVAL '1 day'
                )
            ) AS DATE
        ) AS local_date
    FROM bounds
    WHERE first_at IS NOT NULL
)

SELECT
    local_date,
    CAST(date_trunc('week', local_date) AS DATE) AS week,
    CAST(date_trunc('month', local_date) AS DATE) AS month,
    CAST(date_trunc('quarter', local_date) AS DATE) AS quarter,
    CAST(date_part('year', local_date) AS BIGINT) AS year,
    CAST(date_part('isodow', local_date) AS BIGINT) AS weekday,
    CAST(start_of_day(local_date) AS TIMESTAMP(6) WITH TIME ZONE) AS starts_at,
    CAST(start_of_day(CAST(local_date + INTERVAL '1 day' AS DATE)) AS TIMESTAMP(6) WITH TIME ZONE) AS ends_at
FROM days
