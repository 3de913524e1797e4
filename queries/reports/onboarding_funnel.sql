-- title: Onboarding funnel
-- question: How many new users meet an officer, and then give or spend, and how long does that take?
-- audience: product managers
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

used AS (
    SELECT
        met.user_id,
        met.created_at,
        met.met_at,
        min(points_ledger.occurred_at) AS used_at
    FROM met
    LEFT JOIN points_ledger ON
        met.user_id = points_ledger.user_id
        AND points_ledger.entry IN ('donated', 'redeemed', 'transferred')
        AND points_ledger.points < 0
        AND points_ledger.occurred_at >= met.met_at
    GROUP BY 1, 2, 3
),

steps AS (
    SELECT 1 AS step, 'created' AS stage, created_at, created_at AS reached_at FROM used
    UNION ALL
    SELECT 2 AS step, 'first_interaction' AS stage, created_at, met_at AS reached_at FROM used
    UNION ALL
    SELECT 3 AS step, 'first_use' AS stage, created_at, used_at AS reached_at FROM used
),

counted AS (
    SELECT
        step,
        stage,
        count(reached_at) AS users,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(micros AS DOUBLE)) AS median_micros,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY CAST(micros AS DOUBLE)) AS p90_micros
    FROM (SELECT step, stage, reached_at, CAST(reached_at AS BIGINT) - CAST(created_at AS BIGINT) AS micros FROM steps)
    GROUP BY 1, 2
)

SELECT
    step,
    stage,
    users,
    CAST(CAST(users AS DECIMAL(20, 1)) / nullif(first_value(users) OVER (ORDER BY step), 0) AS DECIMAL(21, 4)) AS share_of_created,
    CAST(CAST(users AS DECIMAL(20, 1)) / nullif(lag(users) OVER (ORDER BY step), 0) AS DECIMAL(21, 4)) AS share_of_previous,
    CAST(CAST(median_micros AS DECIMAL(21, 2)) / 86400000000 AS DECIMAL(21, 2)) AS median_days,
    CAST(CAST(p90_micros AS DECIMAL(21, 2)) / 86400000000 AS DECIMAL(21, 2)) AS p90_days
FROM counted
ORDER BY 1
