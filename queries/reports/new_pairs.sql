-- title: New and repeat pairs
-- question: Do officers and civilians meet for the first time, or again?
-- audience: police departments
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default week) Length of a period: day, week (Monday to Sunday), month, quarter or year.
-- column: period (date) First day of the period; the first and last periods may reach beyond the days that count.
-- column: interactions (count) Meetings.
-- column: pairs (count) Different pairs of a civilian and an officer that met.
-- column: new_pairs (count) Of these, pairs that had not met on any day before the period's days that count.
-- column: returning_pairs (count) Of these, pairs that had.
-- column: new_share (share) New pairs divided by pairs.
-- figures: interactions sum, new_share last
-- chart: line x=period y=new_share

WITH met AS (
    SELECT
        civilian_id,
        officer_id,
        CAST(date_trunc($by, local_date) AS DATE) AS period,
        count(*) AS interactions
    FROM interactions
    WHERE
        local_date BETWEEN $from AND $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
    GROUP BY 1, 2, 3
),

periods AS (
    SELECT
        period,
        CAST(sum(interactions) AS BIGINT) AS interactions,
        count(*) AS pairs
    FROM met
    GROUP BY 1
),

first_days AS (
    SELECT
        civilian_id,
        officer_id,
        min(local_date) AS first_day
    FROM interactions
    WHERE
        local_date <= $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date <= $to + INTERVAL '1 day'
    GROUP BY 1, 2
),

-- A pair is new in the one period in which it met for the first time; before $from only the day counts, also when it lies in the
-- same period.
firsts AS (
    SELECT
        CAST(date_trunc($by, first_day) AS DATE) AS period,
        count(*) AS new_pairs
    FROM first_days
    WHERE first_day >= $from
    GROUP BY 1
)

SELECT
    periods.period,
    periods.interactions,
    periods.pairs,
    coalesce(firsts.new_pairs, 0) AS new_pairs,
    periods.pairs - coalesce(firsts.new_pairs, 0) AS returning_pairs,
    CAST(CAST(coalesce(firsts.new_pairs, 0) AS DECIMAL(34, 1)) / periods.pairs AS DECIMAL(38, 4)) AS new_share
FROM periods
LEFT JOIN firsts ON periods.period = firsts.period
ORDER BY 1
