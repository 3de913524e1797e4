-- title: Interactions by zip code
-- question: Where do civilians and officers meet?
-- audience: municipalities, police departments and community partners
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- column: zip_code (text) Where.
-- column: interactions (count) Meetings; places with the most come first.
-- column: civilians (count) Different civilians.
-- column: officers (count) Different officers.
-- column: points_civilian (points) Points minted for civilians.
-- column: points_officer (points) Points minted for officers.
-- column: share (share) Part of all interactions.
-- chart: bar x=zip_code y=interactions

-- Sums are taken as decimals, because sums of BIGINT wrap around; the cast back fails instead.
SELECT
    zip_code,
    count(*) AS interactions,
    count(DISTINCT civilian_id) AS civilians,
    count(DISTINCT officer_id) AS officers,
    CAST(sum(CAST(points_civilian AS DECIMAL(19, 0))) AS BIGINT) AS points_civilian,
    CAST(sum(CAST(points_officer AS DECIMAL(19, 0))) AS BIGINT) AS points_officer,
    CAST(CAST(count(*) AS DECIMAL(20, 1)) / nullif(sum(count(*)) OVER (), 0) AS DECIMAL(21, 4)) AS share
FROM interactions
WHERE
    local_date BETWEEN $from AND $to
    -- Only prunes partitions: a local day lies within a day of the same UTC date.
    AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
GROUP BY zip_code
ORDER BY interactions DESC, zip_code
