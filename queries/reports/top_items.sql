-- title: Top items
-- question: What do members buy with their points?
-- audience: merchants and product managers
-- covers: period
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: top (integer, default 20, least 1, most 100000) Last rank that is shown, with all who share it.
-- column: rank (number) Place by points; those with the same points share it.
-- column: provider_id (text) Who sells it.
-- column: sku (text) The provider's number of the item.
-- column: name (text) What it is called; the last in the alphabet when it has several names.
-- column: quantity (count) How many were bought.
-- column: points (points) Points for them.
-- column: redemptions (count) Different redemptions that list it.
-- chart: bar x=name y=points

-- Sums are decimals of 38 digits: whatever a lake holds, they neither wrap around nor fail.
WITH bought AS (
    SELECT
        provider_id,
        sku,
        max(name) AS name,
        CAST(sum(CAST(quantity AS DECIMAL(19, 0))) AS DECIMAL(38, 0)) AS quantity,
        CAST(coalesce(sum(CAST(points AS DECIMAL(19, 0))), 0) AS DECIMAL(38, 0)) AS points,
        count(DISTINCT event_id) AS redemptions
    FROM redemption_items
    WHERE
        local_date BETWEEN $from AND $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
    GROUP BY 1, 2
),

ranked AS (
    SELECT
        CAST(rank() OVER (ORDER BY points DESC) AS BIGINT) AS rank,
        *
    FROM bought
)

SELECT
    rank,
    provider_id,
    sku,
    name,
    quantity,
    points,
    redemptions
FROM ranked
WHERE rank <= $top
ORDER BY rank, provider_id, sku
