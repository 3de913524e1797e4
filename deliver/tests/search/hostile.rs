//! Rows that are valid and unusual, and documents that the server does not take.

use bluelake_deliver::{Columns, RejectedBound, SearchTarget, TableVerdict};
use bluelake_fault_proxy::{Action, Answer, Proxy, When, Which};
use bluelake_schemas::Stream;
use hyper::StatusCode;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::opensearch::{Server, deliver, delivery, delivery_to, settings, target};
use crate::world::{World, time};

/// Events with every odd text that the contract lets pass.
async fn add_hostile(world: &mut World, large: &str) {
    // A text of each plane of Unicode, and of what is easily mistaken.
    let planes: String =
        (0..=16_u32).flat_map(|plane| [plane << 16 | 0xE9, plane << 16 | 0xFFFD]).filter_map(char::from_u32).collect();
    let odd = "\u{1}\u{7f}\u{85}\u{2028}\u{202e}\u{feff} \\N '\"}\n{\"delete\":{\"_id\":\"x\"}}\n --\t\r\n";
    let deep = format!("{}1{}", "{\"a\":[".repeat(15), "]}".repeat(15));
    let mut users = Vec::new();
    for (number, text) in [large, &planes, odd, ""].into_iter().enumerate() {
        users.push(
            json!({"event_type": "user_created", "occurred_at": time(0), "user_id": format!("user {number} {odd}"),
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
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_rows_are_delivered() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    let large = "\u{1F600}".repeat((10 << 20) / 4);
    add_hostile(&mut world, &large).await;
    let mut delivery = delivery_to(&world, target(&world.lake, &server.endpoint()), Columns::All);
    delivery.run(&CancellationToken::new()).await.unwrap();
    let verdicts = delivery.verify().await.unwrap();
    assert!(verdicts.iter().all(TableVerdict::is_equal), "{verdicts:?}");
    let users = server.documents("user_events").await;
    assert!(users.values().any(|user| user["display_name"] == large.as_str()));
    let transactions = server.documents("transactions").await;
    for extras in ["{\"a\":1e999999}", "{\"a\":-0.0,\"a\":1E+400}", " { } "] {
        assert!(transactions.values().any(|document| document["extras"] == extras), "{extras}");
    }
    assert_eq!((users.len(), transactions.len()), (4, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_no_request_can_hold_is_told_and_passed_over() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(&server.endpoint()).await.unwrap();
    let mut world = World::new().await;
    // It compresses badly.
    let odd = |number: u32| char::from_u32(0x4E00 + (number.wrapping_mul(2_654_435_761) >> 16) % 0x5000).unwrap();
    let large: String = (0..400_000).map(odd).collect();
    add_hostile(&mut world, &large).await;
    let too_large = When::any().path_ends_with("/_bulk").that(|call| call.body.len() > 200_000);
    let answer = Answer::new(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "too large");
    proxy.on(too_large, Which::Every, Action::Answer(answer));
    let mut delivery = delivery_to(&world, target(&world.lake, &proxy.endpoint()), Columns::All);
    delivery.run(&CancellationToken::new()).await.unwrap();
    assert_eq!(server.position("user_events").await["rejected"], 1);
    assert_eq!(server.position("transactions").await["rejected"], 5);
    assert_eq!(server.documents("transactions").await.len(), 2, "the others are there");
    let verdicts = delivery.verify().await.unwrap();
    assert!(
        verdicts.iter().all(|verdict| !verdict.is_equal() && verdict.faults[0].contains("refused")),
        "{verdicts:?}"
    );
    let list = lists(&world);
    assert_eq!(list.len(), 2, "{list:?}");
    assert!(
        list[1].1.contains("\"position\":\"shardId-0:1:0\"") && list[1].1.contains("content_too_large"),
        "{list:?}"
    );
}

/// The lists of refused documents, with their names.
fn lists(world: &World) -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir(world.folder.path().join("_deliver/finder.rejected")) else {
        return Vec::new();
    };
    let mut lists: Vec<(String, String)> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap())
        })
        .collect();
    lists.sort();
    lists
}

/// The server refuses one item of each request, with words that quote a value.
fn refusing() -> Action {
    Action::alter(|_, answer| {
        let mut said = answer.value();
        let item = said["items"][0].as_object_mut().unwrap().values_mut().next().unwrap();
        item["status"] = 400.into();
        item["error"] = json!({ "type": "mapper_parsing_exception", "reason": "failed to parse [donor-secret]" });
        answer.set_value(&said);
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_documents_are_listed_without_their_values_up_to_a_bound() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(&server.endpoint()).await.unwrap();
    let mut world = World::new().await;
    deliver(&world, &proxy.endpoint()).await;
    proxy.on(When::any().path_ends_with("/_bulk"), Which::Every, refusing());
    for _ in 0..3 {
        world.add_transactions(10).await;
        deliver(&world, &proxy.endpoint()).await;
    }
    let position = server.position("transactions").await;
    assert_eq!((&position["rejected"], &position["rows"]), (&json!(3), &json!(30)));
    let found = lists(&world);
    assert_eq!(found.len(), 3, "{found:?}");
    for (name, list) in &found {
        assert!(name.starts_with("transactions-0000") && list.lines().count() == 1, "{name} {list}");
        let line: serde_json::Value = serde_json::from_str(list).unwrap();
        assert_eq!(
            (&line["index"], &line["error"]),
            (&json!("lake-transactions-2026.01"), &json!("mapper_parsing_exception"))
        );
        assert!(line["position"].as_str().unwrap().starts_with("shardId-0:") && !list.contains("secret"), "{list}");
    }
    // One more is too many.
    world.add_transactions(10).await;
    let mut strict = settings(&proxy.endpoint(), "lake");
    strict.max_rejected = RejectedBound { least: 3, share: 0.0 };
    let strict = SearchTarget::new(strict, &world.lake).unwrap();
    let error = delivery_to(&world, strict, Columns::WithoutPersonal).run(&CancellationToken::new()).await.unwrap_err();
    let message = error.to_string();
    for part in ["finder", "transactions", "mapper_parsing_exception", "max_rejected allows 0", "_deliver/"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("secret") && !error.is_transient(), "{message}");
    assert_eq!(server.position("transactions").await["version"], position["version"], "the position did not move");
    // Without the fault the step is taken whole.
    proxy.clear();
    delivery(&world, &proxy.endpoint()).run(&CancellationToken::new()).await.unwrap();
    assert_eq!(server.position("transactions").await["rejected"], 3);
}
