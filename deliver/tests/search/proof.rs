//! What `verify` finds: every document that somebody deleted, added or changed by hand.

use bluelake_deliver::TableVerdict;
use reqwest::Method;
use serde_json::{Value, json};

use super::opensearch::{Server, deliver, delivery, rebuild};
use crate::world::World;

async fn verdict(world: &World, server: &Server, table: &str) -> TableVerdict {
    let verdicts = delivery(world, &server.endpoint()).verify().await.unwrap();
    verdicts.into_iter().find(|verdict| verdict.table == table).unwrap()
}

/// Changes fields of a document.
fn with(document: &Value, fields: &Value) -> Value {
    let mut document = document.clone();
    for (name, value) in fields.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn each_document_that_was_touched_by_hand_is_found() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_users(60).await;
    world.add_transactions(90).await;
    deliver(&world, &server.endpoint()).await;
    // What came to the lake since is no difference.
    world.add_transactions(5).await;
    assert!(verdict(&world, &server, "transactions").await.is_equal());
    let cases: [(&str, Option<Value>, &str); 8] = [
        ("deleted", None, "rows are missing"),
        ("points", Some(json!({ "points": 1_000_000 })), "other values"),
        ("a text", Some(json!({ "recipient_id": "c-2" })), "other values"),
        ("a field that was not there", Some(json!({ "note": "x" })), "other values"),
        ("a field less", Some(json!({ "donor_id": null })), "other values"),
        ("another day", Some(json!({ "event_date": "2026-01-31" })), "rows are missing"),
        ("another kind", Some(json!({ "event_type": "gift" })), "rows are missing"),
        ("no place", Some(json!({ "stream_shard": null })), "other values"),
    ];
    for (name, fields, expected) in cases {
        let documents = server.documents("transactions").await;
        let (id, document) = documents.iter().find(|(_, document)| document["event_type"] == "donation").unwrap();
        let index = server.indices("transactions").await.into_keys().next().unwrap();
        let path = format!("/{index}/_doc/{id}?refresh=true");
        match &fields {
            None => server.must(Method::DELETE, &path, Value::Null).await,
            Some(fields) => server.must(Method::PUT, &path, with(document, fields)).await,
        };
        let found = verdict(&world, &server, "transactions").await;
        let meanings: Vec<&str> = found.differences.iter().map(|difference| difference.meaning).collect();
        assert!(meanings.iter().any(|meaning| meaning.contains(expected)), "{name}: {found:?}");
        rebuild(&world, &server.endpoint()).await;
        assert!(verdict(&world, &server, "transactions").await.is_equal(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_too_many_are_found_wherever_they_are() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_users(60).await;
    deliver(&world, &server.endpoint()).await;
    let documents = server.documents("user_events").await;
    let document = documents.values().next().unwrap();
    let index = "lake-user_events-2026.01";
    for (name, fields, expected) in [
        ("in a partition of the lake", json!({}), "rows too many"),
        ("of another day", json!({ "event_date": "2026-01-31" }), "days and kinds that the lake has"),
        ("of no day", json!({ "event_date": null, "stream_shard": null }), "days and kinds that the lake has"),
    ] {
        let path = format!("/{index}/_doc/by-hand?refresh=true");
        server.must(Method::PUT, &path, with(document, &fields)).await;
        let found = verdict(&world, &server, "user_events").await;
        let told = format!("{:?} {:?}", found.differences, found.faults);
        assert!(!found.is_equal() && told.contains(expected), "{name}: {told}");
        server.must(Method::DELETE, &path, Value::Null).await;
        assert!(verdict(&world, &server, "user_events").await.is_equal());
    }
    let alias = |verb: &str| json!({ "actions": [{ verb: { "index": index, "alias": "lake-user_events" } }] });
    server.must(Method::POST, "/_aliases", alias("remove")).await;
    let found = verdict(&world, &server, "user_events").await;
    assert!(found.faults.iter().any(|fault| fault.contains("alias does not name")), "{found:?}");
    // The next delivery puts it right.
    deliver(&world, &server.endpoint()).await;
    assert!(verdict(&world, &server, "user_events").await.is_equal());
    server.must(Method::DELETE, &format!("/{index}"), Value::Null).await;
    assert!(!verdict(&world, &server, "user_events").await.is_equal());
}
