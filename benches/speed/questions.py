"""Plain questions as analysts write them, in SQL that all engines read. `USER` and `EVENT` stand for a person and an event of the lake."""

QUESTIONS = {
    "daily totals": """
        SELECT event_date, event_type, count(*) AS events, sum(points) AS points FROM transactions GROUP BY event_date, event_type ORDER BY event_date, event_type""",
    "top ten recipients": """
        SELECT recipient_id, sum(points) AS points, count(*) AS gifts FROM transactions WHERE event_type = 'donation'
        GROUP BY recipient_id ORDER BY points DESC, recipient_id LIMIT 10""",
    "distinct people a week": """
        SELECT date_trunc('week', occurred_at) AS week, count(DISTINCT civilian_id) AS people FROM transactions WHERE event_type = 'interaction'
        GROUP BY date_trunc('week', occurred_at) ORDER BY 1""",
    "distinct people": """
        SELECT count(DISTINCT civilian_id) AS civilians, count(DISTINCT officer_id) AS officers, count(DISTINCT donor_id) AS donors FROM transactions""",
    "cohort of donors": """
        WITH gifts AS (SELECT DISTINCT donor_id, date_trunc('week', occurred_at) AS week FROM transactions WHERE event_type = 'donation'),
        cohorts AS (SELECT donor_id, min(week) AS cohort FROM gifts GROUP BY donor_id)
        SELECT c.cohort, g.week, count(*) AS donors FROM gifts g JOIN cohorts c ON c.donor_id = g.donor_id GROUP BY c.cohort, g.week ORDER BY 1, 2""",
    "funnel of new users": """
        WITH created AS (SELECT user_id, min(occurred_at) AS at FROM user_events WHERE event_type = 'user_created' GROUP BY user_id),
        met AS (SELECT civilian_id, min(occurred_at) AS at FROM transactions WHERE event_type = 'interaction' GROUP BY civilian_id),
        gave AS (SELECT donor_id, min(occurred_at) AS at FROM transactions WHERE event_type = 'donation' GROUP BY donor_id)
        SELECT count(*) AS users, sum(CASE WHEN met.at >= created.at THEN 1 ELSE 0 END) AS who_met, sum(CASE WHEN gave.at >= met.at AND met.at >= created.at THEN 1 ELSE 0 END) AS who_gave
        FROM created LEFT JOIN met ON met.civilian_id = created.user_id LEFT JOIN gave ON gave.donor_id = created.user_id""",
    "running balance": """
        WITH moves AS (SELECT civilian_id AS person, occurred_at, event_id, points_civilian AS points FROM transactions WHERE event_type = 'interaction'
        UNION ALL SELECT donor_id AS person, occurred_at, event_id, -points AS points FROM transactions WHERE event_type = 'donation'),
        balances AS (SELECT person, sum(points) OVER (PARTITION BY person ORDER BY occurred_at, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS balance FROM moves)
        SELECT count(*) AS moves, min(balance) AS lowest, max(balance) AS highest FROM balances""",
    "pairs that met again": """
        WITH pairs AS (SELECT civilian_id, officer_id, count(*) AS meetings FROM transactions WHERE event_type = 'interaction' GROUP BY civilian_id, officer_id)
        SELECT meetings, count(*) AS pairs FROM pairs WHERE meetings > 1 GROUP BY meetings ORDER BY meetings""",
    "hours of the day": """
        SELECT extract(hour FROM occurred_at) AS hour, count(*) AS events FROM transactions WHERE event_type = 'interaction' GROUP BY extract(hour FROM occurred_at) ORDER BY 1""",
    "zip codes": """
        SELECT zip_code, count(*) AS events, count(DISTINCT officer_id) AS officers FROM transactions WHERE zip_code IS NOT NULL GROUP BY zip_code ORDER BY events DESC, zip_code LIMIT 20""",
    "latest kind of users": """
        WITH numbered AS (SELECT user_kind, row_number() OVER (PARTITION BY user_id ORDER BY occurred_at DESC, event_id DESC) AS place FROM user_events WHERE user_kind IS NOT NULL)
        SELECT user_kind, count(*) AS users FROM numbered WHERE place = 1 GROUP BY user_kind ORDER BY user_kind""",
    "one user": """
        SELECT event_type, occurred_at, points_civilian FROM transactions WHERE civilian_id = 'USER' ORDER BY occurred_at, event_id""",
    "one event": """
        SELECT event_type, occurred_at, civilian_id FROM transactions WHERE event_id = 'EVENT'""",
}
