-- title: Onboarding funnel
-- question: How many new users meet an officer, and then give or spend, and how long does that take?
-- audience: product managers
-- covers: period
-- parameter: from (date, default first) First day of creation that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day of creation that counts, itself included.
-- parameter: kind (text, default civilian, one of civilian police_officer) Kind of user: civilian or police_officer.
-- column: step (number) 1, 2 or 3.
-- column: stage (text) created, then first_interaction: the first at or after that, then first_use: the first donation, redemption or transfer given at or after that.
-- column: users (count) Users who came so far, until today; no step is listed when nobody was created.
-- column: share_of_created (share) Part of those who were created.
-- column: share_of_previous (share) Part of those who came to the step before; empty for the first step.
-- column: median_days (days) From creation to the step: half of the users took no longer.
-- column: p90_days (days) Nine of ten users took no longer.
-- chart: bar x=stage y=users

WITH created AS (
    SELECT
        user_id,
        created_at
    FROM users
    WHERE
        user_kind = $kind
        AND CAST(CAST(created_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) BETWEEN $from AND $to
),

met AS (
    SELECT
        created.user_id,
        created.created_at,
        min(points_ledger.occurred_at) AS met_at
    FROM created
    LEFT JOIN points_ledger ON
        created.user_id = points_ledger.user_id
        AND points_ledger.entry = 'minted'
        AND points_ledger.occurred_at >= created.created_at
    GROUP BY 1, 2
),

-- Whoever gives is told by the type of the event, not by the sign of the points: a gift may be of 0 points.
uses AS (
    SELECT
        user_id,
        occurred_at
    FROM points_ledger
    WHERE entry IN ('donated', 'redeemed')
    UNION ALL
    SELECT
        from_officer_id AS user_id,
        occurred_at
    FROM transfers
),

used AS (
    SELECT
        met.user_id,
        met.created_at,
        met.met_at,
        min(uses.occurred_at) AS used_at
    FROM met
    LEFT JOIN uses ON met.user_id = uses.user_id AND uses.occurred_at >= met.met_at
    GROUP BY 1, 2, 3
),

steps AS (
    SELECT 1 AS step, 'created' AS stage, created_at, created_at AS reached_at FROM used
    UNION ALL
    SELECT 2 AS step, 'first_interaction' AS stage, created_at, met_at AS reached_at FROM used
    UNION ALL
    SELECT 3 AS step, 'first_use' AS stage, created_at, used_at AS reached_at FROM used
),

waits AS (
    SELECT
        step,
        stage,
        micros,
        count(*) AS users
    FROM (SELECT step, stage, CAST(reached_at AS BIGINT) - CAST(created_at AS BIGINT) AS micros FROM steps)
    GROUP BY 1, 2, 3
),

counted AS (
    SELECT
        step,
        stage,
        CAST(coalesce(sum(users) FILTER (WHERE micros IS NOT NULL), 0) AS BIGINT) AS users
    FROM waits
    GROUP BY 1, 2
),

-- A percentile is PostgreSQL's percentile_cont, in whole numbers: sorted values have places from 0, each as long as 100 parts; the
-- percentile covers the 100 parts behind (places - 1) * percent, so it is a value, or lies between two in proportion.
placed AS (
    SELECT
        step,
        micros,
        users,
        sum(users) OVER (PARTITION BY step ORDER BY micros ROWS UNBOUNDED PRECEDING) AS up_to
    FROM waits
    WHERE micros IS NOT NULL
),

percentiles AS (
    SELECT
        placed.step,
        sum(
            CAST(placed.micros AS DECIMAL(19, 0))
            * greatest(least(placed.up_to * 100, (counted.users - 1) * 50 + 100) - greatest((placed.up_to - placed.users) * 100, (counted.users - 1) * 50), 0)
        ) AS p50,
        sum(
            CAST(placed.micros AS DECIMAL(19, 0))
            * greatest(least(placed.up_to * 100, (counted.users - 1) * 90 + 100) - greatest((placed.up_to - placed.users) * 100, (counted.users - 1) * 90), 0)
        ) AS p90
    FROM placed
    INNER JOIN counted ON placed.step = counted.step
    GROUP BY 1
)

SELECT
    counted.step,
    counted.stage,
    counted.users,
    CAST(CAST(counted.users AS DECIMAL(34, 1)) / nullif(first_value(counted.users) OVER (ORDER BY counted.step), 0) AS DECIMAL(38, 4)) AS share_of_created,
    CAST(CAST(counted.users AS DECIMAL(34, 1)) / nullif(lag(counted.users) OVER (ORDER BY counted.step), 0) AS DECIMAL(38, 4)) AS share_of_previous,
    CAST(CAST(percentiles.p50 AS DECIMAL(34, 1)) / 8640000000000 AS DECIMAL(21, 2)) AS median_days,
    CAST(CAST(percentiles.p90 AS DECIMAL(34, 1)) / 8640000000000 AS DECIMAL(21, 2)) AS p90_days
FROM counted
LEFT JOIN percentiles ON counted.step = percentiles.step
ORDER BY 1
