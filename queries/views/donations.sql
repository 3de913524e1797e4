-- grain: One row for each donation: a donor gives points to a recipient.
-- column: event_id (text) The producer's id of the event; a retry repeats it.
-- column: occurred_at (timestamp) When it happened.
-- column: event_date (date) Day of occurred_at in UTC, by which the table is partitioned: a condition on it makes a query read fewer files.
-- column: local_date (date) Day of occurred_at in the time zone of the session.
-- column: channel (text) mobile or web; empty when not told.
-- column: donor_id (text) Who gives.
-- column: donor_kind (text) civilian or police_officer.
-- column: recipient_id (text) Who receives.
-- column: recipient_kind (text) charity or family_in_need.
-- column: points (points) Points given.
-- column: zip_code (text) Where; empty when not told.

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
