-- grain: One row for each redemption: a redeemer spends points at a provider, and they are burned.
-- column: event_id (text) The producer's id of the event; a retry repeats it.
-- column: occurred_at (timestamp) When it happened.
-- column: event_date (date) Day of occurred_at in UTC, by which the table is partitioned: a condition on it makes a query read fewer files.
-- column: local_date (date) Day of occurred_at in the time zone of the session.
-- column: channel (text) mobile or web; empty when not told.
-- column: redeemer_id (text) Who spends.
-- column: redeemer_kind (text) civilian, family_in_need or charity.
-- column: provider_id (text) Who accepts the points.
-- column: provider_kind (text) merchant or municipality.
-- column: purpose (text) goods, fine or fee.
-- column: points (points) Points spent.
-- column: amount_cents (cents) Worth in cents of the currency; empty when not told.
-- column: currency (text) Currency of amount_cents; US dollars when empty.
-- column: items (list) What was bought: list of sku, name, quantity and points; one row each in redemption_items.
-- column: zip_code (text) Where; empty when not told.

SELECT
    event_id,
    occurred_at,
    event_date,
    CAST(CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS local_date,
    channel,
    redeemer_id,
    redeemer_kind,
    provider_id,
    provider_kind,
    purpose,
    points,
    amount_cents,
    currency,
    items,
    zip_code
FROM transactions
WHERE event_type = 'redemption'
