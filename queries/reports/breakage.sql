-- title: Breakage
-- question: How old are the points that nobody has spent yet?
-- audience: finance
-- parameter: to (date, default last) The day at whose end balances are looked at; the last day of the lake when that comes before.
-- column: age (text) How many days before that day the points were gained: 0 to 30, 31 to 90, 91 to 180, 181 to 365 or over 365. A gift or transfer is gained when it is received.
-- column: points (points) Points that are still held; oldest points are spent first, and what a user spent before earning it is paid with the next points that come. So the points of a user add up to the balance, and to nothing while that is below zero.
-- column: holders (count) Different users who hold such points.
-- column: share (share) Part of all points held.
-- figures: points sum
-- chart: bar x=age y=points

-- Oldest points are spent first. A user's gains lie end to end on a line of points, and so does what the user gave; where the two
-- lie over each other, those points were gained by the one and given by the other.
WITH days AS (
    SELECT
        user_id,
        local_date,
        sum(CAST(points AS DECIMAL(19, 0))) FILTER (WHERE points > 0) AS gained,
        sum(CAST(-points AS DECIMAL(19, 0))) FILTER (WHERE points < 0) AS given
    FROM points_ledger
    WHERE
        points <> 0
        AND local_date <= $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date <= $to + INTERVAL '1 day'
    GROUP BY 1, 2
),

-- Points of one day are of one age, so that a day is one gain.
lines AS (
    SELECT
        user_id,
        local_date,
        gained,
        sum(gained) OVER (PARTITION BY user_id ORDER BY local_date ROWS UNBOUNDED PRECEDING) AS reach,
        coalesce(sum(given) OVER (PARTITION BY user_id), 0) AS given
    FROM days
),

held AS (
    SELECT
        user_id,
        local_date,
        least(gained, reach - given) AS points
    FROM lines
    WHERE gained > 0 AND reach > given
),

aged AS (
    SELECT
        held.user_id,
        held.points,
        CAST(date_part('epoch', CAST(lake.last_day AS TIMESTAMP)) - date_part('epoch', CAST(held.local_date AS TIMESTAMP)) AS BIGINT) / 86400 AS days
    FROM held
    CROSS JOIN (SELECT max(local_date) AS last_day FROM calendar WHERE local_date <= $to) AS lake
),

named AS (
    SELECT
        user_id,
        points,
        CASE
            WHEN days <= 30 THEN '0 to 30'
            WHEN days <= 90 THEN '31 to 90'
            WHEN days <= 180 THEN '91 to 180'
            WHEN days <= 365 THEN '181 to 365'
            ELSE 'over 365'
        END AS age,
        days
    FROM aged
)

SELECT
    age,
    CAST(sum(points) AS DECIMAL(38, 0)) AS points,
    count(DISTINCT user_id) AS holders,
    CAST(CAST(sum(points) AS DECIMAL(34, 1)) / nullif(sum(sum(points)) OVER (), 0) AS DECIMAL(38, 4)) AS share
FROM named
GROUP BY age
ORDER BY min(days)
