-- title: Weekly cohorts
-- question: Of those who became active in a week, how many are active in the weeks after?
-- audience: product managers
-- parameter: from (date, default first) First day of first activity that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day of first activity that counts, itself included.
-- parameter: weeks (integer, default 8, least 0, most 520) How many weeks after the first are followed, as far as the lake has come.
-- column: cohort (date) Monday of the week of the first activity.
-- column: week (number) Weeks after that, from 0.
-- column: users (count) Users of the cohort.
-- column: active (count) Of these, users who were active in that week.
-- column: share (share) Active divided by users.
-- chart: heatmap x=week y=cohort value=share

WITH active_weeks AS (
    SELECT
        user_id,
        CAST(date_trunc('week', local_date) AS DATE) AS week,
        min(local_date) AS first_of_week
    FROM points_ledger
    WHERE entry IN ('minted', 'donated', 'redeemed') OR (entry = 'transferred' AND points < 0)
    GROUP BY 1, 2
),

weeks AS (
    SELECT
        user_id,
        week,
        first_value(first_of_week) OVER (PARTITION BY user_id ORDER BY week ROWS UNBOUNDED PRECEDING) AS first_day
    FROM active_weeks
),

members AS (
    SELECT
        user_id,
        CAST(date_trunc('week', first_day) AS DATE) AS cohort,
        CAST(
            (date_part('epoch', week) - date_part('epoch', date_trunc('week', first_day))) / 604800 AS BIGINT
        ) AS number
    FROM weeks
    WHERE first_day BETWEEN $from AND $to
),

sizes AS (
    SELECT
        cohort,
        count(*) AS users
    FROM members
    WHERE number = 0
    GROUP BY 1
),

grid AS (
    SELECT
        sizes.cohort,
        sizes.users,
        numbers.number
    FROM sizes
    CROSS JOIN (SELECT unnest(range(0, $weeks + 1)) AS number) AS numbers
    CROSS JOIN (SELECT max(local_date) AS last_day FROM calendar) AS lake
    -- Weeks that the lake has not come to yet are left out, rather than shown as zero.
    WHERE date_part('epoch', sizes.cohort) + numbers.number * 604800 <= date_part('epoch', lake.last_day)
),

active AS (
    SELECT
        cohort,
        number,
        count(*) AS users
    FROM members
    GROUP BY 1, 2
)

SELECT
    grid.cohort,
    grid.number AS week,
    grid.users,
    coalesce(active.users, 0) AS active,
    CAST(CAST(coalesce(active.users, 0) AS DECIMAL(20, 1)) / nullif(grid.users, 0) AS DECIMAL(21, 4)) AS share
FROM grid
LEFT JOIN active ON grid.cohort = active.cohort AND grid.number = active.number
ORDER BY 1, 2
