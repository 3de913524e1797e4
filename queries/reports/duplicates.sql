-- title: Duplicates
-- question: Which event ids are in the lake more than once, although no window saw them together?
-- audience: platform engineers and producers
-- covers: period
-- parameter: from (date, default first) First day of occurrence that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day of occurrence that counts, itself included.
-- column: stream (text) The stream.
-- column: event_type (text) Type of the event; of an id that stands on events of several types, the first in the alphabet.
-- column: event_ids (count) Event ids that are stored more than once.
-- column: extra_rows (count) Rows beyond the first of each.
-- column: across_shards (count) Of these ids, those on more than one shard: retries that hashed to another.
-- column: longest_hours (hours) Longest time between the first and the last arrival of an id.
-- figures: event_ids sum, extra_rows sum

WITH rows AS (
    SELECT 'user-events' AS stream, event_type, event_id, stream_shard, arrived_at, event_date, occurred_at FROM user_events
    UNION ALL
    SELECT 'transaction-events' AS stream, event_type, event_id, stream_shard, arrived_at, event_date, occurred_at FROM transactions
),

in_period AS (
    SELECT
        stream,
        event_type,
        event_id,
        stream_shard,
        arrived_at
    FROM rows
    WHERE
        CAST(CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) BETWEEN $from AND $to
        AND event_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
),

-- Almost every id is stored once: more is read only of the others.
repeated AS (
    SELECT
        stream,
        event_id
    FROM in_period
    GROUP BY 1, 2
    HAVING count(*) > 1
),

ids AS (
    SELECT
        in_period.stream,
        min(in_period.event_type) AS event_type,
        count(*) AS stored,
        min(in_period.stream_shard) <> max(in_period.stream_shard) AS is_across,
        CAST(max(in_period.arrived_at) AS BIGINT) - CAST(min(in_period.arrived_at) AS BIGINT) AS micros
    FROM repeated
    INNER JOIN in_period ON repeated.stream = in_period.stream AND repeated.event_id = in_period.event_id
    GROUP BY in_period.stream, in_period.event_id
)

SELECT
    stream,
    event_type,
    count(*) AS event_ids,
    CAST(sum(stored - 1) AS BIGINT) AS extra_rows,
    count(*) FILTER (WHERE is_across) AS across_shards,
    CAST(CAST(max(micros) AS DECIMAL(19, 0)) / 3600000000 AS DECIMAL(21, 2)) AS longest_hours
FROM ids
GROUP BY 1, 2
ORDER BY 1, 2
