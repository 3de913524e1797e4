-- title: Top recipients
-- question: Who receives the most points, and from how many donors?
-- audience: finance
-- covers: period
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: top (integer, default 20, least 1, most 100000) Last rank that is shown, with all who share it.
-- column: rank (number) Place by points; those with the same points share it. A recipient of two kinds has a row and a place for each.
-- column: recipient_id (text) The recipient; empty for families in need, who are one row together.
-- column: recipient (text) Name of the organization; empty for families in need and unknown users.
-- column: recipient_kind (text) charity or family_in_need. Whoever is a family in need by the newest user event is not named, whatever the gift says.
-- column: donations (count) Gifts received.
-- column: points (points) Points received.
-- column: donors (count) Different donors.
-- column: share (share) Part of all points given in these days.
-- chart: bar x=recipient_id y=points

-- Sums are decimals of 38 digits: whatever a lake holds, they neither wrap around nor fail.
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

-- Nobody learns here which family received what. They are told by the gift and by what is known of the user.
shown AS (
    SELECT
        CASE WHEN gifts.recipient_kind = 'charity' AND users.user_kind IS DISTINCT FROM 'family_in_need' THEN gifts.recipient_id END
            AS recipient_id,
        CASE WHEN gifts.recipient_kind = 'charity' AND users.user_kind IS DISTINCT FROM 'family_in_need' THEN users.organization_name END
            AS recipient,
        gifts.recipient_kind,
        gifts.donor_id,
        sum(gifts.donations) AS donations,
        sum(gifts.points) AS points
    FROM gifts
    LEFT JOIN users ON gifts.recipient_id = users.user_id
    GROUP BY 1, 2, 3, 4
),

received AS (
    SELECT
        recipient_id,
        recipient,
        recipient_kind,
        CAST(sum(donations) AS BIGINT) AS donations,
        CAST(sum(points) AS DECIMAL(38, 0)) AS points,
        count(donor_id) AS donors
    FROM shown
    GROUP BY 1, 2, 3
),

ranked AS (
    SELECT
        CAST(rank() OVER (ORDER BY points DESC) AS BIGINT) AS rank,
        *,
        sum(points) OVER () AS all_points
    FROM received
)

SELECT
    rank,
    recipient_id,
    recipient,
    recipient_kind,
    donations,
    points,
    donors,
    CAST(CAST(points AS DECIMAL(34, 1)) / nullif(all_points, 0) AS DECIMAL(38, 4)) AS share
FROM ranked
WHERE rank <= $top
ORDER BY rank, recipient_id NULLS LAST, recipient_kind
