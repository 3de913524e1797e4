-- title: Settlement
-- question: Which redemptions did this merchant or municipality accept, and what is owed for them?
-- audience: merchants, municipalities and finance
-- covers: period
-- parameter: provider (user, required, each redemptions.provider_id) The id of the merchant or municipality.
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- column: occurred_at (timestamp) When the points were spent.
-- column: local_date (date) Its day in the time zone of the session.
-- column: purpose (text) What the points paid for: goods, fine or fee.
-- column: zip_code (text) Where; empty when not told.
-- column: points (points) Points spent.
-- column: amount_cents (cents) Worth in US dollars; empty when the redemption states none, or another currency.
-- column: points_with_amount (points) Its points when it states a worth in US dollars, otherwise 0.
-- column: points_without_amount (points) Its points when it states none: what is owed for them is to be agreed upon.
-- column: event_id (text) The redemption.
-- figures: amount_cents sum, points_with_amount sum, points_without_amount sum, points sum

-- Who redeemed is not told: it is no concern of a provider.
SELECT
    occurred_at,
    local_date,
    purpose,
    zip_code,
    points,
    CASE WHEN coalesce(currency, 'USD') = 'USD' THEN amount_cents END AS amount_cents,
    CASE WHEN amount_cents IS NOT NULL AND coalesce(currency, 'USD') = 'USD' THEN points ELSE 0 END AS points_with_amount,
    CASE WHEN amount_cents IS NOT NULL AND coalesce(currency, 'USD') = 'USD' THEN 0 ELSE points END AS points_without_amount,
    event_id
FROM redemptions
WHERE
    provider_id = $provider
    AND local_date BETWEEN $from AND $to
    -- Only prunes partitions: a local day lies within a day of the same UTC date.
    AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
ORDER BY occurred_at, event_id, points, purpose, amount_cents, zip_code
