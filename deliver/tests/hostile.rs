//! Rows that are valid and unusual.

use bluelake_schemas::Stream;
use serde_json::json;

use crate::{
    server::{Server, value},
    world::{World, deliver, time},
};

#[tokio::test(flavor = "multi_thread")]
async fn hostile_rows_are_delivered() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    let large = "\u{1F600}".repeat((10 << 20) / 4);
    // A text of each plane of Unicode, and of what is easily mistaken.
    let planes: String =
        (0..=16_u32).flat_map(|plane| [plane << 16 | 0xE9, plane << 16 | 0xFFFD]).filter_map(char::from_u32).collect();
    let odd = "\u{1}\u{7f}\u{85}\u{2028}\u{202e}\u{feff} \\N \\. \\x '\"; DROP TABLE lake.users; --\t\r\n";
    let deep = format!("{}1{}", "{\"a\":[".repeat(15), "]}".repeat(15));
    let mut users = Vec::new();
    for (number, text) in [large.as_str(), &planes, odd, ""].into_iter().enumerate() {
        users.push(
            json!({"event_type": "user_created", "occurred_at": time(0), "user_id": format!("user {number} {}", odd),
            "user_kind": "civilian", "display_name": text, "organization_name": planes}),
        );
    }
    world.add(Stream::UserEvents, users).await;
    let mut transactions = Vec::new();
    for extras in
        ["{\"a\":1e999999}", "{\"a\":-0.0,\"a\":1E+400}", "{\"\\u0000\":\"\\u0000\\ud83d\\ude00\"}", &deep, " { } "]
    {
        transactions.push(json!({"event_type": "redemption", "occurred_at": time(0), "redeemer_id": planes,
            "redeemer_kind": "civilian", "provider_id": "m", "provider_kind": "merchant", "purpose": "goods",
            "points": 10_000_000_000_000_000_i64, "extras": extras, "currency": odd,
            "items": [{"sku": odd, "name": planes, "quantity": 0, "points": null}, {"sku": large, "name": "", "quantity": 1, "points": 2}]}));
    }
    transactions
        .push(json!({"event_type": "interaction", "occurred_at": time(0), "civilian_id": "a", "officer_id": "b",
        "method": "qr", "points_civilian": 0, "points_officer": 0, "zip_code": "00000", "distance_ft": 5e-324}));
    transactions.push(
        json!({"event_type": "redemption", "occurred_at": time(0), "redeemer_id": "a", "points": 0, "items": []}),
    );
    world.add(Stream::TransactionEvents, transactions).await;
    deliver(&world, &server).await;
    world.expect_equal(&server, "lake").await;
    let client = server.client().await;
    assert_eq!(
        value(&client, "SELECT sum(length(display_name)) FROM lake.users WHERE user_id LIKE 'user 0%'").await,
        (2_621_440).to_string()
    );
    assert_eq!(value(&client, "SELECT sum(points) FROM lake.transactions").await, "50000000000000000");
    // And again by the way of a batch, with the users worked out anew.
    world
        .add(
            Stream::UserEvents,
            vec![json!({"event_type": "user_updated", "occurred_at": time(60),
        "user_id": format!("user 0 {odd}"), "user_kind": "merchant", "display_name": large})],
        )
        .await;
    world.add_users(3).await;
    deliver(&world, &server).await;
    world.expect_equal(&server, "lake").await;
}
