#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use bluelake_schemas::Stream;
use chrono_tz::Tz;
use serde_json::{Value, json};

use crate::session::options::QueryOptions;
use crate::session::query_session::QuerySession;
use crate::testing::{chain, csv, event, options, schema, session, table, tables};

#[tokio::test]
async fn a_user_has_the_last_known_values() {
    let users = [
        event("user_updated", "2026-01-03T00:00:00Z", json!({"user_id": "a", "email": "new@x.org"})),
        event(
            "user_created",
            "2026-01-01T00:00:00Z",
            json!({"user_id": "a", "email": "old@x.org", "zip_code": "60601"}),
        ),
        event("user_created", "2026-01-02T00:00:00Z", json!({"user_id": "b", "user_kind": "police_officer"})),
    ];
    let rows = csv(
        &session(&users, &[]).await,
        "SELECT user_id, user_kind, email, zip_code, status, created_at, updated_at FROM users ORDER BY user_id",
    )
    .await;
    assert_eq!(
        rows[1..],
        [
            "a,civilian,new@x.org,60601,active,2026-01-01T00:00:00Z,2026-01-03T00:00:00Z",
            "b,police_officer,,,active,2026-01-02T00:00:00Z,2026-01-02T00:00:00Z",
        ]
    );
}

#[tokio::test]
async fn a_deactivated_user_stays_deactivated_until_activated_again() {
    let at = |kind, day, id, status: Option<&str>| {
        event(kind, &format!("2026-01-0{day}T00:00:00Z"), json!({"user_id": id, "status": status}))
    };
    let users = [
        at("user_created", 1, "gone", None),
        at("user_deactivated", 2, "gone", None),
        at("user_created", 1, "edited", None),
        at("user_deactivated", 2, "edited", Some("deactivated")),
        at("user_updated", 3, "edited", None),
        at("user_created", 1, "back", None),
        at("user_deactivated", 2, "back", None),
        at("user_updated", 3, "back", Some("active")),
        at("user_deactivated", 1, "again", None),
        at("user_created", 2, "again", None),
        at("user_deactivated", 2, "unseen", None),
    ];
    let rows = csv(
        &session(&users, &[]).await,
        "SELECT user_id, status, created_at, deactivated_at FROM users ORDER BY user_id",
    )
    .await;
    assert_eq!(
        rows[1..],
        [
            "again,active,2026-01-02T00:00:00Z,",
            "back,active,2026-01-01T00:00:00Z,",
            "edited,deactivated,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z",
            "gone,deactivated,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z",
            "unseen,deactivated,,2026-01-02T00:00:00Z",
        ]
    );
}

#[tokio::test]
async fn ties_are_broken_by_arrival_then_sequence() {
    let at = |id: &str, email: &str, lineage: Value| {
        let mut fields = json!({"user_id": id, "email": email});
        fields.as_object_mut().unwrap().extend(lineage.as_object().unwrap().clone());
        event("user_updated", "2026-01-01T00:00:00Z", fields)
    };
    let mut users = vec![
        at("arrival", "first", json!({"arrived_at": "2026-01-01T00:00:01Z", "stream_sequence": "9"})),
        at("arrival", "last", json!({"arrived_at": "2026-01-01T00:00:02Z", "stream_sequence": "1"})),
        at("sequence", "first", json!({"stream_sequence": "9"})),
        at("sequence", "last", json!({"stream_sequence": "49590338271490256608559692538361571095921575989136588898"})),
        at("sub", "first", json!({"stream_sub_sequence": 9})),
        at("sub", "last", json!({"stream_sub_sequence": 10})),
    ];
    for _ in 0..2 {
        let rows = csv(&session(&users, &[]).await, "SELECT user_id, email FROM users ORDER BY 1").await;
        assert_eq!(rows[1..], ["arrival,last", "sequence,last", "sub,last"]);
        users.reverse();
    }
}

