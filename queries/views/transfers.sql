-- Grain: one row for each transfer. local_date is the day of occurred_at in the time zone of the session.
SELECT
    event_id,
    occurred_at,
    event_date,
    CAST(CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS local_date,
    channel,
    from_officer_id,
    to_officer_id,
    points
FROM transactions
WHERE event_type = 'transfer'
