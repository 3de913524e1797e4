-- title: Interactions
-- question: How often do civilians and officers meet, in which way, and how many points does that mint?
-- audience: finance
-- covers: period
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default day) Length of a period: day, week (Monday to Sunday), month, quarter or year.
-- column: period (date) First day of the period; the first and last periods may reach beyond the days that count.
-- column: method (text) How the two connected: qr, nearby or event.
-- column: interactions (count) Meetings.
-- column: civilians (count) Different civilians.
-- column: officers (count) Different officers.
-- column: points_civilian (points) Points minted for civilians.
-- column: points_officer (points) Points minted for officers.
-- column: points_minted (points) Points minted for both.
-- figures: interactions sum, points_minted sum
-- chart: line x=period y=interactions series=method

-- Sums are decimals of 38 digits: whatever a lake holds, they neither wrap around nor fail. Civilians and officers are
-- grouped before they are counted: a grouping can spill, and a DISTINCT would hold a set for each period in memory.
WITH met AS (
    SELECT
        CAST(date_trunc($by, local_date) AS DATE) AS period,
        method,
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
        period,
        method,
        CAST(sum(interactions) AS BIGINT) AS interactions,
        count(civilian_id) AS civilians,
        sum(points_civilian) AS points_civilian,
        sum(points_officer) AS points_officer
    FROM (
        SELECT
            period,
            method,
            civilian_id,
            count(*) AS interactions,
            sum(points_civilian) AS points_civilian,
            sum(points_officer) AS points_officer
        FROM met
        GROUP BY 1, 2, 3
    )
    GROUP BY 1, 2
),

officers AS (
    SELECT
        period,
        method,
        count(officer_id) AS officers
    FROM (SELECT DISTINCT period, method, officer_id FROM met)
    GROUP BY 1, 2
)

SELECT
    civilians.period,
    civilians.method,
    civilians.interactions,
    civilians.civilians,
    officers.officers,
    CAST(civilians.points_civilian AS DECIMAL(38, 0)) AS points_civilian,
    CAST(civilians.points_officer AS DECIMAL(38, 0)) AS points_officer,
    CAST(civilians.points_civilian + civilians.points_officer AS DECIMAL(38, 0)) AS points_minted
FROM civilians
INNER JOIN officers
    ON civilians.period = officers.period AND civilians.method IS NOT DISTINCT FROM officers.method
ORDER BY 1, 2