fn transactions() -> Vec<Value> {
    vec![
        event(
            "interaction",
            "2026-01-01T05:00:00Z",
            json!({"event_id": "i", "civilian_id": "c", "officer_id": "o", "method": "qr", "points_civilian": 5,
                "points_officer": 3, "zip_code": "60601", "distance_ft": 1.5, "channel": "mobile"}),
        ),
        event(
            "donation",
            "2026-01-01T06:00:00Z",
            json!({"event_id": "d", "donor_id": "c", "donor_kind": "civilian", "recipient_id": "x",
                "recipient_kind": "charity", "points": 2}),
        ),
        event(
            "redemption",
            "2026-01-02T05:00:00Z",
            json!({"event_id": "r", "redeemer_id": "c", "redeemer_kind": "civilian", "provider_id": "m",
                "provider_kind": "merchant", "purpose": "goods", "points": 1, "amount_cents": 250, "currency": "USD",
                "items": [{"sku": "s", "name": "cup, \"blue\"", "quantity": 1, "points": 1}]}),
        ),
        event(
            "transfer",
            "2026-01-02T06:00:00Z",
            json!({"event_id": "t", "from_officer_id": "o", "to_officer_id": "p", "points": 7}),
        ),
    ]
}

#[tokio::test]
async fn each_view_has_its_event_types_columns() {
    let options = QueryOptions { time_zone: Tz::America__Chicago, ..options() };
    let session = QuerySession::new(tables(&[], &transactions()), options).await.unwrap();
    let expected = [
        (
            "interactions",
            "event_id,occurred_at,event_date,local_date,channel,civilian_id,officer_id,method,points_civilian,\
             points_officer,zip_code,distance_ft",
            "i,2026-01-01T05:00:00Z,2026-01-01,2025-12-31,mobile,c,o,qr,5,3,60601,1.5",
        ),
        (
            "donations",
            "event_id,occurred_at,event_date,local_date,channel,donor_id,donor_kind,recipient_id,recipient_kind,points,\
             zip_code",
            "d,2026-01-01T06:00:00Z,2026-01-01,2026-01-01,,c,civilian,x,charity,2,",
        ),
        (
            "redemptions",
            "event_id,occurred_at,event_date,local_date,channel,redeemer_id,redeemer_kind,provider_id,provider_kind,\
             purpose,points,amount_cents,currency,items,zip_code",
            "r,2026-01-02T05:00:00Z,2026-01-02,2026-01-01,,c,civilian,m,merchant,goods,1,250,USD,\
             \"[{\"\"sku\"\":\"\"s\"\",\"\"name\"\":\"\"cup, \\\"\"blue\\\"\"\"\",\"\"quantity\"\":1,\"\"points\"\":1}]\",",
        ),
        (
            "transfers",
            "event_id,occurred_at,event_date,local_date,channel,from_officer_id,to_officer_id,points",
            "t,2026-01-02T06:00:00Z,2026-01-02,2026-01-02,,o,p,7",
        ),
    ];
    for (view, header, row) in expected {
        assert_eq!(csv(&session, &format!("SELECT * FROM {view}")).await, [header, row], "{view}");
    }
}

#[tokio::test]
async fn a_missing_table_removes_only_its_views() {
    let mut only_users = tables(&[], &[]);
    only_users.retain(|(name, _)| name == "user_events");
    let session = QuerySession::new(only_users, options()).await.unwrap();
    assert_eq!(session.tables(), ["user_events", "users"]);
    assert_eq!(csv(&session, "SELECT count(*) FROM users").await[1], "0");
    let message = chain(&session.query("SELECT * FROM donations").await.err().unwrap());
    assert_eq!(message, "the view donations is not available: the lake has no table transactions");
}

#[tokio::test]
async fn a_new_contract_column_changes_no_view() {
    let mut fields: Vec<_> = schema(Stream::UserEvents).fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("position", DataType::Utf8, true)));
    fields.insert(3, Arc::new(Field::new("preferred_language", DataType::Utf8, true)));
    let wider = Arc::new(Schema::new(fields));
    let row = event("user_created", "2026-01-01T00:00:00Z", json!({"user_id": "a", "position": "x"}));
    let tables = vec![("user_events".to_owned(), table(&wider, &[row]))];
    let session = QuerySession::new(tables, options()).await.unwrap();
    assert_eq!(csv(&session, "SELECT user_id, status FROM users").await[1..], ["a,active"]);
}

