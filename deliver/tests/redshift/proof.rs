//! What `verify` finds: every row that somebody deleted, doubled or changed by hand, and every loss that was.

use bluelake_deliver::TableVerdict;

use super::warehouse::{Warehouse, deliver, delivery, differs, rebuild};
use crate::world::{World, run};

async fn verdicts(world: &World, warehouse: &Warehouse) -> Vec<TableVerdict> {
    delivery(world, &warehouse.place()).verify().await.unwrap()
}

/// What somebody may do by hand: the statement, the table, and what it means.
fn changes() -> Vec<(String, &'static str, &'static str)> {
    let one = |kind: &str| format!("ctid = (SELECT ctid FROM lake.transactions WHERE event_type = '{kind}' LIMIT 1)");
    vec![
        (format!("DELETE FROM lake.transactions WHERE {}", one("donation")), "transactions", "rows are missing"),
        (
            format!("INSERT INTO lake.transactions SELECT * FROM lake.transactions WHERE {}", one("donation")),
            "transactions",
            "rows too many",
        ),
        (
            format!("UPDATE lake.transactions SET points = points + 1 WHERE {}", one("donation")),
            "transactions",
            "other values",
        ),
        (
            format!("UPDATE lake.transactions SET recipient_id = 'c-2' WHERE {}", one("donation")),
            "transactions",
            "other values",
        ),
        (
            format!("UPDATE lake.transactions SET recipient_id = NULL WHERE {}", one("donation")),
            "transactions",
            "other values",
        ),
        (
            format!("UPDATE lake.transactions SET extras = '{{\"a\": 2}}' WHERE {}", one("transfer")),
            "transactions",
            "other values",
        ),
        (
            format!("UPDATE lake.transactions SET distance_ft = 0.10000000000000002 WHERE {}", one("interaction")),
            "transactions",
            "other values",
        ),
        (
            format!(
                "UPDATE lake.transactions SET occurred_at = occurred_at + interval '1 microsecond' WHERE {}",
                one("transfer")
            ),
            "transactions",
            "other values",
        ),
        (
            format!("UPDATE lake.transactions SET event_date = event_date + 100 WHERE {}", one("transfer")),
            "transactions",
            "rows are missing",
        ),
        (
            "UPDATE lake.transactions SET items = jsonb_set(items, '{0,quantity}', '3') WHERE items IS NOT NULL"
                .to_owned(),
            "transactions",
            "other values",
        ),
        ("ALTER TABLE lake.transactions DROP COLUMN recipient_id CASCADE".to_owned(), "transactions", "other values"),
        (
            "UPDATE lake.user_events SET email = 'x' WHERE stream_sequence = '3'".to_owned(),
            "user_events",
            "other values",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_that_was_touched_by_hand_is_found() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let mut world = World::new().await;
    world.add_users(60).await;
    world.add_transactions(90).await;
    deliver(&world, &warehouse.place()).await;
    // What came to the lake since is no difference.
    world.add_transactions(5).await;
    assert!(!verdicts(&world, &warehouse).await.iter().any(differs));
    let client = warehouse.client().await;
    for (statement, table, expected) in changes() {
        run(&client, &statement).await;
        let found = verdicts(&world, &warehouse).await;
        let found = found.iter().find(|verdict| verdict.table == table).unwrap();
        let meanings: Vec<&str> = found.differences.iter().map(|difference| difference.meaning).collect();
        assert!(meanings.iter().any(|meaning| meaning.contains(expected)), "{statement}: {found:?}");
        rebuild(&world, &warehouse.place()).await;
        assert!(!verdicts(&world, &warehouse).await.iter().any(differs), "{statement}");
    }
    for (statement, expected) in [
        ("UPDATE lake.deliveries SET rows = rows + 1 WHERE table_name = 'transactions'", "its position says"),
        (
            "DELETE FROM lake.losses WHERE stream_sequence = (SELECT min(stream_sequence) FROM lake.losses)",
            "'lake.losses' lists",
        ),
        ("UPDATE lake.losses SET column_name = 'items'", "'lake.losses' lists"),
        ("INSERT INTO lake.losses SELECT * FROM lake.losses", "'lake.losses' lists"),
    ] {
        run(&client, statement).await;
        let found = verdicts(&world, &warehouse).await;
        let found = found.iter().find(|verdict| verdict.table == "transactions").unwrap();
        assert!(found.differences.is_empty() && found.faults.iter().any(|fault| fault.contains(expected)), "{found:?}");
        rebuild(&world, &warehouse.place()).await;
    }
}
