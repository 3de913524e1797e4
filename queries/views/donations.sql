-- Grain: one row for each donation. local_date is the day of occurred_at in the time zone of the session.
SELECT
    event_id,
    occurred_at,
    event_date,
    CAST(CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS local_date,
    channel,
    donor_id,
    donor_kind,
    recipient_id,
    recipient_kind,
    points,
    zip_code
FROM transactions
WHERE event_type = 'donation'
