-- title: Gift sizes
-- question: How much is a gift, and how does that spread?
-- audience: finance
-- covers: period
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default month) Length of a period: day, week (Monday to Sunday), month, quarter or year.
-- column: period (date) First day of the period; the first and last periods may reach beyond the days that count.
-- column: donor_kind (text) What the donors are.
-- column: donations (count) Gifts.
-- column: donors (count) Different donors.
-- column: average_points (points) Average gift.
-- column: p25_points (points) A quarter of the gifts are not bigger.
-- column: median_points (points) Median gift: as many are smaller as are bigger.
-- column: p90_points (points) Nine of ten gifts are not bigger.
-- column: largest_points (points) Largest gift.
-- column: gifts_per_donor (number) Average number of gifts of a donor.
-- figures: donations sum
-- chart: line x=period y=median_points series=donor_kind

-- Distinct donors are counted as groups: sets of them would have to be in memory.
WITH gifts AS (
    SELECT
        CAST(date_trunc($by, local_date) AS DATE) AS period,
        donor_kind,
        donor_id,
        points
    FROM donations
    WHERE
        local_date BETWEEN $from AND $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
),

given AS (
    SELECT
        period,
        donor_kind,
        CAST(sum(gifts) AS BIGINT) AS donations,
        count(donor_id) AS donors,
        sum(points) AS points,
        max(largest) AS largest_points
    FROM (
        SELECT
            period,
            donor_kind,
            donor_id,
            count(*) AS gifts,
            sum(CAST(points AS DECIMAL(19, 0))) AS points,
            max(points) AS largest
        FROM gifts
        GROUP BY 1, 2, 3
    )
    GROUP BY 1, 2
),

-- A percentile is PostgreSQL's percentile_cont, in whole numbers: sorted values have places from 0, each as long as 100 parts; the
-- percentile covers the 100 parts behind (places - 1) * percent, so it is a value, or lies between two in proportion.
placed AS (
    SELECT
        *,
        sum(gifts) OVER (PARTITION BY period, donor_kind ORDER BY points ROWS UNBOUNDED PRECEDING) AS up_to
    FROM (
        SELECT
            period,
            donor_kind,
            points,
            count(*) AS gifts
        FROM gifts
        GROUP BY 1, 2, 3
    )
),

percentiles AS (
    SELECT
        placed.period,
        placed.donor_kind,
        sum(
            CAST(placed.points AS DECIMAL(19, 0))
            * greatest(least(placed.up_to * 100, (given.donations - 1) * 25 + 100) - greatest((placed.up_to - placed.gifts) * 100, (given.donations - 1) * 25), 0)
        ) AS p25,
        sum(
            CAST(placed.points AS DECIMAL(19, 0))
            * greatest(least(placed.up_to * 100, (given.donations - 1) * 50 + 100) - greatest((placed.up_to - placed.gifts) * 100, (given.donations - 1) * 50), 0)
        ) AS p50,
        sum(
            CAST(placed.points AS DECIMAL(19, 0))
            * greatest(least(placed.up_to * 100, (given.donations - 1) * 90 + 100) - greatest((placed.up_to - placed.gifts) * 100, (given.donations - 1) * 90), 0)
        ) AS p90
    FROM placed
    INNER JOIN given ON placed.period = given.period AND placed.donor_kind IS NOT DISTINCT FROM given.donor_kind
    GROUP BY 1, 2
)

SELECT
    given.period,
    given.donor_kind,
    given.donations,
    given.donors,
    CAST(CAST(given.points AS DECIMAL(34, 1)) / given.donations AS DECIMAL(21, 2)) AS average_points,
    CAST(CAST(percentiles.p25 AS DECIMAL(34, 1)) / 100 AS DECIMAL(21, 2)) AS p25_points,
    CAST(CAST(percentiles.p50 AS DECIMAL(34, 1)) / 100 AS DECIMAL(21, 2)) AS median_points,
    CAST(CAST(percentiles.p90 AS DECIMAL(34, 1)) / 100 AS DECIMAL(21, 2)) AS p90_points,
    given.largest_points,
    CAST(CAST(given.donations AS DECIMAL(19, 0)) / given.donors AS DECIMAL(21, 2)) AS gifts_per_donor
FROM given
INNER JOIN percentiles
    ON given.period = percentiles.period AND given.donor_kind IS NOT DISTINCT FROM percentiles.donor_kind
ORDER BY 1, 2
