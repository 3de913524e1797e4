-- Grain: one row for each redemption. local_date is the day of occurred_at in the time zone of the session.
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
