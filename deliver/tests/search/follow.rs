//! A target follows the lake: loads, batches, late events, compaction, expiry, undo, erasure, a rebuild.

use std::{collections::BTreeMap, path::Path, time::Duration};

use bluelake_deliver::{Columns, DeliverError, TableVerdict};
use bluelake_lake::{OrphanSearch, VacuumOptions, vacuum};
use bluelake_schemas::{CONTRACT_FILES, Contract, Stream};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::opensearch::{Server, deliver, delivery_to, expect_equal, rebuild, target, try_deliver};
use crate::{
    erasure::erase,
    world::{World, moved, time},
};

/// Commits a transfer on each of some days, counted from New Year.
async fn add_days(world: &mut World, days: impl IntoIterator<Item = i64>) {
    let transfer = |day: i64| {
        json!({"event_type": "transfer", "from_officer_id": "a", "to_officer_id": "b", "points": 5,
            "occurred_at": time(day * 24 * 3600)})
    };
    world.add(Stream::TransactionEvents, days.into_iter().map(transfer).collect()).await;
}

fn names(indices: &BTreeMap<String, bool>) -> Vec<&str> {
    indices.keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_the_rows_of_the_lake() {
    let Some(server) = Server::start().await else { return };
    let endpoint = server.endpoint();
    let mut world = World::new().await;
    deliver(&world, &endpoint).await;
    world.add_users(60).await;
    world.add_transactions(80).await;
    assert_eq!(moved(&deliver(&world, &endpoint).await, "transactions"), (80, 0));
    expect_equal(&world, &server).await;
    for _ in 0..4 {
        world.add_users(11).await;
        world.add_transactions(7).await;
        deliver(&world, &endpoint).await;
        expect_equal(&world, &server).await;
    }
    // Late events of months that are over go where they belong.
    add_days(&mut world, [-100, -40, -1, 40]).await;
    world.add_transactions(9).await;
    world.compact("transactions").await;
    world.compact("user_events").await;
    let delivered = deliver(&world, &endpoint).await;
    assert_eq!((moved(&delivered, "transactions"), moved(&delivered, "user_events")), ((13, 0), (0, 0)));
    expect_equal(&world, &server).await;
    let months = ["2025.09", "2025.11", "2025.12", "2026.01", "2026.02"];
    let indices = server.indices("transactions").await;
    assert_eq!(names(&indices), months.map(|month| format!("lake-transactions-{month}")));
    assert!(indices.values().all(|named| *named), "{indices:?}");
    let position = server.position("transactions").await;
    assert_eq!(position["version"], world.version("transactions").await);
    let settings = server.must(Method::GET, "/lake-transactions-2026.01/_settings", Value::Null).await;
    assert_eq!(settings["lake-transactions-2026.01"]["settings"]["index"]["gc_deletes"], "1h", "{settings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_days_and_undone_versions_reach_the_target() {
    let Some(server) = Server::start().await else { return };
    let endpoint = server.endpoint();
    let mut world = World::new().await;
    world.add_transactions(120).await;
    add_days(&mut world, [-50, -49, -20, 40]).await;
    deliver(&world, &endpoint).await;
    assert_eq!(server.indices("transactions").await.len(), 4);
    world.expire("2026-01-04").await;
    let (added, removed) = moved(&deliver(&world, &endpoint).await, "transactions");
    assert!(added == 0 && removed > 3, "{added} {removed}");
    expect_equal(&world, &server).await;
    let left = server.indices("transactions").await;
    assert_eq!(names(&left), ["lake-transactions-2026.01", "lake-transactions-2026.02"]);
    // Rows of days that expired come late: nobody sees them, …
    let expired = world.version("transactions").await;
    world.add_transactions(60).await;
    add_days(&mut world, [-50]).await;
    let (late, _) = moved(&deliver(&world, &endpoint).await, "transactions");
    assert!(late > 0 && late < 60, "{late}");
    expect_equal(&world, &server).await;
    // … until the expiry is undone: its versions, the last one first.
    for version in (expired.saturating_sub(20)..=expired).rev() {
        if let Ok(plan) = bluelake_care::plan_undo(&world.lake, "transactions", version, "undo").await
            && plan.summary.what == "expire"
        {
            plan.commit().await.unwrap();
        }
    }
    deliver(&world, &endpoint).await;
    expect_equal(&world, &server).await;
    assert_eq!(server.documents("transactions").await.len(), 185);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_changed_or_gone_reach_the_target_by_position() {
    let Some(server) = Server::start().await else { return };
    let endpoint = server.endpoint();
    let mut world = World::new().await;
    world.add_users(400).await;
    let deliver_all = async |world: &World| {
        let mut delivery = delivery_to(world, target(&world.lake, &endpoint), Columns::All);
        let delivered = delivery.run(&CancellationToken::new()).await.unwrap();
        let verdicts = delivery.verify().await.unwrap();
        assert!(verdicts.iter().all(TableVerdict::is_equal), "{verdicts:?}");
        delivered
    };
    deliver_all(&world).await;
    let personal = |documents: &BTreeMap<String, Value>| {
        let of_user = documents.values().filter(|document| document["user_id"] == "user-3");
        of_user.filter(|document| !document["email"].is_null() || !document["display_name"].is_null()).count()
    };
    assert!(personal(&server.documents("user_events").await) > 2);
    let (gone, rewritten) = erase(&world, "user-3", true).await;
    assert!(gone > 1 && rewritten > 2, "{gone} {rewritten}");
    let delivered = deliver_all(&world).await;
    assert_eq!(moved(&delivered, "user_events"), (rewritten, gone), "no other document is touched");
    let documents = server.documents("user_events").await;
    assert_eq!((documents.len() as u64, personal(&documents)), (400 - gone, 0));
    // A target that was down gets all in order; without the list the partitions are loaded anew.
    world.add_users(100).await;
    erase(&world, "user-5", true).await;
    world.add_users(100).await;
    erase(&world, "user-6", false).await;
    world.add_users(50).await;
    deliver_all(&world).await;
    let rows = world.query("SELECT count(*) FROM user_events").await;
    let documents = server.documents("user_events").await;
    assert_eq!(rows[0][0], Some(documents.len().to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_vacuumed_is_loaded_anew_beside_what_is_in_use() {
    let Some(server) = Server::start().await else { return };
    let endpoint = server.endpoint();
    let mut world = World::new().await;
    world.add_transactions(20).await;
    deliver(&world, &endpoint).await;
    for _ in 0..3 {
        world.add_transactions(5).await;
    }
    world.compact("transactions").await;
    world.add_transactions(1).await;
    let options = VacuumOptions {
        time_travel: Duration::ZERO,
        hold: Duration::ZERO,
        orphan_age: Duration::from_secs(7 * 24 * 3600),
        orphans: OrphanSearch::WhenDue,
        dry_run: false,
        worker: "vacuum".to_owned(),
    };
    let gone = vacuum(&world.lake, "transactions", &options, &|_| ()).await.unwrap();
    assert!(!gone.retired.is_empty());
    let error = try_deliver(&world, &endpoint).await.unwrap_err();
    assert!(error.needs_rebuild(), "{error}");
    assert!(error.to_string().contains("bluelake deliver rebuild finder"), "{error}");
    assert_eq!(server.documents("transactions").await.len(), 20, "what it holds stays until then");
    for generation in 2..4 {
        rebuild(&world, &endpoint).await;
        expect_equal(&world, &server).await;
        let indices = server.indices("transactions").await;
        let expected = (format!("lake-transactions-r{generation}-2026.01"), true);
        assert_eq!(indices.into_iter().collect::<Vec<_>>(), [expected]);
    }
    world.add_transactions(5).await;
    assert_eq!(moved(&deliver(&world, &endpoint).await, "transactions"), (5, 0));
    expect_equal(&world, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_data_stays_away_and_other_columns_need_a_rebuild() {
    let Some(server) = Server::start().await else { return };
    let endpoint = server.endpoint();
    let mut world = World::new().await;
    world.add_users(60).await;
    deliver(&world, &endpoint).await;
    let personal = ["email", "phone", "display_name", "badge_number", "extras"];
    let holds = |documents: &BTreeMap<String, Value>| {
        documents.values().any(|document| personal.iter().any(|field| document.get(field).is_some()))
    };
    assert!(!holds(&server.documents("user_events").await));
    let mapping = server.must(Method::GET, "/lake-user_events/_mapping", Value::Null).await.to_string();
    assert!(mapping.contains("zip_code") && !personal.iter().any(|field| mapping.contains(field)), "{mapping}");
    let all = || delivery_to(&world, target(&world.lake, &endpoint), Columns::All);
    let error = all().run(&CancellationToken::new()).await.unwrap_err();
    assert!(matches!(&error, DeliverError::Rebuild { reason, .. } if reason.contains("without-personal")), "{error}");
    all().rebuild(&CancellationToken::new()).await.unwrap();
    assert!(holds(&server.documents("user_events").await));
    assert!(all().verify().await.unwrap().iter().all(TableVerdict::is_equal));
}

/// The contract with one more field of transactions.
fn larger_contract(folder: &Path) -> Contract {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/events");
    for file in CONTRACT_FILES {
        let mut text = std::fs::read_to_string(source.join(file)).unwrap();
        if file == "transaction_events.toml" {
            text.push_str(
                "\n[[fields]]\nname = \"tip\"\nfield_id = 1999\ntype = \"number\"\noptional_in = [\"transfer\"]\n\
                 description = \"Of the test.\"\n",
            );
        }
        std::fs::write(folder.join(file), text).unwrap();
    }
    Contract::load(folder).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_come_before_their_first_document() {
    let Some(server) = Server::start().await else { return };
    let endpoint = server.endpoint();
    let mut world = World::new().await;
    world.add_transactions(30).await;
    add_days(&mut world, [-40]).await;
    deliver(&world, &endpoint).await;
    let folder = tempfile::tempdir().unwrap();
    world.grow(larger_contract(folder.path())).await;
    let transfer = json!({"event_type": "transfer", "from_officer_id": "a", "to_officer_id": "b", "points": 5, "tip": 0.5,
        "occurred_at": time(0)});
    world.add(Stream::TransactionEvents, vec![transfer]).await;
    deliver(&world, &endpoint).await;
    expect_equal(&world, &server).await;
    for index in ["2025.11", "2026.01"] {
        let path = format!("/lake-transactions-{index}/_mapping");
        let found = server.must(Method::GET, &path, Value::Null).await;
        let mapping = &found[format!("lake-transactions-{index}")]["mappings"]["properties"]["tip"];
        assert_eq!(mapping["type"], "double", "{found}");
    }
    let found = server.must(Method::GET, "/_index_template/lake-transactions", Value::Null).await;
    assert!(found.to_string().contains("\"tip\""), "{found}");
    let within = json!({ "query": { "range": { "tip": { "gt": 0 } } } });
    assert_eq!(server.must(Method::POST, "/lake-transactions/_count", within).await["count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_the_first_load_is_not_what_was_loaded() {
    let Some(server) = Server::start().await else { return };
    let endpoint = server.endpoint();
    let mut world = World::new().await;
    world.add_transactions(30).await;
    deliver(&world, &endpoint).await;
    // The position is lost, and a document is there that no row is.
    server.must(Method::DELETE, "/lake-progress", Value::Null).await;
    let path = "/lake-transactions-2026.01/_doc/old?refresh=true";
    server.must(Method::PUT, path, json!({ "event_id": "old" })).await;
    deliver(&world, &endpoint).await;
    expect_equal(&world, &server).await;
    assert_eq!(names(&server.indices("transactions").await), ["lake-transactions-r2-2026.01"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_share_an_id_are_one_document() {
    let Some(server) = Server::start().await else { return };
    let endpoint = server.endpoint();
    let mut world = World::new().await;
    let event = |kind: &str, day: i64, points: u64| {
        json!({"event_type": kind, "event_id": "00000000-0000-0000-0000-00000000abcd", "from_officer_id": "a",
            "to_officer_id": "b", "donor_id": "a", "points": points, "occurred_at": time(day * 24 * 3600)})
    };
    // In one batch, in a later one, on another day and as another kind.
    world.add(Stream::TransactionEvents, vec![event("transfer", 1, 5), event("transfer", 1, 6)]).await;
    deliver(&world, &endpoint).await;
    world.add(Stream::TransactionEvents, vec![event("transfer", 1, 7)]).await;
    world.add(Stream::TransactionEvents, vec![event("transfer", 2, 8), event("donation", 2, 9)]).await;
    deliver(&world, &endpoint).await;
    let verdicts = super::opensearch::delivery(&world, &endpoint).verify().await.unwrap();
    assert!(verdicts.iter().all(TableVerdict::is_equal), "{verdicts:?}");
    assert_eq!(server.documents("transactions").await.len(), 1);
}
