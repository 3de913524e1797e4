-- title: Summary for the media
-- question: What may be told outside the house of what happens in each zip code?
-- audience: local media and partners
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: min_group (integer, default 10) A number is shown only when at least so many people are behind it.
-- column: activity (text) interaction, donation or redemption.
-- column: zip_code (text) Where; `all` for all places together, those that do not tell included.
-- column: events (count) How many; empty when suppressed.
-- column: people (count) Different civilians, officers, families and charities who did it themselves; empty when suppressed.
-- column: points (points) Points minted, given or spent; empty when suppressed.
-- column: suppressed (text) small: too few people; complement: hidden so that a small one cannot be computed from the others; empty when shown.
-- chart: bar x=zip_code y=events series=activity

-- Sums are taken as decimals, because sums of BIGINT wrap around; the cast back fails instead.
WITH acts AS (
    SELECT
        CASE entry WHEN 'minted' THEN 'interaction' WHEN 'donated' THEN 'donation' ELSE 'redemption' END AS activity,
        coalesce(zip_code, 'unknown') AS zip_code,
        event_id,
        user_id,
        abs(points) AS points
    FROM points_ledger
    WHERE
        entry IN ('minted', 'donated', 'redeemed')
        AND local_date BETWEEN $from AND $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
),

cells AS (
    SELECT
        activity,
        zip_code,
        count(DISTINCT event_id) AS events,
        count(DISTINCT user_id) AS people,
        CAST(sum(CAST(points AS DECIMAL(19, 0))) AS BIGINT) AS points
    FROM acts
    GROUP BY 1, 2
),

totals AS (
    SELECT
        activity,
        count(DISTINCT event_id) AS events,
        count(DISTINCT user_id) AS people,
        CAST(sum(CAST(points AS DECIMAL(19, 0))) AS BIGINT) AS points
    FROM acts
    GROUP BY 1
),

ordered AS (
    SELECT
        *,
        people < $min_group AS is_small,
        count(*) FILTER (WHERE people < $min_group) OVER (PARTITION BY activity) > 0 AS has_small,
        -- Cells before this one, the smallest first: those are hidden before it is.
        coalesce(count(*) OVER smaller, 0) AS hidden_before,
        coalesce(sum(people) OVER smaller, 0) AS people_before
    FROM cells
    WINDOW smaller AS (
        PARTITION BY activity
        ORDER BY people, events, points, zip_code
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
),

judged AS (
    SELECT
        *,
        CASE
            WHEN is_small THEN 'small'
            -- Whoever subtracts what is shown from the total must be left with two cells or more, and with enough people.
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
