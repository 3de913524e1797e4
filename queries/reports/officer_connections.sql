-- title: Connections per officer
-- question: How many meetings and how many different civilians does each officer have?
-- audience: police departments
-- covers: period
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: top (integer, default 50, least 1, most 100000) Last rank that is shown, with all who share it.
-- column: rank (number) Place by interactions; those with the same number share it.
-- column: officer_id (text) The officer.
-- column: zip_code (text) Where the officer works, if known.
-- column: interactions (count) Meetings.
-- column: civilians (count) Different civilians.
-- column: days (count) Different days with a meeting.
-- column: points_officer (points) Points minted for the officer.
-- column: per_day (number) Meetings on a day that has one, on average.
-- chart: bar x=officer_id y=interactions

-- The counts decide who is shown; the rest is computed of those alone. Sums are decimals of 38
-- digits: whatever a lake holds, they neither wrap around nor fail.
WITH counted AS (
    SELECT
        officer_id,
        count(*) AS interactions
    FROM interactions
    WHERE
        local_date BETWEEN $from AND $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
    GROUP BY 1
),

shown AS (
    SELECT *
    FROM (
        SELECT
            CAST(rank() OVER (ORDER BY interactions DESC) AS BIGINT) AS rank,
            officer_id,
            interactions
        FROM counted
    )
    WHERE rank <= $top
),

met AS (
    SELECT
        interactions.officer_id,
        count(DISTINCT interactions.civilian_id) AS civilians,
        count(DISTINCT interactions.local_date) AS days,
        CAST(sum(CAST(interactions.points_officer AS DECIMAL(19, 0))) AS DECIMAL(38, 0)) AS points_officer
    FROM shown
    INNER JOIN interactions ON shown.officer_id = interactions.officer_id
    WHERE
        local_date BETWEEN $from AND $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
    GROUP BY 1
)

SELECT
    shown.rank,
    shown.officer_id,
    users.zip_code,
    shown.interactions,
    met.civilians,
    met.days,
    met.points_officer,
    CAST(CAST(shown.interactions AS DECIMAL(19, 0)) / met.days AS DECIMAL(21, 2)) AS per_day
FROM shown
INNER JOIN met ON shown.officer_id = met.officer_id
LEFT JOIN users ON shown.officer_id = users.user_id
ORDER BY shown.rank, shown.officer_id
