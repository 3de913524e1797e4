-- title: Pairs that met more than once in a day
-- question: Which civilians and officers connected more often in a day than the rule allows?
-- audience: fraud analysts
-- covers: period
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: least (integer, default 2, least 2, most 1000000) Interactions of a pair on one day from which it is listed.
-- column: local_date (date) The day, from midnight to midnight in the time zone of the session.
-- column: civilian_id (text) The civilian.
-- column: officer_id (text) The officer.
-- column: interactions (count) Meetings of the two on the day; pairs with the most come first.
-- column: extra (count) Meetings beyond the one that is allowed.
-- column: first_at (timestamp) First meeting.
-- column: last_at (timestamp) Last meeting.
-- column: points_minted (points) Points minted for both by all of them.
-- figures: extra sum, points_minted sum

-- Sums are decimals of 38 digits: whatever a lake holds, they neither wrap around nor fail.
SELECT
    local_date,
    civilian_id,
    officer_id,
    count(*) AS interactions,
    count(*) - 1 AS extra,
    min(occurred_at) AS first_at,
    max(occurred_at) AS last_at,
    CAST(
        sum(CAST(points_civilian AS DECIMAL(19, 0)) + CAST(points_officer AS DECIMAL(19, 0))) AS DECIMAL(38, 0)
    ) AS points_minted
FROM interactions
WHERE
    local_date BETWEEN $from AND $to
    -- Only prunes partitions: a local day lies within a day of the same UTC date.
    AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
GROUP BY 1, 2, 3
HAVING count(*) >= greatest($least, 2)
ORDER BY 4 DESC, 1, 2, 3
