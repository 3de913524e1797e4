-- title: Redemptions
-- question: What are points spent on, and what is that worth?
-- audience: finance, merchants and municipalities
-- covers: period
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- parameter: by (period, default day) Length of a period: day, week (Monday to Sunday), month, quarter or year.
-- column: period (date) First day of the period; the first and last periods may reach beyond the days that count.
-- column: provider_kind (text) What accepts the points: merchant or municipality.
-- column: purpose (text) What they pay for: goods, fine or fee.
-- column: redemptions (count) Redemptions.
-- column: points (points) Points spent.
-- column: amount_cents (cents) Worth in US dollars of those that state it; empty when none does.
-- column: other_currency (count) Redemptions whose worth is in another currency and therefore not in amount_cents.
-- column: redeemers (count) Different members who redeemed.
-- column: with_amount (count) Redemptions that state a worth in US dollars: those that amount_cents is of.
-- column: points_with_amount (points) Points of those redemptions; points less these are of redemptions without an amount.
-- figures: redemptions sum, points sum, amount_cents sum, points_with_amount sum
-- chart: bar x=period y=points series=purpose

-- Sums are decimals of 38 digits: whatever a lake holds, they neither wrap around nor fail.
SELECT
    CAST(date_trunc($by, local_date) AS DATE) AS period,
    provider_kind,
    purpose,
    count(*) AS redemptions,
    CAST(sum(CAST(points AS DECIMAL(19, 0))) AS DECIMAL(38, 0)) AS points,
    CAST(
        sum(CAST(amount_cents AS DECIMAL(19, 0))) FILTER (WHERE coalesce(currency, 'USD') = 'USD') AS DECIMAL(38, 0)
    ) AS amount_cents,
    count(amount_cents) FILTER (WHERE currency <> 'USD') AS other_currency,
    count(DISTINCT redeemer_id) AS redeemers,
    count(*) FILTER (WHERE amount_cents IS NOT NULL AND coalesce(currency, 'USD') = 'USD') AS with_amount,
    CAST(
        coalesce(
            sum(CAST(points AS DECIMAL(19, 0))) FILTER (WHERE amount_cents IS NOT NULL AND coalesce(currency, 'USD') = 'USD'), 0
        ) AS DECIMAL(38, 0)
    ) AS points_with_amount
FROM redemptions
WHERE
    local_date BETWEEN $from AND $to
    -- Only prunes partitions: a local day lies within a day of the same UTC date.
    AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
