-- title: Statement of a user
-- question: What did this user gain and give, and what is the balance?
-- audience: support and finance
-- parameter: user (user, required) The user's id.
-- parameter: from (date, default first) First day that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day that counts, itself included.
-- column: occurred_at (timestamp) When it happened.
-- column: local_date (date) Its day in the time zone of the session.
-- column: entry (text) minted, donated, received (a gift), redeemed, or transferred: to another officer when the points are negative, from another when they are positive; a transfer of 0 points says only that there was one.
-- column: counterparty_id (text) The other side.
-- column: counterparty_kind (text) What the other side was.
-- column: points (points) Points gained, or given when negative.
-- column: balance (points) Balance after it, counted from the first day of the lake.
-- column: event_id (text) The transaction.
-- figures: points sum, balance last
-- chart: line x=occurred_at y=balance

-- Both sides of an event may be the user's, with as many points: a gift of 0 points to oneself.
WITH entries AS (
    SELECT
        *,
        CAST(
            sum(CAST(points AS DECIMAL(19, 0))) OVER (
                ORDER BY occurred_at, event_id, points DESC, entry, user_kind
                ROWS UNBOUNDED PRECEDING
            ) AS DECIMAL(38, 0)
        ) AS balance,
        row_number() OVER (ORDER BY occurred_at, event_id, points DESC, entry, user_kind) AS number
    FROM points_ledger
    WHERE
        user_id = $user
        AND local_date <= $to
        -- Only prunes partitions: a local day lies within a day of the same UTC date.
        AND event_date <= $to + INTERVAL '1 day'
)

SELECT
    occurred_at,
    local_date,
    entry,
    counterparty_id,
    counterparty_kind,
    points,
    balance,
    event_id
FROM entries
WHERE local_date >= $from
ORDER BY number
