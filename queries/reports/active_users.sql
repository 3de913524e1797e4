-- title: Active users
-- question: How many users take part, in each day, week or month?
-- audience: product managers, community partners and local media
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default day) Length of a period: day, week (Monday to Sunday) or month.
-- column: period (date) First day of the period; the first and last periods may reach beyond the days that count.
-- column: active_users (count) Different users who met, gave, spent or handed on points themselves. Recipients of gifts and providers do not count.
-- column: civilians (count) Of these, civilians.
-- column: police_officers (count) Of these, police officers.
-- column: charities (count) Of these, charities.
-- column: families_in_need (count) Of these, families in need.
-- column: new_users (count) Of these, users who had not been active on any day before.
-- chart: line x=period y=active_users

WITH acts AS (
    SELECT DISTINCT
        user_id,
        user_kind,
        local_date
    FROM points_ledger
    WHERE
        (entry IN ('minted', 'donated', 'redeemed') OR (entry = 'transferred' AND points < 0))
        AND local_date <= $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date <= $to + INTERVAL '1 day'
),

days AS (
    SELECT
        user_id,
        min(user_kind) AS user_kind,
        local_date,
        min(local_date) OVER (PARTITION BY user_id) AS first_day
    FROM acts
    GROUP BY user_id, local_date
)

SELECT
    CAST(date_trunc($by, local_date) AS DATE) AS period,
    count(DISTINCT user_id) AS active_users,
    count(DISTINCT user_id) FILTER (WHERE user_kind = 'civilian') AS civilians,
    count(DISTINCT user_id) FILTER (WHERE user_kind = 'police_officer') AS police_officers,
    count(DISTINCT user_id) FILTER (WHERE user_kind = 'charity') AS charities,
    count(DISTINCT user_id) FILTER (WHERE user_kind = 'family_in_need') AS families_in_need,
    count(DISTINCT user_id) FILTER (WHERE first_day = local_date) AS new_users
FROM days
WHERE local_date >= $from
GROUP BY 1
ORDER BY 1
