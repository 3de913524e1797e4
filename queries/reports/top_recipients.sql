-- title: Top recipients
-- question: Who receives the most points, and from how many donors?
-- audience: partner charities, finance and local media
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: top (integer, default 20, least 1, most 100000) Last rank that is shown, with all who share it.
-- column: rank (number) Place by points; those with the same points share it.
-- column: recipient_id (text) The recipient.
-- column: recipient (text) Name of the organization; empty for families and unknown users.
-- column: recipient_kind (text) charity or family_in_need.
-- column: donations (count) Gifts received.
-- column: points (points) Points received.
-- column: donors (count) Different donors.
-- column: share (share) Part of all points given in these days.
-- chart: bar x=recipient_id y=points

-- Sums are taken as decimals, because sums of BIGINT wrap around; the cast back fails instead.
-- Distinct donors are counted as groups: sets of them for each recipient would have to be in memory.
WITH gifts AS (
    SELECT
        recipient_id,
        recipient_kind,
        donor_id,
        count(*) AS donations,
        sum(CAST(points AS DECIMAL(19, 0))) AS points
    FROM donations
    WHERE
        local_date BETWEEN $from AND $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
    GROUP BY 1, 2, 3
),

received AS (
    SELECT
        recipient_id,
        recipient_kind,
        CAST(sum(donations) AS BIGINT) AS donations,
        CAST(sum(points) AS BIGINT) AS points,
        count(donor_id) AS donors
    FROM gifts
    GROUP BY 1, 2
),

ranked AS (
    SELECT
        CAST(rank() OVER (ORDER BY points DESC) AS BIGINT) AS rank,
        *,
        sum(CAST(points AS DECIMAL(19, 0))) OVER () AS all_points
    FROM received
)

SELECT
    ranked.rank,
    ranked.recipient_id,
    users.organization_name AS recipient,
    ranked.recipient_kind,
    ranked.donations,
    ranked.points,
    ranked.donors,
    CAST(CAST(ranked.points AS DECIMAL(20, 1)) / nullif(ranked.all_points, 0) AS DECIMAL(21, 4)) AS share
FROM ranked
LEFT JOIN users ON ranked.recipient_id = users.user_id
WHERE ranked.rank <= $top
ORDER BY ranked.rank, ranked.recipient_id, ranked.recipient_kind
