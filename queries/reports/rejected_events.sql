-- title: Rejected events
-- question: Which events were rejected, and why?
-- audience: platform engineers and producers
-- parameter: from (date, default first) First day of arrival that counts, in the time zone of the session.
-- parameter: to (date, default last) Last day of arrival that counts, itself included.
-- parameter: by (period, default day) Length of a period: day, week (Monday to Sunday), month, quarter or year.
-- column: period (date) First day of the period of arrival; the first and last periods may reach beyond the days that count.
-- column: stream (text) The stream.
-- column: reason (text) Reason code; see docs/contract.md.
-- column: field_path (text) The field at fault, if one is.
-- column: rejected (count) Events rejected; in each period and stream, the most come first.
-- column: share (share) Part of all events of the stream that arrived in the period and are in the lake.
-- figures: rejected sum
-- chart: line x=period y=rejected series=reason

WITH refused AS (
    SELECT
        CAST(date_trunc($by, CAST(CAST(arrived_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE)) AS DATE) AS period,
        stream,
        reason,
        field_path,
        count(*) AS rejected
    FROM rejected_events
    WHERE
        CAST(CAST(arrived_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) BETWEEN $from AND $to
        AND arrival_date BETWEEN $from - INTERVAL '1 day' AND $to + INTERVAL '1 day'
    GROUP BY 1, 2, 3, 4
),

arrived AS (
    SELECT
        CAST(date_trunc($by, CAST(CAST(arrived_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE)) AS DATE) AS period,
        stream,
        count(*) AS stored
    FROM (
        SELECT 'user-events' AS stream, arrived_at FROM user_events
        UNION ALL
        SELECT 'transaction-events' AS stream, arrived_at FROM transactions
    )
    WHERE CAST(CAST(arrived_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) BETWEEN $from AND $to
    GROUP BY 1, 2
)

SELECT
    refused.period,
    refused.stream,
    refused.reason,
    refused.field_path,
    refused.rejected,
    CAST(
        CAST(refused.rejected AS DECIMAL(34, 1)) / (
            coalesce(arrived.stored, 0) + sum(refused.rejected) OVER (PARTITION BY refused.period, refused.stream)
        ) AS DECIMAL(21, 4)
    ) AS share
FROM refused
LEFT JOIN arrived ON refused.period = arrived.period AND refused.stream = arrived.stream
ORDER BY 1, 2, 5 DESC, 3, 4
