-- title: Points liability
-- question: How many points are outstanding, and how does that change?
-- audience: finance
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default day) Length of a period: day, week (Monday to Sunday), month, quarter or year.
-- column: period (date) First day of the period, also of one without events, and outside of the lake's days when `from` or `to` lies there; the first and last periods may reach beyond the days that count.
-- column: minted (points) Points minted.
-- column: redeemed (points) Points redeemed, which burns them.
-- column: change (points) Minted less redeemed.
-- column: liability (points) All that was minted less all that was redeemed, from the first day of the lake to the end of the period.
-- column: donated (points) Points that changed hands as gifts; they do not change the liability.
-- figures: minted sum, redeemed sum, liability last
-- chart: line x=period y=liability

-- Sums are decimals of 38 digits: whatever a lake holds, they neither wrap around nor fail.
WITH moved AS (
    SELECT
        local_date,
        coalesce(sum(CAST(points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'minted'), 0) AS minted,
        coalesce(sum(-CAST(points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'redeemed'), 0) AS redeemed,
        coalesce(sum(-CAST(points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'donated'), 0) AS donated
    FROM points_ledger
    WHERE
        local_date <= $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date <= $to + INTERVAL '1 day'
    GROUP BY 1
),

-- These two days stand for "not given": then the lake's own first and last day are meant.
bounds AS (
    SELECT
        CASE WHEN $from = DATE '1970-01-01' THEN min(local_date) ELSE $from END AS first_day,
        CASE WHEN $to = DATE '9999-12-30' THEN max(local_date) ELSE $to END AS last_day
    FROM calendar
    HAVING count(*) > 0
),

days AS (
    SELECT unnest(generate_series(first_day, last_day, INTERVAL '1 day')) AS local_date
    FROM bounds
),

earlier AS (
    SELECT coalesce(sum(moved.minted - moved.redeemed), 0) AS liability
    FROM moved
    INNER JOIN bounds ON moved.local_date < bounds.first_day
),

periods AS (
    SELECT
        CAST(date_trunc($by, days.local_date) AS DATE) AS period,
        CAST(coalesce(sum(moved.minted), 0) AS DECIMAL(38, 0)) AS minted,
        CAST(coalesce(sum(moved.redeemed), 0) AS DECIMAL(38, 0)) AS redeemed,
        CAST(coalesce(sum(moved.donated), 0) AS DECIMAL(38, 0)) AS donated
    FROM days
    LEFT JOIN moved ON days.local_date = moved.local_date
    GROUP BY 1
)

SELECT
    periods.period,
    periods.minted,
    periods.redeemed,
    periods.minted - periods.redeemed AS change,
    CAST(
        earlier.liability + sum(periods.minted - periods.redeemed) OVER (ORDER BY periods.period) AS DECIMAL(38, 0)
    ) AS liability,
    periods.donated
FROM periods
CROSS JOIN earlier
ORDER BY 1
