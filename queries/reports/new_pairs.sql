-- title: New and repeat pairs
-- question: Do officers and civilians meet for the first time, or again?
-- audience: police departments and community partners
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default week) Length of a period: day, week (Monday to Sunday) or month.
-- column: period (date) First day of the period; the first and last periods may reach beyond the days that count.
-- column: interactions (count) Meetings.
-- column: pairs (count) Different pairs of a civilian and an officer that met.
-- column: new_pairs (count) Of these, pairs that had not met on any day before the period's days that count.
-- column: returning_pairs (count) Of these, pairs that had.
-- column: new_share (share) New pairs divided by pairs.
-- chart: line x=period y=new_share

WITH met AS (
    SELECT
        civilian_id,
        officer_id,
        local_date,
        count(*) AS interactions
    FROM interactions
    WHERE
        local_date <= $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date <= $to + INTERVAL '1 day'
    GROUP BY 1, 2, 3
),

pairs AS (
    SELECT
        civilian_id,
        officer_id,
        CAST(date_trunc($by, local_date) AS DATE) AS period,
        CAST(sum(interactions) FILTER (WHERE local_date >= $from) AS BIGINT) AS interactions,
        min(local_date) AS first_day
    FROM met
    GROUP BY 1, 2, 3
),

known AS (
    SELECT
        period,
        interactions,
        -- Before $from only the day counts, also when it lies in the same period.
        min(first_day) OVER (PARTITION BY civilian_id, officer_id) AS first_ever,
        first_day
    FROM pairs
)

SELECT
    period,
    CAST(sum(interactions) AS BIGINT) AS interactions,
    count(*) AS pairs,
    count(*) FILTER (WHERE first_ever >= $from AND first_ever = first_day) AS new_pairs,
    count(*) FILTER (WHERE NOT (first_ever >= $from AND first_ever = first_day)) AS returning_pairs,
    CAST(CAST(count(*) FILTER (WHERE first_ever >= $from AND first_ever = first_day) AS DECIMAL(20, 1)) / nullif(count(*), 0) AS DECIMAL(21, 4)) AS new_share
FROM known
WHERE interactions > 0
GROUP BY 1
ORDER BY 1
