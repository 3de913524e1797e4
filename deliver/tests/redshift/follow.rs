//! A target follows the lake: loads, batches, late events, compaction, expiry, undo, erasures, columns, a rebuild.

use std::time::Duration;

use bluelake_deliver::Columns;
use tokio_util::sync::CancellationToken;

use super::warehouse::{
    Warehouse, deliver, delivery_to, differs, expect_equal, rebuild, settings, target_of, try_deliver,
};
use crate::{
    server::{rows, value},
    world::{World, moved, run},
};

#[tokio::test(flavor = "multi_thread")]
async fn rows_sums_and_users_are_those_of_the_lake() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    deliver(&world, &place).await;
    expect_equal(&world, &warehouse).await;
    world.add_users(60).await;
    world.add_transactions(80).await;
    assert_eq!(moved(&deliver(&world, &place).await, "transactions"), (80, 0));
    expect_equal(&world, &warehouse).await;
    // Late events change the state of users, and days that are long over.
    for _ in 0..4 {
        world.add_users(11).await;
        world.add_transactions(7).await;
        deliver(&world, &place).await;
        expect_equal(&world, &warehouse).await;
    }
    world.add_transactions(9).await;
    world.compact("transactions").await;
    world.compact("user_events").await;
    let delivered = deliver(&world, &place).await;
    assert_eq!((moved(&delivered, "transactions"), moved(&delivered, "user_events")), ((9, 0), (0, 0)));
    expect_equal(&world, &warehouse).await;
    let client = warehouse.client().await;
    let position = rows(&client, "SELECT version, rows FROM lake.deliveries WHERE table_name = 'transactions'").await;
    let version = world.version("transactions").await.to_string();
    assert_eq!(position, [[Some(version), Some((80 + 28 + 9).to_string())]]);
    // Appends in a row are one load.
    let before = warehouse.api.sent("INSERT INTO \"lake\".\"transactions\"").len();
    for _ in 0..5 {
        world.add_transactions(5).await;
    }
    assert_eq!(moved(&deliver(&world, &place).await, "transactions"), (25, 0));
    assert_eq!(warehouse.api.sent("INSERT INTO \"lake\".\"transactions\"").len(), before + 1);
    assert_eq!(warehouse.api.staged(), Vec::<String>::new(), "what was staged is deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_days_and_undone_versions_reach_the_target() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    world.add_transactions(120).await;
    deliver(&world, &place).await;
    world.expire("2026-01-04").await;
    let (added, removed) = moved(&deliver(&world, &place).await, "transactions");
    assert!(added == 0 && removed > 0, "{added} {removed}");
    expect_equal(&world, &warehouse).await;
    // Rows of days that expired come late: nobody sees them, …
    let expired = world.version("transactions").await;
    world.add_transactions(60).await;
    let (late, _) = moved(&deliver(&world, &place).await, "transactions");
    assert!(late > 0 && late < 60, "{late}");
    expect_equal(&world, &warehouse).await;
    // … until the expiry is undone: its versions, the last one first.
    for version in (expired.saturating_sub(60)..=expired).rev() {
        if let Ok(plan) = bluelake_care::plan_undo(&world.lake, "transactions", version, "undo").await
            && plan.summary.what == "expire"
        {
            plan.commit().await.unwrap();
        }
    }
    let (added, _) = moved(&deliver(&world, &place).await, "transactions");
    assert!(added > removed, "{added} {removed}");
    expect_equal(&world, &warehouse).await;
    assert_eq!(value(&warehouse.client().await, "SELECT count(*) FROM lake.transactions").await, "180");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_an_erasure_changed_or_took_away_reach_the_target_by_position() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    world.add_users(400).await;
    deliver(&world, &place).await;
    let (gone, rewritten) = crate::erasure::erase(&world, "user-3", true).await;
    assert!(gone > 1 && rewritten > 2, "{gone} {rewritten}");
    let delivered = deliver(&world, &place).await;
    assert_eq!(moved(&delivered, "user_events"), (rewritten, gone + rewritten), "no other row is touched");
    expect_equal(&world, &warehouse).await;
    let left = "SELECT count(*) FROM lake.user_events e JOIN lake.users u USING (user_id) WHERE user_id = 'user-3' \
                AND (e.email IS NOT NULL OR u.email IS NOT NULL OR u.display_name IS NOT NULL)";
    assert_eq!(value(&warehouse.client().await, left).await, "0");
    // A target that was down gets batches and erasures in order; without the list partitions are loaded anew.
    world.add_users(100).await;
    crate::erasure::erase(&world, "user-5", true).await;
    world.add_users(100).await;
    crate::erasure::erase(&world, "user-6", false).await;
    world.add_users(50).await;
    deliver(&world, &place).await;
    expect_equal(&world, &warehouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_come_before_their_first_row_and_texts_get_wider_under_views() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    world.add_users(30).await;
    world.add_transactions(30).await;
    deliver(&world, &place).await;
    let client = warehouse.client().await;
    // A target that was loaded before the contract had these, and when ids were shorter.
    for statement in [
        "DROP VIEW lake.interactions, lake.donations, lake.redemptions, lake.transfers, lake.users",
        "DELETE FROM lake.transactions WHERE event_type = 'interaction'",
        "ALTER TABLE lake.transactions DROP COLUMN distance_ft, DROP COLUMN method, DROP COLUMN points_officer, \
         DROP COLUMN points_civilian, DROP COLUMN officer_id, DROP COLUMN civilian_id, DROP COLUMN zip_code, DROP COLUMN channel",
        "ALTER TABLE lake.user_events DROP COLUMN badge_number",
        "ALTER TABLE lake.transactions ALTER donor_id TYPE varchar(20)",
    ] {
        run(&client, statement).await;
    }
    world.add_transactions(30).await;
    world.add_users(5).await;
    deliver(&world, &place).await;
    let ask = "SELECT count(distance_ft) > 0, count(*) = count(distance_ft) FROM lake.interactions";
    assert_eq!(rows(&client, ask).await, [[Some("t".to_owned()), Some("t".to_owned())]]);
    let width = "SELECT character_maximum_length FROM information_schema.columns WHERE table_schema = 'lake' \
                 AND table_name = 'transactions' AND column_name = 'donor_id'";
    assert_eq!(value(&client, width).await, "128");
    let badges =
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'lake' AND column_name = 'badge_number'";
    assert_eq!(value(&client, badges).await, "2", "the table and the view of users");
    rebuild(&world, &place).await;
    expect_equal(&world, &warehouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_data_stays_away_and_other_columns_need_a_rebuild() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    world.add_users(30).await;
    let fewer = || {
        let target = target_of(settings("lake"), &place);
        delivery_to(&world.lake, &world.contract, target, Columns::WithoutPersonal)
    };
    fewer().run(&CancellationToken::new()).await.unwrap();
    let client = warehouse.client().await;
    let ask = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'lake' \
               AND column_name IN ('email', 'phone', 'display_name', 'badge_number', 'extras')";
    assert_eq!(value(&client, ask).await, "0");
    assert!(!fewer().verify().await.unwrap().iter().any(differs));
    let error = try_deliver(&world, &place).await.unwrap_err();
    assert!(error.needs_rebuild() && error.to_string().contains("without-personal"), "{error}");
    rebuild(&world, &place).await;
    expect_equal(&world, &warehouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_events_are_delivered_if_they_are_asked_for() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let world = World::new().await;
    let mut options = crate::world::options(Columns::All);
    options.tables = vec!["rejected_events".to_owned()];
    let target = target_of(settings("lake"), &warehouse.place());
    let mut delivery = bluelake_deliver::Delivery::new(world.lake.clone(), world.contract.clone(), target, options);
    delivery.run(&CancellationToken::new()).await.unwrap();
    assert!(!delivery.verify().await.unwrap().iter().any(differs));
    assert_eq!(value(&warehouse.client().await, "SELECT count(*) FROM lake.rejected_events").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn left_overs_of_killed_runs_are_deleted_once_they_are_of_no_use() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let mut world = World::new().await;
    world.add_transactions(5).await;
    let bucket = warehouse.api.s3.bucket("staging");
    let version = world.version("transactions").await;
    let put = |folder: String| {
        let folder = bucket.join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("rows-00000.parquet"), "x").unwrap();
    };
    deliver(&world, &warehouse.place()).await;
    let own = warehouse.folder_of("transactions").await;
    let step = |from: u64| format!("bluelake/{own}/step-{from}-{}-x", from + 9);
    put(step(version - 1));
    put(step(version));
    put(format!("bluelake/{own}/load-gone/x"));
    put("bluelake/marketing/transactions-0/step-0-1-x".to_owned());
    let left = || {
        let mut left = warehouse.api.staged();
        left.iter_mut().for_each(|path| *path = path.rsplit('/').nth(1).unwrap().to_owned());
        left.sort();
        left
    };
    // Another process may be at work with a step from the version that is held, and other targets with theirs.
    deliver(&world, &warehouse.place()).await;
    assert_eq!(left(), ["step-0-1-x".to_owned(), format!("step-{version}-{}-x", version + 9)]);
    // A process that follows deletes them as well, and need not be started anew for that.
    world.add_transactions(5).await;
    let place = warehouse.place();
    let target = target_of(settings("lake"), &place);
    let options = bluelake_deliver::DeliveryOptions { once: false, ..crate::world::options(Columns::All) };
    let mut following = bluelake_deliver::Delivery::new(world.lake.clone(), world.contract.clone(), target, options);
    let (progress, shutdown) = (following.progress(), CancellationToken::new());
    let stop = shutdown.clone();
    let running = tokio::spawn(async move { following.run(&stop).await });
    for _ in 0..2 {
        let newest = world.version("transactions").await;
        while progress.tables().get("transactions").and_then(|table| table.held) != Some(newest) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        put(step(newest));
        world.add_transactions(5).await;
    }
    let newest = world.version("transactions").await;
    while progress.tables()["transactions"].held != Some(newest) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(left(), ["step-0-1-x"], "only that of another target stays");
}
