//! What `verify` finds: every row that somebody deleted, doubled or changed by hand.

use bluelake_deliver::TableVerdict;

use crate::{
    server::Server,
    world::{World, deliver, run, target},
};

async fn verdicts(world: &World, server: &Server) -> Vec<TableVerdict> {
    world.delivery(target(server, "lake")).verify().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_that_was_touched_by_hand_is_found() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_users(60).await;
    world.add_transactions(90).await;
    deliver(&world, &server).await;
    // What came to the lake since is no difference.
    world.add_transactions(5).await;
    assert!(verdicts(&world, &server).await.iter().all(TableVerdict::is_equal));
    let client = server.client().await;
    let one = "ctid = (SELECT ctid FROM lake.transactions WHERE event_type = 'donation' LIMIT 1)";
    let cases = [
        (format!("DELETE FROM lake.transactions WHERE {one}"), "transactions", "rows are missing"),
        (
            format!("INSERT INTO lake.transactions SELECT * FROM lake.transactions WHERE {one}"),
            "transactions",
            "rows too many",
        ),
        (format!("UPDATE lake.transactions SET points = points + 1 WHERE {one}"), "transactions", "other values"),
        (format!("UPDATE lake.transactions SET recipient_id = 'c-2' WHERE {one}"), "transactions", "other values"),
        (format!("UPDATE lake.transactions SET extras = '{{\"a\": 2}}' WHERE {one}"), "transactions", "other values"),
        (
            format!("UPDATE lake.transactions SET event_date = event_date + 100 WHERE {one}"),
            "transactions",
            "rows are missing",
        ),
        (
            "UPDATE lake.transactions SET items = '[]' WHERE items IS NOT NULL".to_owned(),
            "transactions",
            "other values",
        ),
        ("ALTER TABLE lake.transactions DROP COLUMN recipient_id CASCADE".to_owned(), "transactions", "other values"),
        (
            "UPDATE lake.user_events SET email = 'x' WHERE stream_sequence = '3'".to_owned(),
            "user_events",
            "other values",
        ),
    ];
    for (statement, table, expected) in cases {
        run(&client, "BEGIN").await;
        run(&client, &statement).await;
        run(&client, "COMMIT").await;
        let found = verdicts(&world, &server).await;
        let found = found.iter().find(|verdict| verdict.table == table).unwrap();
        let meanings: Vec<&str> = found.differences.iter().map(|difference| difference.meaning).collect();
        assert!(meanings.iter().any(|meaning| meaning.contains(expected)), "{statement}: {found:?}");
        world.delivery(target(&server, "lake")).rebuild(&tokio_util::sync::CancellationToken::new()).await.unwrap();
        assert!(verdicts(&world, &server).await.iter().all(TableVerdict::is_equal), "{statement}");
    }
    for statement in [
        "UPDATE lake.users SET zip_code = '00000' WHERE user_id = (SELECT min(user_id) FROM lake.users)",
        "DELETE FROM lake.users WHERE user_id = (SELECT max(user_id) FROM lake.users)",
        "UPDATE lake.deliveries SET rows = rows + 1 WHERE table_name = 'user_events'",
    ] {
        run(&client, statement).await;
        let found = verdicts(&world, &server).await;
        let users = found.iter().find(|verdict| verdict.table == "user_events").unwrap();
        assert!(users.differences.is_empty() && users.faults.len() == 1, "{statement}: {users:?}");
        world.delivery(target(&server, "lake")).rebuild(&tokio_util::sync::CancellationToken::new()).await.unwrap();
    }
}
