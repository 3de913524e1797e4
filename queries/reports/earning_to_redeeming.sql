-- title: Time from earning to redeeming
-- question: How long do members keep points before they spend them?
-- audience: finance and product managers
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default month) Length of a period: day, week (Monday to Sunday), month, quarter or year.
-- column: period (date) First day of the period of the redemption; the first and last periods may reach beyond the days that count. A period and kind whose redemptions are all of 0 points has no row.
-- column: redeemer_kind (text) What the redeemers are.
-- column: points (points) Points redeemed whose earning is known: minted, received as a gift or transferred, oldest first.
-- column: unearned (points) Points redeemed when the redeemer had none left, as far as the lake knows. They are not taken from what is gained later: spend 100, earn 100 and spend 100 is 100 earned and 100 unearned. (`breakage` counts what is left, and there the debt is paid first.)
-- column: median_days (days) Half of the points were kept no longer.
-- column: p90_days (days) Nine of ten points were kept no longer.
-- figures: points sum, unearned sum
-- chart: line x=period y=median_days series=redeemer_kind

-- Oldest points are spent first. A user's gains lie end to end on a line of points, and so does what the user gave; where the two
-- lie over each other, those points were gained by the one and given by the other. What a user gave without having it lies over a
-- gain of its own, of the same moment: it is owed to nobody, and later gains do not pay for it. A gain comes before what is given at
-- the same moment.
WITH sums AS (
    SELECT
        user_id,
        user_kind,
        entry,
        occurred_at,
        local_date,
        points > 0 AS is_gain,
        row_number() OVER line AS number,
        sum(CAST(greatest(points, 0) AS DECIMAL(19, 0))) OVER line AS gained,
        sum(CAST(greatest(-points, 0) AS DECIMAL(19, 0))) OVER line AS given
    FROM points_ledger
    WHERE
        points <> 0
        -- What users did who redeemed nothing in these days changes no row.
        AND user_id IN (
            SELECT redeemer_id
            FROM redemptions
            WHERE
                local_date BETWEEN $from AND $to
                AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
        )
        AND local_date <= $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date <= $to + INTERVAL '1 day'
    WINDOW line AS (PARTITION BY user_id ORDER BY occurred_at, points < 0, event_id ROWS UNBOUNDED PRECEDING)
),

lacks AS (
    SELECT
        *,
        greatest(max(given - gained) OVER line, CAST(0 AS DECIMAL(38, 0))) AS lacking
    FROM sums
    WINDOW line AS (PARTITION BY user_id ORDER BY number ROWS UNBOUNDED PRECEDING)
),

ledger AS (
    SELECT
        *,
        lacking > lag(lacking, 1, CAST(0 AS DECIMAL(38, 0))) OVER line AS is_lacking,
        CASE WHEN is_gain THEN gained + lacking ELSE given END AS reach
    FROM lacks
    WINDOW line AS (PARTITION BY user_id ORDER BY number ROWS UNBOUNDED PRECEDING)
),

-- Where a gain or a gift ends on the line; the piece before it belongs to the next gain and the next gift.
marks AS (
    SELECT
        user_id,
        reach,
        max(occurred_at) FILTER (WHERE is_gain) AS gained_at,
        max(occurred_at) FILTER (WHERE NOT is_gain) AS given_at,
        max(entry) FILTER (WHERE NOT is_gain) AS entry,
        max(user_kind) FILTER (WHERE NOT is_gain) AS user_kind,
        max(local_date) FILTER (WHERE NOT is_gain) AS local_date,
        bool_or(is_lacking) AS is_lacking
    FROM ledger
    GROUP BY 1, 2
),

-- Read from the end of the line, so that what comes behind a mark is known when the mark is read.
pieces AS (
    SELECT
        reach - lead(reach, 1, CAST(0 AS DECIMAL(38, 0))) OVER line AS points,
        is_lacking,
        last_value(gained_at) IGNORE NULLS OVER line AS gained_at,
        last_value(given_at) IGNORE NULLS OVER line AS given_at,
        last_value(entry) IGNORE NULLS OVER line AS entry,
        last_value(user_kind) IGNORE NULLS OVER line AS user_kind,
        last_value(local_date) IGNORE NULLS OVER line AS local_date
    FROM marks
    WINDOW line AS (PARTITION BY user_id ORDER BY reach DESC ROWS UNBOUNDED PRECEDING)
),

spent AS (
    SELECT
        CAST(date_trunc($by, local_date) AS DATE) AS period,
        user_kind AS redeemer_kind,
        points,
        CASE WHEN NOT is_lacking THEN CAST(given_at AS BIGINT) - CAST(gained_at AS BIGINT) END AS kept
    FROM pieces
    WHERE entry = 'redeemed' AND local_date BETWEEN $from AND $to
),

ordered AS (
    SELECT
        *,
        sum(points) FILTER (WHERE kept IS NOT NULL) OVER by_kept AS up_to,
        sum(points) FILTER (WHERE kept IS NOT NULL) OVER (PARTITION BY period, redeemer_kind) AS known
    FROM spent
    WINDOW by_kept AS (PARTITION BY period, redeemer_kind ORDER BY kept NULLS LAST ROWS UNBOUNDED PRECEDING)
)

SELECT
    period,
    redeemer_kind,
    CAST(coalesce(sum(points) FILTER (WHERE kept IS NOT NULL), 0) AS DECIMAL(38, 0)) AS points,
    CAST(coalesce(sum(points) FILTER (WHERE kept IS NULL), 0) AS DECIMAL(38, 0)) AS unearned,
    CAST(CAST(min(kept) FILTER (WHERE kept IS NOT NULL AND up_to * 2 >= known) AS DECIMAL(19, 0)) / 86400000000 AS DECIMAL(21, 2)) AS median_days,
    CAST(CAST(min(kept) FILTER (WHERE kept IS NOT NULL AND up_to * 10 >= known * 9) AS DECIMAL(19, 0)) / 86400000000 AS DECIMAL(21, 2)) AS p90_days
FROM ordered
GROUP BY 1, 2
ORDER BY 1, 2
