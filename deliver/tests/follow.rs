//! A target follows the lake: loads, batches, late events, compaction, expiry, undo, a rebuild.

use std::time::Duration;

use bluelake_deliver::{Columns, DeliverError};
use bluelake_lake::{DeliveryHints, OrphanSearch, VacuumOptions, vacuum};
use tokio_util::sync::CancellationToken;

use crate::{
    server::{Server, rows, value},
    world::{World, deliver, moved, run, target, try_deliver},
};

fn all_at_once() -> VacuumOptions {
    VacuumOptions {
        time_travel: Duration::ZERO,
        hold: Duration::from_secs(7 * 24 * 3600),
        orphan_age: Duration::from_secs(7 * 24 * 3600),
        orphans: OrphanSearch::WhenDue,
        dry_run: false,
        worker: "vacuum".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_sums_and_users_are_those_of_the_lake() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    deliver(&world, &server).await;
    world.expect_equal(&server, "lake").await;
    world.add_users(60).await;
    world.add_transactions(80).await;
    let mut told = server.listen("bluelake").await;
    assert_eq!(moved(&deliver(&world, &server).await, "transactions"), (80, 0));
    let versions = [world.version("user_events").await, world.version("transactions").await];
    let expected = [format!("lake.user_events {}", versions[0]), format!("lake.transactions {}", versions[1])];
    assert_eq!([told.recv().await.unwrap(), told.recv().await.unwrap()], expected);
    world.expect_equal(&server, "lake").await;
    // Late events change the state of users, and days that are long over.
    for _ in 0..5 {
        world.add_users(11).await;
        world.add_transactions(7).await;
        deliver(&world, &server).await;
        world.expect_equal(&server, "lake").await;
    }
    world.add_transactions(9).await;
    world.compact("transactions").await;
    world.compact("user_events").await;
    let delivered = deliver(&world, &server).await;
    assert_eq!((moved(&delivered, "transactions"), moved(&delivered, "user_events")), ((9, 0), (0, 0)));
    world.expect_equal(&server, "lake").await;
    let client = server.client().await;
    let position = rows(&client, "SELECT version, rows FROM lake.deliveries WHERE table_name = 'transactions'").await;
    let version = world.version("transactions").await.to_string();
    assert_eq!(position, [[Some(version), Some((80 + 35 + 9).to_string())]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_days_and_undone_versions_reach_the_target() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_transactions(120).await;
    deliver(&world, &server).await;
    world.expire("2026-01-04").await;
    let (added, removed) = moved(&deliver(&world, &server).await, "transactions");
    assert!(added == 0 && removed > 0, "{added} {removed}");
    world.expect_equal(&server, "lake").await;
    // Rows of days that expired come late: nobody sees them, …
    let expired = world.version("transactions").await;
    world.add_transactions(60).await;
    let (late, _) = moved(&deliver(&world, &server).await, "transactions");
    assert!(late > 0 && late < 60, "{late}");
    world.expect_equal(&server, "lake").await;
    // … until the expiry is undone: its versions, the last one first.
    for version in (expired.saturating_sub(60)..=expired).rev() {
        if let Ok(plan) = bluelake_care::plan_undo(&world.lake, "transactions", version, "undo").await
            && plan.summary.what == "expire"
        {
            plan.commit().await.unwrap();
        }
    }
    let (added, _) = moved(&deliver(&world, &server).await, "transactions");
    assert!(added > removed, "{added} {removed}");
    world.expect_equal(&server, "lake").await;
    let held = value(&server.client().await, "SELECT count(*) FROM lake.transactions").await;
    assert_eq!(held, "180");
}

#[tokio::test(flavor = "multi_thread")]
async fn vacuum_waits_for_a_slow_target_and_then_a_rebuild_is_needed() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_transactions(20).await;
    deliver(&world, &server).await;
    let hint = &DeliveryHints::of(&world.lake).list().await.unwrap()[0];
    assert_eq!(hint.versions["transactions"], world.version("transactions").await);
    for _ in 0..3 {
        world.add_transactions(5).await;
    }
    world.compact("transactions").await;
    world.add_transactions(1).await;
    let kept = vacuum(&world.lake, "transactions", &all_at_once(), &|_| ()).await.unwrap();
    assert!(kept.retired.is_empty(), "the target has not read them: {kept:?}");
    let delivered = deliver(&world, &server).await;
    assert_eq!(moved(&delivered, "transactions"), (16, 0));
    world.expect_equal(&server, "lake").await;
    // The next time it is gone for longer than the hold.
    world.add_transactions(5).await;
    world.compact("transactions").await;
    world.add_transactions(1).await;
    let options = VacuumOptions { hold: Duration::ZERO, ..all_at_once() };
    let gone = vacuum(&world.lake, "transactions", &options, &|_| ()).await.unwrap();
    assert!(!gone.retired.is_empty());
    let error = try_deliver(&world, target(&server, "lake")).await.unwrap_err();
    assert!(error.needs_rebuild(), "{error}");
    assert!(error.to_string().contains("bluelake deliver rebuild warehouse"), "{error}");
    let held = value(&server.client().await, "SELECT count(*) FROM lake.transactions").await;
    assert_eq!(held, "36", "what it holds stays until then");
    let mut delivery = world.delivery(target(&server, "lake"));
    delivery.rebuild(&CancellationToken::new()).await.unwrap();
    world.expect_equal(&server, "lake").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_is_not_the_one_that_was_loaded_is_refused() {
    let Some(server) = Server::start().await else { return };
    let (mut world, mut other) = (World::new().await, World::new().await);
    world.add_transactions(3).await;
    deliver(&world, &server).await;
    other.add_transactions(3).await;
    let error = try_deliver(&other, target(&server, "lake")).await.unwrap_err().to_string();
    assert!(error.contains("another lake") && error.contains("give the target another schema"), "{error}");
    world.expect_equal(&server, "lake").await;
    // Another schema is another target.
    try_deliver(&other, target(&server, "other")).await.unwrap();
    other.expect_equal(&server, "other").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_data_stays_away_and_other_columns_need_a_rebuild() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_users(30).await;
    let fewer = || world.delivery_of(target(&server, "lake"), Columns::WithoutPersonal);
    fewer().run(&CancellationToken::new()).await.unwrap();
    let client = server.client().await;
    let ask = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'lake' \
               AND column_name IN ('email', 'phone', 'display_name', 'badge_number', 'extras')";
    assert_eq!(value(&client, ask).await, "0");
    assert!(fewer().verify().await.unwrap().iter().all(bluelake_deliver::TableVerdict::is_equal));
    let error = try_deliver(&world, target(&server, "lake")).await.unwrap_err();
    assert!(matches!(&error, DeliverError::Rebuild { reason, .. } if reason.contains("without-personal")), "{error}");
    world.delivery(target(&server, "lake")).rebuild(&CancellationToken::new()).await.unwrap();
    world.expect_equal(&server, "lake").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_come_before_their_first_row() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_users(30).await;
    world.add_transactions(30).await;
    deliver(&world, &server).await;
    let client = server.client().await;
    // A target that was loaded before the contract had these.
    for statement in [
        "DROP VIEW lake.interactions; ALTER TABLE lake.transactions DROP COLUMN distance_ft",
        "ALTER TABLE lake.user_events DROP COLUMN badge_number; ALTER TABLE lake.users DROP COLUMN badge_number",
        "CREATE VIEW lake.interactions AS SELECT event_id, occurred_at, event_date, occurred_at::date AS local_date, channel, \
         civilian_id, officer_id, method, points_civilian, points_officer, zip_code FROM lake.transactions \
         WHERE event_type = 'interaction'",
        // Its older rows had no value there.
        "DELETE FROM lake.transactions WHERE event_type = 'interaction'",
    ] {
        run(&client, statement).await;
    }
    world.add_transactions(30).await;
    world.add_users(5).await;
    deliver(&world, &server).await;
    let ask = "SELECT count(distance_ft) > 0, count(*) = count(distance_ft) FROM lake.interactions";
    assert_eq!(rows(&client, ask).await, [[Some("t".to_owned()), Some("t".to_owned())]]);
    let has =
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'lake' AND column_name = 'badge_number'";
    assert_eq!(value(&client, has).await, "2");
}
