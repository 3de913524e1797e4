-- title: Month-end close
-- question: Do opening balance, points minted and points redeemed add up to the closing balance, for each kind of holder?
-- audience: finance
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default month) Length of a period: day, week (Monday to Sunday), month, quarter or year.
-- parameter: points_per_dollar (integer, default 0, least 0, most 1000000) How many points a dollar is; 0 leaves the columns in dollars empty.
-- column: period (date) First day of the period, also of one without events; the first and last periods may reach beyond the days that count.
-- column: holder_kind (text) What the holders of the points are.
-- column: opening (points) Held at the beginning of the period, counted from the first day of the lake.
-- column: minted (points) Points minted.
-- column: redeemed (points) Points redeemed, which burns them.
-- column: received (points) Points that came as gifts from other holders: they were held before.
-- column: given (points) Points given to other holders.
-- column: transferred (points) Points moved between officers; over all of them the sum is 0.
-- column: closing (points) Held at the end of the period: opening, minted, received and transferred, less given and redeemed.
-- column: opening_cents (cents) The opening balance in US dollars, rounded to the cent; empty without points_per_dollar.
-- column: closing_cents (cents) The closing balance in US dollars, rounded to the cent; empty without points_per_dollar.
-- figures: minted sum, redeemed sum
-- chart: line x=period y=closing series=holder_kind

-- Sums are decimals of 38 digits: whatever a lake holds, they neither wrap around nor fail.
WITH moved AS (
    SELECT
        local_date,
        user_kind AS holder_kind,
        coalesce(sum(CAST(points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'minted'), 0) AS minted,
        coalesce(sum(-CAST(points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'redeemed'), 0) AS redeemed,
        coalesce(sum(CAST(points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'received'), 0) AS received,
        coalesce(sum(-CAST(points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'donated'), 0) AS given,
        coalesce(sum(CAST(points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'transferred'), 0) AS transferred,
        coalesce(sum(CAST(points AS DECIMAL(19, 0))), 0) AS change
    FROM points_ledger
    WHERE
        local_date <= $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date <= $to + INTERVAL '1 day'
    GROUP BY 1, 2
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

firsts AS (
    SELECT DISTINCT CAST(date_trunc($by, local_date) AS DATE) AS period
    FROM days
),

earlier AS (
    SELECT
        moved.holder_kind,
        sum(moved.change) AS balance
    FROM moved
    INNER JOIN bounds ON moved.local_date < bounds.first_day
    GROUP BY 1
),

sums AS (
    SELECT
        CAST(date_trunc($by, moved.local_date) AS DATE) AS period,
        moved.holder_kind,
        sum(moved.minted) AS minted,
        sum(moved.redeemed) AS redeemed,
        sum(moved.received) AS received,
        sum(moved.given) AS given,
        sum(moved.transferred) AS transferred,
        sum(moved.change) AS change
    FROM moved
    INNER JOIN bounds ON moved.local_date >= bounds.first_day
    GROUP BY 1, 2
),

-- Each kind that ever held points has a row in each period.
periods AS (
    SELECT
        firsts.period,
        kinds.holder_kind,
        CAST(coalesce(sums.minted, 0) AS DECIMAL(38, 0)) AS minted,
        CAST(coalesce(sums.redeemed, 0) AS DECIMAL(38, 0)) AS redeemed,
        CAST(coalesce(sums.received, 0) AS DECIMAL(38, 0)) AS received,
        CAST(coalesce(sums.given, 0) AS DECIMAL(38, 0)) AS given,
        CAST(coalesce(sums.transferred, 0) AS DECIMAL(38, 0)) AS transferred,
        CAST(coalesce(sums.change, 0) AS DECIMAL(38, 0)) AS change,
        CAST(coalesce(earlier.balance, 0) AS DECIMAL(38, 0)) AS balance
    FROM firsts
    CROSS JOIN (SELECT DISTINCT holder_kind FROM moved) AS kinds
    LEFT JOIN sums ON firsts.period = sums.period AND kinds.holder_kind = sums.holder_kind
    LEFT JOIN earlier ON kinds.holder_kind = earlier.holder_kind
),

closed AS (
    SELECT
        *,
        CAST(
            balance + sum(change) OVER (PARTITION BY holder_kind ORDER BY period) AS DECIMAL(38, 0)
        ) AS closing
    FROM periods
)

SELECT
    period,
    holder_kind,
    CAST(closing - change AS DECIMAL(38, 0)) AS opening,
    minted,
    redeemed,
    received,
    given,
    transferred,
    closing,
    CAST(
        round(CAST(closing - change AS DECIMAL(30, 0)) * 100 / nullif(CAST($points_per_dollar AS DECIMAL(7, 0)), 0)) AS DECIMAL(38, 0)
    ) AS opening_cents,
    CAST(
        round(CAST(closing AS DECIMAL(30, 0)) * 100 / nullif(CAST($points_per_dollar AS DECIMAL(7, 0)), 0)) AS DECIMAL(38, 0)
    ) AS closing_cents
FROM closed
ORDER BY 1, 2
