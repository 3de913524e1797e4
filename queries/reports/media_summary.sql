-- title: Summary for the media
-- question: What may be told outside the house of what happens in each zip code?
-- audience: local media and partners
-- covers: period
-- parameter: from (date, default first) First day; months that begin before it are left out.
-- parameter: to (date, default last) Last day; months that end after it are left out.
-- parameter: min_group (integer, default 10, least 10, most 1000000) Only places are listed with at least so many people in the month.
-- column: period (date) First day of the month, in UTC whatever the time zone of the session. Only whole months are told, and only when the lake has a transaction of a week or more after the month's end. What arrives more than an hour after the first such transaction is never told, so that a month does not change and two runs cannot be subtracted.
-- column: activity (text) interaction, donation or redemption.
-- column: zip_code (text) Where; `unknown` for those that do not tell. A place is left out, for whatever reason: when nothing happened there, when it has too few people, or when one person took part in more than two fifths of its events or has more than two fifths of its points. There are no totals: sums of these rows are less than what happened.
-- column: events (count) How many, rounded down to a multiple of 5.
-- column: people (count) Different civilians who met an officer, donors, or redeemers, rounded down to a multiple of 5.
-- column: points (points) Points minted, given or spent, rounded down to a multiple of 100.
-- chart: bar x=zip_code y=events series=activity

-- Why so, and what that protects: docs/decisions/2026-11-29-media-summary.md. What is shown of a place in a month is in no sum with
-- anything else that is shown, in this run or another. `min_group` only leaves rows out, and looks at the rounded number: so it tells
-- no more than the row does. The table is read, not the views, because those do not tell when an event arrived.
WITH days AS (
    SELECT
        event_date,
        min(arrived_at) AS first_arrival
    FROM transactions
    GROUP BY 1
),

months AS (
    SELECT DISTINCT CAST(date_trunc('month', event_date) AS DATE) AS period
    FROM days
),

closed AS (
    SELECT
        months.period,
        -- An hour for what is brought in together, such as the files of an archive.
        min(days.first_arrival) + INTERVAL '1 hour' AS closed_at
    FROM months
    INNER JOIN days ON days.event_date >= months.period + INTERVAL '1 month' + INTERVAL '7 days'
    WHERE
        months.period >= $from
        AND months.period + INTERVAL '1 month' <= $to + INTERVAL '1 day'
    GROUP BY 1
),

acts AS (
    -- A meeting has two people, and counts once, with the civilian.
    SELECT
        'interaction' AS activity,
        zip_code,
        civilian_id AS user_id,
        points_civilian AS points,
        true AS is_event,
        event_date,
        arrived_at
    FROM transactions
    WHERE
        event_type = 'interaction'
        AND event_date BETWEEN $from AND $to

    UNION ALL

    SELECT
        'interaction' AS activity,
        zip_code,
        officer_id AS user_id,
        points_officer AS points,
        false AS is_event,
        event_date,
        arrived_at
    FROM transactions
    WHERE
        event_type = 'interaction'
        AND event_date BETWEEN $from AND $to

    UNION ALL

    SELECT
        'donation' AS activity,
        zip_code,
        donor_id AS user_id,
        points AS points,
        true AS is_event,
        event_date,
        arrived_at
    FROM transactions
    WHERE
        event_type = 'donation'
        AND event_date BETWEEN $from AND $to

    UNION ALL

    SELECT
        'redemption' AS activity,
        zip_code,
        redeemer_id AS user_id,
        points AS points,
        true AS is_event,
        event_date,
        arrived_at
    FROM transactions
    WHERE
        event_type = 'redemption'
        AND event_date BETWEEN $from AND $to
),

people AS (
    SELECT
        -- Not closed.period: DataFusion takes a key of one side of a join for a key of what is grouped above it, and leaves the columns
        -- behind it out of ORDER BY.
        CAST(date_trunc('month', acts.event_date) AS DATE) AS period,
        acts.activity,
        coalesce(acts.zip_code, 'unknown') AS zip_code,
        acts.user_id,
        count(*) AS parts,
        count(*) FILTER (WHERE acts.is_event) AS events,
        sum(CAST(acts.points AS DECIMAL(19, 0))) AS points
    FROM acts
    INNER JOIN closed
        ON CAST(date_trunc('month', acts.event_date) AS DATE) = closed.period AND acts.arrived_at <= closed.closed_at
    GROUP BY 1, 2, 3, 4
),

cells AS (
    SELECT
        period,
        activity,
        zip_code,
        CAST(sum(events) AS BIGINT) AS events,
        count(*) FILTER (WHERE events > 0) AS people,
        CAST(sum(points) AS DECIMAL(38, 0)) AS points,
        max(parts) AS most_parts,
        max(points) AS most_points
    FROM people
    GROUP BY 1, 2, 3
)

SELECT
    period,
    activity,
    zip_code,
    events - events % 5 AS events,
    people - people % 5 AS people,
    CAST(points - points % 100 AS DECIMAL(38, 0)) AS points
FROM cells
WHERE
    people - people % 5 >= $min_group
    AND most_parts * 5 <= events * 2
    AND most_points * 5 <= points * 2
ORDER BY 1, 2, 3
