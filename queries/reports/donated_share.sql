-- title: Share of minted points that is donated
-- question: How much of what members earn do they give away?
-- audience: finance
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default month) Length of a period: day, week (Monday to Sunday), month, quarter or year.
-- column: period (date) First day of the period, also of one without events, and outside of the lake's days when `from` or `to` lies there; the first and last periods may reach beyond the days that count.
-- column: minted (points) Points minted in the period.
-- column: donated (points) Points donated in the period, whenever they were minted.
-- column: share (share) Donated divided by minted, of the period; empty when none was minted.
-- column: minted_to_date (points) Points minted from the first day of the lake to the end of the period.
-- column: donated_to_date (points) Points donated from the first day of the lake to the end of the period.
-- column: share_to_date (share) Donated to date divided by minted to date.
-- figures: minted sum, donated sum, share_to_date last
-- chart: line x=period y=share_to_date

-- Sums are decimals of 38 digits: whatever a lake holds, they neither wrap around nor fail.
WITH moved AS (
    SELECT
        local_date,
        coalesce(sum(CAST(points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'minted'), 0) AS minted,
        coalesce(sum(-CAST(points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'donated'), 0) AS donated
    FROM points_ledger
    WHERE
        entry IN ('minted', 'donated')
        AND local_date <= $to
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
    SELECT
        coalesce(sum(moved.minted), 0) AS minted,
        coalesce(sum(moved.donated), 0) AS donated
    FROM moved
    INNER JOIN bounds ON moved.local_date < bounds.first_day
),

periods AS (
    SELECT
        CAST(date_trunc($by, days.local_date) AS DATE) AS period,
        CAST(coalesce(sum(moved.minted), 0) AS DECIMAL(38, 0)) AS minted,
        CAST(coalesce(sum(moved.donated), 0) AS DECIMAL(38, 0)) AS donated
    FROM days
    LEFT JOIN moved ON days.local_date = moved.local_date
    GROUP BY 1
),

running AS (
    SELECT
        periods.*,
        CAST(earlier.minted + sum(periods.minted) OVER (ORDER BY periods.period) AS DECIMAL(38, 0)) AS minted_to_date,
        CAST(earlier.donated + sum(periods.donated) OVER (ORDER BY periods.period) AS DECIMAL(38, 0)) AS donated_to_date
    FROM periods
    CROSS JOIN earlier
)

SELECT
    period,
    minted,
    donated,
    CAST(CAST(donated AS DECIMAL(34, 1)) / nullif(minted, 0) AS DECIMAL(38, 4)) AS share,
    minted_to_date,
    donated_to_date,
    CAST(CAST(donated_to_date AS DECIMAL(34, 1)) / nullif(minted_to_date, 0) AS DECIMAL(38, 4)) AS share_to_date
FROM running
ORDER BY 1
