//! Kills, lost answers, a busy service, conflicts, several at once, a database that restarts: each row is there once.

use std::time::Duration;

use bluelake_deliver::{Columns, Delivery, DeliveryOptions};
use bluelake_fault_proxy::{Action, Answer, Gate, Proxy, When, Which};
use hyper::StatusCode;
use tokio_util::sync::CancellationToken;

use super::warehouse::{
    Place, Warehouse, deliver, delivery, delivery_to, expect_equal, rebuild, settings, target_of, try_deliver,
};
use crate::{
    server::value,
    world::several::{Processes, follow, rebuild_at_once, run_at_once},
    world::{World, options},
};

const DATA_API: &str = "BLUELAKE_TEST_DELIVER_DATA_API";
const S3: &str = "BLUELAKE_TEST_DELIVER_S3";
const CONFLICT: &str =
    "ERROR: 1023 DETAIL: Serializable isolation violation on table - 100, transactions forming the cycle are: 1, 2";

/// Follows the lake until it is killed.
#[tokio::test]
#[ignore = "the process that `each_row_is_there_once_after_a_hundred_kills` starts and kills"]
async fn a_process_that_is_killed() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let place = Place { data_api: variable(DATA_API), s3: variable(S3) };
    follow(|_| target_of(settings("lake"), &place), Columns::All).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_is_there_once_after_a_hundred_kills() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    world.add_users(50).await;
    world.add_transactions(50).await;
    let variables = [(DATA_API, place.data_api.as_str()), (S3, place.s3.as_str())];
    let mut processes = Processes::start(&world, "redshift::faults::a_process_that_is_killed", &variables);
    for kill in 0_u64..100 {
        match kill % 20 {
            9 => world.compact("transactions").await,
            13 => _ = crate::erasure::erase(&world, &format!("user-{}", 3 + kill / 20), true).await,
            19 if kill > 60 => world.expire("2026-01-02").await,
            number if number % 2 == 0 => world.add_users(20).await,
            _ => world.add_transactions(20).await,
        }
        tokio::time::sleep(Duration::from_millis(100 + kill * 37 % 700)).await;
        processes.kill(kill);
    }
    processes.end();
    let before: u64 = value(&warehouse.client().await, "SELECT sum(rows) FROM lake.deliveries").await.parse().unwrap();
    assert!(before > 200, "the processes delivered {before} rows before they were killed");
    deliver(&world, &place).await;
    expect_equal(&world, &warehouse).await;
}

