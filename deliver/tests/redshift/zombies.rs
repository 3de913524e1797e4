//! Transactions that come late, when others have gone on or begun anew: they change nothing.

use std::time::Duration;

use bluelake_deliver::{Columns, Delivery, DeliveryOptions};
use bluelake_fault_proxy::{Action, Answer, Gate, Placed, Proxy, When, Which};
use hyper::StatusCode;
use tokio_util::sync::CancellationToken;

use super::warehouse::{Place, Warehouse, deliver, delivery_to, expect_equal, settings, target_of, try_deliver};
use crate::world::{World, options};

/// Batches with this text.
fn batches(part: &'static str) -> When {
    When::any().that(move |call| call.json()["Sqls"].to_string().replace('\\', "").contains(part))
}

/// A way to the Data API on which such batches are refused.
async fn refused(warehouse: &Warehouse, part: &'static str) -> (Proxy, Place) {
    let proxy = Proxy::start(&warehouse.api.endpoint).await.unwrap();
    let denied = Answer::kinesis_error(StatusCode::BAD_REQUEST, "AccessDeniedException", "not now");
    proxy.on(batches(part), Which::Every, Action::Answer(denied));
    let place = Place { data_api: proxy.endpoint(), ..warehouse.place() };
    (proxy, place)
}

/// Delivers until such a batch is on its way; its sender dies, and it arrives when the gate is opened.
async fn held_back(
    world: &World,
    warehouse: &Warehouse,
    columns: Columns,
    part: &'static str,
) -> (Proxy, Gate, Placed) {
    let proxy = Proxy::start(&warehouse.api.endpoint).await.unwrap();
    let place = Place { data_api: proxy.endpoint(), ..warehouse.place() };
    let gate = Gate::closed();
    let late = proxy.on(batches(part), Which::Every, Action::DeliverLate(gate.clone()));
    let mut slow = delivery_to(&world.lake, &world.contract, target_of(settings("lake"), &place), columns);
    let shutdown = CancellationToken::new();
    tokio::select! {
        _ = slow.run(&shutdown) => panic!("nothing can be delivered"),
        () = async { while late.taken() == 0 { tokio::time::sleep(Duration::from_millis(10)).await } } => {}
    }
    (proxy, gate, late)
}

/// Lets it arrive, and waits until the database is done with it.
async fn arrived(gate: &Gate, late: &Placed) {
    gate.open();
    while late.forwarded().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(1_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_the_table_before_a_rebuild_changes_nothing_at_the_same_version() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let mut world = World::new().await;
    world.add_users(20).await;
    let fewer = |place: &Place| {
        delivery_to(&world.lake, &world.contract, target_of(settings("lake"), place), Columns::WithoutPersonal)
    };
    fewer(&warehouse.place()).run(&CancellationToken::new()).await.unwrap();
    // A load of all columns is whole at that version, and not in its place yet.
    let (_proxy, place) = refused(&warehouse, "RENAME TO").await;
    let mut all = delivery_to(&world.lake, &world.contract, target_of(settings("lake"), &place), Columns::All);
    all.rebuild(&CancellationToken::new()).await.unwrap_err();
    world.add_users(10).await;
    // A step from that version without them is on its way, …
    let (_late, gate, late) =
        held_back(&world, &warehouse, Columns::WithoutPersonal, "INSERT INTO \"lake\".\"user_events\" (").await;
    // … the exchange comes, and after it no step, …
    let (_proxy, place) = refused(&warehouse, "INSERT INTO \"lake\".\"user_events\" (").await;
    let mut all = delivery_to(&world.lake, &world.contract, target_of(settings("lake"), &place), Columns::All);
    let error = all.rebuild(&CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("AccessDenied"), "{error}");
    // … and then that step arrives.
    arrived(&gate, &late).await;
    deliver(&world, &warehouse.place()).await;
    expect_equal(&world, &warehouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_load_that_was_thrown_away_does_not_come_into_the_next_one() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let mut world = World::new().await;
    world.add_users(20).await;
    const LOADS: &str = "INSERT INTO \"lake\".\"user_events__new\" (";
    let (_late, gate, late) = held_back(&world, &warehouse, Columns::WithoutPersonal, LOADS).await;
    // A load with all columns begins anew at the same version, and breaks off before its first rows.
    let (_proxy, place) = refused(&warehouse, LOADS).await;
    let mut all = delivery_to(&world.lake, &world.contract, target_of(settings("lake"), &place), Columns::All);
    let error = all.run(&CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("AccessDenied"), "{error}");
    arrived(&gate, &late).await;
    deliver(&world, &warehouse.place()).await;
    expect_equal(&world, &warehouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_late_with_a_part_of_a_load_that_ends_meanwhile_is_overtaken() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let mut world = World::new().await;
    world.add_users(20).await;
    world.add_transactions(20).await;
    // Its rows are on their way, …
    const LOADS: &str = "INSERT INTO \"lake\".\"user_events__new\" (";
    let proxy = Proxy::start(&warehouse.api.endpoint).await.unwrap();
    let place = Place { data_api: proxy.endpoint(), ..warehouse.place() };
    let (rows, look) = (Gate::closed(), Gate::closed());
    let loads = proxy.on(batches(LOADS), Which::Every, Action::Hold(rows.clone()));
    let options = DeliveryOptions { patience: Duration::ZERO, ..options(Columns::All) };
    let target = target_of(settings("lake"), &place);
    let mut slow = Delivery::new(world.lake.clone(), world.contract.clone(), target, options);
    let slow = tokio::spawn(async move { slow.run(&CancellationToken::new()).await });
    let taken = async |placed: &Placed| {
        while placed.taken() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    taken(&loads).await;
    // … another process is faster with them, and does not put them in their place yet; …
    let (_proxy, refused) = refused(&warehouse, "RENAME TO").await;
    let error = try_deliver(&world, &refused).await.unwrap_err();
    assert!(error.to_string().contains("AccessDenied"), "{error}");
    // … while the first one looks why its own failed, that happens.
    let asks = When::any().that(|call| {
        let sql = call.json()["Sql"].to_string().replace('\\', "");
        sql.contains("FROM \"lake\".\"loaded_partitions\"") || sql.contains("JOIN \"lake\".\"loaded_partitions\"")
    });
    let looks = proxy.on(asks, Which::Every, Action::Hold(look.clone()));
    rows.open();
    taken(&looks).await;
    deliver(&world, &warehouse.place()).await;
    look.open();
    slow.await.unwrap().unwrap();
    expect_equal(&world, &warehouse).await;
}
