-- title: Share of minted points that is donated
-- question: How much of what members earn do they give away?
-- audience: partner charities, finance and local media
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default month) Length of a period: day, week (Monday to Sunday) or month.
-- column: period (date) First day of the period, also of one without events; the first and last periods may reach beyond the days that count.
-- column: minted (points) Points minted in the period.
-- column: donated (points) Points donated in the period, whenever they were minted.
-- column: share (share) Donated divided by minted, of the period; empty when none was minted.
-- column: minted_to_date (points) Points minted from the first day of the lake to the end of the period.
-- column: donated_to_date (points) Points donated from the first day of the lake to the end of the period.
-- column: share_to_date (share) Donated to date divided by minted to date.
-- chart: line x=period y=share_to_date

-- Sums are taken as decimals, because sums of BIGINT wrap around; the cast back fails instead.
WITH moved AS (
    SELECT
        local_date,
        CAST(coalesce(sum(CAST(points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'minted'), 0) AS BIGINT) AS minted,
        CAST(coalesce(sum(CAST(-points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'donated'), 0) AS BIGINT) AS donated
    FROM points_ledger
    WHERE
        entry IN ('minted', 'donated')
        AND local_date <= $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date <= $to + INTERVAL '1 day'
    GROUP BY 1
),

periods AS (
    SELECT
        CAST(date_trunc($by, calendar.local_date) AS DATE) AS period,
        max(calendar.local_date) AS last_day,
        CAST(coalesce(sum(CAST(moved.minted AS DECIMAL(19, 0))) FILTER (WHERE calendar.local_date >= $from), 0) AS BIGINT) AS minted,
        CAST(coalesce(sum(CAST(moved.donated AS DECIMAL(19, 0))) FILTER (WHERE calendar.local_date >= $from), 0) AS BIGINT) AS donated,
        CAST(coalesce(sum(CAST(moved.minted AS DECIMAL(19, 0))), 0) AS BIGINT) AS all_minted,
        CAST(coalesce(sum(CAST(moved.donated AS DECIMAL(19, 0))), 0) AS BIGINT) AS all_donated
    FROM calendar
    LEFT JOIN moved ON calendar.local_date = moved.local_date
    WHERE calendar.local_date <= $to
    GROUP BY 1
),

running AS (
    SELECT
        *,
        CAST(sum(CAST(all_minted AS DECIMAL(19, 0))) OVER (ORDER BY period) AS BIGINT) AS minted_to_date,
        CAST(sum(CAST(all_donated AS DECIMAL(19, 0))) OVER (ORDER BY period) AS BIGINT) AS donated_to_date
    FROM periods
)

SELECT
    period,
    minted,
    donated,
    CAST(CAST(donated AS DECIMAL(20, 1)) / nullif(minted, 0) AS DECIMAL(21, 4)) AS share,
    minted_to_date,
    donated_to_date,
    CAST(CAST(donated_to_date AS DECIMAL(20, 1)) / nullif(minted_to_date, 0) AS DECIMAL(21, 4)) AS share_to_date
FROM running
WHERE last_day >= $from
ORDER BY 1
