-- title: Statement of an account
-- question: What did this charity, family or member receive, give on and spend in each period, and what is left?
-- audience: finance and support, for the owner of the account
-- parameter: account (user, required, each donations.recipient_id) The id of the charity, family or member.
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default month) Length of a period: day, week (Monday to Sunday), month, quarter or year.
-- column: period (date) First day of the period, also of one without events; the first and last periods may reach beyond the days that count.
-- column: opening (points) Balance at the beginning of the period, counted from the first day of the lake.
-- column: received (points) Points that came as gifts.
-- column: gifts (count) Gifts that came.
-- column: donors (count) Different donors of them; who they are is not told.
-- column: minted (points) Points minted for the account.
-- column: transferred (points) Points moved from other officers, less those moved to them.
-- column: given (points) Points given on.
-- column: spent (points) Points redeemed.
-- column: closing (points) Balance at the end of the period.
-- figures: received sum, given sum, spent sum, closing last
-- chart: line x=period y=closing

-- Sums are decimals of 38 digits: whatever a lake holds, they neither wrap around nor fail.
WITH entries AS (
    SELECT
        local_date,
        entry,
        counterparty_id,
        CAST(points AS DECIMAL(19, 0)) AS points
    FROM points_ledger
    WHERE
        user_id = $account
        AND local_date <= $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date <= $to + INTERVAL '1 day'
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
    SELECT coalesce(sum(entries.points), 0) AS balance
    FROM entries
    INNER JOIN bounds ON entries.local_date < bounds.first_day
),

sums AS (
    SELECT
        CAST(date_trunc($by, entries.local_date) AS DATE) AS period,
        sum(entries.points) FILTER (WHERE entries.entry = 'received') AS received,
        count(*) FILTER (WHERE entries.entry = 'received') AS gifts,
        count(DISTINCT CASE WHEN entries.entry = 'received' THEN entries.counterparty_id END) AS donors,
        sum(entries.points) FILTER (WHERE entries.entry = 'minted') AS minted,
        sum(entries.points) FILTER (WHERE entries.entry = 'transferred') AS transferred,
        sum(-entries.points) FILTER (WHERE entries.entry = 'donated') AS given,
        sum(-entries.points) FILTER (WHERE entries.entry = 'redeemed') AS spent,
        sum(entries.points) AS change
    FROM entries
    INNER JOIN bounds ON entries.local_date >= bounds.first_day
    GROUP BY 1
),

closed AS (
    SELECT
        firsts.period,
        sums.received,
        sums.gifts,
        sums.donors,
        sums.minted,
        sums.transferred,
        sums.given,
        sums.spent,
        coalesce(sums.change, 0) AS change,
        CAST(
            earlier.balance + sum(coalesce(sums.change, 0)) OVER (ORDER BY firsts.period) AS DECIMAL(38, 0)
        ) AS closing
    FROM firsts
    CROSS JOIN earlier
    LEFT JOIN sums ON firsts.period = sums.period
)

SELECT
    period,
    CAST(closing - change AS DECIMAL(38, 0)) AS opening,
    CAST(coalesce(received, 0) AS DECIMAL(38, 0)) AS received,
    coalesce(gifts, 0) AS gifts,
    coalesce(donors, 0) AS donors,
    CAST(coalesce(minted, 0) AS DECIMAL(38, 0)) AS minted,
    CAST(coalesce(transferred, 0) AS DECIMAL(38, 0)) AS transferred,
    CAST(coalesce(given, 0) AS DECIMAL(38, 0)) AS given,
    CAST(coalesce(spent, 0) AS DECIMAL(38, 0)) AS spent,
    closing
FROM closed
ORDER BY 1
