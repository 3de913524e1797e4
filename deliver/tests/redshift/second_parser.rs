//! A second parser, sqlglot of PyPI, for every statement that a target sends: the one of the test Data API is the one with which
//! the statements were written.

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use bluelake_deliver::Columns;
use tokio_util::sync::CancellationToken;

use super::warehouse::{Warehouse, deliver, delivery, delivery_to, rebuild, settings, target_of};
use crate::world::{World, run};

/// Where `.ci/run` installs it.
fn python() -> Option<PathBuf> {
    let home = || PathBuf::from(std::env::var("HOME").unwrap_or_default()).join(".cache/bluelake/servers");
    let servers = std::env::var_os("BLUELAKE_TEST_SERVERS").map_or_else(home, PathBuf::from);
    let python = servers.join("sqlglot/bin/python");
    let is_there = || Command::new(&python).args(["-c", "import sqlglot"]).stderr(Stdio::null()).status();
    is_there().is_ok_and(|status| status.success()).then_some(python)
}

/// What it says of the statements; an empty text: it parsed them all.
fn said(python: &PathBuf, statements: &BTreeSet<String>) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/redshift/parse_statements.py");
    let mut command = Command::new(python);
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = command.spawn().unwrap();
    running.stdin.take().unwrap().write_all(&serde_json::to_vec(statements).unwrap()).unwrap();
    let ended = running.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(i32::from(!said.is_empty())), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlglot_parses_every_statement_that_is_sent() {
    let Some(python) = python() else {
        let _ =
            std::io::stderr().write_all(b"NOT RUN: there is no sqlglot of PyPI (see .ci/run, BLUELAKE_TEST_SERVERS)\n");
        return;
    };
    let Some(warehouse) = Warehouse::start().await else { return };
    let place = warehouse.place();
    let mut world = World::new().await;
    world.add_users(200).await;
    world.add_transactions(40).await;
    deliver(&world, &place).await;
    // Steps of each kind: rows, places, days, partitions, columns that come, a column that gets wider.
    let client = warehouse.client().await;
    run(&client, "DROP VIEW lake.donations, lake.redemptions, lake.interactions, lake.transfers").await;
    run(&client, "ALTER TABLE lake.transactions DROP COLUMN zip_code").await;
    run(&client, "ALTER TABLE lake.transactions ALTER donor_id TYPE varchar(20)").await;
    world.add_transactions(20).await;
    crate::erasure::erase(&world, "user-3", true).await;
    deliver(&world, &place).await;
    crate::erasure::erase(&world, "user-4", false).await;
    world.expire("2026-01-03").await;
    world.compact("transactions").await;
    deliver(&world, &place).await;
    rebuild(&world, &place).await;
    let all = || target_of(settings("all"), &place);
    let mut options = crate::world::options(Columns::All);
    options.tables = vec!["rejected_events".to_owned()];
    let mut rejected = bluelake_deliver::Delivery::new(world.lake.clone(), world.contract.clone(), all(), options);
    rejected.run(&CancellationToken::new()).await.unwrap();
    let mut fewer = delivery_to(&world.lake, &world.contract, all(), Columns::WithoutPersonal);
    fewer.run(&CancellationToken::new()).await.unwrap();
    delivery(&world, &place).verify().await.unwrap();
    delivery(&world, &place).standings().await.unwrap();
    let statements: BTreeSet<String> = warehouse.api.sent("").into_iter().collect();
    for kind in [
        "LOCK ",
        "CREATE SCHEMA",
        "CREATE TABLE",
        "CREATE TEMP TABLE",
        "COPY ",
        "INSERT INTO",
        "UPDATE ",
        "DELETE FROM",
        "ALTER TABLE \"lake\".\"transactions\" ADD COLUMN",
        "ALTER TABLE \"lake\".\"transactions\" ALTER COLUMN",
        "CREATE VIEW",
        "SELECT 1 / ",
    ] {
        assert!(statements.iter().any(|statement| statement.starts_with(kind)), "{kind} was not sent");
    }
    assert_eq!(said(&python, &statements), "");
    let wrong = ["SELECT FROM WHERE", "SELECT 1; SELECT 2", "VACUUM t"].map(str::to_owned);
    assert_eq!(said(&python, &wrong.into()).lines().count(), 3, "it takes everything");
}
