//! Kills, lost answers, several at once, a server that restarts: each row is there once.

use std::time::Duration;

use bluelake_deliver::{Columns, Delivery, DeliveryOptions};
use tokio_util::sync::CancellationToken;

use crate::{
    proxy::Proxy,
    server::{Server, value},
    world::several::{Processes, follow, rebuild_at_once, run_at_once},
    world::{World, deliver, options, target, target_at, try_deliver},
};

const ADDRESS: &str = "BLUELAKE_TEST_DELIVER_ADDRESS";

/// Follows the lake until it is killed.
#[tokio::test]
#[ignore = "the process that `each_row_is_there_once_after_a_hundred_kills` starts and kills"]
async fn a_process_that_is_killed() {
    follow(|_| target_at(&std::env::var(ADDRESS).unwrap(), "lake"), Columns::All).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_is_there_once_after_a_hundred_kills() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_users(50).await;
    world.add_transactions(50).await;
    let mut processes = Processes::start(&world, "faults::a_process_that_is_killed", &[(ADDRESS, &server.address())]);
    for kill in 0_u64..100 {
        // Batches of both tables, a compaction now and then, and a kill in the middle of whatever is under way.
        match kill % 10 {
            9 => world.compact("transactions").await,
            number if number % 2 == 0 => world.add_users(20).await,
            _ => world.add_transactions(20).await,
        }
        tokio::time::sleep(Duration::from_millis(kill * 37 % 190)).await;
        processes.kill(kill);
    }
    processes.end();
    let before: u64 = value(&server.client().await, "SELECT sum(rows) FROM lake.deliveries").await.parse().unwrap();
    assert!(before > 200, "the processes delivered {before} rows before they were killed");
    deliver(&world, &server).await;
    world.expect_equal(&server, "lake").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_commit_and_a_lost_answer_are_settled_by_the_position() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_users(30).await;
    world.add_transactions(30).await;
    let proxy = Proxy::before(server.port, 12).await;
    let through = || target_at(&server.address_of("owner", proxy.port), "lake");
    while proxy.left() > 0 {
        try_deliver(&world, through()).await.unwrap();
        world.expect_equal(&server, "lake").await;
        world.add_users(10).await;
        world.add_transactions(10).await;
    }
    try_deliver(&world, through()).await.unwrap();
    world.expect_equal(&server, "lake").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_at_once_deliver_each_row_once() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    for round in 0..12 {
        world.add_users(15).await;
        world.add_transactions(25).await;
        if round % 4 == 3 {
            world.compact("transactions").await;
        }
        run_at_once(&mut [(); 3].map(|()| world.delivery(target(&server, "lake")))).await;
        world.expect_equal(&server, "lake").await;
    }
    // A rebuild beside others.
    rebuild_at_once(&mut [(); 3].map(|()| world.delivery(target(&server, "lake")))).await;
    world.expect_equal(&server, "lake").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_is_waited_for() {
    let Some(mut server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_users(40).await;
    deliver(&world, &server).await;
    let options = DeliveryOptions { once: false, ..options(Columns::All) };
    let mut delivery = Delivery::new(world.lake.clone(), world.contract.clone(), target(&server, "lake"), options);
    let (progress, shutdown) = (delivery.progress(), CancellationToken::new());
    let stop = shutdown.clone();
    let running = tokio::spawn(async move { delivery.run(&stop).await });
    for _ in 0..3 {
        world.add_transactions(30).await;
        world.add_users(10).await;
        server.stop().await;
        world.add_users(10).await;
        while progress.trouble().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.run().await;
        let newest = world.version("user_events").await;
        while progress.tables()["user_events"].held != Some(newest) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let newest = world.version("transactions").await;
        while progress.tables()["transactions"].held != Some(newest) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        world.expect_equal(&server, "lake").await;
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
