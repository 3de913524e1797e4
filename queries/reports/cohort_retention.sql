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

-- Whoever hands on points is told by the type of the event, not by the sign of the points: a transfer may be of 0 points.
WITH active_weeks AS (
    SELECT
        user_id,
        CAST(date_trunc('week', local_date) AS DATE) AS week,
        min(local_date) AS first_of_week
    FROM (
        SELECT
            user_id,
            local_date
        FROM points_ledger
        WHERE entry IN ('minted', 'donated', 'redeemed')
        UNION ALL
        SELECT
            from_officer_id AS user_id,
            local_date
        FROM transfers
    )
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

-- Weeks that the lake has not come to yet are left out, rather than shown as zero; no more are made than it may have.
numbers AS (
    SELECT
        last_day,
        unnest(range(0, least($weeks, CAST(date_part('epoch', last_day) - date_part('epoch', first_day) AS BIGINT) / 604800 + 1) + 1)) AS number
    FROM (SELECT min(local_date) AS first_day, max(local_date) AS last_day FROM calendar)
),

grid AS (
    SELECT
        sizes.cohort,
        sizes.users,
        numbers.number
    FROM sizes
    INNER JOIN numbers
        ON date_part('epoch', sizes.cohort) + numbers.number * 604800 <= date_part('epoch', numbers.last_day)
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
    CAST(CAST(coalesce(active.users, 0) AS DECIMAL(34, 1)) / nullif(grid.users, 0) AS DECIMAL(38, 4)) AS share
FROM grid
LEFT JOIN active ON grid.cohort = active.cohort AND grid.number = active.number
ORDER BY 1, 2
