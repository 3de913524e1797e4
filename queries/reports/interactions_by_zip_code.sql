-- title: Interactions by zip code
-- question: Where do civilians and officers meet?
-- audience: municipalities and police departments
-- covers: period
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- column: zip_code (text) Where.
-- column: interactions (count) Meetings; places with the most come first.
-- column: civilians (count) Different civilians.
-- column: officers (count) Different officers.
-- column: points_civilian (points) Points minted for civilians.
-- column: points_officer (points) Points minted for officers.
-- column: share (share) Part of all interactions.
-- figures: interactions sum, points_civilian sum, points_officer sum
-- chart: bar x=zip_code y=interactions

-- Sums are decimals of 38 digits: whatever a lake holds, they neither wrap around nor fail.
-- Distinct civilians and officers are counted as groups: sets of them would have to be in memory.
WITH met AS (
    SELECT
        zip_code,
        civilian_id,
        officer_id,
        CAST(points_civilian AS DECIMAL(19, 0)) AS points_civilian,
        CAST(points_officer AS DECIMAL(19, 0)) AS points_officer
    FROM interactions
    WHERE
        local_date BETWEEN $from AND $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
),

civilians AS (
    SELECT
        zip_code,
        sum(interactions) AS interactions,
        count(civilian_id) AS civilians,
        sum(points_civilian) AS points_civilian,
        sum(points_officer) AS points_officer
    FROM (
        SELECT
            zip_code,
            civilian_id,
            count(*) AS interactions,
            sum(points_civilian) AS points_civilian,
            sum(points_officer) AS points_officer
        FROM met
        GROUP BY 1, 2
    )
    GROUP BY 1
),

officers AS (
    SELECT
        zip_code,
        count(officer_id) AS officers
    FROM (SELECT DISTINCT zip_code, officer_id FROM met)
    GROUP BY 1
)

SELECT
    civilians.zip_code,
    CAST(civilians.interactions AS BIGINT) AS interactions,
    civilians.civilians,
    officers.officers,
    CAST(civilians.points_civilian AS DECIMAL(38, 0)) AS points_civilian,
    CAST(civilians.points_officer AS DECIMAL(38, 0)) AS points_officer,
    CAST(CAST(civilians.interactions AS DECIMAL(34, 1)) / nullif(sum(civilians.interactions) OVER (), 0) AS DECIMAL(38, 4)) AS share
FROM civilians
INNER JOIN officers ON civilians.zip_code IS NOT DISTINCT FROM officers.zip_code
ORDER BY 2 DESC, 1
