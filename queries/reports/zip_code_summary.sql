-- title: Zip codes
-- question: What happens in each zip code, as a base for sharing revenue?
-- audience: municipalities and finance
-- covers: period
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- column: zip_code (text) Where the transaction happened; empty for those that do not tell.
-- column: interactions (count) Meetings.
-- column: minted (points) Points minted.
-- column: donations (count) Gifts.
-- column: donated (points) Points given.
-- column: redemptions (count) Redemptions.
-- column: redeemed (points) Points spent.
-- column: amount_cents (cents) Worth in US dollars of the redemptions that state it; empty when none does.
-- column: civilians (count) Different civilians who met, gave or spent.
-- column: officers (count) Different officers who met or gave.
-- column: share_of_redeemed (share) Part of all points spent.
-- column: with_amount (count) Redemptions that state a worth in US dollars: those that amount_cents is of.
-- column: points_with_amount (points) Points of those redemptions; points less these are of redemptions without an amount.
-- figures: minted sum, donated sum, redeemed sum, amount_cents sum, points_with_amount sum
-- chart: bar x=zip_code y=redeemed

-- Sums are decimals of 38 digits: whatever a lake holds, they neither wrap around nor fail.
WITH people AS (
    SELECT
        zip_code,
        user_id,
        user_kind,
        count(*) FILTER (WHERE entry = 'minted') AS minted_entries,
        sum(CAST(points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'minted') AS minted,
        count(*) FILTER (WHERE entry = 'donated') AS donations,
        sum(CAST(-points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'donated') AS donated,
        count(*) FILTER (WHERE entry = 'redeemed') AS redemptions,
        sum(CAST(-points AS DECIMAL(19, 0))) FILTER (WHERE entry = 'redeemed') AS redeemed
    FROM points_ledger
    WHERE
        entry IN ('minted', 'donated', 'redeemed')
        AND local_date BETWEEN $from AND $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
    GROUP BY 1, 2, 3
),

acts AS (
    SELECT
        zip_code,
        CAST(coalesce(sum(minted_entries) FILTER (WHERE user_kind = 'civilian'), 0) AS BIGINT) AS interactions,
        CAST(coalesce(sum(minted), 0) AS DECIMAL(38, 0)) AS minted,
        CAST(sum(donations) AS BIGINT) AS donations,
        CAST(coalesce(sum(donated), 0) AS DECIMAL(38, 0)) AS donated,
        CAST(sum(redemptions) AS BIGINT) AS redemptions,
        CAST(coalesce(sum(redeemed), 0) AS DECIMAL(38, 0)) AS redeemed,
        count(user_id) FILTER (WHERE user_kind = 'civilian') AS civilians,
        count(user_id) FILTER (WHERE user_kind = 'police_officer') AS officers
    FROM people
    GROUP BY 1
),

worth AS (
    SELECT
        zip_code,
        CAST(sum(CAST(amount_cents AS DECIMAL(19, 0))) FILTER (WHERE coalesce(currency, 'USD') = 'USD') AS DECIMAL(38, 0)) AS amount_cents,
        count(*) FILTER (WHERE amount_cents IS NOT NULL AND coalesce(currency, 'USD') = 'USD') AS with_amount,
        sum(CAST(points AS DECIMAL(19, 0)))
            FILTER (WHERE amount_cents IS NOT NULL AND coalesce(currency, 'USD') = 'USD') AS points_with_amount
    FROM redemptions
    WHERE
        local_date BETWEEN $from AND $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
    GROUP BY 1
)

SELECT
    acts.zip_code,
    acts.interactions,
    acts.minted,
    acts.donations,
    acts.donated,
    acts.redemptions,
    acts.redeemed,
    worth.amount_cents,
    acts.civilians,
    acts.officers,
    CAST(CAST(acts.redeemed AS DECIMAL(34, 1)) / nullif(sum(acts.redeemed) OVER (), 0) AS DECIMAL(38, 4)) AS share_of_redeemed,
    coalesce(worth.with_amount, 0) AS with_amount,
    CAST(coalesce(worth.points_with_amount, 0) AS DECIMAL(38, 0)) AS points_with_amount
FROM acts
LEFT JOIN worth ON acts.zip_code IS NOT DISTINCT FROM worth.zip_code
ORDER BY acts.zip_code NULLS LAST
