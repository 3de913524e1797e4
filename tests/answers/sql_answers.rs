//! Answers of SQL over a lake of many files, where filters reach the files: they are those of PostgreSQL.

use std::fmt::Write as _;

use serde_json::json;

use crate::support::command::Machine;
use crate::support::servers::TRANSACTION_EVENTS;

/// Days of November 2026, each a folder of its own, and of each kind.
const DAYS: u32 = 10;
const PER_DAY: u32 = 900;

/// Gifts of 5 to 904 points, and meetings of 2 to 41 for the civilian, each day.
fn events() -> String {
    let mut lines = String::new();
    let mut number = 0;
    for day in 1..=DAYS {
        for nth in 0..PER_DAY {
            number += 1;
            let id = format!("0c000000-0000-4000-8000-{number:012}");
            let at = format!("2026-11-{day:02}T10:00:00Z");
            let event = if nth % 4 == 0 {
                json!({"event_id": id, "event_type": "interaction", "occurred_at": at, "civilian_id": format!("c{nth}"),
                    "officer_id": "o", "method": "qr", "points_civilian": 2 + nth / 4 % 40, "points_officer": 1, "zip_code": "60601"})
            } else {
                json!({"event_id": id, "event_type": "donation", "occurred_at": at, "donor_id": format!("c{nth}"),
                    "donor_kind": "civilian", "recipient_id": "r", "recipient_kind": "charity", "points": 5 + nth})
            };
            writeln!(lines, "{event}").unwrap();
        }
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_loses_no_row_of_an_answer() {
    let machine = Machine::new();
    machine.write("events.ndjson", &events());
    machine.succeed(&["--lake", "./bluelake-data", "lake", "init"]).await;
    machine.succeed(&["--lake", "./bluelake-data", "backfill", "events.ndjson", "--stream", TRANSACTION_EVENTS]).await;
    let least = "6";
    let most = (4 + PER_DAY).to_string();
    let cases = [
        ("SELECT min(points_civilian) AS a, min(points) AS b FROM transactions", format!("2,{least}")),
        ("SELECT max(points) AS a, max(points_civilian) AS b FROM transactions", format!("{most},41")),
        (
            "SELECT max(points) AS a, max(points) FILTER (WHERE local_date = DATE '2026-11-10') AS b FROM donations",
            format!("{most},{most}"),
        ),
        (
            "SELECT max(points) AS a, max(CASE WHEN local_date = DATE '2026-11-10' THEN points END) AS b, min(points + 1) AS c FROM donations",
            format!("{most},{most},7"),
        ),
        ("SELECT count(*) AS n FROM donations WHERE donor_id NOT IN ('c1', NULL)", "0".to_owned()),
        ("SELECT count(*) AS n FROM transactions WHERE points BETWEEN 1 AND NULL", "0".to_owned()),
        ("SELECT count(*) AS n FROM transactions WHERE donor_id = 'c1' AND zip_code <> NULL", "0".to_owned()),
        (
            "SELECT count(*) AS n FROM donations d JOIN interactions i ON d.local_date = i.local_date AND NULL",
            "0".to_owned(),
        ),
        ("SELECT count(*) AS n FROM donations WHERE points > 5 AND nullif(1, 1) = 1", "0".to_owned()),
        ("SELECT count(*) AS n FROM transactions WHERE event_type NOT IN ('donation', NULL)", "0".to_owned()),
        ("SELECT count(*) AS n FROM transactions WHERE event_date <> NULL AND points > 0", "0".to_owned()),
        (
            "SELECT count(*) AS n FROM donations WHERE occurred_at <= TIMESTAMPTZ '9999-12-31T23:59:59Z'",
            "6750".to_owned(),
        ),
        (
            "SELECT count(*) AS n FROM donations WHERE occurred_at BETWEEN '2026-11-01' AND '2026-11-02'",
            "675".to_owned(),
        ),
        ("SELECT count(*) AS n FROM transactions WHERE event_date < event_date", "0".to_owned()),
        ("SELECT count(*) AS n FROM transactions WHERE event_date <> event_date OR event_type = 'x'", "0".to_owned()),
        ("SELECT count(*) AS n FROM transactions WHERE event_date IS DISTINCT FROM event_date", "0".to_owned()),
        ("SELECT count(*) AS n FROM transactions WHERE event_type IN ('x', NULL)", "0".to_owned()),
        (
            "SELECT count(*) AS n FROM transactions WHERE event_type = 'interaction' AND event_date > DATE '2026-11-09'",
            "225".to_owned(),
        ),
        (
            "SELECT count(*) AS n FROM transactions WHERE CAST(NULL AS BIGINT) IN (SELECT 1000000000000 FROM donations)",
            "0".to_owned(),
        ),
        ("SELECT points AS n FROM donations ORDER BY points DESC, local_date LIMIT 1", most.clone()),
    ];
    for (sql, expected) in &cases {
        let answer = machine.succeed(&["--lake", "./bluelake-data", "sql", sql, "--format", "csv"]).await;
        let row = answer.lines().nth(1).unwrap_or_default().to_owned();
        assert_eq!(row, *expected, "{sql}");
    }
    let limits = [
        ("SELECT event_type FROM transactions LIMIT 2", 2),
        ("SELECT 1 AS x FROM transactions LIMIT 2 OFFSET 1", 2),
        ("SELECT event_date, event_type FROM transactions LIMIT 3", 3),
        ("SELECT 1 AS x FROM transactions ORDER BY x LIMIT 2", 2),
    ];
    for (sql, rows) in limits {
        let answer = machine.succeed(&["--lake", "./bluelake-data", "sql", sql, "--format", "csv"]).await;
        assert_eq!(answer.lines().count(), rows + 1, "{sql}");
    }
}
