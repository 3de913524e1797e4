-- grain: One row for each interaction: a civilian met an officer, and both earn points.
-- column: event_id (text) The producer's id of the event; a retry repeats it.
-- column: occurred_at (timestamp) When it happened.
-- column: event_date (date) Day of occurred_at in UTC, by which the table is partitioned: a condition on it makes a query read fewer files.
-- column: local_date (date) Day of occurred_at in the time zone of the session.
-- column: channel (text) mobile or web; empty when not told.
-- column: civilian_id (text) The civilian.
-- column: officer_id (text) The officer.
-- column: method (text) How they connected: qr, nearby or event.
-- column: points_civilian (points) Points minted for the civilian.
-- column: points_officer (points) Points minted for the officer.
-- column: zip_code (text) Where.
-- column: distance_ft (number) How far apart the two were, in feet; empty when not told.

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
