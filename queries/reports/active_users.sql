-- title: Active users
-- question: How many users take part, in each day, week, month, quarter or year?
-- audience: product managers
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default day) Length of a period: day, week (Monday to Sunday), month, quarter or year.
-- column: period (date) First day of the period; the first and last periods may reach beyond the days that count.
-- column: active_users (count) Different users who met, gave, spent or handed on points themselves. Recipients of gifts and providers do not count.
-- column: civilians (count) Of these, users who did so as a civilian. A user who acted as two kinds counts in both, and once in active_users.
-- column: police_officers (count) Of these, as a police officer.
-- column: charities (count) Of these, as a charity.
-- column: families_in_need (count) Of these, as a family in need.
-- column: new_users (count) Of these, users who had not been active on any day before.
-- figures: active_users last, new_users sum
-- chart: line x=period y=active_users

-- Whoever hands on points is told by the type of the event, not by the sign of the points: a transfer may be of 0 points.
WITH acts AS (
    SELECT
        user_id,
        user_kind,
        local_date
    FROM (
        SELECT
            user_id,
            user_kind,
            local_date
        FROM points_ledger
        WHERE
            entry IN ('minted', 'donated', 'redeemed')
            AND local_date <= $to
            -- Only prunes partitions: a local day lies within a day of the same UTC date.
            AND event_date <= $to + INTERVAL '1 day'
        UNION ALL
        SELECT
            from_officer_id AS user_id,
            'police_officer' AS user_kind,
            local_date
        FROM transfers
        WHERE
            local_date <= $to
            AND event_date <= $to + INTERVAL '1 day'
    )
    GROUP BY 1, 2, 3
),

users_of_periods AS (
    SELECT
        CAST(date_trunc($by, local_date) AS DATE) AS period,
        user_id,
        bool_or(user_kind = 'civilian') AS is_civilian,
        bool_or(user_kind = 'police_officer') AS is_police_officer,
        bool_or(user_kind = 'charity') AS is_charity,
        bool_or(user_kind = 'family_in_need') AS is_family_in_need
    FROM acts
    WHERE local_date >= $from
    GROUP BY 1, 2
),

periods AS (
    SELECT
        period,
        count(*) AS active_users,
        count(*) FILTER (WHERE is_civilian) AS civilians,
        count(*) FILTER (WHERE is_police_officer) AS police_officers,
        count(*) FILTER (WHERE is_charity) AS charities,
        count(*) FILTER (WHERE is_family_in_need) AS families_in_need
    FROM users_of_periods
    GROUP BY 1
),

-- A user is new in the one period in which the first day lies.
firsts AS (
    SELECT
        CAST(date_trunc($by, first_day) AS DATE) AS period,
        count(*) AS new_users
    FROM (
        SELECT
            user_id,
            min(local_date) AS first_day
        FROM acts
        GROUP BY 1
    )
    WHERE first_day >= $from
    GROUP BY 1
)

SELECT
    periods.period,
    periods.active_users,
    periods.civilians,
    periods.police_officers,
    periods.charities,
    periods.families_in_need,
    coalesce(firsts.new_users, 0) AS new_users
FROM periods
LEFT JOIN firsts ON periods.period = firsts.period
ORDER BY 1