fn aws_failure(status: u16, code: &str) -> Action {
    Action::Answer(Answer::kinesis_error(StatusCode::from_u16(status).unwrap(), code, "try again"))
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_and_a_busy_service_are_passed() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let proxy = Proxy::start(&warehouse.api.endpoint).await.unwrap();
    let through = Place { data_api: proxy.endpoint(), ..warehouse.place() };
    let mut world = World::new().await;
    for (operation, action) in [
        ("BatchExecuteStatement", Action::LoseAnswer),
        ("BatchExecuteStatement", Action::Refuse),
        ("BatchExecuteStatement", Action::Truncate(12)),
        ("BatchExecuteStatement", Action::Repeat),
        ("BatchExecuteStatement", aws_failure(400, "ActiveStatementsExceededException")),
        ("BatchExecuteStatement", aws_failure(500, "InternalServerException")),
        ("BatchExecuteStatement", aws_failure(400, "ThrottlingException")),
        ("ExecuteStatement", Action::LoseAnswer),
        ("ExecuteStatement", aws_failure(503, "ServiceUnavailable")),
        ("BatchExecuteStatement", aws_failure(500, "SomethingNewException")),
        ("DescribeStatement", Action::Truncate(30)),
        ("DescribeStatement", Action::LoseAnswer),
        ("DescribeStatement", aws_failure(500, "InternalServerException")),
        ("GetStatementResult", Action::LoseAnswer),
        ("GetStatementResult", Action::Truncate(30)),
    ] {
        world.add_users(10).await;
        world.add_transactions(10).await;
        let fault = proxy.on(When::any().operation(operation), Which::EveryNth(2), action);
        deliver(&world, &through).await;
        assert!(fault.taken() > 0, "{operation}");
        proxy.clear();
        expect_equal(&world, &warehouse).await;
    }
    let fault = proxy.on(When::any().operation("BatchExecuteStatement"), Which::EveryNth(2), Action::LoseAnswer);
    rebuild(&world, &through).await;
    assert!(fault.taken() > 2);
    expect_equal(&world, &warehouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_of_unknown_outcome_is_settled_by_the_position() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let proxy = Proxy::start(&warehouse.api.endpoint).await.unwrap();
    let through = Place { data_api: proxy.endpoint(), ..warehouse.place() };
    let mut world = World::new().await;
    world.add_transactions(10).await;
    deliver(&world, &through).await;
    // The batch is under way for long; its sender is told that it is lost, and dies.
    world.add_transactions(10).await;
    let gate = Gate::closed();
    let batch = || When::any().operation("BatchExecuteStatement");
    let late = proxy.on(batch(), Which::Every, Action::DeliverLate(gate.clone()));
    let (mut slow, shutdown) = (delivery(&world, &through), CancellationToken::new());
    tokio::select! {
        _ = slow.run(&shutdown) => panic!("nothing can be delivered"),
        () = async { while late.taken() < 2 { tokio::time::sleep(Duration::from_millis(10)).await } } => {}
    }
    drop(slow);
    // Others go on meanwhile.
    deliver(&world, &warehouse.place()).await;
    world.add_transactions(10).await;
    deliver(&world, &warehouse.place()).await;
    gate.open();
    while late.forwarded().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    expect_equal(&world, &warehouse).await;
    // What became of a batch is never told: the position says it.
    proxy.clear();
    world.add_transactions(10).await;
    let describe = When::any().operation("DescribeStatement").that(|call| call.json()["Id"].is_string());
    let mut told = 0;
    let gone = Answer::kinesis_error(StatusCode::BAD_REQUEST, "ResourceNotFoundException", "it is not known");
    let fault = proxy.on(describe, Which::EveryNth(25), Action::Answer(gone));
    while fault.taken() == 0 || told == 0 {
        world.add_transactions(1).await;
        told += usize::from(try_deliver(&world, &through).await.is_ok());
    }
    proxy.clear();
    deliver(&world, &through).await;
    expect_equal(&world, &warehouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_of_transactions_are_tried_again() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    world.add_users(20).await;
    world.add_transactions(20).await;
    warehouse.api.fail_next(&[CONFLICT, "ERROR: deadlock detected"]);
    deliver(&world, &place).await;
    for _ in 0..4 {
        world.add_users(10).await;
        world.add_transactions(10).await;
        warehouse.api.fail_next(&[CONFLICT, CONFLICT, "ERROR: could not serialize access"]);
        deliver(&world, &place).await;
        assert_eq!(warehouse.api.faults_left(), 0);
        expect_equal(&world, &warehouse).await;
    }
    // A rebuild does not give up either, not even when rows that were staged are not all there.
    warehouse.api.fail_next(&[CONFLICT, CONFLICT, "ERROR: division by zero", "ERROR: division by zero"]);
    rebuild(&world, &place).await;
    assert_eq!(warehouse.api.faults_left(), 0);
    expect_equal(&world, &warehouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_at_once_deliver_each_row_once() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    for round in 0..10 {
        world.add_users(15).await;
        world.add_transactions(25).await;
        match round {
            3 | 7 => world.compact("transactions").await,
            5 => world.expire("2026-01-03").await,
            8 => _ = crate::erasure::erase(&world, "user-3", true).await,
            9 => _ = crate::erasure::erase(&world, "user-4", false).await,
            _ => {}
        }
        run_at_once(&mut [(); 3].map(|()| delivery(&world, &place))).await;
        expect_equal(&world, &warehouse).await;
    }
    // A rebuild beside others.
    rebuild_at_once(&mut [(); 3].map(|()| delivery(&world, &place))).await;
    expect_equal(&world, &warehouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_restarts_is_waited_for() {
    let Some(mut warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    world.add_users(40).await;
    deliver(&world, &place).await;
    let options = DeliveryOptions { once: false, ..options(Columns::All) };
    let target = target_of(settings("lake"), &place);
    let mut delivery = Delivery::new(world.lake.clone(), world.contract.clone(), target, options);
    let (progress, shutdown) = (delivery.progress(), CancellationToken::new());
    let stop = shutdown.clone();
    let running = tokio::spawn(async move { delivery.run(&stop).await });
    for _ in 0..3 {
        world.add_transactions(30).await;
        world.add_users(10).await;
        warehouse.server.stop().await;
        world.add_users(10).await;
        while progress.trouble().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        warehouse.server.run().await;
        for table in ["user_events", "transactions"] {
            let newest = world.version(table).await;
            while progress.tables()[table].held != Some(newest) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        expect_equal(&world, &warehouse).await;
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_was_broken_off_goes_on_where_it_was() {
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    for _ in 0..3 {
        world.add_transactions(40).await;
    }
    let proxy = Proxy::start(&warehouse.api.endpoint).await.unwrap();
    let through = Place { data_api: proxy.endpoint(), ..place.clone() };
    // The exchange does not come about.
    let exchange = When::any().that(|call| call.json()["Sqls"].to_string().contains("RENAME TO"));
    let denied = Answer::kinesis_error(StatusCode::BAD_REQUEST, "AccessDeniedException", "not now");
    proxy.on(exchange, Which::Every, Action::Answer(denied));
    let target = target_of(settings("lake"), &through);
    let error = delivery_to(&world.lake, &world.contract, target, Columns::All)
        .run(&CancellationToken::new())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("redshift-data:ExecuteStatement"), "{error}");
    let before = warehouse.api.sent("INSERT INTO \"lake\".\"transactions__new\"").len();
    deliver(&world, &place).await;
    let after = warehouse.api.sent("INSERT INTO \"lake\".\"transactions__new\"").len();
    // Of the tables user events came first and were not exchanged, so transactions are loaded now; nothing is loaded twice.
    assert!(after <= before + 1, "{before} {after}");
    expect_equal(&world, &warehouse).await;
}
