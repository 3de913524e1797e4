-- title: Redemptions by provider
-- question: Which merchants and municipalities accept how many points, and for what?
-- audience: merchants, municipalities and finance
-- covers: period
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default month) Length of a period: day, week (Monday to Sunday), month, quarter or year.
-- column: period (date) First day of the period; the first and last periods may reach beyond the days that count.
-- column: provider_id (text) The provider.
-- column: provider (text) Its name, if known.
-- column: provider_kind (text) merchant or municipality.
-- column: purpose (text) What the points pay for: goods, fine or fee.
-- column: redemptions (count) Redemptions.
-- column: points (points) Points spent; in each period, providers with the most come first.
-- column: amount_cents (cents) Worth in US dollars of those that state it; empty when none does.
-- column: other_currency (count) Redemptions whose worth is in another currency and therefore not in amount_cents.
-- column: redeemers (count) Different members who redeemed.
-- column: with_amount (count) Redemptions that state a worth in US dollars: those that amount_cents is of.
-- column: points_with_amount (points) Points of those redemptions; points less these are of redemptions without an amount.
-- figures: redemptions sum, points sum, amount_cents sum, points_with_amount sum
-- chart: bar x=period y=points series=provider_id

-- Sums are decimals of 38 digits: whatever a lake holds, they neither wrap around nor fail.
-- Distinct redeemers are counted as groups: sets of them for each provider would have to be in memory.
WITH by_redeemer AS (
    SELECT
        CAST(date_trunc($by, local_date) AS DATE) AS period,
        provider_id,
        provider_kind,
        purpose,
        redeemer_id,
        count(*) AS redemptions,
        sum(CAST(points AS DECIMAL(19, 0))) AS points,
        sum(CAST(amount_cents AS DECIMAL(19, 0))) FILTER (WHERE coalesce(currency, 'USD') = 'USD') AS amount_cents,
        count(amount_cents) FILTER (WHERE currency <> 'USD') AS other_currency,
        count(*) FILTER (WHERE amount_cents IS NOT NULL AND coalesce(currency, 'USD') = 'USD') AS with_amount,
        sum(CAST(points AS DECIMAL(19, 0)))
            FILTER (WHERE amount_cents IS NOT NULL AND coalesce(currency, 'USD') = 'USD') AS points_with_amount
    FROM redemptions
    WHERE
        local_date BETWEEN $from AND $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
    GROUP BY 1, 2, 3, 4, 5
),

spent AS (
    SELECT
        period,
        provider_id,
        provider_kind,
        purpose,
        CAST(sum(redemptions) AS BIGINT) AS redemptions,
        CAST(sum(points) AS DECIMAL(38, 0)) AS points,
        CAST(sum(amount_cents) AS DECIMAL(38, 0)) AS amount_cents,
        CAST(sum(other_currency) AS BIGINT) AS other_currency,
        count(redeemer_id) AS redeemers,
        CAST(sum(with_amount) AS BIGINT) AS with_amount,
        CAST(coalesce(sum(points_with_amount), 0) AS DECIMAL(38, 0)) AS points_with_amount
    FROM by_redeemer
    GROUP BY 1, 2, 3, 4
)

SELECT
    spent.period,
    spent.provider_id,
    users.organization_name AS provider,
    spent.provider_kind,
    spent.purpose,
    spent.redemptions,
    spent.points,
    spent.amount_cents,
    spent.other_currency,
    spent.redeemers,
    spent.with_amount,
    spent.points_with_amount
FROM spent
-- A family in need is named nowhere, also when an event says that it accepts points.
LEFT JOIN users ON spent.provider_id = users.user_id AND users.user_kind <> 'family_in_need'
ORDER BY 1, 7 DESC, 2, 4, 5
