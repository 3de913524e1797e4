-- title: Interactions
-- question: How often do civilians and officers meet, in which way, and how many points does that mint?
-- audience: community partners, finance and local media
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default day) Length of a period: day, week (Monday to Sunday) or month.
-- column: period (date) First day of the period; the first and last periods may reach beyond the days that count.
-- column: method (text) How the two connected: qr, nearby or event.
-- column: interactions (count) Meetings.
-- column: civilians (count) Different civilians.
-- column: officers (count) Different officers.
-- column: points_civilian (points) Points minted for civilians.
-- column: points_officer (points) Points minted for officers.
-- column: points_minted (points) Points minted for both.
-- chart: line x=period y=interactions series=method

-- Sums are taken as decimals, because sums of BIGINT wrap around; the cast back fails instead.
SELECT
    CAST(date_trunc($by, local_date) AS DATE) AS period,
    method,
    count(*) AS interactions,
    count(DISTINCT civilian_id) AS civilians,
    count(DISTINCT officer_id) AS officers,
    CAST(sum(CAST(points_civilian AS DECIMAL(19, 0))) AS BIGINT) AS points_civilian,
    CAST(sum(CAST(points_officer AS DECIMAL(19, 0))) AS BIGINT) AS points_officer,
    CAST(
        sum(CAST(points_civilian AS DECIMAL(19, 0)) + CAST(points_officer AS DECIMAL(19, 0))) AS BIGINT
    ) AS points_minted
FROM interactions
WHERE
    local_date BETWEEN $from AND $to
    -- Only prunes partitions: a local day lies within a day of the same UTC date.
    AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
GROUP BY 1, 2
ORDER BY 1, 2
