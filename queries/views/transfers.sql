-- grain: One row for each transfer: an officer gives points to another officer.
-- column: event_id (text) The producer's id of the event; a retry repeats it.
-- column: occurred_at (timestamp) When it happened.
-- column: event_date (date) Day of occurred_at in UTC, by which the table is partitioned: a condition on it makes a query read fewer files.
-- column: local_date (date) Day of occurred_at in the time zone of the session.
-- column: channel (text) mobile or web; empty when not told.
-- column: from_officer_id (text) Who gives.
-- column: to_officer_id (text) Who receives.
-- column: points (points) Points given.

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
