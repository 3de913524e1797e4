-- title: Gift sizes
-- question: How much is a gift, and how does that spread?
-- audience: partner charities and finance
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default month) Length of a period: day, week (Monday to Sunday) or month.
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
-- chart: line x=period y=median_points series=donor_kind

SELECT
    CAST(date_trunc($by, local_date) AS DATE) AS period,
    donor_kind,
    count(*) AS donations,
    count(DISTINCT donor_id) AS donors,
    CAST(avg(CAST(points AS DECIMAL(19, 0))) AS DECIMAL(21, 2)) AS average_points,
    CAST(percentile_cont(0.25) WITHIN GROUP (ORDER BY CAST(points AS DOUBLE)) AS DECIMAL(21, 2)) AS p25_points,
    CAST(percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(points AS DOUBLE)) AS DECIMAL(21, 2)) AS median_points,
    CAST(percentile_cont(0.9) WITHIN GROUP (ORDER BY CAST(points AS DOUBLE)) AS DECIMAL(21, 2)) AS p90_points,
    max(points) AS largest_points,
    CAST(CAST(count(*) AS DECIMAL(19, 0)) / count(DISTINCT donor_id) AS DECIMAL(21, 2)) AS gifts_per_donor
FROM donations
WHERE
    local_date BETWEEN $from AND $to
    -- Only prunes partitions: a local day lies within a day of the same UTC date.
    AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
GROUP BY 1, 2
ORDER BY 1, 2
