-- title: Summary for the media
-- question: What may be told outside the house of what happens in each zip code?
-- audience: local media and partners
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: min_group (integer, default 10, least 1, most 1000000) A number is shown only when at least so many people are behind it.
-- column: activity (text) interaction, donation or redemption.
-- column: zip_code (text) Where; `unknown` for those that do not tell; `all` for all places together, those included.
-- column: events (count) How many; empty when suppressed.
-- column: people (count) Different civilians, officers, families and charities who did it themselves; empty when suppressed.
-- column: points (points) Points minted, given or spent; empty when suppressed.
-- column: suppressed (text) small: too few people; complement: one of the smallest others, hidden so that the total less what is shown leaves at least two places with at least min_group different people; empty when shown.
-- chart: bar x=zip_code y=events series=activity without=all

-- Sums are taken as decimals, because sums of BIGINT wrap around; the cast back fails instead.
WITH acts AS (
    SELECT
        CASE entry WHEN 'minted' THEN 'interaction' WHEN 'donated' THEN 'donation' ELSE 'redemption' END AS activity,
        coalesce(zip_code, 'unknown') AS zip_code,
        -- A meeting has two rows in the ledger, and counts once.
        entry <> 'minted' OR user_kind = 'civilian' AS is_event,
        user_id,
        abs(points) AS points
    FROM points_ledger
    WHERE
        entry IN ('minted', 'donated', 'redeemed')
        AND local_date BETWEEN $from AND $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
),

people AS (
    SELECT
        activity,
        zip_code,
        user_id,
        count(*) FILTER (WHERE is_event) AS events,
        sum(CAST(points AS DECIMAL(19, 0))) AS points
    FROM acts
    GROUP BY 1, 2, 3
),

cells AS (
    SELECT
        activity,
        zip_code,
        CAST(sum(events) AS BIGINT) AS events,
        count(user_id) AS people,
        CAST(sum(points) AS BIGINT) AS points
    FROM people
    GROUP BY 1, 2
),

totals AS (
    SELECT
        activity,
        CAST(sum(events) AS BIGINT) AS events,
        count(user_id) AS people,
        CAST(sum(points) AS BIGINT) AS points
    FROM (
        SELECT
            activity,
            user_id,
            count(*) FILTER (WHERE is_event) AS events,
            sum(CAST(points AS DECIMAL(19, 0))) AS points
        FROM acts
        GROUP BY 1, 2
    )
    GROUP BY 1
),

-- The smallest first: those are hidden before others are.
numbered AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY activity ORDER BY people, events, points, zip_code) AS number,
        count(*) FILTER (WHERE people < $min_group) OVER (PARTITION BY activity) AS small
    FROM cells
),

-- Whoever is in several cells counts in the first of them, so that the people of the first cells can be added up. The first cell that
-- is not small has enough people by itself: those behind it need not be looked at.
newcomers AS (
    SELECT
        activity,
        number,
        count(*) AS people
    FROM (
        SELECT
            acts.activity,
            acts.user_id,
            min(numbered.number) AS number
        FROM numbered
        INNER JOIN acts ON numbered.activity = acts.activity AND numbered.zip_code = acts.zip_code
        WHERE numbered.number <= numbered.small + 1
        GROUP BY 1, 2
    )
    GROUP BY 1, 2
),

ordered AS (
    SELECT
        numbered.activity,
        numbered.zip_code,
        numbered.events,
        numbered.people,
        numbered.points,
        numbered.people < $min_group AS is_small,
        numbered.small > 0 AS has_small,
        numbered.number - 1 AS hidden_before,
        coalesce(
            sum(newcomers.people) OVER (
                PARTITION BY numbered.activity
                ORDER BY numbered.number
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ),
            0
        ) AS people_before
    FROM numbered
    LEFT JOIN newcomers ON numbered.activity = newcomers.activity AND numbered.number = newcomers.number
),

judged AS (
    SELECT
        *,
        CASE
            WHEN is_small THEN 'small'
            -- Whoever subtracts what is shown from the total must be left with two cells or more, and with enough different people.
            WHEN has_small AND (hidden_before < 2 OR people_before < $min_group) THEN 'complement'
        END AS suppressed
    FROM ordered
)

SELECT
    activity,
    zip_code,
    CASE WHEN suppressed IS NULL THEN events END AS events,
    CASE WHEN suppressed IS NULL THEN people END AS people,
    CASE WHEN suppressed IS NULL THEN points END AS points,
    suppressed
FROM (
    SELECT activity, zip_code, events, people, points, suppressed, 0 AS is_total FROM judged
    UNION ALL
    SELECT
        activity,
        'all' AS zip_code,
        events,
        people,
        points,
        CASE WHEN people < $min_group THEN 'small' END AS suppressed,
        1 AS is_total
    FROM totals
)
ORDER BY activity, is_total DESC, zip_code
