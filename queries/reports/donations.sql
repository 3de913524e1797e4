-- title: Donations
-- question: Who gives how many points to whom, and how much is a typical gift?
-- audience: finance
-- covers: period
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default day) Length of a period: day, week (Monday to Sunday), month, quarter or year.
-- column: period (date) First day of the period; the first and last periods may reach beyond the days that count.
-- column: donor_kind (text) What the donors are.
-- column: recipient_kind (text) What the recipients are.
-- column: donations (count) Gifts.
-- column: points (points) Points given.
-- column: donors (count) Different donors.
-- column: recipients (count) Different recipients.
-- column: average_points (points) Average gift.
-- column: median_points (points) Median gift: as many are smaller as are bigger; between the two in the middle when their number is even.
-- figures: donations sum, points sum
-- chart: line x=period y=points series=recipient_kind

-- Sums are decimals of 38 digits: whatever a lake holds, they neither wrap around nor fail.
-- Distinct donors and recipients are counted as groups: sets of them would have to be in memory.
WITH gifts AS (
    SELECT
        CAST(date_trunc($by, local_date) AS DATE) AS period,
        donor_kind,
        recipient_kind,
        donor_id,
        recipient_id,
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
        recipient_kind,
        count(*) AS donations,
        CAST(sum(CAST(points AS DECIMAL(19, 0))) AS DECIMAL(38, 0)) AS points,
        CAST(avg(CAST(points AS DECIMAL(19, 0))) AS DECIMAL(21, 2)) AS average_points
    FROM gifts
    GROUP BY 1, 2, 3
),

-- A percentile is PostgreSQL's percentile_cont, in whole numbers: sorted values have places from 0, each as long as 100 parts; the
-- percentile covers the 100 parts behind (places - 1) * percent, so it is a value, or lies between two in proportion.
placed AS (
    SELECT
        *,
        sum(gifts) OVER (
            PARTITION BY period, donor_kind, recipient_kind
            ORDER BY points
            ROWS UNBOUNDED PRECEDING
        ) AS up_to
    FROM (
        SELECT
            period,
            donor_kind,
            recipient_kind,
            points,
            count(*) AS gifts
        FROM gifts
        GROUP BY 1, 2, 3, 4
    )
),

medians AS (
    SELECT
        placed.period,
        placed.donor_kind,
        placed.recipient_kind,
        sum(
            CAST(placed.points AS DECIMAL(19, 0))
            * greatest(least(placed.up_to * 100, (given.donations - 1) * 50 + 100) - greatest((placed.up_to - placed.gifts) * 100, (given.donations - 1) * 50), 0)
        ) AS hundredths
    FROM placed
    INNER JOIN given
        ON
            placed.period = given.period
            AND (placed.donor_kind IS NOT DISTINCT FROM given.donor_kind)
            AND (placed.recipient_kind IS NOT DISTINCT FROM given.recipient_kind)
    GROUP BY 1, 2, 3
),

donors AS (
    SELECT
        period,
        donor_kind,
        recipient_kind,
        count(donor_id) AS donors
    FROM (SELECT DISTINCT period, donor_kind, recipient_kind, donor_id FROM gifts)
    GROUP BY 1, 2, 3
),

recipients AS (
    SELECT
        period,
        donor_kind,
        recipient_kind,
        count(recipient_id) AS recipients
    FROM (SELECT DISTINCT period, donor_kind, recipient_kind, recipient_id FROM gifts)
    GROUP BY 1, 2, 3
)

SELECT
    given.period,
    given.donor_kind,
    given.recipient_kind,
    given.donations,
    given.points,
    donors.donors,
    recipients.recipients,
    given.average_points,
    CAST(CAST(medians.hundredths AS DECIMAL(34, 1)) / 100 AS DECIMAL(21, 2)) AS median_points
FROM given
INNER JOIN medians
    ON
        given.period = medians.period
        AND (given.donor_kind IS NOT DISTINCT FROM medians.donor_kind)
        AND (given.recipient_kind IS NOT DISTINCT FROM medians.recipient_kind)
INNER JOIN donors
    ON
        given.period = donors.period
        AND (given.donor_kind IS NOT DISTINCT FROM donors.donor_kind)
        AND (given.recipient_kind IS NOT DISTINCT FROM donors.recipient_kind)
INNER JOIN recipients
    ON
        given.period = recipients.period
        AND (given.donor_kind IS NOT DISTINCT FROM recipients.donor_kind)
        AND (given.recipient_kind IS NOT DISTINCT FROM recipients.recipient_kind)
ORDER BY 1, 2, 3
