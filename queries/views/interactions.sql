-- Grain: one row for each interaction. local_date is the day of occurred_at in the time zone of the session.
SELECT
    event_id,
    occurred_at,
    event_date,
    CAST(CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS local_date,
    channel,
    civilian_id,
    officer_id,
    method,
    points_civilian,
    points_officer,
    zip_code,
    distance_ft
FROM transactions
WHERE event_type = 'interaction'