#[tokio::test]
async fn a_missing_column_removes_only_its_views() {
    let mut given = tables(&[], &[]);
    let narrow = Arc::new(Schema::new(vec![Field::new("user_id", DataType::Utf8, false)]));
    given[0].1 = table(&narrow, &[]);
    let session = QuerySession::new(given, options()).await.unwrap();
    let message = chain(&session.query("SELECT * FROM users").await.err().unwrap());
    assert!(message.contains("the view users is not available: the table user_events does not fit"), "{message}");
    assert_eq!(csv(&session, "SELECT count(*) FROM donations").await[1], "0");
}

#[tokio::test]
async fn every_view_has_its_headers_columns() {
    let session = session(&[], &[]).await;
    for view in crate::session::views::describe_views().unwrap() {
        let columns: Vec<_> = view.header.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(csv(&session, &format!("SELECT * FROM {}", view.name)).await, [columns.join(",")], "{}", view.name);
    }
}

#[tokio::test]
async fn the_ledger_sums_to_the_liability() {
    let session = session(&[], &transactions()).await;
    let sql = "SELECT event_id, user_id, user_kind, entry, points, counterparty_id, counterparty_kind FROM points_ledger \
               ORDER BY occurred_at, points, user_id";
    assert_eq!(
        csv(&session, sql).await[1..],
        [
            "i,o,police_officer,minted,3,c,civilian",
            "i,c,civilian,minted,5,o,police_officer",
            "d,c,civilian,donated,-2,x,charity",
            "d,x,charity,received,2,c,civilian",
            "r,c,civilian,redeemed,-1,m,merchant",
            "t,o,police_officer,transferred,-7,p,police_officer",
            "t,p,police_officer,transferred,7,o,police_officer",
        ]
    );
    assert_eq!(csv(&session, "SELECT sum(points) FROM points_ledger").await[1], "7", "8 minted, 1 redeemed");
}

#[tokio::test]
async fn redemption_items_are_rows_in_order() {
    let redemption = |id: &str, items: Value| {
        let fields = json!({"event_id": id, "redeemer_id": "c", "redeemer_kind": "civilian", "provider_id": "m",
            "provider_kind": "merchant", "purpose": "goods", "points": 9, "items": items});
        event("redemption", "2026-01-02T05:00:00Z", fields)
    };
    let transactions = [
        redemption("two", json!([{"sku": "a", "name": "cup", "quantity": 2, "points": 6}, {"sku": "b"}])),
        redemption("none", json!([])),
        redemption("null", Value::Null),
    ];
    let session = session(&[], &transactions).await;
    let sql = "SELECT event_id, item_number, sku, name, quantity, points FROM redemption_items ORDER BY 1, 2";
    assert_eq!(csv(&session, sql).await[1..], ["two,1,a,cup,2,6", "two,2,b,,,"]);
}

#[tokio::test]
async fn the_calendar_has_all_days_and_clock_changes() {
    let users = [event("user_created", "2026-03-06T23:30:00-06:00", json!({"user_id": "a"}))];
    let transfer = json!({"from_officer_id": "o", "to_officer_id": "p", "points": 7});
    let transactions = [event("transfer", "2026-03-09T04:00:00Z", transfer)];
    let options = QueryOptions { time_zone: Tz::America__Chicago, ..options() };
    let session = QuerySession::new(tables(&users, &transactions), options).await.unwrap();
    let sql = "SELECT local_date, week, month, quarter, year, weekday, to_unixtime(ends_at) - to_unixtime(starts_at) \
               FROM calendar ORDER BY 1";
    assert_eq!(
        csv(&session, sql).await[1..],
        [
            "2026-03-06,2026-03-02,2026-03-01,2026-01-01,2026,5,86400",
            "2026-03-07,2026-03-02,2026-03-01,2026-01-01,2026,6,86400",
            "2026-03-08,2026-03-02,2026-03-01,2026-01-01,2026,7,82800",
        ]
    );
    let empty = crate::testing::session(&[], &[]).await;
    assert_eq!(csv(&empty, "SELECT * FROM calendar").await.len(), 1);
}
