//! Kills, lost and cut answers, busy items, several at once, writes that come late, a server that restarts: each row of the
//! lake is a document as it should be.

use std::time::{Duration, Instant};

use bluelake_deliver::{Columns, Delivery, DeliveryOptions};
use bluelake_fault_proxy::{Action, Answer, Gate, Placed, Proxy, When, Which};
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::opensearch::{Server, deliver, delivery, expect_equal, rebuild, target};
use crate::{
    world::several::{Processes, follow, rebuild_at_once, run_at_once},
    world::{World, options},
};

const ADDRESS: &str = "BLUELAKE_TEST_DELIVER_ADDRESS";
const BUSY: &str = "es_rejected_execution_exception";

/// Follows the lake until it is killed.
#[tokio::test]
#[ignore = "the process that `each_row_is_there_once_after_a_hundred_kills` starts and kills"]
async fn a_process_that_is_killed() {
    follow(|lake| target(lake, &std::env::var(ADDRESS).unwrap()), Columns::WithoutPersonal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_is_there_once_after_a_hundred_kills() {
    let Some(server) = Server::start().await else { return };
    // Every answer comes late, so that most kills hit a request under way.
    let proxy = Proxy::start(&server.endpoint()).await.unwrap();
    let slow = proxy.on(When::any(), Which::EveryNth(3), Action::DelayAnswer(Duration::from_millis(15)));
    let mut world = World::new().await;
    world.add_users(50).await;
    world.add_transactions(50).await;
    let mut processes =
        Processes::start(&world, "search::faults::a_process_that_is_killed", &[(ADDRESS, &proxy.endpoint())]);
    for kill in 0_u64..100 {
        match kill % 10 {
            9 => world.compact("transactions").await,
            number if number % 2 == 0 => world.add_users(20).await,
            _ => world.add_transactions(20).await,
        }
        match kill {
            40 => world.expire("2026-01-03").await,
            70 => _ = crate::erasure::erase(&world, "user-3", true).await,
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(kill * 37 % 190)).await;
        processes.kill(kill);
    }
    processes.end();
    let before = server.position("transactions").await["rows"].as_u64().unwrap_or_default();
    assert!(before > 200, "the processes delivered {before} rows before they were killed");
    assert!(slow.taken() > 100);
    deliver(&world, &server.endpoint()).await;
    expect_equal(&world, &server).await;
}

fn bulk() -> When {
    When::any().path_ends_with("/_bulk")
}

/// The answer says that some items were not taken, for a reason that passes.
fn with_faulty_items(answer: &mut Answer, status: u16, kind: &str) {
    let mut said = answer.value();
    for item in said["items"].as_array_mut().unwrap().iter_mut().step_by(3) {
        let item = item.as_object_mut().unwrap().values_mut().next().unwrap();
        item["status"] = status.into();
        item["error"] = json!({ "type": kind, "reason": "told by the test" });
    }
    said["errors"] = true.into();
    answer.set_value(&said);
}

/// The answer is about one item less.
fn without_an_item(answer: &mut Answer) {
    let mut said = answer.value();
    said["items"].as_array_mut().unwrap().pop();
    answer.set_value(&said);
}

fn failure(status: StatusCode, kind: &str) -> Answer {
    let body = json!({ "error": { "type": kind, "reason": "told by the test" }, "status": status.as_u16() });
    Answer::new(status, "application/json", body.to_string())
}

/// Adds to the lake and delivers until a fault happened this often; then the target must hold the same.
async fn through(world: &mut World, server: &Server, proxy: &Proxy, fault: &Placed, times: usize) {
    let until = Instant::now() + Duration::from_secs(120);
    while fault.taken() < times {
        assert!(Instant::now() < until, "the fault did not happen");
        world.add_users(10).await;
        world.add_transactions(30).await;
        deliver(world, &proxy.endpoint()).await;
    }
    proxy.clear();
    expect_equal(world, server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_requests_for_documents_pass() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(&server.endpoint()).await.unwrap();
    let mut world = World::new().await;
    let answer = |status, kind| Action::Answer(failure(status, kind));
    for (name, action) in [
        ("429 for some items", Action::alter(|_, answer| with_faulty_items(answer, 429, BUSY))),
        ("503 for some items", Action::alter(|_, answer| with_faulty_items(answer, 503, BUSY))),
        (
            "an index that vanished",
            Action::alter(|_, answer| with_faulty_items(answer, 404, "index_not_found_exception")),
        ),
        ("an item too few", Action::alter(|_, answer| without_an_item(answer))),
        ("429", answer(StatusCode::TOO_MANY_REQUESTS, BUSY)),
        ("503", answer(StatusCode::SERVICE_UNAVAILABLE, "cluster_manager_not_discovered_exception")),
        ("not JSON", Action::ReplaceAnswer(Answer::new(StatusCode::OK, "text/html", "<html>a gateway</html>"))),
        ("a lost request", Action::Refuse),
        ("a lost answer", Action::LoseAnswer),
        ("a cut answer", Action::Truncate(70)),
        ("a repeated request", Action::Repeat),
    ] {
        let fault = proxy.on(bulk(), Which::EveryNth(2), action);
        through(&mut world, &server, &proxy, &fault, 3).await;
        let refused = server.position("transactions").await["rejected"].clone();
        assert_eq!(refused, 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_all_other_requests_pass() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(&server.endpoint()).await.unwrap();
    let mut world = World::new().await;
    let other = || When::any().that(|call| !call.path.ends_with("/_bulk"));
    for action in [
        Action::LoseAnswer,
        Action::Answer(failure(StatusCode::SERVICE_UNAVAILABLE, "master_not_discovered_exception")),
        Action::Truncate(20),
        Action::Refuse,
        // The server moves the position twice: the second time it says that it is not the one that was read.
        Action::Repeat,
    ] {
        let fault = proxy.on(other(), Which::EveryNth(3), action);
        through(&mut world, &server, &proxy, &fault, 8).await;
    }
    let fault = proxy.on(other(), Which::EveryNth(4), Action::LoseAnswer);
    rebuild(&world, &proxy.endpoint()).await;
    assert!(fault.taken() > 1);
    proxy.clear();
    expect_equal(&world, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_too_large_are_halved() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(&server.endpoint()).await.unwrap();
    let mut world = World::new().await;
    world.add_transactions(3_000).await;
    let large = || bulk().that(|call| call.body.len() > 8_000);
    let answer = failure(StatusCode::PAYLOAD_TOO_LARGE, "content_too_long_exception");
    let fault = proxy.on(large(), Which::Every, Action::Answer(answer));
    deliver(&world, &proxy.endpoint()).await;
    assert!(fault.taken() > 3);
    proxy.clear();
    expect_equal(&world, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_at_once_deliver_each_row_once() {
    let Some(server) = Server::start().await else { return };
    let endpoint = server.endpoint();
    let mut world = World::new().await;
    for round in 0..12 {
        world.add_users(15).await;
        world.add_transactions(25).await;
        match round {
            3 | 7 => world.compact("transactions").await,
            5 => world.expire("2026-01-03").await,
            9 => _ = crate::erasure::erase(&world, "user-3", true).await,
            10 => _ = crate::erasure::erase(&world, "user-4", false).await,
            _ => {}
        }
        run_at_once(&mut [(); 3].map(|()| delivery(&world, &endpoint))).await;
        expect_equal(&world, &server).await;
    }
    // A rebuild beside others.
    rebuild_at_once(&mut [(); 3].map(|()| delivery(&world, &endpoint))).await;
    // Which may have ended in the middle of the other's swap.
    deliver(&world, &endpoint).await;
    let position = server.position("transactions").await;
    assert!(position["generation"].as_u64() > Some(1) && position["loading"].is_null(), "{position}");
    expect_equal(&world, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_comes_late_changes_nothing() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(&server.endpoint()).await.unwrap();
    let mut world = World::new().await;
    world.add_users(200).await;
    deliver(&world, &server.endpoint()).await;
    // The next requests for documents are under way for long; their sender is told that they are lost, and dies.
    world.add_users(200).await;
    let gate = Gate::closed();
    let late = proxy.on(bulk(), Which::Every, Action::DeliverLate(gate.clone()));
    let endpoint = proxy.endpoint();
    let (mut slow, shutdown) = (delivery(&world, &endpoint), CancellationToken::new());
    tokio::select! {
        _ = slow.run(&shutdown) => panic!("nothing can be delivered"),
        () = async { while late.taken() < 3 { tokio::time::sleep(Duration::from_millis(10)).await } } => {}
    }
    drop(slow);
    // Meanwhile others go on: rows change, and leave.
    deliver(&world, &server.endpoint()).await;
    crate::erasure::erase(&world, "user-3", true).await;
    deliver(&world, &server.endpoint()).await;
    expect_equal(&world, &server).await;
    gate.open();
    while late.forwarded().len() < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    expect_equal(&world, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_waited_for_and_loaded_if_it_is_empty() {
    let Some(mut server) = Server::start().await else { return };
    let endpoint = server.endpoint();
    let mut world = World::new().await;
    world.add_users(40).await;
    deliver(&world, &endpoint).await;
    let options = DeliveryOptions { once: false, ..options(Columns::WithoutPersonal) };
    let mut following =
        Delivery::new(world.lake.clone(), world.contract.clone(), target(&world.lake, &endpoint), options);
    let (progress, shutdown) = (following.progress(), CancellationToken::new());
    let stop = shutdown.clone();
    let running = tokio::spawn(async move { following.run(&stop).await });
    for _ in 0..2 {
        world.add_transactions(30).await;
        server.stop();
        world.add_users(10).await;
        while progress.trouble().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // It keeps nothing: the truth of what a target holds is in the target.
        server.run().await;
        for table in ["user_events", "transactions"] {
            let newest: Value = world.version(table).await.into();
            while server.position(table).await["version"] != newest {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        expect_equal(&world, &server).await;
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
