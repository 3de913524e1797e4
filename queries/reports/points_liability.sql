-- title: Points liability
-- question: How many points are outstanding, and how does that change?
-- audience: finance
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default day) Length of a period: day, week (Monday to Sunday) or month.
-- column: period (date) First day of the period, also of one without events; the first and last periods may reach beyond the days that count.
-- column: minted (points) Points minted.
-- column: redeemed (points) Points redeemed, which burns them.
-- column: change (points) Minted less redeemed.
-- column: liability (points) All that was minted less all that was redeemed, from the first day of the lake to the end of the period.
-- column: donated (points) Points that changed hands as gifts; they do not change the liability.
-- chart: line x=period y=liability

-- Sums are taken as decimals, because sums of BIGINT wrap around; the cast back fails instead.
WITH moved AS (
    SELECT
        local_date,
        CAST(coalesce(sum(CAST(points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'minted'), 0) AS BIGINT) AS minted,
        CAST(coalesce(sum(CAST(-points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'redeemed'), 0) AS BIGINT) AS redeemed,
        CAST(coalesce(sum(CAST(-points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'donated'), 0) AS BIGINT) AS donated
    FROM points_ledger
    WHERE
        local_date <= $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date <= $to + INTERVAL '1 day'
    GROUP BY 1
),

periods AS (
    SELECT
        CAST(date_trunc($by, calendar.local_date) AS DATE) AS period,
        max(calendar.local_date) AS last_day,
        CAST(coalesce(sum(CAST(moved.minted AS DECIMAL(19, 0))) FILTER (WHERE calendar.local_date >= $from), 0) AS BIGINT) AS minted,
        CAST(coalesce(sum(CAST(moved.redeemed AS DECIMAL(19, 0))) FILTER (WHERE calendar.local_date >= $from), 0) AS BIGINT) AS redeemed,
        CAST(coalesce(sum(CAST(moved.donated AS DECIMAL(19, 0))) FILTER (WHERE calendar.local_date >= $from), 0) AS BIGINT) AS donated,
        CAST(coalesce(sum(CAST(moved.minted - moved.redeemed AS DECIMAL(19, 0))), 0) AS BIGINT) AS all_change
    FROM calendar
    LEFT JOIN moved ON calendar.local_date = moved.local_date
    WHERE calendar.local_date <= $to
    GROUP BY 1
),

running AS (
    SELECT
        *,
        CAST(sum(CAST(all_change AS DECIMAL(19, 0))) OVER (ORDER BY period) AS BIGINT) AS liability
    FROM periods
)

SELECT
    period,
    minted,
    redeemed,
    minted - redeemed AS change,
    liability,
    donated
FROM running
WHERE last_day >= $from
ORDER BY 1
