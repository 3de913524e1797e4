-- title: Connections per officer
-- question: How many meetings and how many different civilians does each officer have?
-- audience: police departments and community partners
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: top (integer, default 50) Last rank that is shown, with all who share it.
-- column: rank (number) Place by interactions; those with the same number share it.
-- column: officer_id (text) The officer.
-- column: zip_code (text) Where the officer works, if known.
-- column: interactions (count) Meetings.
-- column: civilians (count) Different civilians.
-- column: days (count) Different days with a meeting.
-- column: points_officer (points) Points minted for the officer.
-- column: per_day (number) Meetings on a day that has one, on average.
-- chart: bar x=officer_id y=interactions

-- Sums are taken as decimals, because sums of BIGINT wrap around; the cast back fails instead.
WITH met AS (
    SELECT
        officer_id,
        count(*) AS interactions,
        count(DISTINCT civilian_id) AS civilians,
        count(DISTINCT local_date) AS days,
        CAST(sum(CAST(points_officer AS DECIMAL(19, 0))) AS BIGINT) AS points_officer
    FROM interactions
    WHERE
        local_date BETWEEN $from AND $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
    GROUP BY 1
),

ranked AS (
    SELECT
        CAST(rank() OVER (ORDER BY interactions DESC) AS BIGINT) AS rank,
        *
    FROM met
)

SELECT
    ranked.rank,
    ranked.officer_id,
    users.zip_code,
    ranked.interactions,
    ranked.civilians,
    ranked.days,
    ranked.points_officer,
    CAST(CAST(ranked.interactions AS DECIMAL(19, 0)) / ranked.days AS DECIMAL(21, 2)) AS per_day
FROM ranked
LEFT JOIN users ON ranked.officer_id = users.user_id
WHERE ranked.rank <= $top
ORDER BY ranked.rank, ranked.officer_id
