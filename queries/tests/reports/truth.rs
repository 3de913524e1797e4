//! The lake beside the generator's own truth.

use std::collections::BTreeMap;

use bluelake_generate::EventType;
use bluelake_schemas::Stream;

use crate::cases::plans;
use crate::support::compare::{Case, query, run};
use crate::support::world::{Delivery, World};

async fn rows(world: &World, sql: &str) -> Vec<String> {
    query(&world.session, sql).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lake_says_what_the_generator_knows() {
    for plan in plans() {
        let world = plan.build().await;
        counts_and_sums_of_each_day(&world).await;
        users_by_kind_and_status(&world).await;
        rejections_and_duplicates(&world).await;
        if plan.delivery == Delivery::Prompt {
            points(&world).await;
            balances(&world).await;
        }
    }
}

/// Repeated events that were stored count once.
async fn counts_and_sums_of_each_day(world: &World) {
    let mut expected = Vec::new();
    for (day, types) in &world.truth.days {
        let mut of_day: BTreeMap<&str, String> = BTreeMap::new();
        for (event_type, sums) in types {
            let points = sums.points + sums.points_civilian + sums.points_officer;
            of_day.insert(event_type.name(), format!("{},{points},{}", sums.count, sums.amount_cents));
        }
        expected.extend(of_day.iter().map(|(event_type, sums)| format!("{day},{event_type},{sums}")));
    }
    let sql = "WITH once AS (
            SELECT DISTINCT event_id, event_date, event_type, points, points_civilian, points_officer, amount_cents
            FROM transactions
            UNION ALL
            SELECT DISTINCT event_id, event_date, event_type, 0, 0, 0, 0 FROM user_events
        )
        SELECT event_date, event_type, count(*), sum(coalesce(points, 0) + coalesce(points_civilian, 0)
            + coalesce(points_officer, 0)), sum(coalesce(amount_cents, 0))
        FROM once GROUP BY 1, 2 ORDER BY 1, 2";
    assert_eq!(rows(world, sql).await, expected, "{}", world.name);
}

async fn users_by_kind_and_status(world: &World) {
    let mut expected = Vec::new();
    for (kind, statuses) in &world.truth.users_by_kind {
        for (status, count) in statuses.iter().filter(|(_, count)| **count > 0) {
            expected.push(format!("{kind},{},{count}", status.name()));
        }
    }
    expected.sort();
    let sql = "SELECT user_kind, status, count(*) FROM users GROUP BY 1, 2 ORDER BY 1, 2";
    assert_eq!(rows(world, sql).await, expected, "{}", world.name);
}

async fn rejections_and_duplicates(world: &World) {
    let mut expected = Vec::new();
    for stream in Stream::ALL {
        expected.extend(
            world.truth.streams[&stream].bad.iter().map(|(reason, count)| format!("{stream},{reason},{count}")),
        );
    }
    expected.sort();
    let sql = "SELECT stream, reason, count(*) FROM rejected_events GROUP BY 1, 2 ORDER BY 1, 2";
    assert_eq!(rows(world, sql).await, expected, "{}", world.name);
    let month = run(&world.session, "rejected_events", &Case::parse("by=month")).await;
    let reported: u64 = month.iter().map(|row| row.rsplit(',').nth(1).unwrap().parse::<u64>().unwrap()).sum();
    let rejected: u64 = world.truth.streams.values().flat_map(|totals| totals.bad.values()).sum();
    assert_eq!(reported, rejected, "{}", world.name);

    let repeated: u64 = world.truth.streams.values().map(|totals| totals.duplicate).sum();
    let duplicates = run(&world.session, "duplicates", &Case::default()).await;
    let extra: u64 = duplicates.iter().map(|row| row.split(',').nth(3).unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(extra + world.dropped as u64, repeated, "{}", world.name);
    assert_eq!(extra > 0, world.name == "heavy");
}

async fn points(world: &World) {
    let points = &world.truth.points;
    let column = async |report: &str, case: &str, column: usize| -> Vec<i64> {
        let rows = run(&world.session, report, &Case::parse(case)).await;
        rows.iter().map(|row| row.split(',').nth(column).unwrap().parse().unwrap()).collect()
    };
    let sum = async |report: &str, number: usize| column(report, "by=month", number).await.iter().sum::<i64>();
    assert_eq!(sum("points_liability", 1).await, points.minted());
    assert_eq!(sum("points_liability", 2).await, points.redeemed);
    assert_eq!(sum("points_liability", 5).await, points.donated);
    assert_eq!(column("points_liability", "", 4).await.last(), Some(&points.liability()));
    assert_eq!(column("points_liability", "by=week", 4).await.last(), Some(&points.liability()));
    assert_eq!(sum("interactions", 5).await, points.minted_civilian);
    assert_eq!(sum("interactions", 6).await, points.minted_officer);
    assert_eq!(sum("donations", 4).await, points.donated);
    assert_eq!(sum("redemptions", 4).await, points.redeemed);
    assert_eq!(sum("redemptions", 3).await, world.truth.totals(EventType::Redemption).count as i64);
    assert_eq!(sum("redemptions", 5).await, world.truth.totals(EventType::Redemption).amount_cents);
    assert_eq!(column("breakage", "", 1).await.iter().sum::<i64>(), points.liability());
    assert_eq!(rows(world, "SELECT sum(points) FROM transfers").await, [points.transferred.to_string()]);
    let redeemers: u64 = world.truth.distinct.redeemers.values().sum();
    assert_eq!(rows(world, "SELECT count(DISTINCT redeemer_id) FROM redemptions").await, [redeemers.to_string()]);
}

async fn balances(world: &World) {
    let sums = rows(world, "SELECT user_id, sum(points) FROM points_ledger GROUP BY 1").await;
    let sums: BTreeMap<_, i64> = sums
        .iter()
        .map(|row| row.split_once(',').unwrap())
        .map(|(user, points)| (user.to_owned(), points.parse().unwrap()))
        .collect();
    let mut statements = 0;
    for (place, (user, truth)) in world.truth.users.iter().enumerate() {
        let user = user.to_string();
        assert_eq!(sums.get(&user).copied().unwrap_or(0), truth.balance, "{user}");
        if place % 200 == 0 {
            let rows = run(&world.session, "user_statement", &Case::parse(&format!("user={user}"))).await;
            let balance = rows.last().map_or(0, |row| row.split(',').nth(6).unwrap().parse().unwrap());
            assert_eq!(balance, truth.balance, "{user}");
            let took_part = truth.interactions + truth.donations_given + truth.donations_received + truth.redemptions;
            assert!(rows.len() as u64 >= took_part, "{user}");
            statements += 1;
        }
    }
    assert!(statements > 3, "{statements}");
}
