//! Rows that are valid and unusual: they are delivered, and what does not fit is told.

use bluelake_deliver::Columns;
use bluelake_schemas::Stream;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::warehouse::{Warehouse, deliver, delivery, delivery_to, differs, rebuild, settings, target_of};
use crate::{
    server::{rows, value},
    world::{World, time},
};

#[tokio::test(flavor = "multi_thread")]
async fn hostile_rows_are_delivered_or_told() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    deliver(&world, &place).await;
    let large = "\u{1F600}".repeat((10 << 20) / 4);
    // The bound that the contract has for names: the lake holds longer ones, and the column does not.
    let (longest, longer) = ("x".repeat(1_024), "é".repeat(513));
    // A text of each plane of Unicode, and of what is easily mistaken.
    let planes: String =
        (0..=16_u32).flat_map(|plane| [plane << 16 | 0xE9, plane << 16 | 0xFFFD]).filter_map(char::from_u32).collect();
    let odd = "\u{1}\u{7f}\u{85}\u{2028}\u{202e}\u{feff} \\N \\. \\x '\"; DROP TABLE lake.users; --\t\r\n";
    let deep = format!("{}1{}", "{\"a\":[".repeat(15), "]}".repeat(15));
    let mut users = Vec::new();
    for (number, text) in [large.as_str(), &planes, odd, "", &longest, &longer].into_iter().enumerate() {
        users.push(
            json!({"event_type": "user_created", "occurred_at": time(0), "user_id": format!("user {number}{odd}"),
            "user_kind": "civilian", "display_name": text, "organization_name": planes}),
        );
    }
    // Longer than the contract lets an id be, and than its column.
    users.push(json!({"event_type": "user_created", "occurred_at": time(0), "user_id": "u".repeat(129), "user_kind": "civilian"}));
    world.add(Stream::UserEvents, users).await;
    let mut transactions = Vec::new();
    let extras = [
        ("{\"a\":1e999999}", false),
        ("{\"a\":-0.0,\"b\":1E+30}", true),
        ("{\"a\":1,\"a\":2}", false),
        ("{\"\\u0000\":\"\\u0000\\ud83d\\ude00\"}", false),
        (deep.as_str(), true),
        (" { } ", true),
        ("{\"a\":\"refused by the database\"}", false),
        ("{\"a\":123456789012345678901234567890}", false),
    ];
    for (extras, _) in extras {
        transactions.push(json!({"event_type": "redemption", "occurred_at": time(0), "redeemer_id": odd,
            "redeemer_kind": "civilian", "provider_id": "m", "provider_kind": "merchant", "purpose": "goods",
            "points": 10_000_000_000_000_000_i64, "extras": extras, "currency": odd,
            "items": [{"sku": odd, "name": planes, "quantity": 0, "points": null}]}));
    }
    transactions
        .push(json!({"event_type": "interaction", "occurred_at": time(0), "civilian_id": "a", "officer_id": "b",
        "method": "qr", "points_civilian": 0, "points_officer": 0, "zip_code": "00000", "distance_ft": 5e-324}));
    transactions.push(
        json!({"event_type": "redemption", "occurred_at": time(0), "redeemer_id": "a", "points": 0, "items": []}),
    );
    transactions.push(json!({"event_type": "redemption", "occurred_at": time(0), "redeemer_id": "a", "points": 1,
        "items": [{"sku": large, "name": "", "quantity": 1, "points": 2}]}));
    world.add(Stream::TransactionEvents, transactions).await;
    let lost = 2 + 1 + extras.iter().filter(|(_, is_kept)| !is_kept).count() + 1;
    // By the way of a step, and by that of a load.
    for way in ["step", "load"] {
        let delivered = if way == "step" { deliver(&world, &place).await } else { rebuild(&world, &place).await };
        assert_eq!(delivered.losses, u64::try_from(lost).unwrap(), "{way}");
        expect_told(&world, &warehouse, lost).await;
    }
    // The rows go, and what was told of them goes with them.
    world.expire("2026-01-02").await;
    deliver(&world, &place).await;
    let left = "SELECT count(*) FROM lake.losses WHERE table_name = 'transactions'";
    assert_eq!(value(&warehouse.client().await, left).await, "0");
}

async fn expect_told(world: &World, warehouse: &Warehouse, lost: usize) {
    let client = warehouse.client().await;
    assert_eq!(value(&client, "SELECT count(*) FROM lake.losses").await, lost.to_string());
    let names = "SELECT column_name, bytes, reason FROM lake.losses WHERE table_name = 'user_events' ORDER BY bytes";
    let long = || Some("it is longer than its column".to_owned());
    let told = |column: &str, bytes: usize| vec![Some(column.to_owned()), Some(bytes.to_string()), long()];
    assert_eq!(
        rows(&client, names).await,
        [told("user_id", 129), told("display_name", 1_026), told("display_name", 10 << 20)]
    );
    assert_eq!(value(&client, "SELECT count(*) FROM lake.user_events").await, "7");
    assert_eq!(value(&client, "SELECT sum(points) FROM lake.transactions").await, "80000000000000001");
    assert_eq!(value(&client, "SELECT max(octet_length(display_name)) FROM lake.user_events").await, "1024");
    let reasons = "SELECT DISTINCT reason FROM lake.losses WHERE column_name = 'extras' ORDER BY reason";
    let expected = [
        "a key is there twice",
        "a number would be changed",
        "it has the character U+0000",
        "the database does not take it as JSON",
    ];
    assert_eq!(rows(&client, reasons).await, expected.map(|reason| vec![Some(reason.to_owned())]));
    assert_eq!(value(&client, "SELECT count(extras) FROM lake.transactions").await, "3");
    let verdicts = delivery(world, &warehouse.place()).verify().await.unwrap();
    let users = verdicts.iter().find(|verdict| verdict.table == "user_events").unwrap();
    assert!(!differs(users) && !users.is_equal(), "{users:?}");
    // That the database refused a text which is as it should be is a difference: nobody foresaw it.
    let transactions = verdicts.iter().find(|verdict| verdict.table == "transactions").unwrap();
    assert_eq!(transactions.differences.len(), 1, "{transactions:?}");
    assert!(transactions.faults[0].contains("the database did not take a value"), "{transactions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_rewritten_take_their_losses_along() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    let long = "x".repeat(70_000);
    let event = |user: &str| {
        json!({"event_type": "user_updated", "occurred_at": time(0), "user_id": user, "user_kind": "civilian",
        "display_name": long, "organization_name": long})
    };
    world
        .add(Stream::UserEvents, (0..6).map(|number| event(if number < 4 { "user-1" } else { "user-2" })).collect())
        .await;
    assert_eq!(deliver(&world, &place).await.losses, 12);
    // Of four rows some go; of the others the name is taken out, and the organization stays.
    let (gone, rewritten) = crate::erasure::erase(&world, "user-1", true).await;
    deliver(&world, &place).await;
    let listed = value(&warehouse.client().await, "SELECT count(*) FROM lake.losses").await;
    assert_eq!((gone + rewritten, listed), (4, (rewritten + 4).to_string()));
    assert!(!delivery(&world, &place).verify().await.unwrap().iter().any(differs));
    // A target that gets neither has no losses.
    let columns = Columns::Named(["zip_code".to_owned()].into());
    let mut fewer = delivery_to(&world.lake, &world.contract, target_of(settings("other"), &place), columns);
    assert_eq!(fewer.run(&CancellationToken::new()).await.unwrap().losses, 0);
    assert!(fewer.verify().await.unwrap().iter().all(bluelake_deliver::TableVerdict::is_equal));
}
