-- title: Donor retention
-- question: How many donors give again within 30, 60 and 90 days of their first gift?
-- audience: product managers
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default month) Length of a period: day, week (Monday to Sunday), month, quarter or year.
-- column: period (date) First day of the period of the first gift; the first and last periods may reach beyond the days that count.
-- column: donors (count) Donors whose first gift ever lies in the period.
-- column: observed_30 (count) Of these, donors whose 30 days after the first gift were over before the last day of the lake.
-- column: again_30 (count) Of those observed, donors who gave again on another day within 30 days.
-- column: share_30 (share) Part of those observed who gave again; empty when none is.
-- column: observed_60 (count) Of these, donors whose 60 days after the first gift were over before the last day of the lake.
-- column: again_60 (count) Of those observed, donors who gave again on another day within 60 days.
-- column: share_60 (share) Part of those observed who gave again; empty when none is.
-- column: observed_90 (count) Of these, donors whose 90 days after the first gift were over before the last day of the lake.
-- column: again_90 (count) Of those observed, donors who gave again on another day within 90 days.
-- column: share_90 (share) Part of those observed who gave again; empty when none is.
-- chart: line x=period y=share_30

WITH days AS (
    SELECT DISTINCT
        donor_id,
        local_date
    FROM donations
),

numbered AS (
    SELECT
        donor_id,
        local_date,
        row_number() OVER (PARTITION BY donor_id ORDER BY local_date) AS number
    FROM days
),

donors AS (
    SELECT
        donor_id,
        min(local_date) FILTER (WHERE number = 1) AS first_day,
        min(local_date) FILTER (WHERE number = 2) AS second_day
    FROM numbered
    WHERE number <= 2
    GROUP BY 1
),

judged AS (
    SELECT
        donors.first_day,
        donors.first_day + INTERVAL '30 days' < lake.last_day AS observed_30,
        donors.first_day + INTERVAL '60 days' < lake.last_day AS observed_60,
        donors.first_day + INTERVAL '90 days' < lake.last_day AS observed_90,
        coalesce(donors.second_day <= donors.first_day + INTERVAL '30 days', false) AS again_30,
        coalesce(donors.second_day <= donors.first_day + INTERVAL '60 days', false) AS again_60,
        coalesce(donors.second_day <= donors.first_day + INTERVAL '90 days', false) AS again_90
    FROM donors
    CROSS JOIN (SELECT max(local_date) AS last_day FROM calendar) AS lake
    WHERE donors.first_day BETWEEN $from AND $to
)

SELECT
    CAST(date_trunc($by, first_day) AS DATE) AS period,
    count(*) AS donors,
    count(*) FILTER (WHERE observed_30) AS observed_30,
    count(*) FILTER (WHERE observed_30 AND again_30) AS again_30,
    CAST(CAST(count(*) FILTER (WHERE observed_30 AND again_30) AS DECIMAL(34, 1)) / nullif(count(*) FILTER (WHERE observed_30), 0) AS DECIMAL(38, 4)) AS share_30,
    count(*) FILTER (WHERE observed_60) AS observed_60,
    count(*) FILTER (WHERE observed_60 AND again_60) AS again_60,
    CAST(CAST(count(*) FILTER (WHERE observed_60 AND again_60) AS DECIMAL(34, 1)) / nullif(count(*) FILTER (WHERE observed_60), 0) AS DECIMAL(38, 4)) AS share_60,
    count(*) FILTER (WHERE observed_90) AS observed_90,
    count(*) FILTER (WHERE observed_90 AND again_90) AS again_90,
    CAST(CAST(count(*) FILTER (WHERE observed_90 AND again_90) AS DECIMAL(34, 1)) / nullif(count(*) FILTER (WHERE observed_90), 0) AS DECIMAL(38, 4)) AS share_90
FROM judged
GROUP BY 1
ORDER BY 1
