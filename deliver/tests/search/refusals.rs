//! What cannot be delivered to is told in one message that names the target, what it is about and what to do; nothing is
//! half done.

use std::sync::Arc;

use bluelake_deliver::{DeliverError, SearchAuth, SearchTarget};
use bluelake_fault_proxy::{Action, Answer, Proxy, When, Which};
use hyper::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::opensearch::{Server, deliver, delivery, delivery_to, expect_equal, settings, try_deliver};
use crate::world::World;

fn failure(status: StatusCode, kind: &str) -> Action {
    let body = json!({ "error": { "type": kind, "reason": "told by the test" }, "status": status.as_u16() });
    Action::Answer(Answer::new(status, "application/json", body.to_string()))
}

fn expect(error: &DeliverError, parts: &[&str]) {
    let message = bluelake_lake::causes(error).to_string();
    assert!(!error.is_transient(), "{message}");
    for part in parts.iter().chain(&["target 'finder'"]) {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_fit_is_refused() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(&server.endpoint()).await.unwrap();
    let mut world = World::new().await;
    world.add_transactions(5).await;
    let said = |body: Value| Action::Answer(Answer::new(StatusCode::OK, "application/json", body.to_string()));
    let root = || When::any().that(|call| call.path == "/");
    let create = || When::any().method(hyper::Method::PUT).path_ends_with("/lake-transactions-2026.01");
    for (when, action, parts) in [
        (root(), said(json!({ "version": { "number": "6.8.23" } })), ["6.8.23 is too old", "7.10"]),
        (root(), said(json!({ "name": "something" })), ["does not say which version", "give the address"]),
        (root(), failure(StatusCode::UNAUTHORIZED, "security_exception"), ["401", "password"]),
        (
            create(),
            failure(StatusCode::FORBIDDEN, "security_exception"),
            ["index 'lake-transactions-2026.01'", "grant"],
        ),
        (
            When::any().path_ends_with("/_bulk"),
            failure(StatusCode::FORBIDDEN, "security_exception"),
            ["table 'transactions'", "grant"],
        ),
        (
            When::any().path_contains("_index_template"),
            failure(StatusCode::FORBIDDEN, "security_exception"),
            ["index template 'lake-", "grant"],
        ),
        (
            When::any().path_contains("lake-progress"),
            failure(StatusCode::FORBIDDEN, "security_exception"),
            ["position", "grant"],
        ),
    ] {
        proxy.on(when, Which::Every, action);
        let error = try_deliver(&world, &proxy.endpoint()).await.unwrap_err();
        expect(&error, &parts);
        assert_eq!(server.position("transactions").await["version"], Value::Null, "{error}");
        proxy.clear();
    }
    deliver(&world, &proxy.endpoint()).await;
    expect_equal(&world, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_is_told_when_patience_ends() {
    let world = World::new().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let error = try_deliver(&world, &endpoint).await.unwrap_err();
    let message = bluelake_lake::causes(&error).to_string();
    assert!(error.is_transient() && message.contains("finder") && message.contains(&endpoint), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(&server.endpoint()).await.unwrap();
    let mut world = World::new().await;
    deliver(&world, &proxy.endpoint()).await;
    world.add_transactions(5).await;
    // Older servers say 403, newer ones 429.
    for (count, status) in [(2, 403), (2, 429)] {
        let full = Action::alter(move |_, answer| {
            let mut said = answer.value();
            for item in said["items"].as_array_mut().unwrap() {
                let item = item.as_object_mut().unwrap().values_mut().next().unwrap();
                item["status"] = status.into();
                item["error"] = json!({ "type": "cluster_block_exception", "reason": "flood-stage watermark" });
            }
            answer.set_value(&said);
        });
        let fault = proxy.on(When::any().path_ends_with("/_bulk"), Which::First(count), full);
        let mut delivery = delivery(&world, &proxy.endpoint());
        let progress = delivery.progress();
        let seen = async {
            loop {
                if let Some(trouble) = progress.trouble() {
                    return trouble.to_string();
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let shutdown = CancellationToken::new();
        let (delivered, trouble) = tokio::join!(delivery.run(&shutdown), seen);
        delivered.unwrap();
        assert!(trouble.contains("disk may be full") && trouble.contains("transactions"), "{trouble}");
        assert_eq!(fault.taken(), count);
        expect_equal(&world, &server).await;
        world.add_transactions(5).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_have_a_use_already_are_left_alone() {
    let Some(server) = Server::start().await else { return };
    let endpoint = server.endpoint();
    let mut world = World::new().await;
    world.add_transactions(5).await;
    let index = "/lake-transactions-2026.01";
    let text = json!({ "mappings": { "properties": { "points": { "type": "text" } } } });
    let fine = json!({ "mappings": { "dynamic": false, "properties": {} } });
    let named = json!({ "aliases": { "lake-transactions": {} } });
    for (path, body, parts) in [
        (index, text, ["field 'points' is text and should be long", "another index_prefix"]),
        (index, fine, ["Bluelake did not make it", "another index_prefix"]),
        ("/lake-transactions", json!({}), ["an index has its name", "another index_prefix"]),
        ("/mine", named, ["names the index 'mine'", "another index_prefix"]),
    ] {
        server.must(Method::PUT, path, body).await;
        let before = server.must(Method::GET, &format!("{path}/_mapping"), Value::Null).await;
        let error = try_deliver(&world, &endpoint).await.unwrap_err();
        expect(&error, &parts);
        let after = server.must(Method::GET, &format!("{path}/_mapping"), Value::Null).await;
        assert_eq!(before, after);
        assert_eq!(server.position("transactions").await, Value::Null);
        server.must(Method::DELETE, path, Value::Null).await;
    }
    let template =
        json!({ "index_patterns": ["lake-transactions-*"], "template": { "mappings": { "dynamic": true } } });
    server.must(Method::PUT, "/_index_template/lake-transactions", template).await;
    let error = try_deliver(&world, &endpoint).await.unwrap_err();
    expect(&error, &["index template 'lake-transactions'", "dynamic is true and should be false"]);
    server.must(Method::DELETE, "/_index_template/lake-transactions", Value::Null).await;
    deliver(&world, &endpoint).await;
    expect_equal(&world, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_lake_is_refused() {
    let Some(server) = Server::start().await else { return };
    let endpoint = server.endpoint();
    let (mut world, mut other) = (World::new().await, World::new().await);
    world.add_transactions(3).await;
    deliver(&world, &endpoint).await;
    other.add_transactions(3).await;
    let error = try_deliver(&other, &endpoint).await.unwrap_err();
    expect(&error, &["another lake", "another index_prefix"]);
    // Without its indices it is known by the position.
    server.must(Method::DELETE, "/lake-transactions-2026.01", Value::Null).await;
    server.must(Method::DELETE, "/_index_template/lake-transactions", Value::Null).await;
    server.must(Method::DELETE, "/_index_template/lake-user_events", Value::Null).await;
    let error = try_deliver(&other, &endpoint).await.unwrap_err();
    let path = world.folder.path().to_str().unwrap();
    expect(&error, &["another lake", path, "another index_prefix"]);
    // Another prefix is another target.
    let target = SearchTarget::new(settings(&endpoint, "other"), &other.lake).unwrap();
    delivery_to(&other, target, bluelake_deliver::Columns::All).run(&CancellationToken::new()).await.unwrap();
    assert_eq!(server.must(Method::POST, "/other-transactions/_count", Value::Null).await["count"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_prove_who_one_is_reaches_the_server() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(&server.endpoint()).await.unwrap();
    let world = World::new().await;
    let credentials = aws_credential_types::Credentials::new("AKID", "secret", None, None, "test");
    let aws = SearchAuth::Aws {
        service: "es".to_owned(),
        region: "eu-west-1".to_owned(),
        credentials: aws_credential_types::provider::SharedCredentialsProvider::new(credentials),
    };
    let basic = SearchAuth::Basic { user: "me".to_owned(), password: "s3cret".to_owned() };
    let all = [
        (basic, "Basic bWU6czNjcmV0"),
        (SearchAuth::ApiKey("abc".to_owned()), "ApiKey abc"),
        (aws, "AWS4-HMAC-SHA256 Credential=AKID/"),
    ];
    for (auth, expected) in all {
        let expected: Arc<str> = expected.into();
        let wanted = Arc::clone(&expected);
        // Whoever does not say this is turned away.
        let stranger = When::any().that(move |call| {
            let said = call.headers.get("authorization").and_then(|value| value.to_str().ok());
            !said.is_some_and(|said| said.starts_with(&*wanted))
        });
        let turned = proxy.on(stranger, Which::Every, failure(StatusCode::UNAUTHORIZED, "security_exception"));
        let mut options = settings(&proxy.endpoint(), "lake");
        options.auth = auth;
        let target = SearchTarget::new(options, &world.lake).unwrap();
        let mut known = delivery_to(&world, target, bluelake_deliver::Columns::WithoutPersonal);
        known.run(&CancellationToken::new()).await.unwrap();
        assert_eq!(turned.taken(), 0, "{expected}");
        let error = try_deliver(&world, &proxy.endpoint()).await.unwrap_err();
        expect(&error, &["401", "password"]);
        proxy.clear();
    }
    let mut options = settings("http://search.example:9200", "lake");
    options.auth = SearchAuth::ApiKey("abc".to_owned());
    let error = SearchTarget::new(options, &world.lake).err().unwrap();
    expect(&error, &["not encrypted", "https://"]);
}
