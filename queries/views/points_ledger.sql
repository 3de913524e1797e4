-- grain: One row for each user and transaction, signed: what the user gained or gave. All rows together sum to the points liability.
-- column: event_id (text) The transaction.
-- column: occurred_at (timestamp) When it happened.
-- column: event_date (date) Day of occurred_at in UTC, by which the table is partitioned.
-- column: local_date (date) Day of occurred_at in the time zone of the session.
-- column: user_id (text) Whose points they are.
-- column: user_kind (text) What the user was in the transaction.
-- column: entry (text) minted, donated, received, redeemed or transferred.
-- column: points (points) Points gained, or given when negative.
-- column: counterparty_id (text) The other side.
-- column: counterparty_kind (text) What the other side was.
-- column: zip_code (text) Where; empty when not told.

SELECT
    event_id,
    occurred_at,
    event_date,
    CAST(CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS local_date,
    civilian_id AS user_id,
    'civilian' AS user_kind,
    'minted' AS entry,
    points_civilian AS points,
    officer_id AS counterparty_id,
    'police_officer' AS counterparty_kind,
    zip_code
FROM transactions
WHERE event_type = 'interaction'

UNION ALL

SELECT
    event_id,
    occurred_at,
    event_date,
    CAST(CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS local_date,
    officer_id AS user_id,
    'police_officer' AS user_kind,
    'minted' AS entry,
    points_officer AS points,
    civilian_id AS counterparty_id,
    'civilian' AS counterparty_kind,
    zip_code
FROM transactions
WHERE event_type = 'interaction'

UNION ALL

SELECT
    event_id,
    occurred_at,
    event_date,
    CAST(CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS local_date,
    donor_id AS user_id,
    donor_kind AS user_kind,
    'donated' AS entry,
    -points AS points,
    recipient_id AS counterparty_id,
    recipient_kind AS counterparty_kind,
    zip_code
FROM transactions
WHERE event_type = 'donation'

UNION ALL

SELECT
    event_id,
    occurred_at,
    event_date,
    CAST(CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS local_date,
    recipient_id AS user_id,
    recipient_kind AS user_kind,
    'received' AS entry,
    points AS points,
    donor_id AS counterparty_id,
    donor_kind AS counterparty_kind,
    zip_code
FROM transactions
WHERE event_type = 'donation'

UNION ALL

SELECT
    event_id,
    occurred_at,
    event_date,
    CAST(CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS local_date,
    redeemer_id AS user_id,
    redeemer_kind AS user_kind,
    'redeemed' AS entry,
    -points AS points,
    provider_id AS counterparty_id,
    provider_kind AS counterparty_kind,
    zip_code
FROM transactions
WHERE event_type = 'redemption'

UNION ALL

SELECT
    event_id,
    occurred_at,
    event_date,
    CAST(CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS local_date,
    from_officer_id AS user_id,
    'police_officer' AS user_kind,
    'transferred' AS entry,
    -points AS points,
    to_officer_id AS counterparty_id,
    'police_officer' AS counterparty_kind,
    zip_code
FROM transactions
WHERE event_type = 'transfer'

UNION ALL

SELECT
    event_id,
    occurred_at,
    event_date,
    CAST(CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS local_date,
    to_officer_id AS user_id,
    'police_officer' AS user_kind,
    'transferred' AS entry,
    points AS points,
    from_officer_id AS counterparty_id,
    'police_officer' AS counterparty_kind,
    zip_code
FROM transactions
WHERE event_type = 'transfer'
