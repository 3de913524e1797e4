//! Targets on the server, and the comparison of what it holds with a lake.

use bluelake_deliver::{
    Columns, DeliverError, Delivered, Delivery, RejectedBound, SearchAddress, SearchAuth, SearchOptions, SearchTarget,
};
use bluelake_lake::Lake;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(crate) use super::server::Server;
use crate::world::{World, assert_rows, options};

pub(crate) fn settings(endpoint: &str, prefix: &str) -> SearchOptions {
    SearchOptions {
        name: "finder".to_owned(),
        address: SearchAddress::parse(endpoint).unwrap().0,
        auth: SearchAuth::None,
        authorities: None,
        prefix: prefix.to_owned(),
        shards: None,
        replicas: Some(0),
        max_rejected: RejectedBound::default(),
    }
}

pub(crate) fn target(lake: &Lake, endpoint: &str) -> SearchTarget {
    SearchTarget::new(settings(endpoint, "lake"), lake).unwrap()
}

pub(crate) fn delivery(world: &World, endpoint: &str) -> Delivery<SearchTarget> {
    delivery_to(world, target(&world.lake, endpoint), Columns::WithoutPersonal)
}

pub(crate) fn delivery_to(world: &World, target: SearchTarget, columns: Columns) -> Delivery<SearchTarget> {
    Delivery::new(world.lake.clone(), world.contract.clone(), target, options(columns))
}

/// Delivers once.
pub(crate) async fn deliver(world: &World, endpoint: &str) -> Delivered {
    try_deliver(world, endpoint).await.unwrap()
}

pub(crate) async fn try_deliver(world: &World, endpoint: &str) -> Result<Delivered, DeliverError> {
    delivery(world, endpoint).run(&CancellationToken::new()).await
}

pub(crate) async fn rebuild(world: &World, endpoint: &str) -> Delivered {
    delivery(world, endpoint).rebuild(&CancellationToken::new()).await.unwrap()
}

/// Fails unless the target holds what the lake does now, by delivery's own proof and without it.
pub(crate) async fn expect_equal(world: &World, server: &Server) {
    for verdict in delivery(world, &server.endpoint()).verify().await.unwrap() {
        assert!(verdict.is_equal(), "{verdict:?}");
        assert_eq!(verdict.version, Some(world.version(&verdict.table).await), "{}", verdict.table);
    }
    for (table, fields) in [
        ("transactions", &["event_type", "event_date", "points", "points_civilian", "donor_id", "stream_sequence"][..]),
        ("user_events", &["event_type", "event_date", "user_id", "zip_code", "status", "stream_sequence"]),
    ] {
        let lake = world.query(&format!("SELECT event_id, {} FROM {table} ORDER BY event_id", fields.join(", "))).await;
        if lake.is_empty() {
            continue;
        }
        let held = server.documents(table).await.into_iter().map(|(id, document)| {
            assert_eq!(document["event_id"], id.as_str());
            let text = |field: &&str| match &document[field] {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            [Some(id)].into_iter().chain(fields.iter().map(text)).collect::<Vec<_>>()
        });
        let held: Vec<_> = held.collect();
        assert_rows(&lake, &held, table);
    }
}
