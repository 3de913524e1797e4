//! What cannot be delivered to is told in one message, and nothing is half done.

use bluelake_deliver::{Columns, RedshiftAddress, RedshiftOptions, RedshiftTarget};
use bluelake_fault_proxy::{Action, Answer, Proxy, When, Which};
use bluelake_lake::{Chance, causes};
use hyper::StatusCode;
use tokio_util::sync::CancellationToken;

use super::{
    data_api::CLUSTER,
    s3::ACCESS_KEY,
    warehouse::{
        Place, Warehouse, aws, deliver, delivery, delivery_to, expect_equal, settings, target_of, try_deliver,
    },
};
use crate::{
    server::{PASSWORD, value},
    world::{World, run},
};

async fn message(world: &World, target: RedshiftTarget) -> String {
    let delivered =
        delivery_to(&world.lake, &world.contract, target, Columns::All).run(&CancellationToken::new()).await;
    let error = delivered.unwrap_err();
    assert!(error.to_string().contains("target 'finance'"), "{error}");
    causes(&error).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_names_the_target_and_what_to_do() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    world.add_users(5).await;
    let client = warehouse.client().await;
    run(&client, &format!("CREATE ROLE poor LOGIN PASSWORD '{PASSWORD}'")).await;
    let at = |address: &str| {
        let address = RedshiftAddress::parse(address).unwrap();
        target_of(RedshiftOptions { address, ..settings("lake") }, &place)
    };
    let nowhere = |data_api: bool| {
        let gone = "http://127.0.0.1:1".to_owned();
        let place = place.clone();
        let place = if data_api { Place { data_api: gone, ..place } } else { Place { s3: gone, ..place } };
        target_of(settings("lake"), &place)
    };
    let stranger = RedshiftTarget::new(settings("lake"), &aws(&place, "stranger"), &Chance::default()).unwrap();
    for (target, expected) in [
        (at("redshift-serverless://nowhere/postgres"), "check the address, secret_arn and the Region"),
        (at("redshift://nowhere/postgres"), "check the address, secret_arn and the Region"),
        (at(&format!("redshift://{CLUSTER}/nowhere")), "check the database in the address"),
        (at(&format!("redshift://poor@{CLUSTER}/postgres")), "CREATE SCHEMA IF NOT EXISTS lake AUTHORIZATION"),
        (stranger, "renew them"),
        (nowhere(true), "error"),
    ] {
        let message = message(&world, target).await;
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'lake'";
    assert_eq!(value(&client, schemas).await, "0", "nothing is half done");
    // A schema of one's own is all that it takes.
    run(&client, "CREATE SCHEMA lake AUTHORIZATION poor").await;
    let poor = at(&format!("redshift://poor@{CLUSTER}/postgres"));
    delivery_to(&world.lake, &world.contract, poor, Columns::All).run(&CancellationToken::new()).await.unwrap();
    expect_equal(&world, &warehouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_leaves_everything_as_it_was() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    world.add_users(5).await;
    deliver(&world, &place).await;
    world.add_users(5).await;
    let denied = RedshiftOptions { iam_role: "arn:aws:iam::123456789012:role/other".to_owned(), ..settings("lake") };
    let told = message(&world, target_of(denied, &place)).await;
    assert!(told.contains("let iam_role list and read s3://staging/bluelake/finance"), "{told}");
    assert_eq!(value(&warehouse.client().await, "SELECT count(*) FROM lake.user_events").await, "5");
    assert_eq!(warehouse.api.staged(), Vec::<String>::new());
    let elsewhere = RedshiftOptions { staging: "s3://nowhere/x".parse().unwrap(), ..settings("lake") };
    let told = message(&world, target_of(elsewhere, &place)).await;
    assert!(told.contains("s3://nowhere/x/finance"), "{told}");
    deliver(&world, &place).await;
    expect_equal(&world, &warehouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_what_became_of_a_statement_is_told_so() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let world = World::new().await;
    let proxy = Proxy::start(&warehouse.api.endpoint).await.unwrap();
    let place = Place { data_api: proxy.endpoint(), ..warehouse.place() };
    let denied = Answer::kinesis_error(StatusCode::BAD_REQUEST, "AccessDeniedException", "not authorized");
    proxy.on(When::any().operation("DescribeStatement"), Which::Every, Action::Answer(denied));
    let told = message(&world, target_of(settings("lake"), &place)).await;
    assert!(told.contains("DescribeStatement, GetStatementResult and redshift-serverless:GetCredentials"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_others_stay_as_they_are() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    world.add_users(5).await;
    let client = warehouse.client().await;
    let target = || target_of(settings("lake"), &place);
    run(
        &client,
        "CREATE SCHEMA lake; CREATE TABLE lake.user_events (name text); INSERT INTO lake.user_events VALUES ('mine')",
    )
    .await;
    let told = message(&world, target()).await;
    assert!(told.contains("that Bluelake did not load") && told.contains("another schema"), "{told}");
    assert_eq!(value(&client, "SELECT name FROM lake.user_events").await, "mine");
    run(&client, "DROP TABLE lake.user_events; CREATE TABLE lake.users (name text)").await;
    let told = message(&world, target()).await;
    assert!(told.contains("'users' that Bluelake did not make"), "{told}");
    run(&client, "DROP TABLE lake.users").await;
    deliver(&world, &place).await;
    // A column of another type, and a table that is gone.
    run(&client, "DROP VIEW lake.users; ALTER TABLE lake.user_events ALTER schema_version TYPE numeric").await;
    world.add_users(5).await;
    let told = message(&world, target()).await;
    assert!(
        told.contains("'schema_version' is of the type numeric") && told.contains("deliver rebuild finance"),
        "{told}"
    );
    run(&client, "DROP TABLE lake.user_events CASCADE").await;
    let told = message(&world, target()).await;
    assert!(told.contains("gone from the target") && told.contains("bluelake deliver rebuild"), "{told}");
    // A table that depends on what is in use holds up an exchange; what is in use stays.
    delivery(&world, &place).rebuild(&CancellationToken::new()).await.unwrap();
    run(&client, "CREATE VIEW public.mine AS SELECT event_id FROM lake.user_events").await;
    let told = causes(&delivery(&world, &place).rebuild(&CancellationToken::new()).await.unwrap_err()).to_string();
    assert!(told.contains("views or tables of yours depend on it"), "{told}");
    run(&client, "DROP VIEW public.mine").await;
    delivery(&world, &place).rebuild(&CancellationToken::new()).await.unwrap();
    expect_equal(&world, &warehouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_another_lake_delivers_to_is_refused() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let (mut world, mut other) = (World::new().await, World::new().await);
    world.add_transactions(3).await;
    deliver(&world, &place).await;
    other.add_transactions(3).await;
    let error = try_deliver(&other, &place).await.unwrap_err().to_string();
    assert!(error.contains("another lake") && error.contains("give the target another schema"), "{error}");
    expect_equal(&world, &warehouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_makes_nothing() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let world = World::new().await;
    let standings = delivery(&world, &warehouse.place()).standings().await.unwrap();
    assert!(standings.iter().all(|(_, standing)| standing.held.is_none()));
    let verdicts = delivery(&world, &warehouse.place()).verify().await.unwrap();
    assert!(verdicts.iter().all(|verdict| verdict.faults == ["it was never loaded"]), "{verdicts:?}");
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'lake'";
    assert_eq!(value(&warehouse.client().await, schemas).await, "0");
}

#[test]
fn options_that_cannot_be_used_are_refused_before_anything_is_asked() {
    let place = Place { data_api: "http://127.0.0.1:1".to_owned(), s3: "http://127.0.0.1:1".to_owned() };
    let refused = |settings: RedshiftOptions| {
        let target = RedshiftTarget::new(settings, &aws(&place, ACCESS_KEY), &Chance::default());
        target.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(refused(settings("Lake")).contains("lower-case letters"));
    assert!(refused(RedshiftOptions { iam_role: "x".to_owned(), ..settings("lake") }).contains("write arn:aws:iam"));
    let address = RedshiftAddress::parse("redshift://me@warehouse/dev").unwrap();
    let secret_arn = Some("arn:aws:secretsmanager:us-east-1:1:secret:x".to_owned());
    assert!(refused(RedshiftOptions { address, secret_arn, ..settings("lake") }).contains("secret_arn"));
}
